package kernel

// How much of the weights a thread takes at a time. With several panels it is what stays
// in the second-level cache while they pass over it; with one it is long enough to stream
// and short enough that the threads end together.
const (
	cachedBytes   = 256 << 10
	streamedBytes = 192 << 10
)

// quantTask multiplies the rows of several matrices, one after the other as one list of
// groups, with all panels.
type quantTask struct {
	a    *quantActs
	isa  ISA
	jobs []quantJob
}

// quantJob is one product.
type quantJob struct {
	m     *quantMatrix
	dst   []float32 // (n, rows)
	first int       // number of its first group in the task
}

// add appends a product to the next run.
func (t *quantTask) add(m *quantMatrix, dst []float32) {
	t.jobs = append(t.jobs, quantJob{m: m, dst: dst, first: t.groups()})
}

func (t *quantTask) groups() int {
	if len(t.jobs) == 0 {
		return 0
	}
	last := t.jobs[len(t.jobs)-1]
	return last.first + last.m.groups()
}

// matMul computes the products that were added from prepared activations, and forgets them.
func (a *quantActs) matMul(isa ISA, p *Pool) {
	t := &a.mul
	t.a, t.isa = a, isa
	limit := cachedBytes
	if len(a.panels) == 1 {
		limit = streamedBytes
	}
	groups, size := t.groups(), 0
	for _, j := range t.jobs {
		size = max(size, j.m.groupBytes())
	}
	p.Run(groups, min(limit/size, groups/(4*p.Threads())), t)
	clear(t.jobs)
	t.jobs = t.jobs[:0]
}

// Do computes the groups [lo, hi).
func (t *quantTask) Do(lo, hi int) {
	for i := range t.jobs {
		j := &t.jobs[i]
		from, to := max(lo-j.first, 0), min(hi-j.first, j.m.groups())
		for k := range t.a.panels {
			for g := from; g < to; g++ {
				j.group(t.isa, &t.a.panels[k], g)
			}
		}
	}
}

// group computes 16 rows of one panel, straight into dst if all its results are wanted.
func (j *quantJob) group(isa ISA, p *actPanel, g int) {
	m := j.m
	at := p.first*m.rows + g*lanes
	if p.valid == p.tokens && (g+1)*lanes <= m.rows {
		multiplyGroup(isa, m.format, j.dst[at:], m.rows, m.group(g), m.cells, p)
		return
	}
	var out [maxPanel * lanes]float32
	multiplyGroup(isa, m.format, out[:], lanes, m.group(g), m.cells, p)
	for i := range p.valid {
		n := min(lanes, m.rows-g*lanes)
		copy(j.dst[at+i*m.rows:at+i*m.rows+n], out[i*lanes:])
	}
}
