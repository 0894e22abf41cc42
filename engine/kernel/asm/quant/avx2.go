package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// ymm lists the registers by number.
var ymm = []reg.VecPhysical{
	reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
}

// narrow generates the AVX2 kernels. A register holds 8 of the 16 rows, so everything is
// done for side 0 and 1. Products of unsigned codes and signed activations are summed in
// pairs as 16-bit integers (VPMADDUBSW), which must not overflow:
//
//   - codes of up to 4 bits: all eight steps of a block fit, 8 * 2 * 15 * 127 = 30480;
//   - 5 and 6 bits: two steps fit, 2 * 2 * 63 * 127 = 32004; then they widen to 32 bits;
//   - 8 bits (Q8_0 and the tables of IQ4): the low and the high nibbles one after the
//     other, the second sum counts 16 times.
//
// Registers: 0-7 integer sums of (token, side); the rest is named where it is used. Sums
// of the tokens, scales and mins are in the frame.
type narrow struct {
	format
	tokens       int
	sums         Mem // (token, side) 8 float32 each
	values       Mem // (token, side) first half's value or low nibbles' sum
	factors      Mem // scale, second scale, min, second min: (factor, side)
	c            narrowConstants
	lutLo, lutHi reg.VecPhysical
}

type narrowConstants struct {
	ones, sixteens, dwords Mem
	mask                   map[int]Mem // bytes
	tableLo, tableHi       Mem
}

const (
	maxNarrow = 4
	factors   = 4
)

func avx2() {
	var lo, hi [16]byte
	for i, v := range iq4Table {
		lo[i], hi[i] = v&15, v>>4
	}
	c := narrowConstants{
		ones: constant("quantOnes", repeat(32, 1, 0)), sixteens: constant("quantSixteens", repeat(32, 16, 0)),
		dwords: constant("quantDwords15", repeat(32, 15, 0, 0, 0)), mask: map[int]Mem{},
		tableLo: constant("quantIQ4Lo", append(lo[:], lo[:]...)), tableHi: constant("quantIQ4Hi", append(hi[:], hi[:]...)),
	}
	for _, v := range []byte{0x03, 0x04, 0x0f, 0x10, 0x30} {
		c.mask[int(v)] = constant("quantMask"+string("0123456789abcdef"[v>>4])+string("0123456789abcdef"[v&15]), repeat(32, v))
	}
	for _, f := range formats {
		open(f, "AVX2")
		n := narrow{format: f, c: c, lutLo: ymm[14], lutHi: ymm[15]}
		n.sums = AllocLocal(maxNarrow * 2 * 32)
		n.values = AllocLocal(maxNarrow * 2 * 32)
		n.factors = AllocLocal(factors * 2 * 32)
		if f.table {
			VMOVDQU(c.tableLo, n.lutLo)
			VMOVDQU(c.tableHi, n.lutHi)
		}
		sections([]int{1, 2, 3, 4}, func(tokens int, label string) {
			n.tokens = tokens
			n.section(label)
		})
	}
}

func (n narrow) section(label string) {
	VXORPS(ymm[0], ymm[0], ymm[0])
	for i := range 2 * n.tokens {
		VMOVUPS(ymm[0], n.sums.Offset(32*i))
	}
	loop(n.format, label, n.tokens, func() {
		prefetch(n.format)
		n.scales()
		switch {
		case n.bytes || n.table:
			n.run(0, steps, 1, n.nibbleOf(0))
			n.keep()
			n.run(0, steps, 16, n.nibbleOf(1))
			n.addKept()
			n.finish()
		case n.nibbles && n.halves: // Q6_K
			n.runPairs(0, steps/2)
			n.finishHalf(0)
			n.runPairs(steps/2, steps)
			n.finishHalf(1)
		case n.halves:
			n.run(0, steps/2, 1, n.code)
			n.finishHalf(0)
			n.run(steps/2, steps, 1, n.code)
			n.finishHalf(1)
		case n.bit >= 0:
			n.runPairs(0, steps)
			n.finish()
		default:
			n.run(0, steps, 1, n.code)
			n.finish()
		}
	})
	dst, stride := reg.RCX, reg.RBX
	Load(Param("dst"), dst)
	Load(Param("stride"), stride)
	for t := range n.tokens {
		for side := range 2 {
			VMOVUPS(n.sums.Offset(64*t+32*side), ymm[0])
			VMOVUPS(ymm[0], Mem{Base: dst, Disp: 32 * side})
		}
		if t < n.tokens-1 {
			ADDQ(stride, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// plane returns 32 bytes of the planes.
func plane(offset, side int) Mem { return Mem{Base: at.planes, Disp: offset + 32*side} }

// code unpacks a step of codes below 64; tmp is overwritten.
func (n narrow) code(s, side int, c, tmp reg.VecPhysical) {
	pairsAt, bitAt, _ := n.planes()
	switch {
	case n.nibbles && s < 4:
		VMOVDQU(plane(s*stepBytes, side), c)
		VPAND(n.c.mask[15], c, c)
	case n.nibbles:
		VMOVDQU(plane((s-4)*stepBytes, side), c)
		VPSRLW(Imm(4), c, c)
		VPAND(n.c.mask[15], c, c)
	}
	if n.pairs >= 0 {
		to := tmp
		if !n.nibbles {
			to = c
		}
		narrowShift(plane(pairsAt+s/4*stepBytes, side), n.pairs-2*(s%4), to)
		VPAND(n.c.mask[3<<n.pairs], to, to)
		if n.nibbles {
			VPOR(tmp, c, c)
		}
	}
	if n.bit >= 0 {
		narrowShift(plane(bitAt, side), n.bit-s, tmp)
		VPAND(n.c.mask[1<<n.bit], tmp, tmp)
		VPOR(tmp, c, c)
	}
}

// narrowShift loads 32 bytes shifted left by n bits, or right if n is negative.
func narrowShift(src Mem, n int, dst reg.VecPhysical) {
	VMOVDQU(src, dst)
	switch {
	case n > 0:
		VPSLLW(Imm(uint64(n)), dst, dst)
	case n < 0:
		VPSRLW(Imm(uint64(-n)), dst, dst)
	}
}

// nibbleOf unpacks the low (0) or high (1) nibbles of codes of 8 bits.
func (n narrow) nibbleOf(high int) func(s, side int, c, tmp reg.VecPhysical) {
	return func(s, side int, c, tmp reg.VecPhysical) {
		if n.table {
			n.code(s, side, c, tmp)
			lut := n.lutLo
			if high == 1 {
				lut = n.lutHi
			}
			VPSHUFB(c, lut, c)
			return
		}
		VMOVDQU(plane(s*stepBytes, side), c)
		if high == 1 {
			VPSRLW(Imm(4), c, c)
		}
		VPAND(n.c.mask[15], c, c)
	}
}

// run sums the steps [lo, hi) of codes below 16 and leaves factor times the sums.
func (n narrow) run(lo, hi, factor int, unpack func(s, side int, c, tmp reg.VecPhysical)) {
	codes, act, tmp := []reg.VecPhysical{ymm[8], ymm[9]}, ymm[10], []reg.VecPhysical{ymm[11], ymm[12]}
	for s := lo; s < hi; s++ {
		for side := range 2 {
			unpack(s, side, codes[side], tmp[side])
		}
		for t := range n.tokens {
			VPBROADCASTD(values(s, t), act)
			for side := range 2 {
				sum := ymm[2*t+side]
				if s == lo {
					VPMADDUBSW(act, codes[side], sum)
					continue
				}
				VPMADDUBSW(act, codes[side], tmp[side])
				VPADDW(tmp[side], sum, sum)
			}
		}
	}
	m := n.c.ones
	if factor == 16 {
		m = n.c.sixteens
	}
	for i := range 2 * n.tokens {
		VPMADDWD(m, ymm[i], ymm[i])
	}
}

// runPairs sums the steps [lo, hi) of codes below 64.
func (n narrow) runPairs(lo, hi int) {
	codes := ymm[8:12] // (step, side)
	for s := lo; s < hi; s += 2 {
		for i := range 4 {
			n.code(s+i/2, i%2, codes[i], ymm[12])
		}
		for t := range n.tokens {
			VPBROADCASTD(values(s, t), ymm[12])
			VPBROADCASTD(values(s+1, t), ymm[13])
			for side := range 2 {
				sum := ymm[2*t+side]
				VPMADDUBSW(ymm[12], codes[side], ymm[14])
				VPMADDUBSW(ymm[13], codes[2+side], ymm[15])
				VPADDW(ymm[14], ymm[15], ymm[14])
				if s == lo {
					VPMADDWD(n.c.ones, ymm[14], sum)
					continue
				}
				VPMADDWD(n.c.ones, ymm[14], ymm[14])
				VPADDD(ymm[14], sum, sum)
			}
		}
	}
}

// keep stores the integer sums, addKept adds them.
func (n narrow) keep() {
	for i := range 2 * n.tokens {
		VMOVDQU(ymm[i], n.values.Offset(32*i))
	}
}

func (n narrow) addKept() {
	for i := range 2 * n.tokens {
		VPADDD(n.values.Offset(32*i), ymm[i], ymm[i])
	}
}

// correct takes the code of zero times the activations' sum from the sums of a token.
func (n narrow) correct(fieldNumber, t int) {
	if n.zero == 0 {
		return
	}
	VPBROADCASTD(field(fieldNumber, t, n.tokens), ymm[8])
	VPSLLD(Imm(n.zero), ymm[8], ymm[8])
	for side := range 2 {
		VPADDD(ymm[8], ymm[2*t+side], ymm[2*t+side])
	}
}

// factor returns a scale (0, 1) or min (2, 3) of 8 rows.
func (n narrow) factor(i, side int) Mem { return n.factors.Offset(64*i + 32*side) }

// finish adds a block to the tokens' sums, for the types with one scale.
func (n narrow) finish() {
	for t := range n.tokens {
		n.correct(1, t)
		if n.mins {
			VBROADCASTSS(field(2, t, n.tokens), ymm[9])
		}
		VBROADCASTSS(field(0, t, n.tokens), ymm[10])
		for side := range 2 {
			v := ymm[2*t+side]
			VCVTDQ2PS(v, v)
			VMULPS(n.factor(0, side), v, v)
			if n.mins {
				VFNMADD231PS(n.factor(2, side), ymm[9], v)
			}
			n.accumulate(t, side, v)
		}
	}
}

// accumulate adds v times the scale in register 10 to a token's sums.
func (n narrow) accumulate(t, side int, v reg.VecPhysical) {
	sum := n.sums.Offset(64*t + 32*side)
	VFMADD213PS(sum, ymm[10], v)
	VMOVUPS(v, sum)
}

// finishHalf is finish for one half of a block of the types with two scales.
func (n narrow) finishHalf(h int) {
	for t := range n.tokens {
		n.correct(3+h, t)
		if h == 1 {
			VBROADCASTSS(field(0, t, n.tokens), ymm[10])
			if n.mins { // minus the sums
				for i := range 2 {
					VPBROADCASTD(field(3+i, t, n.tokens), ymm[8+i])
					VCVTDQ2PS(ymm[8+i], ymm[8+i])
				}
			}
		}
		for side := range 2 {
			v, first := ymm[2*t+side], n.values.Offset(64*t+32*side)
			VCVTDQ2PS(v, v)
			if h == 0 {
				VMULPS(n.factor(0, side), v, v)
				VMOVUPS(v, first)
				continue
			}
			VMOVUPS(n.factor(1, side), ymm[11])
			VFMADD213PS(first, ymm[11], v)
			if n.mins {
				VFMADD231PS(n.factor(2, side), ymm[8], v)
				VFMADD231PS(n.factor(3, side), ymm[9], v)
			}
			n.accumulate(t, side, v)
		}
	}
}

// scales writes the scales and mins of 32 columns to the frame.
func (n narrow) scales() {
	head := func(i, side int) Mem { return Mem{Base: at.head, Disp: 2*lanes*i + lanes*side} }
	sub := func(i, side int) Mem { return Mem{Base: at.scales, Disp: lanes*i + lanes/2*side} }
	d, m, s := ymm[0], ymm[1], ymm[2]
	for side := range 2 {
		VCVTPH2PS(head(0, side), d)
		if n.mins {
			VCVTPH2PS(head(1, side), m)
		}
		switch {
		case !n.super:
			VMOVUPS(d, n.factor(0, side))
			if n.mins {
				VMOVUPS(m, n.factor(2, side))
			}
		case n.wideMins:
			VPMOVZXBD(sub(0, side), s)
			n.scale(s, d, 0, side)
			VPMOVZXBD(sub(1, side), s)
			n.scale(s, m, 2, side)
		case n.mins:
			for h := range 2 {
				VPMOVZXBD(sub(h, side), s)
				VPSRLD(Imm(4), s, ymm[3])
				VPAND(n.c.dwords, s, s)
				n.scale(s, d, h, side)
				n.scale(ymm[3], m, 2+h, side)
			}
		default:
			VPMOVSXBD(sub(0, side), s)
			n.scale(s, d, 0, side)
			if n.halves {
				VPMOVSXBD(sub(1, side), s)
				n.scale(s, d, 1, side)
			}
		}
	}
}

// scale writes a sub-scale times d.
func (n narrow) scale(s, d reg.VecPhysical, i, side int) {
	VCVTDQ2PS(s, s)
	VMULPS(s, d, s)
	VMOVUPS(s, n.factor(i, side))
}
