package kernel

import (
	"encoding/binary"

	"github.com/covey-network/covey/engine/tensor"
)

// The arithmetic, the same on every instruction set. For a row, a token and 32 columns,
// with u the codes, z the code of zero and a the activations:
//
//	i  = sum of (u-z)*a                 exact integers, for types with halves i0 and i1
//	v  = float32(i) * s                 s = d*sub, exact in float32
//	v  = fma(float32(i1), s1, v)        halves
//	v  = fma(-m, float32(sum of a), v)  mins, m = dmin*subMin; with halves twice
//	acc = fma(v, scale of a, acc)
//
// acc starts at 0 and takes the blocks of 32 in the order of the columns.

// quantTile is 16 rows of 32 columns, unpacked.
type quantTile struct {
	codes      [lanes][subLen]uint8
	scale, min [2][lanes]float32 // second ones for types with halves
}

// multiplyGroupGeneric computes 16 rows for the tokens of a panel. dst is (tokens, stride).
func multiplyGroupGeneric(f *quantFormat, dst []float32, stride int, group quantGroup, cells int, p actPanel) {
	var acc [maxPanel][lanes]float32
	var tile quantTile
	subs := f.len / subLen
	for c := range cells {
		scales := group.scales[c*f.scaleBytes():]
		for j := range subs {
			f.unpackScales(&tile, scales, j)
			b := c*subs + j
			f.unpackCodes(&tile, group.planes[b*f.subBytes():])
			for t := range p.tokens {
				f.addBlock(&acc[t], &tile, p.block(b, t))
			}
		}
	}
	for t := range p.tokens {
		copy(dst[t*stride:t*stride+lanes], acc[t][:])
	}
}

// addBlock adds the products of a tile and a block of activations.
func (f *quantFormat) addBlock(acc *[lanes]float32, tile *quantTile, a actBlock) {
	for r := range lanes {
		var i [2]int32
		for k, u := range tile.codes[r] {
			i[k/(subLen/2)] += int32(u) * int32(a.q[k])
		}
		var v float32
		if f.halves {
			v = float32(float32(i[0]-f.zero*a.sum[0]) * tile.scale[0][r])
			v = fma32(float32(i[1]-f.zero*a.sum[1]), tile.scale[1][r], v)
		} else {
			v = float32(float32(i[0]+i[1]-f.zero*(a.sum[0]+a.sum[1])) * tile.scale[0][r])
		}
		switch {
		case f.mins && f.halves:
			v = fma32(-tile.min[0][r], float32(a.sum[0]), v)
			v = fma32(-tile.min[1][r], float32(a.sum[1]), v)
		case f.mins:
			v = fma32(-tile.min[0][r], float32(a.sum[0]+a.sum[1]), v)
		}
		acc[r] = fma32(v, a.scale, acc[r])
	}
}

// unpackScales sets the scales and mins of 32 columns, number j in a cell.
func (f *quantFormat) unpackScales(tile *quantTile, src []byte, j int) {
	ds, ms := src[:2*lanes], src[2*lanes:]
	subs := src[2*lanes:]
	if f.mins {
		subs = src[4*lanes:]
	}
	for r := range lanes {
		d := tensor.F16ToF32(binary.LittleEndian.Uint16(ds[2*r:]))
		var m float32
		if f.mins {
			m = tensor.F16ToF32(binary.LittleEndian.Uint16(ms[2*r:]))
		}
		switch {
		case f.subs == 0:
			tile.scale[0][r], tile.min[0][r] = d, m
		case f.wideMins:
			tile.scale[0][r] = d * float32(subs[2*j*lanes+r])
			tile.min[0][r] = m * float32(subs[(2*j+1)*lanes+r])
		case f.mins: // halves, nibbles
			for h := range 2 {
				s := subs[(2*j+h)*lanes+r]
				tile.scale[h][r], tile.min[h][r] = d*float32(s&15), m*float32(s>>4)
			}
		case f.halves:
			tile.scale[0][r] = d * float32(int8(subs[2*j*lanes+r]))
			tile.scale[1][r] = d * float32(int8(subs[(2*j+1)*lanes+r]))
		default:
			tile.scale[0][r] = d * float32(int8(subs[j*lanes+r]))
		}
	}
}

// unpackCodes sets the codes of 32 columns.
func (f *quantFormat) unpackCodes(tile *quantTile, src []byte) {
	var w [steps][stepBytes]uint8
	if f.nibbles {
		for i := range 4 * stepBytes {
			w[i/stepBytes][i%stepBytes] = src[i] & 15
			w[i/stepBytes+4][i%stepBytes] = src[i] >> 4
		}
		src = src[4*stepBytes:]
	}
	for s := range steps {
		for i := range stepBytes {
			u := w[s][i]
			if f.pairs >= 0 {
				u |= src[s/4*stepBytes+i] >> (2 * (s % 4)) & 3 << f.pairs
			}
			if f.bit >= 0 {
				at := i
				if f.pairs >= 0 {
					at += 2 * stepBytes
				}
				u |= src[at] >> s & 1 << f.bit
			}
			if f.bytes {
				u = src[s*stepBytes+i]
			}
			if f.table {
				u = iq4Table[u]
			}
			tile.codes[i/4][4*s+i%4] = u
		}
	}
}
