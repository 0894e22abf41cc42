package token

import "unicode/utf8"

// matchBudget is the number of steps a search may take for each byte of text (and at least
// for 1,024 bytes). Published patterns need under ten; one made to backtrack without end
// stops here, and the rest of the text counts as not matched.
const matchBudget = 256

// maxFrames is the number of ways not tried yet that may be open for each byte of text (and
// at least for 1,024 bytes). Published patterns keep under one; beyond, the search ends like
// one out of steps.
const maxFrames = 4

// frame is a way not tried yet: a program counter and a place; for a repetition also the
// first place it may give back to.
type frame struct {
	pc, pos, min int
}

// machine runs a pattern over one text.
type machine struct {
	prog  []instr
	text  string
	steps int
	room  int // frames the stack may have
	stack []frame
}

// find calls yield for the leftmost match from each place on, until the text ends. Matches
// of nothing are passed over.
func (p *pattern) find(text string, yield func(start, end int)) {
	m := machine{prog: p.prog, text: text, steps: matchBudget * max(len(text), 1024), room: maxFrames * max(len(text), 1024)}
	for pos := 0; pos < len(text); {
		end, ok := m.run(0, pos)
		if m.steps <= 0 {
			return
		}
		if ok && end > pos {
			yield(pos, end)
			pos = end
			continue
		}
		_, n := utf8.DecodeRuneInString(text[pos:])
		pos += n
	}
}

// run matches from a program counter up to its opMatch, anchored at pos.
func (m *machine) run(pc, pos int) (end int, ok bool) {
	base := len(m.stack)
	defer func() { m.stack = m.stack[:base] }()
	for {
		if m.steps--; m.steps <= 0 {
			return 0, false
		}
		in := &m.prog[pc]
		pass := true
		switch in.op {
		case opSet:
			if pos >= len(m.text) {
				pass = false
				break
			}
			r, n := utf8.DecodeRuneInString(m.text[pos:])
			if pass = in.set.has(r); pass {
				pos += n
				pc++
			}
		case opRepeat:
			pos, pass = m.repeat(in, pc, pos)
			pc++
		case opSplit:
			m.push(frame{int(in.y), pos, -1})
			pc = int(in.x)
		case opJump:
			pc = int(in.x)
		case opLook, opAtomic:
			end, ok := m.run(pc+1, pos)
			if in.op == opAtomic {
				pos, pass = end, ok
			} else {
				pass = ok != (in.mode == 1)
			}
			pc = int(in.x)
		case opMatch:
			return pos, true
		default:
			pass = m.anchor(in.op, pos)
			pc++
		}
		if !pass {
			if pc, pos, ok = m.backtrack(base); !ok {
				return 0, false
			}
		}
	}
}

// push opens another way.
func (m *machine) push(f frame) {
	if len(m.stack) >= m.room {
		m.steps = 0
		return
	}
	m.stack = append(m.stack, f)
}

// anchor tests a place.
func (m *machine) anchor(op opcode, pos int) bool {
	switch op {
	case opStart:
		return pos == 0 || m.text[pos-1] == '\n'
	case opEnd:
		return pos == len(m.text) || m.text[pos] == '\n'
	case opTextStart:
		return pos == 0
	}
	return pos == len(m.text)
}

// repeat takes characters of a set and leaves on the stack what it may give back or take.
func (m *machine) repeat(in *instr, pc, pos int) (int, bool) {
	limit := in.max
	if in.mode == lazy {
		limit = in.min
	}
	least, count := pos, 0
	for pos < len(m.text) && (limit < 0 || count < limit) {
		r, n := utf8.DecodeRuneInString(m.text[pos:])
		if !in.set.has(r) {
			break
		}
		pos += n
		if count++; count == in.min {
			least = pos
		}
	}
	m.steps -= count
	if count < in.min {
		return pos, false
	}
	switch {
	case in.mode == greedy && pos > least:
		m.push(frame{pc + 1, pos, least})
	case in.mode == lazy && (in.max < 0 || in.min < in.max):
		left := -2 // frame.min of a lazy repetition: how many more, from -2 down; -2 = any
		if in.max >= 0 {
			left = -2 - (in.max - in.min)
		}
		m.push(frame{pc, pos, left})
	}
	return pos, true
}

// backtrack takes up the last way not tried.
func (m *machine) backtrack(base int) (pc, pos int, ok bool) {
	for len(m.stack) > base {
		m.steps--
		f := &m.stack[len(m.stack)-1]
		switch {
		case f.min == -1: // alternative
			pc, pos = f.pc, f.pos
			m.stack = m.stack[:len(m.stack)-1]
			return pc, pos, true
		case f.min >= 0: // greedy: give back one
			_, n := utf8.DecodeLastRuneInString(m.text[:f.pos])
			f.pos -= n
			pc, pos = f.pc, f.pos
			if f.pos <= f.min {
				m.stack = m.stack[:len(m.stack)-1]
			}
			return pc, pos, true
		default: // lazy: take one more
			in := &m.prog[f.pc]
			r, n := utf8.DecodeRuneInString(m.text[f.pos:])
			if f.pos >= len(m.text) || !in.set.has(r) {
				m.stack = m.stack[:len(m.stack)-1]
				continue
			}
			f.pos += n
			pc, pos = f.pc+1, f.pos
			if f.min < -2 {
				if f.min++; f.min == -2 {
					m.stack = m.stack[:len(m.stack)-1]
				}
			}
			return pc, pos, true
		}
	}
	return 0, 0, false
}
