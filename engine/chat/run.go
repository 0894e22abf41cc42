package chat

import (
	"strings"
	"time"
	"unicode/utf8"
)

// run is the state of one rendering.
type run struct {
	t       *Template
	steps   int // left
	bytes   int // left to be made, of texts and lists together
	maxText int // bytes of one text
	depth   int // nodes being evaluated inside each other
	now     func() time.Time
}

// use charges a step and a further one per 64 bytes. It comes before the allocation.
func (r *run) use(bytes int) error {
	r.steps -= 1 + bytes>>6
	if r.steps < 0 {
		return limitf("the rendering takes too many steps")
	}
	if bytes > r.bytes {
		return limitf("the rendering makes too much text")
	}
	r.bytes -= bytes
	return nil
}

// text charges the making of a text.
func (r *run) text(bytes int) error {
	if bytes > r.maxText {
		return limitf("a text longer than %d bytes", r.maxText)
	}
	return r.use(bytes)
}

// scope holds the variables of a block and finds those of the blocks around it.
type scope struct {
	vars   []variable
	index  map[string]int // of vars, once there are too many to search one by one
	parent *scope
}

const fewVariables = 16

type variable struct {
	name  string
	value any
}

func newScope(parent *scope) *scope { return &scope{parent: parent} }

func (s *scope) set(name string, v any) {
	if i := s.find(name); i >= 0 {
		s.vars[i].value = v
		return
	}
	s.vars = append(s.vars, variable{name, v})
	if s.index != nil {
		s.index[name] = len(s.vars) - 1
	} else if len(s.vars) > fewVariables {
		s.index = make(map[string]int, 2*len(s.vars))
		for i := range s.vars {
			s.index[s.vars[i].name] = i
		}
	}
}

// find gives the position of a variable of this very scope, or -1.
func (s *scope) find(name string) int {
	if s.index != nil {
		if i, ok := s.index[name]; ok {
			return i
		}
		return -1
	}
	for i := range s.vars {
		if s.vars[i].name == name {
			return i
		}
	}
	return -1
}

func (s *scope) get(name string) (any, bool) {
	for ; s != nil; s = s.parent {
		if i := s.find(name); i >= 0 {
			return s.vars[i].value, true
		}
	}
	return nil, false
}

// writer collects output up to a limit.
type writer struct {
	strings.Builder
	limit int
}

func (w *writer) write(s string) error {
	if w.Len()+len(s) > w.limit {
		return limitf("the output is longer than %d bytes", w.limit)
	}
	w.WriteString(s)
	return nil
}

// flow is how a statement ended.
type flow uint8

const (
	flowNext flow = iota
	flowBreak
	flowContinue
)

func (r *run) exec(body []stmt, s *scope, out *writer) (flow, error) {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		return flowNext, limitf("calls nested deeper than %d", maxDepth)
	}
	for _, n := range body {
		if err := r.use(0); err != nil {
			return flowNext, located(n.pos(), err)
		}
		f, err := n.exec(r, s, out)
		if err != nil {
			return flowNext, located(n.pos(), err)
		}
		if f != flowNext {
			return f, nil
		}
	}
	return flowNext, nil
}

// capture runs a body and gives its text.
func (r *run) capture(body []stmt, s *scope) (string, error) {
	out := &writer{limit: r.maxText}
	if _, err := r.exec(body, s, out); err != nil {
		return "", err
	}
	return out.String(), r.use(out.Len())
}

func (r *run) eval(e expr, s *scope) (any, error) {
	r.depth++
	defer func() { r.depth-- }()
	if r.depth > maxDepth {
		return nil, located(e.pos(), limitf("expressions and calls nested deeper than %d", maxDepth))
	}
	if err := r.use(0); err != nil {
		return nil, located(e.pos(), err)
	}
	v, err := e.eval(r, s)
	if err != nil {
		return nil, located(e.pos(), err)
	}
	return v, nil
}

func runeCount(s string) int { return utf8.RuneCountInString(s) }

// loop is the variable of that name inside a for.
type loop struct {
	items   []any
	i       int
	depth   int
	changed []any // what changed() saw last
	seen    bool
}

func (l *loop) attribute(r *run, name string) (any, bool) {
	n := int64(len(l.items))
	i := int64(l.i)
	switch name {
	case "index":
		return i + 1, true
	case "index0":
		return i, true
	case "revindex":
		return n - i, true
	case "revindex0":
		return n - i - 1, true
	case "first":
		return i == 0, true
	case "last":
		return i == n-1, true
	case "length":
		return n, true
	case "depth":
		return int64(l.depth) + 1, true
	case "depth0":
		return int64(l.depth), true
	case "previtem":
		if i == 0 {
			return undefined{"there is no previous item"}, true
		}
		return l.items[i-1], true
	case "nextitem":
		if i == n-1 {
			return undefined{"there is no next item"}, true
		}
		return l.items[i+1], true
	case "cycle":
		return &builtin{"cycle", func(_ *run, a *args) (any, error) {
			if len(a.pos) == 0 {
				return nil, errorf("no items for cycling given")
			}
			return a.pos[l.i%len(a.pos)], nil
		}}, true
	case "changed":
		return &builtin{"changed", l.change}, true
	}
	return nil, false
}

func (l *loop) change(r *run, a *args) (any, error) {
	same, err := r.equalItems(l.changed, a.pos, l.seen, 0)
	l.changed, l.seen = a.pos, true
	return !same, err
}
