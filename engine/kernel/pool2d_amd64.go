//go:build !noasm

package kernel

// maxPairsSIMD computes the results of a plane of 2 x 2 windows and reports whether there is
// vector code for its width.
func maxPairsSIMD(isa ISA, y []float32, index []int32, x []float32, width int) bool {
	if isa == Generic || width%(2*lanes) != 0 {
		return false
	}
	rows := len(y) / (width / 2)
	_, _ = index[len(y)-1], x[2*rows*width-1]
	byISA(isa, maxPairsAVX2, maxPairsAVX512)(&y[0], &index[0], &x[0], width, rows)
	return true
}

// maxPairsBackSIMD writes the gradient of the rows of a plane that windows cover and reports
// whether there is vector code for its width.
func maxPairsBackSIMD(isa ISA, dx []float32, index []int32, dy []float32, width int) bool {
	if isa != AVX512 || width%(2*lanes) != 0 {
		return false
	}
	rows := len(dy) / (width / 2)
	_, _ = index[len(dy)-1], dx[2*rows*width-1]
	maxPairsBackAVX512(&dx[0], &index[0], &dy[0], width, rows)
	return true
}
