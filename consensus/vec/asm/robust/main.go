package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

const (
	unroll = 4  // registers of elements at a time
	header = 24 // bytes of a slice's header
)

type gen struct{ *simd.Gen }

func main() {
	g := &gen{simd.New("robust")}
	g.mean()
	g.combine()
	g.widen()
	g.addSquares()
	g.exchange()
	Generate()
}

// vecs returns n new registers.
func (g *gen) vecs(n int) []reg.VecVirtual {
	out := make([]reg.VecVirtual, n)
	for i := range out {
		out[i] = g.Vec()
	}
	return out
}

// loop emits a loop that counts a register down by step to 0; it is a multiple.
func loop(name string, count reg.Register, step int, body func()) {
	Label(name)
	body()
	SUBQ(U32(step), count)
	JNZ(LabelRef(name))
}

// returnBits returns a number that is not 0 if a bit of v is set.
func (g *gen) returnBits(v reg.VecVirtual) {
	y := v.AsY()
	if g.Wide() {
		high := YMM()
		VEXTRACTF64X4(U8(1), v, high)
		VORPS(high, y, y)
	}
	x, high := v.AsX(), XMM()
	VEXTRACTF128(U8(1), y, high)
	VORPS(high, x, x)
	VUNPCKHPD(x, x, high)
	VORPS(high, x, x)
	bits := GP64()
	VMOVQ(x, bits)
	VZEROUPPER()
	Store(bits, ReturnIndex(0))
	RET()
}

// rows emits a loop over the rows after the first; the body gets where a row's elements are.
func rows(name string, headers, count, offset reg.Register, first, body func(row Mem)) {
	at, left, row := GP64(), GP64(), GP64()
	MOVQ(headers, at)
	MOVQ(count, left)
	MOVQ(Mem{Base: at}, row)
	first(Mem{Base: row, Index: offset, Scale: 1})
	SUBQ(U32(1), left)
	JZ(LabelRef(name + "Done"))
	Label(name)
	ADDQ(U32(header), at)
	MOVQ(Mem{Base: at}, row)
	body(Mem{Base: row, Index: offset, Scale: 1})
	SUBQ(U32(1), left)
	JNZ(LabelRef(name))
	Label(name + "Done")
}

func (g *gen) mean() {
	g.Open("mean", "func(dst *float32, rows *[]float32, count, offset, n int, scale, zero float32) uint64",
		"is meanGo for n > 0 elements that begin offset bytes into the rows; it returns 0 if all results are finite.")
	ps := simd.Pointers("dst", "rows", "count", "offset", "n")
	scale, zero := g.Scalar("scale"), g.Scalar("zero")
	bad := g.Zero()
	loop("loop", ps[4], unroll*g.Floats, func() {
		sum := g.vecs(unroll)
		rows("rows", ps[1], ps[2], ps[3], func(row Mem) {
			for i, s := range sum {
				VMOVUPS(row.Offset(i*g.Bytes), s)
			}
		}, func(row Mem) {
			for i, s := range sum {
				VADDPS(row.Offset(i*g.Bytes), s, s)
			}
		})
		for i, s := range sum {
			VADDPS(zero, s, s)
			VMULPS(scale, s, s)
			VMOVUPS(s, Mem{Base: ps[0], Disp: i * g.Bytes})
			VSUBPS(s, s, s)
			VORPS(s, bad, bad)
		}
		ADDQ(U32(unroll*g.Bytes), ps[0])
		ADDQ(U32(unroll*g.Bytes), ps[3])
	})
	g.returnBits(bad)
}

// half returns a register for half as many float32 as there are in a register.
func (g *gen) half() reg.VecVirtual {
	if g.Wide() {
		return YMM()
	}
	return XMM()
}

func (g *gen) combine() {
	const parts = 8
	g.Open("combine", "func(dst *float32, rows *[]float32, coefficients *float64, count, n int)", "is the twin of combine for n > 0 elements.")
	ps := simd.Pointers("dst", "rows", "coefficients", "count", "n")
	offset := GP64()
	XORQ(offset, offset)
	loop("loop", ps[4], parts*g.Floats/2, func() {
		sum := g.vecs(parts)
		c, at := g.Vec(), GP64()
		MOVQ(ps[2], at)
		rows("rows", ps[1], ps[3], offset, func(row Mem) {
			VBROADCASTSD(Mem{Base: at}, c)
			for i, s := range sum {
				VCVTPS2PD(row.Offset(i*g.Bytes/2), s)
				VMULPD(c, s, s)
			}
		}, func(row Mem) {
			ADDQ(U32(8), at)
			VBROADCASTSD(Mem{Base: at}, c)
			for i, s := range sum {
				v := g.Vec()
				VCVTPS2PD(row.Offset(i*g.Bytes/2), v)
				VMULPD(c, v, v)
				VADDPD(v, s, s)
			}
		})
		for i, s := range sum {
			h := g.half()
			if g.Wide() {
				VCVTPD2PS(s, h)
			} else {
				VCVTPD2PSY(s, h)
			}
			VMOVUPS(h, Mem{Base: ps[0], Index: offset, Scale: 1, Disp: i * g.Bytes / 2})
		}
		ADDQ(U32(parts*g.Bytes/2), offset)
	})
	VZEROUPPER()
	RET()
}

func (g *gen) widen() {
	g.Open("widen", "func(dst *float64, src *float32, n int)", "is the twin of Widen for n > 0 elements.")
	ps := simd.Pointers("dst", "src", "n")
	loop("loop", ps[2], unroll*g.Floats/2, func() {
		for i := range unroll {
			v := g.Vec()
			VCVTPS2PD(Mem{Base: ps[1], Disp: i * g.Bytes / 2}, v)
			VMOVUPD(v, Mem{Base: ps[0], Disp: i * g.Bytes})
		}
		ADDQ(U32(unroll*g.Bytes), ps[0])
		ADDQ(U32(unroll*g.Bytes/2), ps[1])
	})
	VZEROUPPER()
	RET()
}

// addSquares does four rows at a time, so that four chains of sums hide the latency of one.
func (g *gen) addSquares() {
	const at = 4
	g.Open("addSquares", "func(sums, a, rows *float64, n int)", "is addSquaresGo for four rows of n > 0 elements, a multiple of 8.")
	ps := simd.Pointers("sums", "a", "rows", "n")
	bytes := GP64()
	MOVQ(ps[3], bytes)
	SHLQ(U8(3), bytes)
	row := []reg.Register{ps[2], GP64(), GP64(), GP64()}
	for k := 1; k < at; k++ {
		LEAQ(Mem{Base: row[k-1], Index: bytes, Scale: 1}, row[k])
	}
	parts := 64 / g.Bytes // registers that hold the lanes of one sum
	sums := make([][]reg.VecVirtual, at)
	for k := range sums {
		sums[k] = g.vecs(parts)
		for i, s := range sums[k] {
			VMOVUPD(Mem{Base: ps[0], Disp: 64*k + i*g.Bytes}, s)
		}
	}
	index := GP64()
	XORQ(index, index)
	loop("loop", ps[3], 8, func() {
		for i := range parts {
			x := g.Vec()
			VMOVUPD(Mem{Base: ps[1], Index: index, Scale: 1, Disp: i * g.Bytes}, x)
			for k := range sums {
				d := g.Vec()
				VSUBPD(Mem{Base: row[k], Index: index, Scale: 1, Disp: i * g.Bytes}, x, d)
				VMULPD(d, d, d)
				VADDPD(d, sums[k][i], sums[k][i])
			}
		}
		ADDQ(U32(64), index)
	})
	for k := range sums {
		for i, s := range sums[k] {
			VMOVUPD(s, Mem{Base: ps[0], Disp: 64*k + i*g.Bytes})
		}
	}
	VZEROUPPER()
	RET()
}

// exchange goes through all pairs for a few columns before it goes to the next ones: those stay
// in the first cache.
func (g *gen) exchange() {
	g.Open("exchange", "func(rows *float32, rowBytes int, pairs *[2]int32, count, n int)",
		"puts the smaller elements of each pair of rows into the first, the larger into the second, for n > 0 columns and count > 0 pairs.")
	ps := simd.Pointers("rows", "rowBytes", "pairs", "count", "n")
	loop("loop", ps[4], unroll*g.Floats, func() {
		at, left := GP64(), GP64()
		MOVQ(ps[2], at)
		MOVQ(ps[3], left)
		loop("pairs", left, 1, func() {
			a, b := GP64(), GP64()
			MOVLQSX(Mem{Base: at}, a)
			MOVLQSX(Mem{Base: at, Disp: 4}, b)
			IMULQ(ps[1], a)
			IMULQ(ps[1], b)
			ADDQ(U32(8), at)
			for i := range unroll {
				first := Mem{Base: ps[0], Index: a, Scale: 1, Disp: i * g.Bytes}
				second := Mem{Base: ps[0], Index: b, Scale: 1, Disp: i * g.Bytes}
				x, y, low := g.Load(first), g.Load(second), g.Vec()
				VMINPS(y, x, low)
				VMAXPS(y, x, x)
				VMOVUPS(low, first)
				VMOVUPS(x, second)
			}
		})
		ADDQ(U32(unroll*g.Bytes), ps[0])
	})
	VZEROUPPER()
	RET()
}
