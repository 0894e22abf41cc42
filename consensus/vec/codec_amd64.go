//go:build !noasm

package vec

import "unsafe"

// Functions ending in SIMD do their work in vector code, on a multiple of 16 elements, which
// is none where the level is [Generic]. Other operands are at least as long.

// byLevel picks the vector code of a level other than [Generic].
func byLevel[F any](l Level, avx2, avx512 F) F {
	if l == AVX512 {
		return avx512
	}
	return avx2
}

func first[T any](x []T) *T { return unsafe.SliceData(x) }

func maxAbsSIMD(l Level, x []float32) uint32 {
	if len(x) == 0 {
		return 0
	}
	return byLevel(l, codecMaxAbsAVX2, codecMaxAbsAVX512)(first(x), len(x))
}

func sumAbsSIMD(l Level, x []float32, scale float32, acc *[lanes]float32) {
	switch {
	case len(x) == 0:
	case l == AVX512: // called by name, or acc would be allocated
		codecSumAbsAVX512(first(x), len(x), scale, acc)
	default:
		codecSumAbsAVX2(first(x), len(x), scale, acc)
	}
}

func dotSIMD(l Level, x, y []float32, acc *[lanes]float32) {
	switch {
	case len(x) == 0:
	case l == AVX512:
		codecDotAVX512(first(x), first(y), len(x), acc)
	default:
		codecDotAVX2(first(x), first(y), len(x), acc)
	}
}

func addToSIMD(l Level, dst, x []float32) {
	if len(x) > 0 {
		byLevel(l, codecAddAVX2, codecAddAVX512)(first(dst), first(x), len(x))
	}
}

func subFromSIMD(l Level, dst, x []float32) {
	if len(x) > 0 {
		byLevel(l, codecSubAVX2, codecSubAVX512)(first(dst), first(x), len(x))
	}
}

func addScaledSIMD(l Level, dst []float32, a float32, x []float32) {
	if len(x) > 0 {
		byLevel(l, codecAddScaledAVX2, codecAddScaledAVX512)(first(dst), first(x), len(x), a)
	}
}

func f16SIMD(l Level, dst []byte, x []float32) {
	if len(x) > 0 {
		byLevel(l, codecF16AVX2, codecF16AVX512)(first(dst), first(x), len(x))
	}
}

func fromF16SIMD(l Level, dst []float32, b []byte) {
	if len(dst) > 0 {
		byLevel(l, codecFromF16AVX2, codecFromF16AVX512)(first(dst), first(b), len(dst))
	}
}

func int8SIMD(l Level, dst []byte, x []float32, scale, inverse float32, counter, key uint32) {
	if len(x) > 0 {
		byLevel(l, codecInt8AVX2, codecInt8AVX512)(first(dst), first(x), len(x), scale, inverse, counter, key)
	}
}

func fromInt8SIMD(l Level, dst []float32, b []byte, scale float32) int32 {
	if len(dst) == 0 {
		return 0
	}
	return byLevel(l, codecFromInt8AVX2, codecFromInt8AVX512)(first(dst), first(b), len(dst), scale)
}

func signsSIMD(l Level, dst []byte, x []float32, scale float32) {
	if len(x) > 0 {
		byLevel(l, codecSignsAVX2, codecSignsAVX512)(first(dst), first(x), len(x), scale)
	}
}

func fromSignsSIMD(l Level, dst []float32, b []byte, scale float32) {
	if len(dst) > 0 {
		byLevel(l, codecFromSignsAVX2, codecFromSignsAVX512)(first(dst), first(b), len(dst), scale)
	}
}
