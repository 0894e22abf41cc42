package kernel

// NewConvOpISA is NewConvOp on a chosen instruction set.
var NewConvOpISA = newConvOp
