package tensor

import "fmt"

// Dequantize writes the values of src, blocks of type d, to dst. Both must hold the same
// number of whole blocks. The bits are those gguf-py gives.
func Dequantize(dst []float32, d DType, src []byte) error {
	if err := checkSizes(d, len(dst), len(src)); err != nil {
		return fmt.Errorf("dequantise: %w", err)
	}
	return fmt.Errorf("dequantise %v: not supported", d)
}

// Quantize writes the values of src to dst as blocks of type d, one of F32, F16, BF16,
// Q8_0 and Q4_0, with the rounding of llama.cpp's reference. It returns an error if the
// sizes do not match or a block type would have to hold a value that is not finite or
// a scale beyond the range of F16.
func Quantize(dst []byte, d DType, src []float32) error {
	if err := checkSizes(d, len(src), len(dst)); err != nil {
		return fmt.Errorf("quantise: %w", err)
	}
	return fmt.Errorf("quantise to %v: not supported", d)
}

func checkSizes(d DType, elems, bytes int) error {
	if !d.Valid() {
		return fmt.Errorf("%v: no such type", d)
	}
	b := layouts[d]
	if elems%b.len != 0 || bytes%b.bytes != 0 || elems/b.len != bytes/b.bytes {
		return fmt.Errorf("%v: %d elements and %d bytes do not match (blocks of %d in %d)", d, elems, bytes, b.len, b.bytes)
	}
	return nil
}
