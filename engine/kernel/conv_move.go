package kernel

// convIndex chooses 16 of the 32 elements of two groups.
type convIndex [lanes]int32

// convPick writes n elements of groups a and b, those at the indices, to dst.
func convPick(isa ISA, dst, a, b []float32, index *convIndex, n int) {
	dst, a, b = dst[:n], a[:lanes], b[:lanes]
	if n == 0 || convPickSIMD(isa, dst, a, b, index) {
		return
	}
	for i := range dst {
		if j := index[i]; j < lanes {
			dst[i] = a[j]
		} else {
			dst[i] = b[j-lanes]
		}
	}
}

// convTranspose writes column i of 16 columns of src (rows, stride) to dst[places[i]:].
func convTranspose(isa ISA, dst []float32, places []int, src []float32, rows, stride int) {
	places, src = places[:lanes], src[:(rows-1)*stride+lanes]
	for _, p := range places {
		_ = dst[p+rows-1]
	}
	if convTransposeSIMD(isa, dst, places, src, rows, stride) {
		return
	}
	for r := range rows {
		in := (*[lanes]float32)(src[r*stride:])
		out := dst[r:]
		for i, v := range in {
			out[places[i]] = v
		}
	}
}
