package encoding

import (
	"errors"
	"fmt"
	"strings"
)

// form is how an instruction of amd64 is encoded.
type form byte

const (
	legacy form = iota
	vex         // AVX and AVX2, and what came later for registers of the same size
	evex        // AVX-512 and AVX10 only
)

// instruction is one machine instruction: where its opcode stands in the tables of the
// Intel manual (volume 2, appendix A), and how long it is.
type instruction struct {
	form   form
	opcode int // of the table: 0 one byte, 1 0F, 2 0F38, 3 0F3A, above for later ones
	table  int
	prefix byte // that tells apart instructions of one opcode: 0, 0x66, 0xF3 or 0xF2
	wide   bool // the bit W
	len    int
}

func (i instruction) String() string {
	name := [...]string{"legacy", "VEX", "EVEX"}[i.form]
	return fmt.Sprintf("%s instruction, opcode table %d, prefix %02X, opcode %02X, W %t", name, i.table, i.prefix, i.opcode, i.wide)
}

var errShort = errors.New("instruction is cut off")

// decode reads the instruction at the beginning of code. It knows all lengths of VEX and
// EVEX instructions, and of the legacy ones those of every amd64 machine that the kernels use:
// for integers, jumps, hints, and to move a float.
func decode(code []byte) (instruction, error) {
	d := decoder{code: code}
	i, err := d.instruction()
	if err == nil && d.at > len(code) {
		err = errShort
	}
	i.len = d.at
	return i, err
}

// decoder reads one instruction. Past the end it reads zeros.
type decoder struct {
	code []byte
	at   int
}

func (d *decoder) next() byte {
	b := d.peek()
	d.at++
	return b
}

func (d *decoder) peek() byte {
	if d.at < len(d.code) {
		return d.code[d.at]
	}
	return 0
}

func (d *decoder) instruction() (instruction, error) {
	var i instruction
	prefixes := [4]byte{0, 0x66, 0xF3, 0xF2}
	for strings.IndexByte("\x66\xF2\xF3\x2E\x3E", d.peek()) >= 0 && d.at < len(d.code) {
		if p := d.next(); p != 0x2E && p != 0x3E {
			i.prefix = p
		}
	}
	switch d.peek() {
	case 0xC5:
		d.next()
		i.form, i.table, i.prefix = vex, 1, prefixes[d.next()&3]
	case 0xC4:
		d.next()
		i.form, i.table = vex, int(d.next()&31)
		p := d.next()
		i.prefix, i.wide = prefixes[p&3], p>>7 != 0
	case 0x62:
		d.next()
		i.form, i.table = evex, int(d.next()&7)
		p := d.next()
		i.prefix, i.wide = prefixes[p&3], p>>7 != 0
		d.next()
	default:
		return d.legacy(i)
	}
	i.opcode = int(d.next())
	if i.table == 1 && i.opcode == 0x77 && i.form == vex { // VZEROUPPER
		return i, nil
	}
	d.operands()
	if i.table == 3 || i.table == 1 && (i.opcode >= 0x70 && i.opcode <= 0x73 || i.opcode == 0xC2 || i.opcode >= 0xC4 && i.opcode <= 0xC6) {
		d.at++
	}
	return i, nil
}

// legacy reads an instruction without VEX or EVEX from REX on.
func (d *decoder) legacy(i instruction) (instruction, error) {
	if d.peek()&0xF0 == 0x40 {
		i.wide = d.next()&8 != 0
	}
	immediate := 4 // of most instructions that have one, with operands of 4 or 8 bytes
	if i.prefix == 0x66 {
		immediate = 2
	}
	i.opcode = int(d.next())
	if i.opcode == 0x0F {
		i.table, i.opcode = 1, int(d.next())
		switch op := i.opcode; {
		case op >= 0x80 && op <= 0x8F: // jumps
			d.at += 4
		case op == 0x10, op == 0x11, op == 0x18, op == 0x1F, op == 0xAF, op >= 0x40 && op <= 0x4F, op >= 0x90 && op <= 0x9F, // MOVSS, hints, IMUL, CMOVcc, SETcc
			op == 0xB6, op == 0xB7, op == 0xBE, op == 0xBF, op == 0xA3, op == 0xAB, op == 0xB3, // MOVZX, MOVSX, BT, BTS, BTR
			(op == 0xBC || op == 0xBD) && i.prefix != 0xF3: // BSF, BSR; with F3 TZCNT and LZCNT
			d.operands()
		case op == 0xBA: // BT and its kin
			d.operands()
			d.at++
		default:
			return i, fmt.Errorf("%v is not one that every amd64 machine has, or unknown to this decoder", i)
		}
		return i, nil
	}
	switch op := i.opcode; {
	case op < 0x40 && op&7 < 4, op >= 0x84 && op <= 0x8B, op == 0x8D, op == 0x63, op >= 0xD0 && op <= 0xD3, op >= 0xFE:
		d.operands()
	case op < 0x40 && op&7 == 4, op == 0x6A, op >= 0x70 && op <= 0x7F, op == 0xA8, op >= 0xB0 && op <= 0xB7, op == 0xEB:
		d.at++
	case op < 0x40 && op&7 == 5, op == 0x68, op == 0xA9:
		d.at += immediate
	case op == 0xE8, op == 0xE9:
		d.at += 4
	case op >= 0xB8 && op <= 0xBF:
		if d.at += immediate; i.wide {
			d.at += 4
		}
	case op >= 0x50 && op <= 0x5F, op == 0x90, op == 0x98, op == 0x99, op == 0xC3, op == 0xCC:
	case op == 0x80, op == 0x83, op == 0xC0, op == 0xC1, op == 0xC6, op == 0x6B:
		d.operands()
		d.at++
	case op == 0x81, op == 0xC7, op == 0x69:
		d.operands()
		d.at += immediate
	case op == 0xF6, op == 0xF7:
		test := d.peek()>>3&7 < 2 // has an immediate, what shares the opcode has none
		if d.operands(); test && op == 0xF6 {
			d.at++
		} else if test {
			d.at += immediate
		}
	default:
		return i, fmt.Errorf("%v is unknown to this decoder", i)
	}
	return i, nil
}

// operands passes the bytes ModRM and SIB and a displacement.
func (d *decoder) operands() {
	b := d.next()
	mod, rm := b>>6, b&7
	if mod == 3 {
		return
	}
	base := rm
	if rm == 4 {
		base = d.next() & 7
	}
	switch {
	case mod == 1:
		d.at++
	case mod == 2, mod == 0 && base == 5:
		d.at += 4
	}
}

// inRanges reports whether x is in one of the ranges, which are pairs of first and last.
func inRanges(x int, ranges ...[2]int) bool {
	for _, r := range ranges {
		if x >= r[0] && x <= r[1] {
			return true
		}
	}
	return false
}

// beyondAVX2 tells what an instruction needs beside AVX, AVX2, FMA and F16C, or "".
func beyondAVX2(i instruction) string {
	if i.form == evex {
		return "AVX-512"
	}
	if i.form == legacy {
		return "" // decode has refused what not every machine has
	}
	known := false
	switch i.table {
	case 1:
		known = inRanges(i.opcode, [2]int{0x10, 0x17}, [2]int{0x28, 0x2F}, [2]int{0x50, 0x77}, [2]int{0x7C, 0x7F}, [2]int{0xAE, 0xAE}, [2]int{0xC2, 0xC2}, [2]int{0xC4, 0xC6}, [2]int{0xD0, 0xFE})
	case 2:
		known = inRanges(i.opcode, [2]int{0x00, 0x0F}, [2]int{0x13, 0x13}, [2]int{0x16, 0x1A}, [2]int{0x1C, 0x1E}, [2]int{0x20, 0x25}, [2]int{0x28, 0x41}, [2]int{0x45, 0x47}, [2]int{0x58, 0x5A},
			[2]int{0x78, 0x79}, [2]int{0x8C, 0x8C}, [2]int{0x8E, 0x8E}, [2]int{0x90, 0x93}, [2]int{0x96, 0x9F}, [2]int{0xA6, 0xAF}, [2]int{0xB6, 0xBF}) && i.prefix == 0x66
	case 3:
		known = inRanges(i.opcode, [2]int{0x00, 0x02}, [2]int{0x04, 0x06}, [2]int{0x08, 0x0F}, [2]int{0x14, 0x19}, [2]int{0x1D, 0x1D}, [2]int{0x20, 0x22}, [2]int{0x38, 0x39}, [2]int{0x40, 0x42},
			[2]int{0x46, 0x46}, [2]int{0x4A, 0x4C}, [2]int{0x60, 0x63}) && i.prefix == 0x66
	}
	if known {
		return ""
	}
	return "more than AVX2, FMA and F16C"
}

// beyondAVX512 tells what an instruction needs beside those of AVX2 and AVX-512 F, BW, VL,
// DQ, VNNI and BMI2, or "".
func beyondAVX512(i instruction) string {
	bmi2 := i.table == 2 && (i.opcode == 0xF5 || i.opcode == 0xF6 && i.prefix == 0xF2 || i.opcode == 0xF7 && i.prefix != 0) || i.table == 3 && i.opcode == 0xF0
	mask := i.table == 1 && inRanges(i.opcode, [2]int{0x41, 0x4B}, [2]int{0x90, 0x93}, [2]int{0x98, 0x99}) || i.table == 3 && inRanges(i.opcode, [2]int{0x30, 0x33})
	if i.form != evex {
		if bmi2 || mask {
			return ""
		}
		return beyondAVX2(i)
	}
	op := i.opcode
	switch {
	case i.table < 1 || i.table > 3:
		return "AVX512-FP16 or later"
	case i.table == 2 && i.prefix == 0x66 && !i.wide && (op == 0x75 || op == 0x7D || op == 0x8D), i.table == 2 && op == 0x83:
		return "AVX512-VBMI"
	case inRanges(i.table, [2]int{2, 3}) && inRanges(op, [2]int{0x70, 0x73}), i.table == 2 && inRanges(op, [2]int{0x62, 0x63}):
		return "AVX512-VBMI2 or BF16"
	case i.table == 2 && inRanges(op, [2]int{0x50, 0x53}) && i.prefix != 0x66:
		return "AVX512-4VNNIW, BF16 or later"
	case i.table == 2 && inRanges(op, [2]int{0x54, 0x55}, [2]int{0x8F, 0x8F}):
		return "AVX512-BITALG or VPOPCNTDQ"
	case i.table == 2 && inRanges(op, [2]int{0xB4, 0xB5}):
		return "AVX512-IFMA"
	case i.table == 2 && (op == 0xC4 || op == 0x44 || (op == 0x2A || op == 0x3A) && i.prefix == 0xF3 && (op == 0x2A) == i.wide):
		return "AVX512-CD"
	case i.table == 2 && inRanges(op, [2]int{0xC6, 0xCF}, [2]int{0xD2, 0xDF}), i.table == 3 && inRanges(op, [2]int{0x44, 0x44}, [2]int{0xCE, 0xDF}):
		return "AVX512-ER or PF, GFNI, VAES, VPCLMULQDQ or later"
	}
	return ""
}
