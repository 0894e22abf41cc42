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
	src := g.B[k*g.LDB+col:]
	for i := packWideSIMD(t.isa, panels, step, src, g.LDB, n, depth); i < n; i += lanes {
		panel, width := panels[i/lanes*step:], min(lanes, n-i)
		for j := range depth {
			at := j*g.LDB + i
			copy(panel[j*lanes:(j+1)*lanes], src[at:at+width])
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
	src := g.A[k*g.LDA+row:]
	for j := packTilesSIMD(t.isa, strip, step, src, g.LDA, ceilDiv(m, tileRows), depth); j < depth; j++ {
		for i := 0; i < m; i += tileRows {
			at := j*g.LDA + i
			copy(strip[i/tileRows*step+j*tileRows:], src[at:at+min(tileRows, m-i)])
		}
	}
}
