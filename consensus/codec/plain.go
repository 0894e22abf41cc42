package codec

import "github.com/covey-network/covey/consensus/vec"

// f32 writes values as they are, little-endian.
type f32 struct{}

func (f32) size(_, n int) int { return 4 * n }
func (f32) warm() int         { return 0 }

func (f32) encode(dst []byte, x []float32, _ place) error {
	if !vec.Finite(x) {
		return ErrNotFinite
	}
	vec.F32(dst, x)
	return nil
}

func (f32) decode(dst []float32, b []byte, _ int) error {
	for len(dst) > 0 {
		n := min(piece, len(dst))
		vec.FromF32(dst[:n], b[:4*n])
		if !vec.Finite(dst[:n]) {
			return ErrNotFinite
		}
		dst, b = dst[n:], b[4*n:]
	}
	return nil
}

// f16 writes values as float16, little-endian.
type f16 struct{}

func (f16) size(_, n int) int { return 2 * n }
func (f16) warm() int         { return 0 }

func (f16) encode(dst []byte, x []float32, _ place) error {
	if !vec.Finite(x) {
		return ErrNotFinite
	}
	vec.F16(dst, x)
	return nil
}

func (f16) decode(dst []float32, b []byte, _ int) error {
	for len(dst) > 0 {
		n := min(piece, len(dst))
		vec.FromF16(dst[:n], b[:2*n])
		if !vec.Finite(dst[:n]) {
			return ErrNotFinite
		}
		dst, b = dst[n:], b[2*n:]
	}
	return nil
}

func allFinite(x []float32) error {
	if !vec.Finite(x) {
		return ErrNotFinite
	}
	return nil
}
