package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// zmm lists the registers by number.
var zmm = []reg.VecPhysical{
	reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
	reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
}

// wide generates the AVX-512 kernels. Registers: 0-15 sums of the tokens, 16-23 codes of
// the eight steps, 24 and 25 scales, 26 and 27 mins, 28-30 temporary, 31 and 27 masks.
type wide struct {
	format
	mask, mask2 reg.VecPhysical // of the codes' low bits, of the bits added to nibbles
	lut         reg.VecPhysical
	low4        Mem // 16 times 15, for sub-scales in nibbles
}

func avx512() {
	low4 := constant("quantLow4", repeat(8, 15, 0, 0, 0))
	nibbleMask := constant("quantNibbles", repeat(64, 15))
	pairMask := constant("quantPairs", repeat(64, 3))
	table := constant("quantIQ4", iq4Table[:])
	added := map[int]Mem{}
	for _, v := range []byte{0x04, 0x10, 0x30} {
		added[int(v)] = constant("quantAdd"+string("0123456789abcdef"[v>>4])+string("0123456789abcdef"[v&15]), repeat(64, v))
	}
	for _, f := range formats {
		w := wide{format: f, mask: zmm[31], mask2: zmm[27], lut: zmm[25], low4: low4}
		open(f, "AVX512")
		switch {
		case f.nibbles:
			VMOVDQU64(nibbleMask, w.mask)
		case f.pairs >= 0:
			VMOVDQU64(pairMask, w.mask)
		}
		switch {
		case f.nibbles && f.pairs >= 0:
			VMOVDQU64(added[3<<f.pairs], w.mask2)
		case f.bit >= 0:
			VMOVDQU64(added[1<<f.bit], w.mask2)
		}
		if f.table {
			VBROADCASTI32X4(table, w.lut)
		}
		sections([]int{1, 2, 3, 4, 6, 8, 12, 16}, w.section)
	}
}

func (w wide) section(tokens int, label string) {
	for t := range tokens {
		VPXORD(zmm[t], zmm[t], zmm[t])
	}
	loop(w.format, label, tokens, func() {
		prefetch(w.format)
		w.codes()
		w.scales()
		step := 2
		if w.halves && w.mins {
			step = 1 // all registers are taken
		}
		for t := 0; t < tokens; t += step {
			if w.halves {
				w.halfTokens(t, min(step, tokens-t), tokens)
			} else {
				w.tokens(t, min(step, tokens-t), tokens)
			}
		}
	})
	dst, stride := reg.RCX, reg.RBX
	Load(Param("dst"), dst)
	Load(Param("stride"), stride)
	for t := range tokens {
		VMOVUPS(zmm[t], Mem{Base: dst})
		if t < tokens-1 {
			ADDQ(stride, dst)
		}
	}
	VZEROUPPER()
	RET()
}

// codes unpacks 32 columns to registers 16-23.
func (w wide) codes() {
	plane := func(offset int) Mem { return Mem{Base: at.planes, Disp: offset} }
	pairsAt, bitAt, _ := w.planes()
	for s := range steps {
		c := zmm[16+s]
		switch {
		case w.bytes:
			VMOVDQU64(plane(s*stepBytes), c)
		case w.nibbles && s < 4:
			VPANDD(plane(s*stepBytes), w.mask, c)
		case w.nibbles:
			VPSRLW(Imm(4), plane((s-4)*stepBytes), c)
			VPANDD(w.mask, c, c)
		}
	}
	for s := range steps {
		c := zmm[16+s]
		tmp := zmm[28+s%3]
		if w.pairs >= 0 && w.nibbles {
			shift(plane(pairsAt+s/4*stepBytes), w.pairs-2*(s%4), tmp)
			VPTERNLOGD(Imm(0xf8), w.mask2, tmp, c) // c | tmp&mask2
		} else if w.pairs >= 0 {
			shift(plane(pairsAt+s/4*stepBytes), w.pairs-2*(s%4), c)
			VPANDD(w.mask, c, c)
		}
		if w.bit >= 0 {
			shift(plane(bitAt), w.bit-s, tmp)
			VPTERNLOGD(Imm(0xf8), w.mask2, tmp, c)
		}
		if w.table {
			VPSHUFB(c, w.lut, c)
		}
	}
}

// shift loads 64 bytes shifted left by n bits, or right if n is negative.
func shift(src Mem, n int, dst reg.VecPhysical) {
	switch {
	case n > 0:
		VPSLLW(Imm(uint64(n)), src, dst)
	case n < 0:
		VPSRLW(Imm(uint64(-n)), src, dst)
	default:
		VMOVDQU64(src, dst)
	}
}

// scales sets the scales (24, 25) and mins (25 or 26, 27) of 32 columns.
func (w wide) scales() {
	head := func(n int) Mem { return Mem{Base: at.head, Disp: 2 * lanes * n} }
	sub := func(n int) Mem { return Mem{Base: at.scales, Disp: lanes * n} }
	t0, t1 := zmm[28], zmm[29]
	VCVTPH2PS(head(0), zmm[24])
	switch {
	case !w.super:
		if w.mins {
			VCVTPH2PS(head(1), zmm[25])
		}
	case w.wideMins:
		VCVTPH2PS(head(1), zmm[25])
		VPMOVZXBD(sub(0), t0)
		VPMOVZXBD(sub(1), t1)
		VCVTDQ2PS(t0, t0)
		VCVTDQ2PS(t1, t1)
		VMULPS(t0, zmm[24], zmm[24])
		VMULPS(t1, zmm[25], zmm[25])
	case w.mins:
		VCVTPH2PS(head(1), zmm[27])
		for h := range 2 {
			VPMOVZXBD(sub(h), t0)
			VPSRLD(Imm(4), t0, t1)
			VPANDD_BCST(w.low4, t0, t0)
			VCVTDQ2PS(t1, t1)
			VCVTDQ2PS(t0, t0)
			VMULPS(t1, zmm[27], zmm[26+h])
			if h == 0 {
				VMULPS(t0, zmm[24], zmm[25])
				continue
			}
			VMULPS(t0, zmm[24], t0)
			VMOVAPS(zmm[25], zmm[24])
			VMOVAPS(t0, zmm[25])
		}
	case w.halves:
		VPMOVSXBD(sub(0), t0)
		VPMOVSXBD(sub(1), t1)
		VCVTDQ2PS(t0, t0)
		VCVTDQ2PS(t1, t1)
		VMULPS(t1, zmm[24], zmm[25])
		VMULPS(t0, zmm[24], zmm[24])
	default:
		VPMOVSXBD(sub(0), t0)
		VCVTDQ2PS(t0, t0)
		VMULPS(t0, zmm[24], zmm[24])
	}
}

// start sets an integer sum to minus code of zero times sum of the activations.
func (w wide) start(n, t, tokens int, sum reg.VecPhysical) {
	if w.zero > 0 {
		VPSLLD_BCST(Imm(w.zero), field(n, t, tokens), sum)
	} else {
		VPXORD(sum, sum, sum)
	}
}

// tokens adds 32 columns to the sums of n tokens from t on.
func (w wide) tokens(t, n, tokens int) {
	for i := range n {
		w.start(1, t+i, tokens, zmm[28+i])
	}
	for s := range steps {
		for i := range n {
			VPDPBUSD_BCST(values(s, t+i), zmm[16+s], zmm[28+i])
		}
	}
	for i := range n {
		v := zmm[28+i]
		VCVTDQ2PS(v, v)
		VMULPS(zmm[24], v, v)
		if w.mins {
			VFNMADD231PS_BCST(field(2, t+i, tokens), zmm[25], v)
		}
		VFMADD231PS_BCST(field(0, t+i, tokens), v, zmm[t+i])
	}
}

// halfTokens is tokens for the types with two scales.
func (w wide) halfTokens(t, n, tokens int) {
	sums := [2][2]reg.VecPhysical{{zmm[28], zmm[29]}, {zmm[30], zmm[26]}}
	for h := range 2 {
		for i := range n {
			w.start(3+h, t+i, tokens, sums[i][h])
		}
		for s := range steps / 2 {
			for i := range n {
				VPDPBUSD_BCST(values(4*h+s, t+i), zmm[16+4*h+s], sums[i][h])
			}
		}
	}
	for i := range n {
		v, v1 := sums[i][0], sums[i][1]
		VCVTDQ2PS(v, v)
		VCVTDQ2PS(v1, v1)
		VMULPS(zmm[24], v, v)
		VFMADD231PS(v1, zmm[25], v)
		if w.mins {
			for h := range 2 {
				VCVTDQ2PS_BCST(field(3+h, t+i, tokens), v1) // minus the sum
				VFMADD231PS(v1, zmm[26+h], v)
			}
		}
		VFMADD231PS_BCST(field(0, t+i, tokens), v, zmm[t+i])
	}
}
