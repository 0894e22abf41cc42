package kernel_test

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/covey-network/covey/engine/tensor"
)

// quantTypes are the block types that have kernels.
var quantTypes = []tensor.DType{
	tensor.Q4_0, tensor.Q4_1, tensor.Q5_0, tensor.Q5_1, tensor.Q8_0, tensor.Q2_K,
	tensor.Q3_K, tensor.Q4_K, tensor.Q5_K, tensor.Q6_K, tensor.IQ4_NL, tensor.IQ4_XS,
}

// scaleOffsets says where a block holds its halves.
var scaleOffsets = map[tensor.DType][]int{
	tensor.Q4_0: {0}, tensor.Q4_1: {0, 2}, tensor.Q5_0: {0}, tensor.Q5_1: {0, 2}, tensor.Q8_0: {0}, tensor.Q2_K: {80, 82},
	tensor.Q3_K: {108}, tensor.Q4_K: {0, 2}, tensor.Q5_K: {0, 2}, tensor.Q6_K: {208}, tensor.IQ4_NL: {0}, tensor.IQ4_XS: {0},
}

// randomBlocks returns rows of random blocks with scales of both signs about 2^-8.
func randomBlocks(rng *rand.Rand, d tensor.DType, rows, cols int) []byte {
	data := make([]byte, rows*cols/d.BlockLen()*d.BlockBytes())
	for i := range data {
		data[i] = byte(rng.Uint32())
	}
	for at := 0; at < len(data); at += d.BlockBytes() {
		for _, o := range scaleOffsets[d] {
			binary.LittleEndian.PutUint16(data[at+o:], tensor.F32ToF16(float32(rng.NormFloat64())/256))
		}
	}
	return data
}

func randomFloats(rng *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(rng.NormFloat64() * math.Exp(rng.NormFloat64()))
	}
	return x
}

// weightAt returns the value of column i of a block in exact arithmetic, written from the
// description of the formats one element at a time.
func weightAt(d tensor.DType, b []byte, i int) float64 {
	half := func(at int) float64 { return float64(tensor.F16ToF32(binary.LittleEndian.Uint16(b[at:]))) }
	nibble := func(at, i int) int { return int(b[at+i%16]>>(i/16*4)) & 15 } // of 32 columns
	run, in := i/32, i%32                                                   // of 256 columns
	pair := func(at int) int { return int(b[at+i/128*32+in]>>(run%4*2)) & 3 }
	switch d {
	case tensor.Q4_0:
		return half(0) * float64(nibble(2, i)-8)
	case tensor.Q4_1:
		return half(0)*float64(nibble(4, i)) + half(2)
	case tensor.Q5_0:
		return half(0) * float64(nibble(6, i)+16*int(b[2+i/8]>>(i%8)&1)-16)
	case tensor.Q5_1:
		return half(0)*float64(nibble(8, i)+16*int(b[4+i/8]>>(i%8)&1)) + half(2)
	case tensor.Q8_0:
		return half(0) * float64(int8(b[2+i]))
	case tensor.IQ4_NL:
		return half(0) * iq4Value(nibble(2, i))
	case tensor.IQ4_XS:
		ls := int(b[4+run/2]>>(run%2*4))&15 | int(binary.LittleEndian.Uint16(b[2:])>>(2*run))&3<<4
		return half(0) * float64(ls-32) * iq4Value(nibble(8+16*run, in))
	case tensor.Q2_K:
		s := b[i/16]
		return half(80)*float64(s&15)*float64(pair(16)) - half(82)*float64(s>>4)
	case tensor.Q3_K:
		j := i / 16
		s := int(b[96+j%8]>>(j/8*4))&15 | int(b[104+j%4]>>(j/4*2))&3<<4
		return half(108) * float64(s-32) * float64(pair(32)+4*int(b[in]>>run&1)-4)
	case tensor.Q4_K, tensor.Q5_K:
		qs, high := 16, 0
		if d == tensor.Q5_K {
			qs, high = 48, int(b[16+in]>>run&1)
		}
		s, m := int(b[4+run%4]), int(b[8+run%4])
		if run < 4 {
			s, m = s&63, m&63
		} else {
			s, m = int(b[8+run])&15|s>>6<<4, int(b[8+run])>>4|m>>6<<4
		}
		q := int(b[qs+run/2*32+in]>>(run%2*4))&15 + 16*high
		return half(0)*float64(s)*float64(q) - half(2)*float64(m)
	case tensor.Q6_K:
		q := int(b[i/128*64+run%2*32+in]>>(run%4/2*4))&15 + 16*pair(128)
		return half(208) * float64(int8(b[192+i/16])) * float64(q-32)
	}
	panic(fmt.Sprintf("no reference for %v", d))
}

// iq4Value returns the value of a code of IQ4_NL and IQ4_XS.
func iq4Value(code int) float64 {
	return []float64{-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113}[code]
}

// referenceProduct returns x · wᵀ in float64, and for each result the most that rounding
// x to 8 bits in blocks of 32 may change it, float32 sums included.
func referenceProduct(d tensor.DType, data []byte, rows, cols int, x []float32, n int) (y, bound []float64) {
	y, bound = make([]float64, n*rows), make([]float64, n*rows)
	w := make([]float64, cols)
	for r := range rows {
		for k := range cols {
			block := (r*cols + k) / d.BlockLen()
			w[k] = weightAt(d, data[block*d.BlockBytes():(block+1)*d.BlockBytes()], k%d.BlockLen())
		}
		for t := range n {
			row := x[t*cols : (t+1)*cols]
			for k, v := range row {
				var amax float64
				for _, u := range row[k/32*32 : k/32*32+32] {
					amax = max(amax, math.Abs(float64(u)))
				}
				y[t*rows+r] += w[k] * float64(v)
				bound[t*rows+r] += math.Abs(w[k])*amax/254*1.0001 + 1e-5*math.Abs(w[k]*float64(v))
			}
		}
	}
	return y, bound
}
