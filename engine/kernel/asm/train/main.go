package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"

	"github.com/covey-network/covey/engine/kernel/asm/simd"
)

const lanes = simd.Lanes

// gen writes functions for one instruction set.
type gen struct {
	*simd.Gen
	labels int
	ones   Mem // 16 integers with all bits set, then 16 zeros
}

// label returns a new label.
func (g *gen) label(name string) string {
	g.labels++
	return fmt.Sprintf("%s%d", name, g.labels)
}

// part is one register of the 16 elements at hand: all of them, or in a tail the first few.
type part struct {
	g     *gen
	n     int            // which register
	index reg.GPVirtual  // bytes before the 16 elements
	k     reg.Register   // AVX-512: mask of a tail
	mask  reg.VecVirtual // AVX2: the same
	tail  bool
}

// mem returns where the part lies in a vector.
func (p *part) mem(base reg.Register) Mem {
	return Mem{Base: base, Index: p.index, Scale: 1, Disp: p.n * p.g.Bytes}
}

// load reads the part of a vector; what is not in it is 0.
func (p *part) load(base reg.Register) reg.VecVirtual {
	v := p.g.Vec()
	switch {
	case !p.tail:
		VMOVUPS(p.mem(base), v)
	case p.g.Wide():
		VMOVUPS_Z(p.mem(base), p.k, v)
	default:
		VMASKMOVPS(p.mem(base), p.mask, v)
	}
	return v
}

// over reads the part of a vector; what is not in it is as in other.
func (p *part) over(base reg.Register, other reg.VecVirtual) reg.VecVirtual {
	v := p.load(base)
	switch {
	case !p.tail:
	case p.g.Wide():
		VBLENDMPS(v, other, p.k, v)
	default:
		VBLENDVPS(p.mask, v, other, v)
	}
	return v
}

// store writes the part of a vector.
func (p *part) store(v reg.VecVirtual, base reg.Register) {
	switch {
	case !p.tail:
		VMOVUPS(v, p.mem(base))
	case p.g.Wide():
		VMOVUPS(v, p.k, p.mem(base))
	default:
		VMASKMOVPS(v, p.mask, p.mem(base))
	}
}

// keep clears the elements that are not in the part.
func (p *part) keep(v reg.VecVirtual) {
	switch {
	case !p.tail:
	case p.g.Wide():
		VMOVAPS_Z(v, p.k, v)
	default:
		VANDPS(p.mask, v, v)
	}
}

// sweep emits a loop over n elements, 16 at a time; body handles one register.
func (g *gen) sweep(n reg.Register, body func(p *part)) {
	g.sweepFrom(GP64(), n, body)
}

// sweepFrom is sweep with the register to count bytes in.
func (g *gen) sweepFrom(index reg.GPVirtual, n reg.Register, body func(p *part)) {
	left := GP64()
	loop, tail, done := g.label("loop"), g.label("tail"), g.label("done")
	XORQ(index, index)
	MOVQ(n, left)
	SUBQ(U32(lanes), left)
	JLT(LabelRef(tail))
	Label(loop)
	for i := range g.Parts() {
		body(&part{g: g, n: i, index: index})
	}
	ADDQ(U32(4*lanes), index)
	SUBQ(U32(lanes), left)
	JGE(LabelRef(loop))
	Label(tail)
	ADDQ(U32(lanes), left)
	JZ(LabelRef(done))
	if g.Wide() {
		k, bits := K(), GP64()
		MOVQ(I32(-1), bits)
		BZHIQ(left, bits, bits)
		KMOVW(bits.As32(), k)
		body(&part{g: g, index: index, k: k, tail: true})
	} else {
		table := GP64()
		LEAQ(g.ones, table)
		SHLQ(U8(2), left)
		SUBQ(left, table)
		for i := range g.Parts() {
			mask := g.Vec()
			VMOVUPS(Mem{Base: table, Disp: 4*lanes + i*g.Bytes}, mask)
			body(&part{g: g, n: i, index: index, mask: mask, tail: true})
		}
	}
	Label(done)
}

// vectors returns a register for each part.
func (g *gen) vectors() []reg.VecVirtual {
	out := make([]reg.VecVirtual, g.Parts())
	for i := range out {
		out[i] = g.Vec()
	}
	return out
}

// clear sets registers to zero.
func clearAll(vs []reg.VecVirtual) {
	for _, v := range vs {
		VXORPS(v, v, v)
	}
}

// tree reduces 16 lanes to one, in the order of lanesOf, and returns it in the lowest place
// of a register.
func (g *gen) tree(acc []reg.VecVirtual, op func(...Op)) reg.Register {
	var y reg.Register
	hi := YMM()
	if g.Wide() {
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

// broadcast returns a register with the lowest float of x in every lane.
func (g *gen) broadcast(x Op) reg.VecVirtual {
	v := g.Vec()
	VBROADCASTSS(x, v)
	return v
}

// float returns an integer as a float in the lowest place of a register.
func float(n reg.Register) reg.VecVirtual {
	x := XMM()
	VXORPS(x, x, x)
	VCVTSI2SSQ(n, x, x)
	return x
}

func end() {
	VZEROUPPER()
	RET()
}

// endWith is end for a function that returns the lowest float of x.
func endWith(x reg.Register) {
	VZEROUPPER()
	Store(x, ReturnIndex(0))
	RET()
}

func main() {
	g := &gen{Gen: simd.New("train")}
	if !g.Wide() {
		g.ones = GLOBL("ones"+g.Suffix, RODATA|NOPTR)
		for i := 0; i < 8*lanes; i += 8 {
			v := uint64(0)
			if i < 4*lanes {
				v = 1<<64 - 1
			}
			DATA(i, U64(v))
		}
	}
	g.activations()
	g.elementwise()
	g.norms()
	g.losses()
	g.attention()
	g.tiles()
	g.updates()
	Generate()
}
