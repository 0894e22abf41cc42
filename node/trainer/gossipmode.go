package trainer

// gossipMode: each member's numbers stay its own; a round certifies a state beside them, near to
// all, from which members count how far away they are. What a member gives to it is a copy of its
// numbers, so that it goes on learning meanwhile.
type gossipMode struct {
	t          model
	base, last []float32 // the certified state and the one before: parameters, then running statistics
	next       []float32 // what apply or alone made
	given      []float32 // the member's numbers when it gave them
}

func newGossipMode(t model) *gossipMode {
	n := len(t.Params().Values) + len(t.Stats())
	return &gossipMode{t: t, base: make([]float32, n), last: make([]float32, n), next: make([]float32, n), given: make([]float32, n)}
}

// learned writes the member's own numbers.
func (g *gossipMode) learned(dst []float32) {
	n := copy(dst, g.t.Params().Values)
	copy(dst[n:], g.t.Stats())
}

// put replaces them.
func (g *gossipMode) put(values []float32) {
	n := copy(g.t.Params().Values, values)
	copy(g.t.Stats(), values[n:])
}

// split cuts a vector into those of a state.
func (g *gossipMode) split(v []float32) [][]float32 {
	n := len(g.t.Params().Values)
	return [][]float32{v[:n], v[n:]}
}

func (*gossipMode) stepped(float64) {}

func (g *gossipMode) begin() { g.learned(g.base) }

func (*gossipMode) gradient() {}

// give copies the member's numbers: update and alone are of the copy.
func (g *gossipMode) give() { g.learned(g.given) }

func (g *gossipMode) update(dst []float32, lo int) {
	difference(dst, g.base[lo:lo+len(dst)], g.given[lo:lo+len(dst)])
}

// apply takes the middle of the differences from the base off it.
func (g *gossipMode) apply(result []float32, changed []span, _ bool) error {
	copy(g.next, g.base)
	for _, c := range changed {
		difference(g.next[c.lo:c.hi], g.base[c.lo:c.hi], result[c.lo:c.hi])
	}
	return nil
}

func (g *gossipMode) alone() { copy(g.next, g.given) }

func (g *gossipMode) commit() { g.last, g.base, g.next = g.base, g.next, g.last }

func (g *gossipMode) vectors() [][]float32 { return g.split(g.next) }

// The member's own numbers are not touched by apply.
func (*gossipMode) work() savedWork        { return savedWork{} }
func (*gossipMode) resume(savedWork) error { return nil }

func (g *gossipMode) kept() [][]float32 { return g.split(g.base) }

func (g *gossipMode) take(vectors [][]float32) error {
	if err := fits(g.kept(), vectors); err != nil {
		return err
	}
	g.last, g.base = g.base, g.last
	copyAll(g.split(g.base), vectors)
	g.put(g.base)
	return nil
}
