package tensor

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Dequantize writes the values of src, blocks of type d, to dst. Both must hold the same
// number of whole blocks. The bits are those gguf-py gives.
func Dequantize(dst []float32, d DType, src []byte) error {
	if err := checkSizes(d, len(dst), len(src)); err != nil {
		return fmt.Errorf("dequantise: %w", err)
	}
	switch d {
	case F32:
		for i := range dst {
			dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(src[4*i:]))
		}
		return nil
	case F16:
		for i := range dst {
			dst[i] = F16ToF32(half(src[2*i:]))
		}
		return nil
	case BF16:
		for i := range dst {
			dst[i] = BF16ToF32(half(src[2*i:]))
		}
		return nil
	}
	decode := blockDecoder(d)
	b := layouts[d]
	for len(dst) > 0 {
		decode(dst[:b.len:b.len], src[:b.bytes:b.bytes])
		dst, src = dst[b.len:], src[b.bytes:]
	}
	return nil
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

// blockDecoder returns the function that decodes one block of a type. The layouts are
// those of llama.cpp's ggml-common.h; each product and sum is rounded to float32 by
// itself, in the order of gguf-py's quants.py.
func blockDecoder(d DType) func(dst []float32, b []byte) {
	switch d {
	case Q4_0:
		return func(dst []float32, b []byte) { centred(dst, F16ToF32(half(b)), 8, fours(b[2:])) }
	case Q4_1:
		return func(dst []float32, b []byte) { shifted(dst, F16ToF32(half(b)), F16ToF32(half(b[2:])), fours(b[4:])) }
	case Q5_0:
		return func(dst []float32, b []byte) { centred(dst, F16ToF32(half(b)), 16, fives(b[2:])) }
	case Q5_1:
		return func(dst []float32, b []byte) { shifted(dst, F16ToF32(half(b)), F16ToF32(half(b[2:])), fives(b[4:])) }
	case Q8_0:
		return decodeQ8
	case Q2_K:
		return decodeQ2K
	case Q3_K:
		return decodeQ3K
	case Q4_K:
		return decodeQ4K
	case Q5_K:
		return decodeQ5K
	case Q6_K:
		return decodeQ6K
	case IQ4_NL:
		return func(dst []float32, b []byte) { tableNibbles(dst, F16ToF32(half(b)), nonLinear(), b[2:]) }
	case IQ4_XS:
		return decodeIQ4XS
	case MXFP4:
		return func(dst []float32, b []byte) { tableNibbles(dst, halfPower(b[0]), fp4(), b[1:]) }
	case TQ2_0:
		return decodeTQ2
	case IQ3_S:
		return decodeIQ3S
	}
	panic(fmt.Sprintf("tensor: no decoder for %v", d))
}

func half(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }

// fours takes 32 4-bit codes apart: the low halves of the bytes come first.
func fours(qs []byte) (codes [32]uint8) {
	for i, q := range qs[:16] {
		codes[i], codes[16+i] = q&15, q>>4
	}
	return codes
}

// fives takes 32 5-bit codes apart: a word of fifth bits, then nibbles.
func fives(b []byte) [32]uint8 {
	codes := fours(b[4:])
	high := binary.LittleEndian.Uint32(b)
	for i := range codes {
		codes[i] |= uint8(high >> i & 1 << 4)
	}
	return codes
}

// centred scales codes around an offset.
func centred(dst []float32, d float32, offset int, codes [32]uint8) {
	for i, q := range codes {
		dst[i] = d * float32(int(q)-offset)
	}
}

// shifted scales codes and adds a minimum.
func shifted(dst []float32, d, m float32, codes [32]uint8) {
	for i, q := range codes {
		dst[i] = float32(d*float32(q)) + m
	}
}

// tableNibbles decodes 32 4-bit indices into a table.
func tableNibbles(dst []float32, d float32, table *[16]int8, qs []byte) {
	for i, q := range qs[:16] {
		dst[i] = d * float32(table[q&15])
		dst[16+i] = d * float32(table[q>>4])
	}
}

func decodeQ8(dst []float32, b []byte) {
	d := F16ToF32(half(b))
	for i, q := range b[2:34] {
		dst[i] = float32(int8(q)) * d
	}
}

func decodeQ2K(dst []float32, b []byte) {
	scales, qs := b[:16], b[16:80]
	d, dmin := F16ToF32(half(b[80:])), F16ToF32(half(b[82:]))
	for i := range dst {
		s := scales[i/16]
		dl, ml := d*float32(s&15), dmin*float32(s>>4)
		q := qs[i/128*32+i%32] >> (i / 32 % 4 * 2) & 3
		dst[i] = float32(dl*float32(q)) - ml
	}
}

func decodeQ3K(dst []float32, b []byte) {
	mask, qs, packed := b[:32], b[32:96], b[96:108]
	d := F16ToF32(half(b[108:]))
	for i := range dst {
		g := i / 16
		s := packed[g%8]>>(g/8*4)&15 | packed[8+g%4]>>(g/4*2)&3<<4
		q := int(qs[i/128*32+i%32]>>(i/32%4*2)&3) - 4 + int(mask[i%32]>>(i/32)&1)*4
		dst[i] = float32(d*float32(int(s)-32)) * float32(q)
	}
}

// scaleMin unpacks scale and minimum j of Q4_K and Q5_K from 12 bytes of 6-bit numbers.
func scaleMin(j int, q []byte) (sc, m byte) {
	if j < 4 {
		return q[j] & 63, q[j+4] & 63
	}
	return q[j+4]&15 | q[j-4]>>6<<4, q[j+4]>>4 | q[j]>>6<<4
}

func decodeQ4K(dst []float32, b []byte) {
	decodeK45(dst, b, nil, b[16:144])
}

func decodeQ5K(dst []float32, b []byte) {
	decodeK45(dst, b, b[16:48], b[48:176])
}

// decodeK45 decodes Q4_K, and Q5_K whose codes have a fifth bit in high.
func decodeK45(dst []float32, b, high, qs []byte) {
	d, dmin := F16ToF32(half(b)), F16ToF32(half(b[2:]))
	for j := range 8 {
		sc, m := scaleMin(j, b[4:16])
		dl, ml := d*float32(sc), dmin*float32(m)
		for i := range 32 {
			q := qs[j/2*32+i] >> (j % 2 * 4) & 15
			if high != nil {
				q |= high[i] >> j & 1 << 4
			}
			dst[32*j+i] = float32(dl*float32(q)) - ml
		}
	}
}

func decodeQ6K(dst []float32, b []byte) {
	low, high, scales := b[:128], b[128:192], b[192:208]
	d := F16ToF32(half(b[208:]))
	for i := range dst {
		n, run, at := i/128, i/32%4, i%32
		q := low[64*n+run%2*32+at]>>(run/2*4)&15 | high[32*n+at]>>(run*2)&3<<4
		dst[i] = float32(d*float32(int8(scales[i/16]))) * float32(int(q)-32)
	}
}

func decodeIQ4XS(dst []float32, b []byte) {
	d, high := F16ToF32(half(b)), half(b[2:])
	for j := range 8 {
		s := b[4+j/2]>>(j%2*4)&15 | byte(high>>(2*j)&3)<<4
		tableNibbles(dst[32*j:], float32(d*float32(int(s)-32)), nonLinear(), b[8+16*j:])
	}
}

func decodeTQ2(dst []float32, b []byte) {
	d := F16ToF32(half(b[64:]))
	for i := range dst {
		q := b[i/128*32+i%32] >> (i / 32 % 4 * 2) & 3
		dst[i] = d * float32(int(q)-1)
	}
}

func decodeIQ3S(dst []float32, b []byte) {
	d := F16ToF32(half(b))
	qs, high, signs, scales := b[2:66], b[66:74], b[74:106], b[106:110]
	for i := range dst {
		g, k := i/32, i/4
		db := d * float32(1+2*int(scales[g/2]>>(g%2*4)&15))
		code := grid3S[int(qs[k])|int(high[k/8]>>(k%8)&1)<<8]
		v := db * float32(2*int(code>>(i%4*3)&7)+1)
		if signs[i/8]>>(i%8)&1 != 0 {
			v = -v
		}
		dst[i] = v
	}
}

// nonLinear is the table of IQ4_NL and IQ4_XS (kvalues_iq4nl).
func nonLinear() *[16]int8 {
	return &[16]int8{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}
}

// fp4 holds twice the values of E2M1 (OCP Microscaling Formats 1.0, section 5.3.3).
func fp4() *[16]int8 {
	return &[16]int8{0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12}
}

// halfPower returns half of the power of two that an E8M0 scale stands for, 2^(x-128).
func halfPower(x byte) float32 {
	if x < 2 { // subnormal
		return math.Float32frombits(0x00200000 << x)
	}
	return math.Float32frombits(uint32(x-1) << 23)
}
