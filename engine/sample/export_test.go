package sample

// For the tests of the parts.
var (
	Philox = philox
	Ln     = ln
)
