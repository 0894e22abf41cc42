package kernel

import "sync"

// product describes dst (n, 16 * groups) = x (n, k) · wᵀ: w holds groups of 16 outputs,
// each (k, 16). Strides and steps are in elements; steps lie between columns, and 0 stands
// for dense ones. Every output is a chain of fused multiply-adds in the order of k that
// starts at 0, or at dst's content if more is set.
type product struct {
	isa       ISA
	dst       []float32
	dstStride int // between rows
	w         []float32
	wStride   int // between groups
	wStep     int // 0: 16
	x         []float32
	xStride   int // between rows
	xStep     int // 0: 1
	k         int
	more      bool
}

// tileRows is the number of rows of x that the kernels keep in registers at most: 6 rows
// of 16 outputs take 12 of AVX2's 16 registers.
const tileRows = 6

// run computes n rows and the given number of groups.
func (p *product) run(n, groups int) {
	if p.k == 0 || groups == 0 {
		p.clear(n, groups)
		return
	}
	p.settle()
	for row := 0; row < n; {
		rows := tileSize(n - row)
		for g := 0; g < groups; {
			g += p.tile(row, rows, g, groups-g)
		}
		row += rows
	}
}

// settle replaces steps of 0.
func (p *product) settle() {
	if p.wStep == 0 {
		p.wStep = lanes
	}
	if p.xStep == 0 {
		p.xStep = 1
	}
}

// clear is a product of no columns.
func (p *product) clear(n, groups int) {
	if p.more {
		return
	}
	for i := range n {
		clear(p.dst[i*p.dstStride : i*p.dstStride+groups*lanes])
	}
}

// tileSize returns how many of the rows left a kernel takes.
func tileSize(left int) int {
	switch {
	case left >= 6:
		return 6
	case left >= 4:
		return 4
	}
	return min(left, 2)
}

// edgeGroups is the number of groups that partial takes at most: as many as the AVX-512
// kernels keep in registers.
const edgeGroups = 4

// partial computes n rows of up to edgeGroups groups of which only the first outputs are
// stored.
func (p *product) partial(n, outputs int) {
	var buf [tileRows * edgeGroups * lanes]float32
	p.settle()
	q := *p
	q.dst, q.dstStride = buf[:], edgeGroups*lanes
	groups := groupsOf(outputs)
	for row := 0; row < n; {
		rows := tileSize(n - row)
		q.x = p.x[row*p.xStride:]
		for i := 0; i < rows && p.more; i++ {
			copy(buf[i*q.dstStride:i*q.dstStride+outputs], p.dst[(row+i)*p.dstStride:])
		}
		for g := 0; g < groups; {
			g += q.tile(0, rows, g, groups-g)
		}
		for i := range rows {
			copy(p.dst[(row+i)*p.dstStride:(row+i)*p.dstStride+outputs], buf[i*q.dstStride:])
		}
		row += rows
	}
}

// tile computes rows [row, row+rows) of some of the groups from g on, at most left, and
// returns of how many.
func (p *product) tile(row, rows, g, left int) int {
	// The last elements that are touched: what follows may be assembly.
	dst, x, w := p.dst[row*p.dstStride+g*lanes:], p.x[row*p.xStride:], p.w[g*p.wStride:]
	_, _ = dst[(rows-1)*p.dstStride+lanes-1], x[(rows-1)*p.xStride+(p.k-1)*p.xStep]
	if n := p.tileSIMD(dst, x, w, rows, left); n > 0 {
		return n
	}
	_ = w[(p.k-1)*p.wStep+lanes-1]
	for i := range rows {
		acc := (*[lanes]float32)(dst[i*p.dstStride:])
		if !p.more {
			*acc = [lanes]float32{}
		}
		for k := range p.k {
			v, col := x[i*p.xStride+k*p.xStep], (*[lanes]float32)(w[k*p.wStep:])
			for l := range acc {
				acc[l] = fma32(v, col[l], acc[l])
			}
		}
	}
	return 1
}

// scratchList lends buffers to the goroutines of a task. The zero value is ready.
type scratchList struct {
	mu   sync.Mutex
	free [][]float32
}

// get returns a buffer of n floats of any content; a buffer that fits is reused.
func (l *scratchList) get(n int) []float32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if last := len(l.free) - 1; last >= 0 {
		buf := l.free[last]
		l.free = l.free[:last]
		if cap(buf) >= n {
			return buf[:n]
		}
	}
	return make([]float32, n)
}

func (l *scratchList) put(buf []float32) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.free = append(l.free, buf)
}

// reserve makes sure that so many goroutines can get n floats without an allocation. It
// is called while no buffer is lent.
func (l *scratchList) reserve(buffers, n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.free {
		if cap(l.free[i]) < n {
			l.free[i] = make([]float32, n)
		}
	}
	for len(l.free) < buffers {
		l.free = append(l.free, make([]float32, n))
	}
}
