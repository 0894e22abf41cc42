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

// packTransposed writes n rows of src, at most 16, as (depth, 16).
func packTransposed(isa ISA, dst, src []float32, stride, n, depth int) {
	for i := range n {
		row := src[i*stride : i*stride+depth]
		for k, v := range row {
			dst[k*lanes+i] = v
		}
	}
}

// packA writes columns [row, row+rows) of the stored A, which are rows of op(A), as
// (depth, rows).
func (t *gemmTask) packA(tile []float32, row, rows, k, depth int) {
	g := t.g
	src := g.A[k*g.LDA+row:]
	if rows == tileRows {
		for j := range depth {
			*(*[tileRows]float32)(tile[j*tileRows:]) = [tileRows]float32(src[j*g.LDA:])
		}
		return
	}
	for j := range depth {
		copy(tile[j*rows:(j+1)*rows], src[j*g.LDA:])
	}
}
