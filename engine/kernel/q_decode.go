package kernel

import (
	"encoding/binary"

	"github.com/covey-network/covey/engine/tensor"
)

// quantCell is one block of a file taken apart: what a row adds to a cell.
type quantCell struct {
	d, dmin uint16                // halves
	subs    [16]byte              // sub-scales, signed or not as the type has them
	mins    [8]byte               // sub-mins of the types with wideMins
	codes   [tensorSuperLen]uint8 // one code for each column
}

// tensorSuperLen is the largest block length of all types.
const tensorSuperLen = 256

const halfSign = 0x8000

// decode takes a block of type d apart. The layouts are those of llama.cpp's ggml-common.h.
func (c *quantCell) decode(d tensor.DType, src []byte) {
	switch d {
	case tensor.Q4_0, tensor.IQ4_NL:
		c.d = half(src)
		splitNibbles(c.codes[:32], src[2:18])
	case tensor.Q4_1:
		// The kernels subtract mins; this type adds them.
		c.d, c.dmin = half(src), half(src[2:])^halfSign
		splitNibbles(c.codes[:32], src[4:20])
	case tensor.Q5_0:
		c.d = half(src)
		splitNibbles(c.codes[:32], src[6:22])
		addBits(c.codes[:32], binary.LittleEndian.Uint32(src[2:]))
	case tensor.Q5_1:
		c.d, c.dmin = half(src), half(src[2:])^halfSign
		splitNibbles(c.codes[:32], src[8:24])
		addBits(c.codes[:32], binary.LittleEndian.Uint32(src[4:]))
	case tensor.Q8_0:
		c.d = half(src)
		for i, q := range src[2:34] {
			c.codes[i] = q ^ 0x80
		}
	case tensor.Q2_K:
		c.decodeQ2K(src)
	case tensor.Q3_K:
		c.decodeQ3K(src)
	case tensor.Q4_K:
		c.decodeK4Scales(src)
		c.decodeQ4K(src[16:144])
	case tensor.Q5_K:
		c.decodeK4Scales(src)
		c.decodeQ4K(src[48:176])
		for i, h := range src[16:48] {
			for j := range 8 {
				c.codes[32*j+i] |= h >> j & 1 << 4
			}
		}
	case tensor.Q6_K:
		c.decodeQ6K(src)
	case tensor.IQ4_XS:
		c.decodeIQ4XS(src)
	}
}

func half(b []byte) uint16 { return binary.LittleEndian.Uint16(b) }

// splitNibbles writes the low nibbles of src to the first half of dst, the high ones to
// the second.
func splitNibbles(dst, src []byte) {
	lo, hi := dst[:len(src)], dst[len(src):]
	hi = hi[:len(src)]
	for i, q := range src {
		lo[i], hi[i] = q&15, q>>4
	}
}

// addBits sets bit 4 of code i to bit i of h.
func addBits(codes []byte, h uint32) {
	for i := range codes {
		codes[i] |= byte(h>>i&1) << 4
	}
}

func (c *quantCell) decodeQ2K(src []byte) {
	copy(c.subs[:], src[:16])
	c.d, c.dmin = half(src[80:]), half(src[82:])
	c.decodePairs(src[16:80])
}

// decodePairs reads 2-bit codes: 32 bytes hold four runs of 32 columns.
func (c *quantCell) decodePairs(src []byte) {
	for n := range 2 {
		to := c.codes[128*n : 128*n+128]
		for i, q := range src[32*n : 32*n+32] {
			to[i], to[32+i], to[64+i], to[96+i] = q&3, q>>2&3, q>>4&3, q>>6
		}
	}
}

func (c *quantCell) decodeQ3K(src []byte) {
	c.d = half(src[108:])
	c.decodePairs(src[32:96])
	for i, h := range src[:32] {
		for j := range 8 {
			c.codes[32*j+i] |= h >> j & 1 << 2
		}
	}
	sc := src[96:108]
	for i := range 16 {
		lo := sc[i%8] >> (4 * (i / 8)) & 15
		hi := sc[8+i%4] >> (2 * (i / 4)) & 3
		c.subs[i] = (lo | hi<<4) - 32
	}
}

// decodeK4Scales reads the head that Q4_K and Q5_K share.
func (c *quantCell) decodeK4Scales(src []byte) {
	c.d, c.dmin = half(src), half(src[2:])
	q := src[4:16]
	for j := range 4 {
		c.subs[j], c.mins[j] = q[j]&63, q[j+4]&63
		c.subs[j+4] = q[j+8]&15 | q[j]>>6<<4
		c.mins[j+4] = q[j+8]>>4 | q[j+4]>>6<<4
	}
}

func (c *quantCell) decodeQ4K(src []byte) {
	for n := range 4 {
		splitNibbles(c.codes[64*n:64*n+64], src[32*n:32*n+32])
	}
}

func (c *quantCell) decodeQ6K(src []byte) {
	c.d = half(src[208:])
	copy(c.subs[:], src[192:208])
	for n := range 2 {
		to := c.codes[128*n : 128*n+128]
		splitNibbles(to, src[64*n:64*n+64]) // low nibbles are runs 0 and 1, high 2 and 3
		for i, h := range src[128+32*n : 160+32*n] {
			to[i] |= h & 3 << 4
			to[32+i] |= h >> 2 & 3 << 4
			to[64+i] |= h >> 4 & 3 << 4
			to[96+i] |= h >> 6 << 4
		}
	}
}

func (c *quantCell) decodeIQ4XS(src []byte) {
	c.d = half(src)
	high := half(src[2:])
	for j := range 8 {
		lo := src[4+j/2] >> (4 * (j % 2)) & 15
		hi := byte(high >> (2 * j) & 3)
		c.subs[j] = (lo | hi<<4) - 32
		splitNibbles(c.codes[32*j:32*j+32], src[8+16*j:24+16*j])
	}
}
