package kernel

// packB writes columns [col, col+n) of rows [k, k+depth) of op(B) as panels (depth, 16).
// In the last one the columns beyond n hold anything: what is computed from them is not
// stored.
func (t *gemmTask) packB(panels []float32, k, depth, col, n int) {
	g := t.g
	step := t.panel(depth)
	if g.TransB {
		for i := 0; i < n; i += lanes {
			packTransposed(t.isa, panels[i/lanes*step:], g.B[(col+i)*g.LDB+k:], g.LDB, min(lanes, n-i), depth)
		}
		return
	}
	for j := range depth {
		row := g.B[(k+j)*g.LDB+col:]
		row = row[:n]
		at := j * lanes
		for len(row) >= lanes {
			*(*[lanes]float32)(panels[at:]) = [lanes]float32(row)
			row, at = row[lanes:], at+step
		}
		if len(row) > 0 {
			copy(panels[at:at+lanes], row)
		}
	}
}

// packTransposed writes n rows of src, at most 16, as (depth, 16). Lanes beyond n hold
// anything.
func packTransposed(isa ISA, dst, src []float32, stride, n, depth int) {
	done := packRowsSIMD(isa, dst, src, stride, n, depth)
	for i := range n {
		row := src[i*stride : i*stride+depth]
		for k := done; k < depth; k++ {
			dst[k*lanes+i] = row[k]
		}
	}
}

// packA writes columns [row, row+m) of the stored A, which are rows of op(A), as tiles
// (depth, 6) that are tileStep apart. The columns of a strip are read together because
// their values share cache lines.
func (t *gemmTask) packA(strip []float32, row, m, k, depth int) {
	g := t.g
	step := t.tileStep()
	for j := range depth {
		src := g.A[(k+j)*g.LDA+row:]
		src = src[:m]
		at := j * tileRows
		for len(src) >= tileRows {
			*(*[tileRows]float32)(strip[at:]) = [tileRows]float32(src)
			src, at = src[tileRows:], at+step
		}
		if len(src) > 0 {
			copy(strip[at:at+tileRows], src)
		}
	}
}
