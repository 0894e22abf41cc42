package kernel

// block computes rows [row, row+m) of columns [col, col+n) of C.
func (t *gemmTask) block(row, m, col, n int, buf []float32) {
	g := t.g
	stripAt := t.groups() * t.panel(t.depth)
	panels, strip := buf[:stripAt], buf[stripAt:]
	edge := t.edge(n)
	full := n - edge
	for k := 0; k < g.K; k += t.depth {
		depth := min(t.depth, g.K-k)
		p := product{
			isa: t.isa, dst: g.C[row*g.LDC+col:], dstStride: g.LDC, k: depth, more: k > 0 || g.Add,
			w: panels, wStride: t.panel(depth), wStep: lanes,
		}
		tail := p
		switch {
		case t.packed:
			t.packB(panels, k, depth, col, n)
			tail.w = panels[full/lanes*p.wStride:]
		default:
			p.w, p.wStride, p.wStep = g.B[k*g.LDB+col:], lanes, g.LDB
			if edge > 0 {
				t.packB(panels, k, depth, col+full, edge)
			}
		}
		if edge > 0 {
			tail.dst = tail.dst[full:]
		}
		t.tiles(&p, &tail, row, m, k, n, strip)
	}
}

// edge returns how many of n columns cannot be stored 16 at a time, with those before them
// that are computed along: the more columns at once, the better the kernels do.
func (t *gemmTask) edge(n int) int {
	switch {
	case n%lanes == 0:
		return 0
	case t.packed:
		return n % (edgeGroups * lanes)
	}
	return n % lanes
}

// tiles computes m rows: the first columns by p, those of the edge by tail.
func (t *gemmTask) tiles(p, tail *product, row, m, k, n int, strip []float32) {
	g := t.g
	edge := t.edge(n)
	groups := (n - edge) / lanes
	if !g.TransA {
		p.x, p.xStride, p.xStep = g.A[row*g.LDA+k:], g.LDA, 1
		tail.x, tail.xStride, tail.xStep = p.x, p.xStride, p.xStep
		p.run(m, groups)
		if edge > 0 {
			tail.partial(m, edge)
		}
		return
	}
	dst, tailDst := p.dst, tail.dst
	for i := 0; i < m; i += gemmStrip {
		rows := min(gemmStrip, m-i)
		t.packA(strip, row+i, rows, k, p.k)
		for j := 0; j < rows; j += tileRows {
			h := min(tileRows, rows-j)
			x := strip[j/tileRows*t.tileStep():]
			p.dst, p.x, p.xStride, p.xStep = dst[(i+j)*g.LDC:], x, 1, tileRows
			p.run(h, groups)
			if edge > 0 {
				tail.dst, tail.x, tail.xStride, tail.xStep = tailDst[(i+j)*g.LDC:], x, 1, tileRows
				tail.partial(h, edge)
			}
		}
	}
}
