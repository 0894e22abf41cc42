package kernel

// groupsBytes is how much of the weights a thread takes at a time: it stays in the
// second-level cache while the panels of a prompt pass over it.
const groupsBytes = 256 << 10

// matMul computes dst (n, rows) from prepared activations.
func (m *quantMatrix) matMul(isa ISA, p *Pool, dst []float32, n int, a *quantActs) {
	size := m.format.groupBytes(m.cells)
	grain := max(1, min(groupsBytes/size, (m.groups()+4*p.Threads()-1)/(4*p.Threads())))
	a.mul = quantTask{m: m, dst: dst, a: a, isa: isa}
	p.Run(m.groups(), grain, &a.mul)
	a.mul = quantTask{}
}

// quantTask multiplies groups of rows with all panels.
type quantTask struct {
	m   *quantMatrix
	dst []float32
	a   *quantActs
	isa ISA
}

// Do computes the groups [lo, hi).
func (t *quantTask) Do(lo, hi int) {
	for i := range t.a.panels {
		for g := lo; g < hi; g++ {
			t.group(&t.a.panels[i], g)
		}
	}
}

// group computes 16 rows of one panel, straight into dst if all its results are wanted.
func (t *quantTask) group(p *actPanel, g int) {
	m := t.m
	at := p.first*m.rows + g*lanes
	if p.valid == p.tokens && (g+1)*lanes <= m.rows {
		quantGroup(t.isa, m.format, t.dst[at:], m.rows, m.group(g), m.cells, p)
		return
	}
	var out [maxPanel * lanes]float32
	quantGroup(t.isa, m.format, out[:], lanes, m.group(g), m.cells, p)
	for i := range p.valid {
		n := min(lanes, m.rows-g*lanes)
		copy(t.dst[at+i*m.rows:at+i*m.rows+n], out[i*lanes:])
	}
}
