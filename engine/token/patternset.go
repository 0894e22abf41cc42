package token

import (
	"errors"
	"strings"
	"unicode/utf8"
)

// set parses [...], with ranges, escapes, nested sets and && (intersection).
func (p *parser) set() ([]runeRange, error) {
	if p.depth++; p.depth > maxNesting {
		return nil, errors.New("nested too deep")
	}
	defer func() { p.depth-- }()
	p.at++ // [
	not := p.more("^")
	var rs, with []runeRange
	narrowed := false
	for first := true; ; first = false {
		if p.at >= len(p.src) {
			return nil, errors.New("set is not closed")
		}
		if !first && p.more("]") {
			break
		}
		if p.more("&&") {
			if narrowed {
				rs = intersect(with, rs)
			}
			with, rs, narrowed = rs, nil, true
			continue
		}
		part, err := p.setItem()
		if err != nil {
			return nil, err
		}
		rs = append(rs, part...)
	}
	if narrowed {
		rs = intersect(with, rs)
	}
	rs = p.folded(rs)
	if not {
		rs = negate(rs)
	}
	return rs, nil
}

// setItem parses a nested set, an escape, a character or a range.
func (p *parser) setItem() ([]runeRange, error) {
	if strings.HasPrefix(p.src[p.at:], "[:") {
		return nil, errors.New("unsupported set name")
	}
	if p.src[p.at] == '[' {
		return p.set()
	}
	lo, single, err := p.setChar()
	if err != nil || !single || p.at+1 >= len(p.src) || p.src[p.at] != '-' || p.src[p.at+1] == ']' {
		return lo, err
	}
	p.at++
	hi, single, err := p.setChar()
	if err != nil {
		return nil, err
	}
	if !single || hi[0].lo < lo[0].lo {
		return nil, errors.New("bad range in set")
	}
	return []runeRange{{lo[0].lo, hi[0].lo}}, nil
}

func (p *parser) setChar() (rs []runeRange, single bool, err error) {
	if p.src[p.at] == '\\' {
		return p.escape()
	}
	r, n := utf8.DecodeRuneInString(p.src[p.at:])
	p.at += n
	return []runeRange{{r, r}}, true, nil
}
