package kernel

// How much of the weights a thread takes at a time. With several panels it is what stays
// in the second-level cache while they pass over it; with one it is long enough to stream
// and short enough that the threads end together.
const (
	cachedBytes   = 256 << 10
	streamedBytes = 96 << 10
)

// matMul computes dst (n, rows) from prepared activations.
func (m *quantMatrix) matMul(isa ISA, p *Pool, dst []float32, n int, a *quantActs) {
	limit := cachedBytes
	if len(a.panels) == 1 {
		limit = streamedBytes
	}
	grain := max(1, min(limit/m.groupBytes(), m.groups()/(4*p.Threads())))
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
		multiplyGroup(t.isa, m.format, t.dst[at:], m.rows, m.group(g), m.cells, p)
		return
	}
	var out [maxPanel * lanes]float32
	multiplyGroup(t.isa, m.format, out[:], lanes, m.group(g), m.cells, p)
	for i := range p.valid {
		n := min(lanes, m.rows-g*lanes)
		copy(t.dst[at+i*m.rows:at+i*m.rows+n], out[i*lanes:])
	}
}
