package graph

import (
	"errors"
	"slices"
)

// plan is the work of Compile.
type plan struct {
	g       *Graph
	slots   map[*Node]*slot
	saved   map[*fused][]*slot
	outs    map[*fused][]*slot // gradients of a backward operation, nil where nobody wants one
	all     []*slot
	steps   []planned
	visited map[*fused]bool
	needed  map[*fused][]bool // outputs of backward operations that somebody reads
}

// planned is a step before memory is given out.
type planned struct {
	f          *fused // nil for a sum
	terms      []*slot
	value      *slot
	in         []*slot
	grad       *slot
	saved, out []*slot
}

// Compile plans a run that computes outputs, and the gradients of all parameters if
// Differentiate was called, which go to Params.Grads. A graph is compiled once.
func (g *Graph) Compile(outputs ...*Node) (*Machine, error) {
	if g.err != nil {
		return nil, g.err
	}
	if len(outputs) == 0 || slices.Contains(outputs, nil) {
		return nil, errors.New("compile graph: an output is missing")
	}
	if g.used {
		return nil, errors.New("compile graph: was compiled before")
	}
	if err := g.verify(); err != nil {
		return nil, err
	}
	g.used = true
	p := &plan{
		g: g, slots: map[*Node]*slot{}, saved: map[*fused][]*slot{}, outs: map[*fused][]*slot{},
		visited: map[*fused]bool{}, needed: map[*fused][]bool{},
	}
	roots := slices.Clone(outputs)
	for _, l := range g.sortedParams() {
		if n := g.grads[l]; n != nil {
			roots = append(roots, n)
		}
	}
	p.mark(roots)
	p.schedule()
	for _, n := range outputs {
		p.slotOf(n)
	}
	p.sumGradients()
	for _, n := range outputs {
		p.slots[n].reach(len(p.steps))
	}
	p.reuse()
	p.bindFlat()
	return p.machine(outputs), nil
}

func (g *Graph) sortedParams() []*leaf {
	var out []*leaf
	for _, l := range g.leaves {
		if l.isPar {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *leaf) int { return a.param.Offset - b.param.Offset })
	return out
}

// mark finds the operations that roots need, and which gradients of each are read.
func (p *plan) mark(roots []*Node) {
	seen := map[*Node]bool{}
	for len(roots) > 0 {
		n := roots[len(roots)-1]
		roots = roots[:len(roots)-1]
		if seen[n] {
			continue
		}
		seen[n] = true
		if l := p.g.byNode[n]; l != nil {
			p.slots[n] = &slot{what: n.Name(), size: size(n), fixed: l.floats, ints: l.ints}
			continue
		}
		if n == p.g.seed {
			p.slots[n] = &slot{what: "seed", size: 1, fixed: []float32{1}}
			continue
		}
		f, ours := n.Op().(*fused)
		if !ours {
			roots = append(roots, p.g.children(n)...)
			continue
		}
		switch f.kind {
		case forward:
			p.visited[f] = true
			roots = append(roots, f.inputs...)
		case backward:
			p.need(f, f.first)
			roots = append(roots, f.inputs...)
		case pick: // needs what the operation needs, not its first gradient
			p.need(f.back, f.index)
			roots = append(roots, f.back.inputs...)
		}
	}
}

func (p *plan) need(f *fused, output int) {
	if p.needed[f] == nil {
		p.needed[f] = make([]bool, len(f.inputs)-2)
	}
	p.needed[f][output] = true
	for i, k := range f.op.Grads {
		if f.op.AllGrads && k == i {
			p.needed[f][i] = true
		}
	}
	p.visited[f] = true
}

// schedule puts the operations in order, forward as they were applied and backward in
// reverse. Sums and aliases come right before their first reader.
func (p *plan) schedule() {
	ops := make([]*fused, 0, len(p.visited))
	for f := range p.visited {
		ops = append(ops, f)
	}
	slices.SortFunc(ops, func(a, b *fused) int { return a.key() - b.key() })
	for _, f := range ops {
		if !f.op.Alias {
			p.emit(f)
		}
	}
}

func (p *plan) newSlot(what string, size int) *slot {
	s := &slot{what: what, size: size, first: len(p.steps), last: len(p.steps)}
	p.all = append(p.all, s)
	return s
}

// emit adds the step of an operation, after the sums it reads.
func (p *plan) emit(f *fused) {
	in := make([]*slot, len(f.inputs))
	for i, n := range f.inputs {
		if f.kind == forward || i >= len(in)-2 || slices.Contains(f.op.Reads, i) {
			in[i] = p.slotOf(n)
		}
	}
	if f.kind == forward && f.op.Alias {
		p.slots[f.node] = &slot{what: f.String(), size: in[0].size, root: in[0]}
		return
	}
	now := len(p.steps)
	st := planned{f: f, in: in}
	switch f.kind {
	case forward:
		st.value = p.newSlot(f.String(), sizeOf(f.shape))
		p.slots[f.node] = st.value
		for _, n := range f.op.Saved {
			st.saved = append(st.saved, p.newSlot(f.String(), n))
		}
		p.saved[f] = st.saved
	case backward:
		n := len(in) - 2
		st.grad = in[n+1]
		if f.op.ReadsValue {
			st.value = in[n]
		} else {
			in[n] = nil
		}
		st.saved = p.saved[f.fwd]
		st.out = make([]*slot, n)
		for i, want := range p.needed[f] {
			if want {
				st.out[i] = p.newSlot(f.String(), size(f.inputs[i]))
			}
		}
		p.outs[f] = st.out
		st.in = in[:n]
	}
	for _, s := range append(append(slices.Clone(in), st.saved...), st.value) {
		if s != nil {
			s.reach(now)
		}
	}
	p.steps = append(p.steps, st)
}

// slotOf returns where a value is, after adding the step of a sum if it is one.
func (p *plan) slotOf(n *Node) *slot {
	if s := p.slots[n]; s != nil {
		return s
	}
	f, ours := n.Op().(*fused)
	switch {
	case ours && f.kind == pick:
		p.slots[n] = p.outs[f.back][f.index]
	case ours && f.kind == backward:
		p.slots[n] = p.outs[f][f.first]
	case ours:
		p.emit(f) // an alias
	default:
		p.slots[n] = p.sum(n)
	}
	return p.slots[n]
}

// sum adds the step of a tree of additions as one sum, its terms in the order of the
// operations that made them. It writes over its first term if nobody else reads that.
func (p *plan) sum(n *Node) *slot {
	var leaves []*Node
	p.terms(n, &leaves)
	slices.SortStableFunc(leaves, func(a, b *Node) int { return p.order(a) - p.order(b) })
	st := planned{}
	for _, m := range leaves {
		st.terms = append(st.terms, p.slotOf(m))
	}
	now := len(p.steps)
	st.value = p.newSlot("sum of gradients", size(n))
	for _, s := range st.terms {
		s.reach(now)
	}
	p.steps = append(p.steps, st)
	return st.value
}

// terms collects the terms of nested additions. An addition that somebody else reads too
// cannot be: Gorgonia makes each for one node's gradient.
func (p *plan) terms(n *Node, out *[]*Node) {
	if !isAdd(n) {
		*out = append(*out, n)
		return
	}
	for _, c := range p.g.children(n) {
		if isAdd(c) && p.readers(c) == 1 {
			p.terms(c, out)
		} else {
			*out = append(*out, c)
		}
	}
}

func (p *plan) readers(n *Node) int { return p.g.expr.To(n.ID()).Len() }

func (p *plan) order(n *Node) int {
	if f, ok := n.Op().(*fused); ok {
		return f.key()
	}
	return int(n.ID()) + 4*len(p.g.ops) // another sum: after all operations
}

// sumGradients adds the steps of the sums that no operation reads: the gradients of
// parameters that are used more than once.
func (p *plan) sumGradients() {
	for _, l := range p.g.sortedParams() {
		if n := p.g.grads[l]; n != nil {
			p.slotOf(n)
		}
	}
}

// bindFlat makes the memory of parameters' gradients the flat vector, or adds a step that
// copies where that cannot be: two parameters with one gradient.
func (p *plan) bindFlat() {
	for _, l := range p.g.sortedParams() {
		n := p.g.grads[l]
		if n == nil {
			continue
		}
		flat := p.g.params.Grads[l.param.Offset : l.param.Offset+l.param.Size]
		s := p.slotOf(n)
		if r := s.find(); r.fixed == nil && r.size == len(flat) {
			r.fixed = flat
			continue
		}
		s.reach(len(p.steps))
		p.steps = append(p.steps, planned{terms: []*slot{s}, value: &slot{size: len(flat), fixed: flat}})
	}
}

// reuse lets each sum write over its first term if that has no later reader.
func (p *plan) reuse() {
	for i, st := range p.steps {
		if st.f != nil || len(st.terms) < 2 {
			continue
		}
		r := st.terms[0].find()
		if r.fixed != nil || r.last != i || r.size != st.value.size || slices.ContainsFunc(st.terms[1:], func(s *slot) bool { return s.find() == r }) {
			continue
		}
		st.value.root = r
		r.last = max(r.last, st.value.last)
	}
}

// machine gives out the memory and binds the calls to it.
func (p *plan) machine(outputs []*Node) *Machine {
	var own []*slot
	for _, s := range p.all {
		if s.root == nil && s.fixed == nil {
			own = append(own, s)
		}
	}
	m := &Machine{graph: p.g, arena: place(own), outputs: map[*Node][]float32{}}
	arena := make([]float32, m.arena)
	for _, s := range own {
		s.fixed = arena[s.at : s.at+s.size : s.at+s.size]
	}
	for _, st := range p.steps {
		m.steps = append(m.steps, p.bind(st))
	}
	for _, n := range outputs {
		m.outputs[n] = p.slots[n].find().fixed
	}
	return m
}

func memory(s *slot) []float32 {
	if s == nil {
		return nil
	}
	return s.find().fixed
}

func memories(slots []*slot) [][]float32 {
	out := make([][]float32, len(slots))
	for i, s := range slots {
		out[i] = memory(s)
	}
	return out
}

func (p *plan) bind(st planned) step {
	if st.f == nil {
		return sumStep(p.g.pool, memory(st.value), memories(st.terms))
	}
	c := Call{Pool: p.g.pool, Value: memory(st.value), Saved: memories(st.saved), Grad: memory(st.grad), Out: memories(st.out), run: p.g.state}
	for _, s := range st.in {
		b := Buf{F: memory(s)}
		if s != nil && s.find().ints != nil {
			b = Buf{I: s.find().ints}
		}
		c.In = append(c.In, b)
	}
	if st.f.kind == backward {
		return step{f: st.f.op.Back, call: c, name: st.f}
	}
	return step{f: st.f.op.Run, call: c, name: st.f}
}
