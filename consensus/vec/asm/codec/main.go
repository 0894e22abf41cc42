package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

// gen writes functions for one instruction set.
type gen struct {
	*simd.Gen
	steps Mem // 0, 1, 2 ... 15
	lifts Mem // 31, 30, 29 ... 16
}

// Constants of codec_generic.go.
const (
	mix1, mix2 = 0x21f0aaad, 0x735a2d97
	maxF16     = 65504
	magnitude  = 1<<31 - 1
	sign       = 1 << 31
)

// half returns a new vector register of half the size.
func (g *gen) half() reg.VecVirtual {
	if g.Wide() {
		return YMM()
	}
	return XMM()
}

// each emits a loop over n elements, a multiple of 16 above 0; body handles the 16 at hand.
func (g *gen) each(body func()) {
	n := Load(Param("n"), GP64())
	Label("loop")
	body()
	SUBQ(U32(simd.Lanes), n)
	JNZ(LabelRef("loop"))
}

// parts returns the memory of each register of the 16 floats at r.
func (g *gen) parts(r reg.Register) []Mem {
	out := make([]Mem, g.Parts())
	for i := range out {
		out[i] = simd.At(r).Offset(i * g.Bytes)
	}
	return out
}

// step advances a pointer.
func step(r reg.Register, bytes uint32) { ADDQ(U32(bytes), r) }

func end() {
	VZEROUPPER()
	RET()
}

// and clears the bits of v that are not in mask.
func (g *gen) and(mask uint32, v reg.VecVirtual) { VANDPS(g.Bits(mask), v, v) }

// tree reduces 16 lanes to one in the lowest place of a register: lane i and i+8, then i+4,
// i+2 and i+1.
func (g *gen) tree(acc []reg.VecVirtual, op func(...Op)) reg.Register {
	var y reg.Register
	if hi := YMM(); g.Wide() {
		VEXTRACTF64X4(U8(1), acc[0], hi)
		y = acc[0].AsY()
		op(hi, y, y)
	} else {
		y = acc[0]
		op(acc[1], y, y)
	}
	x, t := acc[0].AsX(), XMM()
	VEXTRACTF128(U8(1), y, t)
	op(t, x, x)
	VUNPCKHPD(x, x, t)
	op(t, x, x)
	VMOVSHDUP(x, t)
	op(t, x, x)
	return x
}

func (g *gen) zeros() []reg.VecVirtual {
	out := make([]reg.VecVirtual, g.Parts())
	for i := range out {
		out[i] = g.Zero()
	}
	return out
}

// reductions writes what makes one number of a vector.
func (g *gen) reductions() {
	g.Open("codecMaxAbs", "func(x *float32, n int) uint32", "returns the largest magnitude, as bits.")
	x := simd.Pointers("x")[0]
	acc := g.zeros()
	g.each(func() {
		for i, m := range g.parts(x) {
			v := g.Load(m)
			g.and(magnitude, v)
			VPMAXSD(v, acc[i], acc[i])
		}
		step(x, 64)
	})
	bits := GP32()
	VMOVD(g.tree(acc, VPMAXSD), bits)
	VZEROUPPER()
	Store(bits, ReturnIndex(0))
	RET()

	g.Open("codecSumAbs", "func(x *float32, n int, scale float32, acc *[16]float32)", "adds the magnitudes times scale to 16 sums.")
	ps := simd.Pointers("x", "acc")
	scale := g.Scalar("scale")
	acc = g.loadAll(ps[1])
	g.each(func() {
		for i, m := range g.parts(ps[0]) {
			v := g.Load(m)
			g.and(magnitude, v)
			VMULPS(scale, v, v)
			VADDPS(v, acc[i], acc[i])
		}
		step(ps[0], 64)
	})
	g.storeAll(acc, ps[1])
	end()

	g.Open("codecDot", "func(x, y *float32, n int, acc *[16]float32)", "adds the products to 16 sums, rounded twice.")
	ps = simd.Pointers("x", "y", "acc")
	acc = g.loadAll(ps[2])
	g.each(func() {
		for i, m := range g.parts(ps[0]) {
			v := g.Load(m)
			VMULPS(g.parts(ps[1])[i], v, v)
			VADDPS(v, acc[i], acc[i])
		}
		step(ps[0], 64)
		step(ps[1], 64)
	})
	g.storeAll(acc, ps[2])
	end()
}

func (g *gen) loadAll(r reg.Register) []reg.VecVirtual {
	out := make([]reg.VecVirtual, g.Parts())
	for i, m := range g.parts(r) {
		out[i] = g.Load(m)
	}
	return out
}

func (g *gen) storeAll(vs []reg.VecVirtual, r reg.Register) {
	for i, m := range g.parts(r) {
		VMOVUPS(vs[i], m)
	}
}

// sums writes sums and differences of vectors.
func (g *gen) sums() {
	binary := func(name, doc string, op func(...Op)) {
		g.Open(name, "func(dst, x *float32, n int)", doc)
		ps := simd.Pointers("dst", "x")
		g.each(func() {
			for i, m := range g.parts(ps[0]) {
				v := g.Load(m)
				op(g.parts(ps[1])[i], v, v)
				VMOVUPS(v, m)
			}
			step(ps[0], 64)
			step(ps[1], 64)
		})
		end()
	}
	binary("codecAdd", "adds x to dst.", VADDPS)
	binary("codecSub", "subtracts x from dst.", VSUBPS)

	g.Open("codecAddScaled", "func(dst, x *float32, n int, a float32)", "adds a times x to dst, rounded twice.")
	ps := simd.Pointers("dst", "x")
	a := g.Scalar("a")
	g.each(func() {
		for i, m := range g.parts(ps[0]) {
			v := g.Vec()
			VMULPS(g.parts(ps[1])[i], a, v)
			VADDPS(m, v, v)
			VMOVUPS(v, m)
		}
		step(ps[0], 64)
		step(ps[1], 64)
	})
	end()
}

// halves writes the conversions to and from float16.
func (g *gen) halves() {
	g.Open("codecF16", "func(dst *byte, x *float32, n int)", "rounds x to float16 in dst and in x.")
	ps := simd.Pointers("dst", "x")
	lo, hi := g.Load(g.Constant(-maxF16)), g.Load(g.Constant(maxF16))
	g.each(func() {
		for i, m := range g.parts(ps[1]) {
			v, h := g.Load(m), g.half()
			VMINPS(hi, v, v)
			VMAXPS(lo, v, v)
			VCVTPS2PH(U8(0), v, h)
			VCVTPH2PS(h, v)
			VMOVUPS(h, simd.At(ps[0]).Offset(i*g.Bytes/2))
			VMOVUPS(v, m)
		}
		step(ps[0], 32)
		step(ps[1], 64)
	})
	end()

	g.Open("codecFromF16", "func(dst *float32, b *byte, n int)", "is the inverse of codecF16.")
	ps = simd.Pointers("dst", "b")
	g.each(func() {
		for i, m := range g.parts(ps[0]) {
			v := g.Vec()
			VCVTPH2PS(simd.At(ps[1]).Offset(i*g.Bytes/2), v)
			VMOVUPS(v, m)
		}
		step(ps[0], 64)
		step(ps[1], 32)
	})
	end()
}

// random returns numbers of [0, 1) for the 16 counters at hand, an odd multiple of 2^-17, and
// overwrites the counters: the twin of random.
func (g *gen) random(c, key reg.VecVirtual) reg.VecVirtual {
	t := g.Vec()
	shift := func(bits uint8) {
		VPSRLD(U8(bits), c, t)
		VXORPS(t, c, c)
	}
	shift(16)
	VPMULLD(g.Bits(mix1), c, c)
	shift(15)
	VPADDD(key, c, c)
	VPMULLD(g.Bits(mix2), c, c)
	shift(15)
	VPSRLD(U8(15), c, c)
	VORPS(g.Bits(1), c, c)
	VCVTDQ2PS(c, c)
	VMULPS(g.Constant(0x1p-17), c, c)
	return c
}

// int8s writes the conversions to and from 8-bit integers.
func (g *gen) int8s() {
	g.Open("codecInt8", "func(dst *byte, x *float32, n int, scale, inverse float32, counter, key uint32)",
		"rounds x to multiples of scale at random, in dst and in x.")
	ps := simd.Pointers("dst", "x")
	scale, inverse := g.Scalar("scale"), g.Scalar("inverse")
	counter, key := g.Scalar("counter"), g.Scalar("key")
	counters := []reg.VecVirtual{counter}
	if !g.Wide() {
		counters = append(counters, g.Vec())
		VPADDD(g.steps.Offset(g.Bytes), counter, counters[1])
	}
	VPADDD(g.steps, counter, counter)
	lo, hi := g.Load(g.Bits(1<<32-127)), g.Load(g.Bits(127))
	g.each(func() {
		var ints []reg.VecVirtual
		for i, m := range g.parts(ps[1]) {
			c := g.Vec()
			VMOVUPS(counters[i], c)
			VPADDD(g.Bits(simd.Lanes), counters[i], counters[i])
			u := g.random(c, key)
			v := g.Vec()
			VMULPS(m, inverse, v)
			VADDPS(u, v, v)
			if g.Wide() {
				VRNDSCALEPS(U8(1), v, v)
			} else {
				VROUNDPS(U8(1), v, v)
			}
			VCVTTPS2DQ(v, v)
			VPMAXSD(lo, v, v)
			VPMINSD(hi, v, v)
			f := g.Vec()
			VCVTDQ2PS(v, f)
			VMULPS(scale, f, f)
			VMOVUPS(f, m)
			ints = append(ints, v)
		}
		if g.Wide() {
			b := XMM()
			VPMOVDB(ints[0], b)
			VMOVDQU(b, simd.At(ps[0]))
		} else {
			w, b, t := YMM(), XMM(), XMM()
			VPACKSSDW(ints[1], ints[0], w)
			VPERMQ(U8(0xd8), w, w)
			VEXTRACTI128(U8(1), w, t)
			VPACKSSWB(t, w.AsX(), b)
			VMOVDQU(b, simd.At(ps[0]))
		}
		step(ps[0], 16)
		step(ps[1], 64)
	})
	end()

	g.Open("codecFromInt8", "func(dst *float32, b *byte, n int, scale float32) int32",
		"is the inverse of codecInt8, and returns the lowest integer or 0.")
	ps = simd.Pointers("dst", "b")
	scale = g.Scalar("scale")
	acc := g.zeros()
	g.each(func() {
		for i, m := range g.parts(ps[0]) {
			v := g.Vec()
			VPMOVSXBD(simd.At(ps[1]).Offset(i*g.Floats), v)
			VPMINSD(v, acc[i], acc[i])
			VCVTDQ2PS(v, v)
			VMULPS(scale, v, v)
			VMOVUPS(v, m)
		}
		step(ps[0], 64)
		step(ps[1], 16)
	})
	lowest := GP32()
	VMOVD(g.tree(acc, VPMINSD), lowest)
	VZEROUPPER()
	Store(lowest, ReturnIndex(0))
	RET()
}

// signs writes the conversions to and from single bits.
func (g *gen) signs() {
	g.Open("codecSigns", "func(dst *byte, x *float32, n int, scale float32)", "writes the signs to dst, and x becomes scale with its sign.")
	ps := simd.Pointers("dst", "x")
	scale := g.Scalar("scale")
	g.each(func() {
		for i, m := range g.parts(ps[1]) {
			v := g.Load(m)
			bits := GP32()
			if g.Wide() {
				k := K()
				VPMOVD2M(v, k)
				KMOVW(k, bits)
				MOVW(bits.As16(), simd.At(ps[0]))
			} else {
				VMOVMSKPS(v, bits)
				MOVB(bits.As8(), simd.At(ps[0]).Offset(i))
			}
			g.and(sign, v)
			VORPS(scale, v, v)
			VMOVUPS(v, m)
		}
		step(ps[0], 2)
		step(ps[1], 64)
	})
	end()

	g.Open("codecFromSigns", "func(dst *float32, b *byte, n int, scale float32)", "is the inverse of codecSigns.")
	ps = simd.Pointers("dst", "b")
	scale = g.Scalar("scale")
	lifts := make([]reg.VecVirtual, g.Parts())
	for i := range lifts {
		lifts[i] = g.Load(g.lifts.Offset(i * g.Bytes))
	}
	g.each(func() {
		bits, x := GP32(), XMM()
		MOVWLZX(simd.At(ps[1]), bits)
		VMOVD(bits, x)
		word := g.Vec()
		VPBROADCASTD(x, word)
		for i, m := range g.parts(ps[0]) {
			v := g.Vec()
			VPSLLVD(lifts[i], word, v)
			g.and(sign, v)
			VORPS(scale, v, v)
			VMOVUPS(v, m)
		}
		step(ps[0], 64)
		step(ps[1], 2)
	})
	end()
}

// table is memory with 16 integers.
func (g *gen) table(name string, at func(i int) uint32) Mem {
	m := GLOBL(name+g.Suffix, RODATA|NOPTR)
	for i := range simd.Lanes {
		DATA(4*i, U32(at(i)))
	}
	return m
}

func main() {
	g := &gen{Gen: simd.New("codec")}
	g.steps = g.table("codecSteps", func(i int) uint32 { return uint32(i) })
	g.lifts = g.table("codecLifts", func(i int) uint32 { return uint32(31 - i) })
	g.reductions()
	g.sums()
	g.halves()
	g.int8s()
	g.signs()
	Generate()
}
