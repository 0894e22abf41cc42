package sample

import "slices"

// StopMatcher finds the first stop text in a stream of text pieces, and holds back text
// that may be the beginning of one. What it finds and gives out does not depend on how the
// text is cut into pieces: the stop text that ends first counts, and of those that end at
// the same byte the longest. It belongs to one stream.
type StopMatcher struct {
	stops   []stop
	held    string // Invariant: the longest beginning of a stop text that the text so far ends with.
	stopped bool
}

// stop is one text, matched as in Knuth, Morris and Pratt ("Fast pattern matching in
// strings", 1977).
type stop struct {
	text string
	fail []int32 // length of the longest proper prefix of text[:i+1] that is its suffix
	at   int     // bytes matched. Invariant: less than len(text).
}

// NewStopMatcher returns a matcher of stop texts; empty ones never match.
func NewStopMatcher(stops []string) *StopMatcher {
	m := &StopMatcher{}
	for _, text := range stops {
		if text == "" || slices.ContainsFunc(m.stops, func(s stop) bool { return s.text == text }) {
			continue
		}
		s := stop{text: text, fail: make([]int32, len(text))}
		for i := 1; i < len(text); i++ {
			n := s.fail[i-1]
			for n > 0 && text[n] != text[i] {
				n = s.fail[n-1]
			}
			if text[n] == text[i] {
				n++
			}
			s.fail[i] = n
		}
		m.stops = append(m.stops, s)
	}
	return m
}

// step takes a byte and tells whether the text ends with it.
func (s *stop) step(c byte) bool {
	for s.at > 0 && s.text[s.at] != c {
		s.at = int(s.fail[s.at-1])
	}
	if s.text[s.at] == c {
		s.at++
	}
	if s.at < len(s.text) {
		return false
	}
	s.at = 0 // the stream ends here
	return true
}

// Next takes a piece and returns the text that is safe to show by now: all up to the stop
// text, without it, if one ended in the piece, else all but what may begin one. After a
// stop text it returns "" and true.
func (m *StopMatcher) Next(piece string) (safe string, stopped bool) {
	if m.stopped {
		return "", true
	}
	if len(m.stops) == 0 {
		return piece, false
	}
	for i := range len(piece) {
		found := 0
		for j := range m.stops {
			if s := &m.stops[j]; s.step(piece[i]) {
				found = max(found, len(s.text))
			}
		}
		if found > 0 {
			safe = m.head(piece, len(m.held)+i+1-found)
			m.held, m.stopped = "", true
			return safe, true
		}
	}
	next := ""
	for _, s := range m.stops {
		if s.at > len(next) {
			next = s.text[:s.at]
		}
	}
	safe = m.head(piece, len(m.held)+len(piece)-len(next))
	m.held = next
	return safe, false
}

// head returns the first n bytes of what is held followed by piece.
func (m *StopMatcher) head(piece string, n int) string {
	if n <= len(m.held) {
		return m.held[:n]
	}
	return m.held + piece[:n-len(m.held)]
}

// Flush returns what is held back, at the end of the stream.
func (m *StopMatcher) Flush() string {
	held := m.held
	m.held = ""
	for i := range m.stops {
		m.stops[i].at = 0
	}
	return held
}
