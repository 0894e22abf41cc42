package kernel

import (
	"fmt"
	"math"
)

// convSteps is a table of what a product adds up: pairs of offsets (x, w) in elements, none
// negative.
type convSteps struct {
	pairs      []int32
	maxX, maxW int
}

func (t *convSteps) add(x, w int) {
	if max(x, w) > math.MaxInt32 {
		panic(fmt.Sprintf("kernel: convolution over offsets of %d and %d elements, at most %d", x, w, math.MaxInt32))
	}
	t.pairs = append(t.pairs, int32(x), int32(w))
	t.maxX, t.maxW = max(t.maxX, x), max(t.maxW, w)
}

func (t *convSteps) len() int { return len(t.pairs) / 2 }

// repeat returns n copies of the table, one after the other, with offsets growing by x and w.
func (t *convSteps) repeat(n, x, w int) convSteps {
	var all convSteps
	for i := range n {
		for j := 0; j < len(t.pairs); j += 2 {
			all.add(int(t.pairs[j])+i*x, int(t.pairs[j+1])+i*w)
		}
	}
	return all
}

// convTile describes products whose operands lie where images put them. Output lane l of
// group g of row r is the sum over the first n steps, in their order, of
//
//	w[r*wStride + step.w] * x[g.x + step.x + l]
//
// by fused multiply-adds that start at 0, or at dst's content if more is set. It is stored
// at dst[r*dstStride + g.dst + l]. Everything is counted in elements.
type convTile struct {
	isa                ISA
	dst, x, w          []float32
	dstStride, wStride int
	groups             []int // pairs (x, dst), none negative
	steps              *convSteps
	n                  int
	maxX, maxW         int // the largest offsets of the first n steps
	more               bool
}

// convGroups is how many groups a kernel takes at most.
const convGroups = 4

// run computes rows rows of the groups. Up to four groups stay in the L1 cache while all
// rows pass.
func (t *convTile) run(rows int) {
	t.check(rows)
	for g := 0; g < len(t.groups); g += 2 * convGroups {
		groups := t.groups[g:min(g+2*convGroups, len(t.groups))]
		for row := 0; row < rows; {
			n := tileSize(rows - row)
			t.tile(row, n, groups)
			row += n
		}
	}
}

// check makes sure that nothing outside of the operands is touched: what follows may be
// assembly.
func (t *convTile) check(rows int) {
	x, d := 0, 0
	for g := 0; g < len(t.groups); g += 2 {
		x, d = max(x, t.groups[g]), max(d, t.groups[g+1])
	}
	if x+t.maxX+lanes > len(t.x) || d+(rows-1)*t.dstStride+lanes > len(t.dst) || (rows-1)*t.wStride+t.maxW >= len(t.w) || t.n < 1 || t.n > t.steps.len() {
		panic(fmt.Sprintf("kernel: convolution tile of %d rows, %d of %d steps at %d and %d leaves its operands of %d, %d and %d",
			rows, t.n, t.steps.len(), x, d, len(t.x), len(t.dst), len(t.w)))
	}
}

// tile computes n rows from row on of at most four groups.
func (t *convTile) tile(row, n int, groups []int) {
	dst, w := t.dst[row*t.dstStride:], t.w[row*t.wStride:]
	if t.tileSIMD(dst, w, n, groups) {
		return
	}
	for g := 0; g < len(groups); g += 2 {
		for r := range n {
			t.group((*[lanes]float32)(dst[r*t.dstStride+groups[g+1]:]), t.x[groups[g]:], w[r*t.wStride:])
		}
	}
}

// group computes one row of one group.
func (t *convTile) group(acc *[lanes]float32, x, w []float32) {
	if !t.more {
		*acc = [lanes]float32{}
	}
	for i := 0; i < 2*t.n; i += 2 {
		col, v := (*[lanes]float32)(x[t.steps.pairs[i]:]), w[t.steps.pairs[i+1]]
		for l := range acc {
			acc[l] = fma32(v, col[l], acc[l])
		}
	}
}
