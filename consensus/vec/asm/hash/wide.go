package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// wide emits SHA-256 of sixteen messages: each register has one word of all of them. An instruction
// does a step of all sixteen, which takes half as long as with those for SHA-256 where these share a
// part of the processor (Sapphire Rapids: 105 cycles for a block).
func wide(constants, swap Mem) {
	TEXT("hashSixteenAVX512", NOSPLIT, "func(messages *[16]*byte, blocks int, state *[128]uint32)")
	Doc("hashSixteenAVX512 adds blocks of 64 bytes of sixteen messages to their states: A of all, then B of all, to H.")
	Pragma("noescape")
	messages, blocks, state := Load(Param("messages"), GP64()), Load(Param("blocks"), GP64()), Load(Param("state"), GP64())
	at, message := GP64(), GP64()
	XORQ(at, at)
	z := []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	s, words, temps, order := z[:8:8], z[8:24:24], z[24:31:31], z[31]
	VBROADCASTI32X4(swap, order)
	of := func(word int) Mem { return Mem{Base: state, Disp: 64 * word} }
	for i := range s {
		VMOVDQU64(of(i), s[i])
	}
	Label("sixteen")
	for i := range words {
		MOVQ(Mem{Base: messages, Disp: 8 * i}, message)
		VMOVDQU64(Mem{Base: message, Index: at, Scale: 1}, words[i])
		VPSHUFB(order, words[i], words[i])
	}
	words, temps[0] = transpose(words, temps[0])
	for t := range 64 {
		round(s, words[t%16], constants.Offset(4*t), temps)
		if t < 48 {
			extend(words, t, temps)
		}
		s = append(s[7:8:8], s[:7]...) // what was H is A now
	}
	for i := range s {
		VPADDD(of(i), s[i], s[i])
		VMOVDQU64(s[i], of(i))
	}
	ADDQ(U8(64), at)
	SUBQ(U8(1), blocks)
	JNZ(LabelRef("sixteen"))
	VZEROUPPER()
	RET()
}

// round does one round: H becomes the next A, and D the next E.
func round(s []reg.VecPhysical, word reg.VecPhysical, constant Mem, temps []reg.VecPhysical) {
	a, b, c, d, e, f, g, h := s[0], s[1], s[2], s[3], s[4], s[5], s[6], s[7]
	VPADDD_BCST(constant, h, h)
	VPADDD(word, h, h)
	rotations(e, 6, 11, 25, temps[0], temps[1], temps[2])
	VMOVDQA64(e, temps[3])
	VPTERNLOGD(U8(0xca), g, f, temps[3]) // f where e has a bit, else g
	VPADDD(temps[0], h, h)
	VPADDD(temps[3], h, h)
	VPADDD(h, d, d)
	rotations(a, 2, 13, 22, temps[4], temps[5], temps[6])
	VMOVDQA64(a, temps[3])
	VPTERNLOGD(U8(0xe8), c, b, temps[3]) // what most of the three have
	VPADDD(temps[4], h, h)
	VPADDD(temps[3], h, h)
}

// rotations writes the sum without carry of x turned to the right by three numbers of bits to y.
func rotations(x reg.VecPhysical, i, j, k uint8, y, t, u reg.VecPhysical) {
	VPRORD(U8(i), x, y)
	VPRORD(U8(j), x, t)
	VPRORD(U8(k), x, u)
	VPTERNLOGD(U8(0x96), u, t, y)
}

// extend makes the word of round t+16 in the place of that of round t.
func extend(words []reg.VecPhysical, t int, temps []reg.VecPhysical) {
	sigma := func(x reg.VecPhysical, i, j, k uint8, y, t, u reg.VecPhysical) {
		VPRORD(U8(i), x, y)
		VPRORD(U8(j), x, t)
		VPSRLD(U8(k), x, u)
		VPTERNLOGD(U8(0x96), u, t, y)
	}
	w := words[t%16]
	sigma(words[(t+1)%16], 7, 18, 3, temps[0], temps[1], temps[2])
	sigma(words[(t+14)%16], 17, 19, 10, temps[4], temps[5], temps[6])
	VPADDD(words[(t+9)%16], w, w)
	VPADDD(temps[0], w, w)
	VPADDD(temps[4], w, w)
}

// transpose makes sixteen registers of one word each of those of one message each, and returns them
// in the order of the words, and the register that is free then.
func transpose(rows []reg.VecPhysical, free reg.VecPhysical) ([]reg.VecPhysical, reg.VecPhysical) {
	// both replaces two registers by what two instructions make of them.
	both := func(x, y *reg.VecPhysical, first, second func(y, x, to reg.VecPhysical)) {
		first(*y, *x, free)
		second(*y, *x, *y)
		*x, free = free, *x
	}
	low, high := func(y, x, to reg.VecPhysical) { VPUNPCKLDQ(y, x, to) }, func(y, x, to reg.VecPhysical) { VPUNPCKHDQ(y, x, to) }
	low2, high2 := func(y, x, to reg.VecPhysical) { VPUNPCKLQDQ(y, x, to) }, func(y, x, to reg.VecPhysical) { VPUNPCKHQDQ(y, x, to) }
	quarters := func(imm uint8) func(y, x, to reg.VecPhysical) {
		return func(y, x, to reg.VecPhysical) { VSHUFI32X4(U8(imm), y, x, to) }
	}
	w := append([]reg.VecPhysical{}, rows...)
	for i := 0; i < 16; i += 4 {
		both(&w[i], &w[i+1], low, high)
		both(&w[i+2], &w[i+3], low, high)
		both(&w[i], &w[i+2], low2, high2) // words 0 and 1 of each quarter, of four messages
		both(&w[i+1], &w[i+3], low2, high2)
		w[i+1], w[i+2] = w[i+2], w[i+1]
	}
	out := make([]reg.VecPhysical, 16)
	for c := range 4 {
		x := [4]reg.VecPhysical{w[c], w[4+c], w[8+c], w[12+c]}
		both(&x[0], &x[1], quarters(0x44), quarters(0xee))
		both(&x[2], &x[3], quarters(0x44), quarters(0xee))
		both(&x[0], &x[2], quarters(0x88), quarters(0xdd))
		both(&x[1], &x[3], quarters(0x88), quarters(0xdd))
		out[c], out[4+c], out[8+c], out[12+c] = x[0], x[2], x[1], x[3]
	}
	return out, free
}
