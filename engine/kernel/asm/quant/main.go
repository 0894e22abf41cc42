package main

import (
	"flag"
	"fmt"
	"os"
	"strings"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// format mirrors quantFormat of package kernel.
type format struct {
	name     string
	super    bool // cells of 256 columns with sub-scales, else of 32
	nibbles  bool
	pairs    int
	bit      int
	bytes    bool
	table    bool
	zero     uint64 // log2 of the code of zero, 0: none
	halves   bool
	mins     bool
	wideMins bool
}

var formats = []format{
	{name: "Q4_0", nibbles: true, pairs: -1, bit: -1, zero: 3},
	{name: "Q4_1", nibbles: true, pairs: -1, bit: -1, mins: true},
	{name: "Q5_0", nibbles: true, pairs: -1, bit: 4, zero: 4},
	{name: "Q5_1", nibbles: true, pairs: -1, bit: 4, mins: true},
	{name: "Q8_0", bytes: true, pairs: -1, bit: -1, zero: 7},
	{name: "Q2_K", super: true, pairs: 0, bit: -1, halves: true, mins: true},
	{name: "Q3_K", super: true, pairs: 0, bit: 2, zero: 2, halves: true},
	{name: "Q4_K", super: true, nibbles: true, pairs: -1, bit: -1, mins: true, wideMins: true},
	{name: "Q5_K", super: true, nibbles: true, pairs: -1, bit: 4, mins: true, wideMins: true},
	{name: "Q6_K", super: true, nibbles: true, pairs: 4, bit: -1, zero: 5, halves: true},
	{name: "IQ4_NL", nibbles: true, pairs: -1, bit: -1, table: true, zero: 7},
	{name: "IQ4_XS", super: true, nibbles: true, pairs: -1, bit: -1, table: true, zero: 7},
}

// Sizes of the packed layout.
const (
	lanes     = 16
	subLen    = 32
	steps     = 8
	stepBytes = 64
)

// iq4Table holds the values of the 4-bit codes of IQ4_NL and IQ4_XS, plus 128.
var iq4Table = [16]byte{1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241}

// headBytes is the size of the halves at the start of a cell's scales.
func (f format) headBytes() int {
	if f.mins {
		return 4 * lanes
	}
	return 2 * lanes
}

// subScaleBytes is the size of the sub-scales of 32 columns.
func (f format) subScaleBytes() int {
	switch {
	case !f.super:
		return 0
	case f.halves || f.wideMins:
		return 2 * lanes
	}
	return lanes
}

// planes returns where the planes of 32 columns are, and their size.
func (f format) planes() (pairs, bit, size int) {
	if f.nibbles {
		size += 4 * stepBytes
	}
	pairs = size
	if f.pairs >= 0 {
		size += 2 * stepBytes
	}
	bit = size
	if f.bit >= 0 {
		size += stepBytes
	}
	if f.bytes {
		size += 8 * stepBytes
	}
	return pairs, bit, size
}

// pointers are the registers that every kernel walks with.
type pointers struct {
	scales, planes, acts reg.GPPhysical
	head, cells, subs    reg.GPPhysical
}

var at = pointers{scales: reg.RSI, planes: reg.RDX, acts: reg.RDI, head: reg.R8, cells: reg.R9, subs: reg.R10}

// field returns a field of token t in a record of activations: 0 scale, 1 minus the sum,
// 2 the sum as float, 3 and 4 minus the sums of the halves.
func field(n, t, tokens int) Mem {
	return Mem{Base: at.acts, Disp: tokens*subLen + 4*(n*tokens+t)}
}

// values returns four columns of token t.
func values(s, t int) Mem { return Mem{Base: at.acts, Disp: t*subLen + 4*s} }

// open begins the function of a format and loads its arguments.
func open(f format, isa string) {
	name := "quant" + strings.ReplaceAll(f.name, "_", "") + isa
	TEXT(name, NOSPLIT,
		"func(dst *float32, stride int, scales, planes, acts *byte, cells, tokens int)")
	Doc(fmt.Sprintf("%s multiplies 16 packed rows of %s with the tokens of a panel; stride is in bytes.", name, f.name))
	Pragma("noescape")
	Load(Param("scales"), at.scales)
	Load(Param("planes"), at.planes)
	Load(Param("acts"), at.acts)
	Load(Param("cells"), at.cells)
}

// loop emits the loops over the cells and, for the types with sub-scales, over their
// blocks of 32 columns. body handles one block.
func loop(f format, label string, tokens int, body func()) {
	_, _, planeBytes := f.planes()
	Label(label + "cell")
	MOVQ(at.scales, at.head)
	ADDQ(U32(f.headBytes()), at.scales)
	if f.super {
		MOVQ(U32(8), at.subs)
		Label(label + "block")
	}
	body()
	ADDQ(U32(planeBytes), at.planes)
	ADDQ(U32(tokens*(subLen+20)), at.acts)
	if f.super {
		ADDQ(U32(f.subScaleBytes()), at.scales)
		DECQ(at.subs)
		JNZ(LabelRef(label + "block"))
	}
	DECQ(at.cells)
	JNZ(LabelRef(label + "cell"))
}

// How far ahead of their use the planes are fetched, in bytes. The processor's own
// prefetchers stop at the end of a page. Of 1 to 16 KiB and both levels of cache, measured
// on Zen 4 with one thread: codes of up to 6 bits read 41 GB/s with 8 KiB to the second
// level, 34 with 6 KiB to the first, and Q8_0 24 and 29.
const (
	prefetchAhead    = 6144 // to the first level, for Q8_0
	prefetchAheadFar = 8192 // to the second
)

// prefetch asks for the planes of a later block and for the scales of about the same one.
func prefetch(f format) {
	_, _, size := f.planes()
	ahead, ask := prefetchAheadFar, PREFETCHT1
	if f.bytes {
		ahead, ask = prefetchAhead, PREFETCHT0
	}
	for i := 0; i < size; i += 64 {
		ask(Mem{Base: at.planes, Disp: ahead + i})
	}
	perBlock := f.subScaleBytes()
	if !f.super {
		perBlock = f.headBytes()
	}
	ask(Mem{Base: at.scales, Disp: (ahead/size*perBlock + 63) / 64 * 64})
}

// sections emits a section for each number of tokens.
func sections(sizes []int, section func(tokens int, label string)) {
	count := reg.RAX
	Load(Param("tokens"), count)
	for _, n := range sizes[1:] {
		CMPQ(count, U32(n))
		JEQ(LabelRef(fmt.Sprintf("t%d", n)))
	}
	for _, n := range sizes {
		label := fmt.Sprintf("t%d", n)
		Label(label)
		section(n, label)
	}
}

// constant declares read-only data and returns it.
func constant(name string, data []byte) Mem {
	m := GLOBL(name, RODATA|NOPTR)
	for i := 0; i < len(data); i += 8 {
		var w uint64
		for j := range 8 {
			w |= uint64(data[i+j]) << (8 * j)
		}
		DATA(i, U64(w))
	}
	return m
}

// repeat returns n bytes of a pattern.
func repeat(n int, pattern ...byte) []byte {
	out := make([]byte, n)
	for i := range out {
		out[i] = pattern[i%len(pattern)]
	}
	return out
}

func main() {
	isa := flag.String("isa", "", "instruction set: avx512 or avx2")
	flag.Parse()
	ConstraintExpr("!noasm")
	switch *isa {
	case "avx512":
		avx512()
		peaks("AVX512", zmm, 64)
	case "avx2":
		avx2()
		acts()
		peaks("AVX2", ymm, 32)
	default:
		fmt.Fprintln(os.Stderr, "quant: -isa must be avx512 or avx2")
		os.Exit(2)
	}
	Generate()
}
