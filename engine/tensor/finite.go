package tensor

import (
	"encoding/binary"
	"math/bits"
)

// NotFinite returns how many of the values in data, which holds whole blocks of a type, are
// NaN or infinite. It reads no more than floats and scales, faster than memory is copied.
func NotFinite(d DType, data []byte) int64 {
	switch d {
	case F32:
		return onesInExponent(data, 0x7f800000_7f800000, 0x00800000_00800000, 4)
	case F16:
		return onesInExponent(data, 0x7c00_7c00_7c00_7c00, 0x0400_0400_0400_0400, 2)
	case BF16:
		return onesInExponent(data, 0x7f80_7f80_7f80_7f80, 0x0080_0080_0080_0080, 2)
	case MXFP4:
		return overflowed(data)
	}
	size, blocks := d.BlockBytes(), int64(0)
	if size == 0 {
		return 0
	}
	at, second := scalesAt(d)
	for ; len(data) >= size; data = data[size:] {
		if infinite(half(data[at:])) || second >= 0 && infinite(half(data[second:])) {
			blocks++
		}
	}
	return blocks * int64(d.BlockLen())
}

// onesInExponent counts the floats of a number of bytes whose exponent has no bit that is
// 0. exponent masks that of all floats in 8 bytes, and lowest has its lowest bit: added to
// an exponent of ones it carries into the bit of the sign.
func onesInExponent(data []byte, exponent, lowest uint64, size int) int64 {
	sign, n := (exponent+lowest)&^exponent, 0
	word := func(b []byte) uint64 { return (binary.LittleEndian.Uint64(b)&exponent + lowest) & sign }
	for ; len(data) >= 32; data = data[32:] {
		b := data[:32:32]
		if a, b, c, d := word(b), word(b[8:]), word(b[16:]), word(b[24:]); a|b|c|d != 0 {
			n += bits.OnesCount64(a) + bits.OnesCount64(b) + bits.OnesCount64(c) + bits.OnesCount64(d)
		}
	}
	for ; len(data) >= 8; data = data[8:] {
		n += bits.OnesCount64(word(data))
	}
	var rest [8]byte
	copy(rest[:], data[:len(data)/size*size])
	return int64(n + bits.OnesCount64(word(rest[:])))
}

// overflowed counts the values of MXFP4, whose scale is always finite, that are too large.
func overflowed(data []byte) int64 {
	decode, n := blockDecoder(MXFP4), int64(0)
	var values [32]float32
	for size := MXFP4.BlockBytes(); len(data) >= size; data = data[size:] {
		decode(values[:], data)
		for _, v := range values {
			if v-v != 0 {
				n++
			}
		}
	}
	return n
}

// infinite reports whether a half float is infinite or NaN.
func infinite(h uint16) bool { return h&0x7c00 == 0x7c00 }

// scalesAt returns where a block of a type has its scale, and its minimum or -1. The
// values of a block are finite if both are, else none of them is.
func scalesAt(d DType) (scale, minimum int) {
	switch d {
	case Q4_1, Q5_1, Q4_K, Q5_K:
		return 0, 2
	case Q2_K:
		return 80, 82
	case Q3_K:
		return 108, -1
	case Q6_K:
		return 208, -1
	case TQ2_0:
		return 64, -1
	}
	return 0, -1
}
