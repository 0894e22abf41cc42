package kernel

// block computes rows [row, row+m) of columns [col, col+n) of C.
func (t *gemmTask) block(row, m, col, n int, buf []float32) {
	g := t.g
	stripAt := t.groups() * t.panel(t.depth)
	panels, strip := buf[:stripAt], buf[stripAt:]
	for k := 0; k < g.K; k += t.depth {
		depth := min(t.depth, g.K-k)
		full := n / lanes
		p := product{
			isa: t.isa, dst: g.C[row*g.LDC+col:], dstStride: g.LDC, k: depth, more: k > 0 || g.Add,
			w: panels, wStride: t.panel(depth), wStep: lanes,
		}
		tail := p
		switch {
		case t.packed:
			t.packB(panels, k, depth, col, n)
			tail.w = panels[full*p.wStride:]
		default:
			p.w, p.wStride, p.wStep = g.B[k*g.LDB+col:], lanes, g.LDB
			if n%lanes != 0 {
				t.packB(panels, k, depth, col+full*lanes, n%lanes)
			}
		}
		if n%lanes != 0 {
			tail.dst = tail.dst[full*lanes:]
		}
		t.tiles(&p, &tail, row, m, k, n, strip)
	}
}

// tiles computes m rows: the whole groups of n columns by p, the rest by tail.
func (t *gemmTask) tiles(p, tail *product, row, m, k, n int, strip []float32) {
	g := t.g
	if !g.TransA {
		p.x, p.xStride, p.xStep = g.A[row*g.LDA+k:], g.LDA, 1
		tail.x, tail.xStride, tail.xStep = p.x, p.xStride, p.xStep
		p.run(m, n/lanes)
		if n%lanes != 0 {
			tail.partial(m, n%lanes)
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
			p.run(h, n/lanes)
			if n%lanes != 0 {
				tail.dst, tail.x, tail.xStride, tail.xStep = tailDst[(i+j)*g.LDC:], x, 1, tileRows
				tail.partial(h, n%lanes)
			}
		}
	}
}
