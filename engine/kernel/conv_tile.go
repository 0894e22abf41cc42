package kernel

import "fmt"

// convTaps is a table of offsets in elements, pairs (x, w), none negative.
type convTaps struct {
	pairs      []int
	maxX, maxW int
}

func (t *convTaps) add(x, w int) {
	t.pairs = append(t.pairs, x, w)
	t.maxX, t.maxW = max(t.maxX, x), max(t.maxW, w)
}

func (t *convTaps) len() int { return len(t.pairs) / 2 }

// convTile describes products whose operands lie where images put them. Output lane l of
// group g of row r is the sum over steps o of outer and over taps, in that order, of
//
//	w[r*wStride + o*wOuter + tap.w] * x[g.x + o*xOuter + tap.x + l]
//
// by fused multiply-adds that start at 0, or at dst's content if more is set. It is stored
// at dst[r*dstStride + g.dst + l]. Everything is counted in elements.
type convTile struct {
	isa             ISA
	dst, x, w       []float32
	dstStride       int
	xOuter          int
	wStride, wOuter int
	groups          []int // pairs (x, dst), none negative
	taps            *convTaps
	outer           int
	more            bool
}

// convGroups is how many groups a kernel takes at most.
const convGroups = 4

// run computes rows rows of the groups. Up to four groups stay in the L1 cache while all
// rows pass.
func (t *convTile) run(rows int) {
	for g := 0; g < len(t.groups); g += 2 * convGroups {
		groups := t.groups[g:min(g+2*convGroups, len(t.groups))]
		for row := 0; row < rows; {
			n := tileSize(rows - row)
			t.tile(row, n, groups)
			row += n
		}
	}
}

// tile computes n rows from row on of at most four groups.
func (t *convTile) tile(row, n int, groups []int) {
	dst, w := t.dst[row*t.dstStride:], t.w[row*t.wStride:]
	for g := 0; g < len(groups); g += 2 {
		t.check(groups[g], groups[g+1], n, len(dst), len(w))
	}
	if t.tileSIMD(dst, w, n, groups) {
		return
	}
	for g := 0; g < len(groups); g += 2 {
		for r := range n {
			t.group((*[lanes]float32)(dst[r*t.dstStride+groups[g+1]:]), t.x[groups[g]:], w[r*t.wStride:])
		}
	}
}

// check makes sure that a tile touches nothing outside of its operands: what follows may be
// assembly.
func (t *convTile) check(x, d, rows, dst, w int) {
	steps := t.outer - 1
	if x+steps*t.xOuter+t.taps.maxX+lanes > len(t.x) || d+(rows-1)*t.dstStride+lanes > dst ||
		(rows-1)*t.wStride+steps*t.wOuter+t.taps.maxW >= w || steps < 0 || t.taps.len() == 0 {
		panic(fmt.Sprintf("kernel: convolution tile of %d rows, %d steps, %d taps at %d and %d leaves its operands of %d, %d and %d",
			rows, t.outer, t.taps.len(), x, d, len(t.x), dst, w))
	}
}

// group computes one row of one group.
func (t *convTile) group(acc *[lanes]float32, x, w []float32) {
	if !t.more {
		*acc = [lanes]float32{}
	}
	for o := range t.outer {
		for i := 0; i < len(t.taps.pairs); i += 2 {
			col := (*[lanes]float32)(x[o*t.xOuter+t.taps.pairs[i]:])
			v := w[o*t.wOuter+t.taps.pairs[i+1]]
			for l := range acc {
				acc[l] = fma32(v, col[l], acc[l])
			}
		}
	}
}
