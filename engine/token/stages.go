package token

import (
	"strings"
	"unicode/utf8"
)

// sink takes what a stage gives: text, and whether it starts a new token (else it goes on
// with the last one).
type sink func(s string, fresh bool)

// stage is one decoder at work on a stream.
type stage interface {
	push(s string, fresh bool, out sink)
	flush(out sink)
}

// stageMaker makes a stage for one stream. whole says that nobody waits for the text: a
// stage may then hold back more to be exactly the reference.
type stageMaker func(whole bool) stage

// stateless is a stage that maps each token alone.
type stateless func(string) string

func (f stateless) push(s string, fresh bool, out sink) { out(f(s), fresh) }
func (f stateless) flush(sink)                          {}

// perToken makes a stage of a function that needs to know if the token is the first.
type perToken struct {
	f     func(s string, first bool) string
	begun bool
}

func (p *perToken) push(s string, fresh bool, out sink) {
	out(p.f(s, !p.begun), fresh)
	p.begun = true
}
func (p *perToken) flush(sink) {}

// byteLevelStage turns byte-level spelling into bytes and those into text. Tokens that are
// not in that spelling stand for themselves.
type byteLevelStage struct{ text utf8Stage }

func (b *byteLevelStage) push(s string, fresh bool, out sink) {
	if raw, ok := unspell(s); ok {
		s = raw
	}
	b.text.push(s, fresh, out)
}
func (b *byteLevelStage) flush(out sink) { b.text.flush(out) }

// utf8Stage collects bytes and gives whole characters; what is not UTF-8 becomes U+FFFD,
// one for each maximal broken sequence.
type utf8Stage struct {
	held  []byte
	begun bool
}

func (u *utf8Stage) push(s string, _ bool, out sink) {
	u.held = append(u.held, s...)
	text, used := lossy(u.held, false)
	u.give(text, out)
	u.held = append(u.held[:0], u.held[used:]...)
}

func (u *utf8Stage) flush(out sink) {
	text, _ := lossy(u.held, true)
	u.held = u.held[:0]
	u.give(text, out)
}

func (u *utf8Stage) give(text string, out sink) {
	if text != "" {
		out(text, !u.begun)
		u.begun = true
	}
}

// lossy decodes b and returns how many bytes it used: all, or, unless last, all but a
// character that has begun.
func lossy(b []byte, last bool) (string, int) {
	if utf8.Valid(b) {
		return string(b), len(b)
	}
	var out strings.Builder
	i := 0
	for i < len(b) {
		r, n := utf8.DecodeRune(b[i:])
		if r != utf8.RuneError || n > 1 {
			out.Write(b[i : i+n])
			i += n
			continue
		}
		n, open := brokenPrefix(b[i:])
		if open && !last {
			break
		}
		out.WriteRune(utf8.RuneError)
		i += n
	}
	return out.String(), i
}

// brokenPrefix returns the length of the maximal sequence at the start of b that begins a
// character but does not complete one (Unicode, table 3-7), and whether more bytes might.
func brokenPrefix(b []byte) (n int, open bool) {
	lo, hi, need := byte(0x80), byte(0xBF), 0
	switch c := b[0]; {
	case c >= 0xC2 && c <= 0xDF:
		need = 1
	case c >= 0xE0 && c <= 0xEF:
		need = 2
		if c == 0xE0 {
			lo = 0xA0
		} else if c == 0xED {
			hi = 0x9F
		}
	case c >= 0xF0 && c <= 0xF4:
		need = 3
		if c == 0xF0 {
			lo = 0x90
		} else if c == 0xF4 {
			hi = 0x8F
		}
	default:
		return 1, false
	}
	n = 1
	for n <= need {
		if n == len(b) {
			return n, true
		}
		if b[n] < lo || b[n] > hi {
			return n, false
		}
		lo, hi = 0x80, 0xBF
		n++
	}
	return n, false
}

// byteFallbackStage joins tokens <0x00>..<0xFF> to text. The reference replaces each byte
// of a run that is not all UTF-8; a stream that cannot wait for the end of the run gives
// the characters it has and replaces only the broken ones.
type byteFallbackStage struct {
	whole bool
	held  []byte
}

func (f *byteFallbackStage) push(s string, _ bool, out sink) {
	b, ok := byteToken(s)
	if !ok {
		f.flush(out)
		out(s, true)
		return
	}
	f.held = append(f.held, b)
	if f.whole {
		return
	}
	if text, used := lossy(f.held, false); used > 0 {
		out(text, true)
		f.held = append(f.held[:0], f.held[used:]...)
	}
}

func (f *byteFallbackStage) flush(out sink) {
	if len(f.held) == 0 {
		return
	}
	if utf8.Valid(f.held) {
		out(string(f.held), true)
	} else {
		for range f.held {
			out("\uFFFD", true)
		}
	}
	f.held = f.held[:0]
}

// byteToken reads <0xHH>.
func byteToken(s string) (byte, bool) {
	if len(s) != 6 || s[:3] != "<0x" || s[5] != '>' {
		return 0, false
	}
	v := 0
	for _, c := range []byte(s[3:5]) {
		switch {
		case c >= '0' && c <= '9':
			v = v<<4 | int(c-'0')
		case c >= 'A' && c <= 'F':
			v = v<<4 | int(c-'A'+10)
		case c >= 'a' && c <= 'f':
			v = v<<4 | int(c-'a'+10)
		default:
			return 0, false
		}
	}
	return byte(v), true
}

// fuseStage makes one token of all.
type fuseStage struct{ begun bool }

func (f *fuseStage) push(s string, _ bool, out sink) {
	out(s, !f.begun)
	f.begun = true
}
func (f *fuseStage) flush(sink) {}

// stripStage cuts up to left and right times a character off the ends of each token.
type stripStage struct {
	char        string
	left, right int
	leftLeft    int    // what may still be cut from the token at hand
	held        string // the end of the token at hand that may be cut
	begun       bool
	fresh       bool // the token at hand has given nothing yet
}

func (t *stripStage) push(s string, fresh bool, out sink) {
	if fresh || !t.begun {
		t.flush(out)
		t.begun, t.fresh, t.leftLeft = true, true, t.left
	}
	for t.leftLeft > 0 && strings.HasPrefix(s, t.char) {
		s = s[len(t.char):]
		t.leftLeft--
	}
	if s == "" {
		return
	}
	t.leftLeft = 0
	s = t.held + s
	keep := len(s)
	for n := 0; n < t.right && strings.HasSuffix(s[:keep], t.char); n++ {
		keep -= len(t.char)
	}
	t.held = s[keep:]
	if keep > 0 {
		out(s[:keep], t.fresh)
		t.fresh = false
	}
}

func (t *stripStage) flush(sink) { t.held = "" }

// holdStage maps a token when it knows whether it is the last one.
type holdStage struct {
	f     func(s string, last bool) string
	held  []byte
	begun bool
}

func (h *holdStage) push(s string, fresh bool, out sink) {
	if !fresh && h.begun {
		h.held = append(h.held, s...)
		return
	}
	if h.begun {
		out(h.f(string(h.held), false), true)
	}
	h.held, h.begun = append(h.held[:0], s...), true
}

func (h *holdStage) flush(out sink) {
	if h.begun {
		out(h.f(string(h.held), true), true)
	}
	h.begun = false
}

// cleanUp joins punctuation to the word before it, as BERT's decoder does.
func cleanUp(s string) string {
	if !strings.Contains(s, " ") {
		return s
	}
	for _, r := range [][2]string{
		{" .", "."},
		{" ?", "?"},
		{" !", "!"},
		{" ,", ","},
		{" ' ", "'"},
		{" n't", "n't"},
		{" 'm", "'m"},
		{" do not", " don't"},
		{" 's", "'s"},
		{" 've", "'ve"},
		{" 're", "'re"},
	} {
		s = strings.ReplaceAll(s, r[0], r[1])
	}
	return s
}
