package main

import (
	"math"
	"math/big"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// lane is the registers of one message.
type lane struct {
	data   reg.Register
	abef   reg.VecPhysical
	cdgh   reg.VecPhysical
	words  [4]reg.VecPhysical // four words each, the oldest at group % 4
	temp   reg.VecPhysical
	offset int // of its state
}

func main() {
	ConstraintExpr("!noasm")
	constants, swap := tables()
	TEXT("hashPairSHA", NOSPLIT, "func(a *byte, b *byte, blocks int, state *[16]uint32)")
	Doc("hashPairSHA adds blocks of 64 bytes of two messages to their states. Each is F, E, B, A, H, G, D, C.")
	Pragma("noescape")
	lanes := []*lane{
		{data: Load(Param("a"), GP64()), abef: reg.X1, cdgh: reg.X2, words: [4]reg.VecPhysical{reg.X3, reg.X4, reg.X5, reg.X6}, temp: reg.X7},
		{data: Load(Param("b"), GP64()), abef: reg.X8, cdgh: reg.X9, words: [4]reg.VecPhysical{reg.X10, reg.X11, reg.X12, reg.X13}, temp: reg.X14, offset: 32},
	}
	blocks, state := Load(Param("blocks"), GP64()), Load(Param("state"), GP64())
	at := func(l *lane, offset int) Mem { return Mem{Base: state, Disp: l.offset + offset} }
	for _, l := range lanes {
		MOVOU(at(l, 0), l.abef)
		MOVOU(at(l, 16), l.cdgh)
	}
	MOVOU(swap, reg.X15)
	Label("block")
	for group := range 16 {
		for _, l := range lanes {
			l.schedule(group)
		}
		for _, l := range lanes {
			MOVOU(constants.Offset(16*group), reg.X0)
			PADDD(l.words[group%4], reg.X0)
			SHA256RNDS2(reg.X0, l.abef, l.cdgh)
			PSHUFD(U8(0x0e), reg.X0, reg.X0)
			SHA256RNDS2(reg.X0, l.cdgh, l.abef)
		}
	}
	for _, l := range lanes {
		MOVOU(at(l, 0), l.temp)
		PADDD(l.temp, l.abef)
		MOVOU(l.abef, at(l, 0))
		MOVOU(at(l, 16), l.temp)
		PADDD(l.temp, l.cdgh)
		MOVOU(l.cdgh, at(l, 16))
		ADDQ(U8(64), l.data)
	}
	SUBQ(U8(1), blocks)
	JNZ(LabelRef("block"))
	RET()
	wide(constants, swap)
	Generate()
}

// schedule makes the words of a group of four rounds.
func (l *lane) schedule(group int) {
	w := l.words[group%4]
	if group < 4 {
		MOVOU(Mem{Base: l.data, Disp: 16 * group}, w)
		PSHUFB(reg.X15, w)
		return
	}
	before, last := l.words[(group+2)%4], l.words[(group+3)%4]
	SHA256MSG1(l.words[(group+1)%4], w)
	MOVOU(last, l.temp)
	PALIGNR(U8(4), before, l.temp)
	PADDD(l.temp, w)
	SHA256MSG2(last, w)
}

// tables are the constants of the rounds, the fractional parts of the cube roots of the first 64
// primes, and what brings the bytes of words into the machine's order.
func tables() (constants, swap Mem) {
	constants = GLOBL("hashConstants", RODATA|NOPTR)
	n := 0
	for p := int64(2); n < 64; p++ {
		if !big.NewInt(p).ProbablyPrime(0) {
			continue
		}
		DATA(4*n, U32(root(p)))
		n++
	}
	swap = GLOBL("hashSwap", RODATA|NOPTR)
	DATA(0, U64(0x0405060700010203))
	DATA(8, U64(0x0c0d0e0f08090a0b))
	return constants, swap
}

// root is the first 32 bits of the fractional part of the cube root of p: that of p * 2^96 is
// the cube root of p times 2^32.
func root(p int64) uint32 {
	cube := new(big.Int).Lsh(big.NewInt(p), 96)
	low, high := big.NewInt(0), new(big.Int).Lsh(big.NewInt(1), 40)
	for {
		middle := new(big.Int).Rsh(new(big.Int).Add(low, high), 1)
		if middle.Cmp(low) == 0 {
			return uint32(low.Uint64() & math.MaxUint32)
		}
		if third := new(big.Int).Exp(middle, big.NewInt(3), nil); third.Cmp(cube) <= 0 {
			low = middle
		} else {
			high = middle
		}
	}
}
