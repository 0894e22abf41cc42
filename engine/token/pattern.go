package token

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Limits on a pattern from a file. The longest published one has about 1,500 bytes.
const (
	maxPattern = 1 << 14
	maxProgram = 1 << 13
	maxNesting = 32
)

// pattern is a compiled regular expression of the kind tokenizers use (what Oniguruma and
// PCRE have in common): alternation, groups, sets, Unicode properties, greedy, lazy and
// possessive repetition, look-ahead, atomic groups, (?i).
type pattern struct{ prog []instr }

type opcode uint8

const (
	opSet    opcode = iota // one character of set
	opRepeat               // min..max characters of set, then backtrack one by one (or mode)
	opSplit                // try x, then y
	opJump                 // go to x
	opLook                 // look-ahead: program at pc+1 up to opMatch; then x. neg in mode
	opAtomic               // the same, keeping what it matched
	opStart                // start of a line
	opEnd                  // end of a line
	opTextStart
	opTextEnd
	opMatch
)

const (
	greedy = iota
	lazy
	possessive
)

type instr struct {
	op       opcode
	mode     uint8 // of opRepeat; of opLook 1 = negative
	x, y     int32
	set      *runeSet
	min, max int // max -1 = no limit
}

// parser reads a pattern and writes its program.
type parser struct {
	src   string
	at    int
	prog  []instr
	fold  bool
	depth int
}

// compilePattern compiles a regular expression.
func compilePattern(src string) (*pattern, error) {
	if len(src) > maxPattern {
		return nil, fmt.Errorf("pattern has %d bytes, at most %d", len(src), maxPattern)
	}
	if !utf8.ValidString(src) {
		return nil, errors.New("pattern is not UTF-8")
	}
	p := &parser{src: src}
	if _, err := p.alternatives(); err != nil {
		return nil, fmt.Errorf("pattern at byte %d: %w", p.at, err)
	}
	if p.at < len(src) {
		return nil, fmt.Errorf("pattern at byte %d: unexpected %q", p.at, src[p.at:p.at+1])
	}
	p.emit(instr{op: opMatch})
	if len(p.prog) > maxProgram {
		return nil, errors.New("pattern is too big")
	}
	return &pattern{prog: p.prog}, nil
}

func (p *parser) emit(i instr) int {
	p.prog = append(p.prog, i)
	return len(p.prog) - 1
}

func (p *parser) more(s string) bool {
	if strings.HasPrefix(p.src[p.at:], s) {
		p.at += len(s)
		return true
	}
	return false
}

// alternatives parses a|b|c. It reports whether the result can match nothing.
func (p *parser) alternatives() (empty bool, err error) {
	if p.depth++; p.depth > maxNesting {
		return false, errors.New("nested too deep")
	}
	defer func() { p.depth-- }()
	start := len(p.prog)
	fold := p.fold
	defer func() { p.fold = fold }()
	var jumps []int
	for {
		e, err := p.terms()
		if err != nil {
			return false, err
		}
		empty = empty || e
		if !p.more("|") {
			break
		}
		if len(p.prog) > maxProgram {
			return false, errors.New("too big")
		}
		p.insert(start, instr{op: opSplit})
		p.prog[start].x = int32(start + 1)
		jumps = append(shift(jumps, start), p.emit(instr{op: opJump}))
		p.prog[start].y = int32(len(p.prog))
		start = len(p.prog)
	}
	for _, j := range jumps {
		p.prog[j].x = int32(len(p.prog))
	}
	return empty, nil
}

func shift(js []int, from int) []int {
	for i := range js {
		if js[i] >= from {
			js[i]++
		}
	}
	return js
}

// insert puts an instruction at a place and moves the targets behind it.
func (p *parser) insert(at int, in instr) {
	p.prog = append(p.prog, instr{})
	copy(p.prog[at+1:], p.prog[at:])
	p.prog[at] = in
	for i := range p.prog {
		if i == at {
			continue
		}
		if c := &p.prog[i]; c.op == opSplit || c.op == opJump || c.op == opLook || c.op == opAtomic {
			if int(c.x) >= at && i > at {
				c.x++
			}
			if int(c.y) >= at && i > at {
				c.y++
			}
		}
	}
}

func (p *parser) terms() (empty bool, err error) {
	empty = true
	for p.at < len(p.src) && p.src[p.at] != '|' && p.src[p.at] != ')' {
		e, err := p.term()
		if err != nil {
			return false, err
		}
		empty = empty && e
		if len(p.prog) > maxProgram {
			return false, errors.New("too big")
		}
	}
	return empty, nil
}

// term parses one atom with its repetition.
func (p *parser) term() (empty bool, err error) {
	start := len(p.prog)
	empty, err = p.atom()
	if err != nil {
		return false, err
	}
	for p.at < len(p.src) {
		lo, hi, ok, err := p.quantifier()
		if err != nil {
			return false, err
		}
		if !ok {
			break
		}
		mode := uint8(greedy)
		if p.more("?") {
			mode = lazy
		} else if p.src[p.at-1] != '}' && p.more("+") {
			mode = possessive
		}
		if err := p.repeat(start, lo, hi, mode, empty); err != nil {
			return false, err
		}
		empty = empty || lo == 0
	}
	return empty, nil
}

// quantifier parses ?, *, + or {n,m}; a brace that is none of these is an ordinary
// character.
func (p *parser) quantifier() (lo, hi int, ok bool, err error) {
	switch {
	case p.more("?"):
		return 0, 1, true, nil
	case p.more("*"):
		return 0, -1, true, nil
	case p.more("+"):
		return 1, -1, true, nil
	}
	if p.src[p.at] != '{' {
		return 0, 0, false, nil
	}
	end := strings.IndexByte(p.src[p.at:], '}')
	if end < 0 {
		return 0, 0, false, nil
	}
	from, to, ranged := strings.Cut(p.src[p.at+1:p.at+end], ",")
	if from != "" || !ranged {
		if lo, err = strconv.Atoi(from); err != nil {
			return 0, 0, false, nil
		}
	}
	hi = lo
	if ranged {
		if hi = -1; to != "" {
			if hi, err = strconv.Atoi(to); err != nil {
				return 0, 0, false, nil
			}
		}
	}
	if lo < 0 || lo > 1024 || hi > 1024 || hi >= 0 && hi < lo {
		return 0, 0, false, fmt.Errorf("bad repetition %q", p.src[p.at:p.at+end+1])
	}
	p.at += end + 1
	return lo, hi, true, nil
}

// repeat rewrites the program from start on as a repetition.
func (p *parser) repeat(start, lo, hi int, mode uint8, empty bool) error {
	body := append([]instr(nil), p.prog[start:]...)
	if len(body) == 1 && body[0].op == opSet {
		p.prog[start] = instr{op: opRepeat, mode: mode, set: body[0].set, min: lo, max: hi}
		return nil
	}
	if hi < 0 && empty {
		return errors.New("unlimited repetition of what may be empty")
	}
	if n := len(body) + 2; n*(max(lo, hi)+1) > maxProgram {
		return errors.New("too big")
	}
	p.prog = p.prog[:start]
	if mode == possessive {
		p.emit(instr{op: opAtomic})
	}
	for range lo {
		p.paste(body, start)
	}
	branch := func() int {
		return p.emit(instr{op: opSplit})
	}
	var exits []int
	if hi < 0 {
		at := branch()
		p.paste(body, start)
		p.emit(instr{op: opJump, x: int32(at)})
		exits = append(exits, at)
	}
	for range hi - lo {
		exits = append(exits, branch())
		p.paste(body, start)
	}
	for _, at := range exits {
		p.prog[at].x, p.prog[at].y = int32(at+1), int32(len(p.prog))
		if mode == lazy {
			p.prog[at].x, p.prog[at].y = p.prog[at].y, p.prog[at].x
		}
	}
	if mode == possessive {
		p.emit(instr{op: opMatch})
		p.prog[start].x = int32(len(p.prog))
	}
	return nil
}

// paste appends a copy of a body that was compiled at from.
func (p *parser) paste(body []instr, from int) {
	d := int32(len(p.prog) - from)
	for _, in := range body {
		in.x, in.y = in.x+d, in.y+d
		p.prog = append(p.prog, in)
	}
}

// atom parses a group, a set, an anchor or a character.
func (p *parser) atom() (empty bool, err error) {
	c := p.src[p.at]
	switch c {
	case '(':
		return p.group()
	case '[':
		rs, err := p.set()
		p.emit(instr{op: opSet, set: newRuneSet(rs)})
		return false, err
	case '.':
		p.at++
		p.emit(instr{op: opSet, set: newRuneSet(negate([]runeRange{{'\n', '\n'}}))})
		return false, nil
	case '^', '$':
		p.at++
		op := opStart
		if c == '$' {
			op = opEnd
		}
		p.emit(instr{op: op})
		return true, nil
	case '\\':
		if p.more(`\A`) {
			p.emit(instr{op: opTextStart})
			return true, nil
		}
		if p.more(`\z`) {
			p.emit(instr{op: opTextEnd})
			return true, nil
		}
		rs, _, err := p.escape()
		if err != nil {
			return false, err
		}
		p.emit(instr{op: opSet, set: newRuneSet(p.folded(rs))})
		return false, nil
	case '*', '+', '?':
		return false, fmt.Errorf("nothing before %q", string(c))
	}
	r, n := utf8.DecodeRuneInString(p.src[p.at:])
	p.at += n
	p.emit(instr{op: opSet, set: newRuneSet(p.folded([]runeRange{{r, r}}))})
	return false, nil
}

func (p *parser) folded(rs []runeRange) []runeRange {
	if p.fold {
		return foldRanges(rs)
	}
	return rs
}

func (p *parser) group() (empty bool, err error) {
	before := p.fold
	look, at := false, -1
	switch {
	case p.more("(?:"):
	case p.more("(?i:"):
		p.fold = true
	case p.more("(?i)"):
		p.fold = true // to the end of the enclosing group
		return true, nil
	case p.more("(?="):
		look, at = true, p.emit(instr{op: opLook})
	case p.more("(?!"):
		look, at = true, p.emit(instr{op: opLook, mode: 1})
	case p.more("(?>"):
		at = p.emit(instr{op: opAtomic})
	case strings.HasPrefix(p.src[p.at:], "(?"):
		return false, errors.New("unsupported group")
	default:
		p.at++
	}
	empty, err = p.alternatives()
	p.fold = before
	if err != nil {
		return false, err
	}
	if !p.more(")") {
		return false, errors.New("group is not closed")
	}
	if at >= 0 {
		p.emit(instr{op: opMatch})
		p.prog[at].x = int32(len(p.prog))
	}
	return empty || look, nil
}

// escape parses \x outside or inside a set. single is the character if it is only one.
func (p *parser) escape() (rs []runeRange, single bool, err error) {
	if p.at+1 >= len(p.src) {
		return nil, false, errors.New("nothing after the backslash")
	}
	c := p.src[p.at+1]
	p.at += 2
	one := func(r rune) ([]runeRange, bool, error) { return []runeRange{{r, r}}, true, nil }
	switch c {
	case 'n':
		return one('\n')
	case 'r':
		return one('\r')
	case 't':
		return one('\t')
	case 'f':
		return one('\f')
	case 'v':
		return one('\v')
	case 'p', 'P':
		rs, err = p.property(c == 'P')
		return rs, false, err
	case 'x', 'u':
		r, err := p.hex(c)
		if err != nil {
			return nil, false, err
		}
		return one(r)
	}
	if rs, ok := classEscape(c); ok {
		return rs, false, nil
	}
	if c < utf8.RuneSelf && (unicode.IsLetter(rune(c)) || unicode.IsDigit(rune(c))) {
		return nil, false, fmt.Errorf("unsupported escape %q", `\`+string(c))
	}
	r, n := utf8.DecodeRuneInString(p.src[p.at-1:])
	p.at += n - 1
	return one(r)
}

// hex parses what follows \x or \u.
func (p *parser) hex(kind byte) (rune, error) {
	digits := 2
	if kind == 'u' {
		digits = 4
	}
	rest := p.src[p.at:]
	text, n := "", digits
	if strings.HasPrefix(rest, "{") {
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return 0, errors.New("brace is not closed")
		}
		text, n = rest[1:end], end+1
	} else if len(rest) >= digits {
		text = rest[:digits]
	}
	v, err := strconv.ParseUint(text, 16, 32)
	if err != nil || v > unicode.MaxRune {
		return 0, fmt.Errorf("bad character code %q", text)
	}
	p.at += n
	return rune(v), nil
}

func (p *parser) property(not bool) ([]runeRange, error) {
	rest := p.src[p.at:]
	name := ""
	if strings.HasPrefix(rest, "{") {
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			return nil, errors.New("brace is not closed")
		}
		name = rest[1:end]
		p.at += end + 1
	} else if rest != "" {
		_, n := utf8.DecodeRuneInString(rest)
		name = rest[:n]
		p.at += n
	}
	if strings.HasPrefix(name, "^") {
		not, name = !not, name[1:]
	}
	rs, err := property(name)
	if err == nil && not {
		rs = negate(rs)
	}
	return rs, err
}
