package wire

import (
	"math"
	"math/bits"
)

// dtypeBlock returns how many elements a block of a tensor type packs, and in how many
// bytes. The names and sizes are those of engine/tensor, which this package may not
// import; a test of node/catalog holds the two together.
func dtypeBlock(name string) (elems, size uint64, ok bool) {
	switch name {
	case "F32":
		return 1, 4, true
	case "F16", "BF16":
		return 1, 2, true
	case "Q4_0", "IQ4_NL":
		return 32, 18, true
	case "Q4_1":
		return 32, 20, true
	case "Q5_0":
		return 32, 22, true
	case "Q5_1":
		return 32, 24, true
	case "Q8_0":
		return 32, 34, true
	case "MXFP4":
		return 32, 17, true
	case "Q2_K":
		return 256, 84, true
	case "Q3_K", "IQ3_S":
		return 256, 110, true
	case "Q4_K":
		return 256, 144, true
	case "Q5_K":
		return 256, 176, true
	case "Q6_K":
		return 256, 210, true
	case "IQ4_XS":
		return 256, 136, true
	case "TQ2_0":
		return 256, 66, true
	}
	return 0, 0, false
}

// TensorBytes returns the size of a tensor of that type and shape, outermost dimension
// first. It returns an error if the type is unknown, a dimension is zero, the last one
// does not hold whole blocks, or the size overflows.
func TensorBytes(dtype string, shape []uint64) (int64, error) {
	elems, size, ok := dtypeBlock(dtype)
	if !ok {
		return 0, invalid("tensor type %.40q", dtype)
	}
	if len(shape) == 0 || shape[len(shape)-1]%elems != 0 {
		return 0, invalid("shape %v of %s: last dimension is not a multiple of %d", shape, dtype, elems)
	}
	n := uint64(1)
	for _, d := range shape {
		hi, lo := bits.Mul64(n, d)
		if d == 0 || hi != 0 {
			return 0, invalid("shape %v: zero or too large", shape)
		}
		n = lo
	}
	hi, n := bits.Mul64(n/elems, size)
	if hi != 0 || n > math.MaxInt64 {
		return 0, invalid("shape %v of %s: too large", shape, dtype)
	}
	return int64(n), nil
}
