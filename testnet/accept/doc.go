// Package accept checks swarms of real processes against models and reference outputs that
// are too large for the repository: `make accept FIXTURES=dir`. Its tests need the build
// tag accept.
package accept
