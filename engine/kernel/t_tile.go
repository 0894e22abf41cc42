package kernel

// tileProduct describes dst (rows, 16 * groups) = x (rows, k) · w (k, 16 * groups) for
// small matrices that lie anywhere: all strides are in elements, x may be transposed. Every
// output is a chain of fused multiply-adds in the order of k that starts at 0, or at dst's
// content if more is set.
type tileProduct struct {
	isa        ISA
	dst        []float32
	dstRow     int
	w          []float32
	wRow       int
	x          []float32
	xRow, xCol int
	k          int
	more       bool
}

func (p *tileProduct) run(rows, groups int) {
	if rows <= 0 || groups <= 0 {
		return
	}
	// The last elements that are touched: what follows may be assembly.
	_ = p.dst[(rows-1)*p.dstRow+groups*lanes-1]
	if p.k > 0 {
		_, _ = p.w[(p.k-1)*p.wRow+groups*lanes-1], p.x[(rows-1)*p.xRow+(p.k-1)*p.xCol]
		if p.simd(rows, groups) {
			return
		}
	}
	for i := range rows {
		dst := p.dst[i*p.dstRow : i*p.dstRow+groups*lanes]
		if !p.more {
			clear(dst)
		}
		for k := range p.k {
			v := p.x[i*p.xRow+k*p.xCol]
			for j, w := range p.w[k*p.wRow : k*p.wRow+len(dst)] {
				dst[j] = fma32(v, w, dst[j])
			}
		}
	}
}

// transposeScale writes the transpose of src (n, cols), times scale, to dst (cols, n): each
// row of dst is filled up with zeros to a multiple of 16.
func transposeScale(isa ISA, dst []float32, dstRow int, src []float32, srcRow, n, cols int, scale float32) {
	_, _ = dst[(cols-1)*dstRow+groupsOf(n)*lanes-1], src[(n-1)*srcRow+cols-1]
	rows, done := transposeSIMD(isa, dst, dstRow, src, srcRow, n, cols, scale)
	for j := range cols {
		from := 0
		if j < done {
			from = rows
		}
		out := dst[j*dstRow : j*dstRow+groupsOf(n)*lanes]
		for i := from; i < n; i++ {
			out[i] = src[i*srcRow+j] * scale
		}
		clear(out[n:])
	}
}

// rowDot returns the sum of a * b.
func rowDot(isa ISA, a, b []float32) float32 {
	if s, ok := rowDotSIMD(isa, a, b); ok {
		return s
	}
	var acc lanesOf
	for i, v := range a {
		acc[i%lanes] = fma32(v, b[i], acc[i%lanes])
	}
	return acc.sum()
}
