package kernel

import (
	"fmt"
	"math"
)

// normChunk returns how many rows the gradients of a norm's weights are summed over before
// the sums of chunks are added: it depends on the shape only, and so do the bits.
func normChunk(rows, width int) int { return max(4, min(rows, 2*grainElements/max(width, 1))) }

// normOp is what the two norms share.
type normOp struct {
	onISA
	name        string
	rows, width int
	eps         float32
	mean, inv   []float32 // of each row, kept for the gradient
	chunk       int       // rows
	partial     []float32 // sums of chunks: (chunks, parts, width)
	parts       int       // gradients of weights: 1, or 2 with a bias
	task        normTask
	reduce      biasTask
}

func newNormOp(name string, rows, width, parts int, eps float32) normOp {
	if rows < 0 || width < 1 || rows > math.MaxInt32 || width > math.MaxInt32 {
		panic(fmt.Sprintf("kernel: %s of %d rows of %d", name, rows, width))
	}
	o := normOp{onISA: onISA{current}, name: name, rows: rows, width: width, eps: eps, parts: parts, chunk: normChunk(rows, width)}
	o.inv, o.mean = make([]float32, rows), make([]float32, rows)
	o.partial = make([]float32, o.chunks()*parts*width)
	return o
}

func (o *normOp) chunks() int { return (o.rows + o.chunk - 1) / o.chunk }

// check panics if one of the operands has not the size of all rows, or of one row.
func (o *normOp) check(all, one [][]float32) {
	for _, s := range all {
		if len(s) < o.rows*o.width {
			panic(fmt.Sprintf("kernel: %s of %d rows of %d got %d elements", o.name, o.rows, o.width, len(s)))
		}
	}
	for _, s := range one {
		if len(s) < o.width {
			panic(fmt.Sprintf("kernel: %s of width %d got %d weights", o.name, o.width, len(s)))
		}
	}
}

// normTask computes rows, or for the gradient chunks of rows.
type normTask struct {
	op                 *normOp
	back               bool
	y, x, dx, dy, w, b []float32
}

func (o *normOp) forward(p *Pool, t normTask) {
	o.task = t
	o.task.op = o
	p.Run(o.rows, grainRows(o.width), &o.task)
	o.task = normTask{}
}

// backward computes dx and the gradients of the weights, which lie in dw one part after
// the other if there is more than one chunk.
func (o *normOp) backward(p *Pool, t normTask, dw, db []float32) {
	o.task = t
	o.task.op, o.task.back = o, true
	p.Run(o.chunks(), 1, &o.task)
	o.task = normTask{}
	o.gather(p, dw[:o.width], 0)
	if o.parts > 1 {
		o.gather(p, db[:o.width], 1)
	}
}

// gather adds the sums of the chunks.
func (o *normOp) gather(p *Pool, dw []float32, part int) {
	if o.rows == 0 {
		clear(dw)
		return
	}
	o.reduce = biasTask{
		isa: o.isa, back: true, y: dw,
		x: o.partial[part*o.width:], stride: o.parts * o.width, n: o.chunks(),
	}
	o.reduce.sum(p)
	o.reduce = biasTask{}
}

func (t *normTask) Do(lo, hi int) {
	o, w := t.op, t.op.width
	if !t.back {
		t.rows(lo, hi)
		return
	}
	for c := lo; c < hi; c++ {
		sums := o.partial[c*o.parts*w : (c+1)*o.parts*w]
		clear(sums)
		t.rowsBack(sums, c*o.chunk, min((c+1)*o.chunk, o.rows))
	}
}

func (t *normTask) rows(lo, hi int) {
	o, w := t.op, t.op.width
	y, x := t.y[lo*w:hi*w], t.x[lo*w:hi*w]
	if o.parts == 1 {
		rmsRows(o.isa, y, x, t.w[:w], o.inv[lo:hi], o.eps)
	} else {
		layerRows(o.isa, y, x, t.w[:w], t.b[:w], o.mean[lo:hi], o.inv[lo:hi], o.eps)
	}
}

func (t *normTask) rowsBack(sums []float32, lo, hi int) {
	o, w := t.op, t.op.width
	dx, dy, x := t.dx[lo*w:hi*w], t.dy[lo*w:hi*w], t.x[lo*w:hi*w]
	if o.parts == 1 {
		rmsRowsBack(o.isa, dx, sums, dy, x, t.w[:w], o.inv[lo:hi])
	} else {
		layerRowsBack(o.isa, dx, sums[:w], sums[w:], dy, x, t.w[:w], o.mean[lo:hi], o.inv[lo:hi])
	}
}

// RMSNormOp is x / sqrt(mean(x*x) + eps) * w over rows (Zhang and Sennrich, "Root mean
// square layer normalization", 2019). It keeps one number for each row from Forward to
// Backward.
type RMSNormOp struct{ op normOp }

// NewRMSNormOp returns an op for a number of rows of a width.
func NewRMSNormOp(rows, width int, eps float32) *RMSNormOp {
	return &RMSNormOp{newNormOp("RMSNormOp", rows, width, 1, eps)}
}

// Forward writes the norm of x (rows, width), scaled by w (width), to y, which may be x if
// there is no Backward.
func (o *RMSNormOp) Forward(p *Pool, y, x, w []float32) {
	n := &o.op
	n.check([][]float32{y, x}, [][]float32{w})
	n.forward(p, normTask{y: y, x: x, w: w})
}

// Backward writes the gradients of x and w to dx, which may be dy, and dw (width), for the
// x and w of the last Forward.
func (o *RMSNormOp) Backward(p *Pool, dx, dw, dy, x, w []float32) {
	n := &o.op
	n.check([][]float32{dx, dy, x}, [][]float32{dw, w})
	n.backward(p, normTask{dx: dx, dy: dy, x: x, w: w}, dw, nil)
}

// LayerNormOp is (x - mean(x)) / sqrt(variance(x) + eps) * w + b over rows (Ba, Kiros and
// Hinton, "Layer normalization", 2016). It keeps two numbers for each row from Forward to
// Backward.
type LayerNormOp struct{ op normOp }

// NewLayerNormOp returns an op for a number of rows of a width.
func NewLayerNormOp(rows, width int, eps float32) *LayerNormOp {
	return &LayerNormOp{newNormOp("LayerNormOp", rows, width, 2, eps)}
}

// Forward writes the norm of x (rows, width), scaled by w and shifted by b (width), to y,
// which may be x if there is no Backward.
func (o *LayerNormOp) Forward(p *Pool, y, x, w, b []float32) {
	n := &o.op
	n.check([][]float32{y, x}, [][]float32{w, b})
	n.forward(p, normTask{y: y, x: x, w: w, b: b})
}

// Backward writes the gradients of x, w and b to dx, which may be dy, dw and db (width),
// for the x and w of the last Forward.
func (o *LayerNormOp) Backward(p *Pool, dx, dw, db, dy, x, w []float32) {
	n := &o.op
	n.check([][]float32{dx, dy, x}, [][]float32{dw, db, w})
	n.backward(p, normTask{dx: dx, dy: dy, x: x, w: w}, dw, db)
}

// rmsRows is rmsNorm of each row of x and keeps what the rows were multiplied by.
func rmsRows(isa ISA, y, x, w, inv []float32, eps float32) {
	if rmsRowsSIMD(isa, y, x, w, inv, eps) {
		return
	}
	n := len(w)
	for r := range inv {
		x, y := x[r*n:(r+1)*n], y[r*n:(r+1)*n]
		var acc lanesOf
		for i, v := range x {
			acc[i%lanes] = fma32(v, v, acc[i%lanes])
		}
		inv[r] = inverseRoot(acc.sum()/float32(n), eps)
		for i, v := range x {
			y[i] = float32(v*inv[r]) * w[i]
		}
	}
}

// rmsRowsBack computes for each row dx = inv (dy w - x inv^2 mean(dy w x)) and adds
// dy x inv to dw.
func rmsRowsBack(isa ISA, dx, dw, dy, x, w, inv []float32) {
	if rmsRowsBackSIMD(isa, dx, dw, dy, x, w, inv) {
		return
	}
	n := len(w)
	for r, inv := range inv {
		x, dx, dy := x[r*n:(r+1)*n], dx[r*n:(r+1)*n], dy[r*n:(r+1)*n]
		var acc lanesOf
		for i, v := range x {
			acc[i%lanes] = fma32(float32(dy[i]*w[i]), v, acc[i%lanes])
		}
		k := float32(float32(inv*inv)*acc.sum()) / float32(n)
		for i, v := range x {
			d := dy[i]
			dw[i] = fma32(d, float32(v*inv), dw[i])
			dx[i] = fma32(-k, v, float32(d*w[i])) * inv
		}
	}
}

// layerRows is layerNorm of each row of x and keeps mean and 1 / sqrt(variance + eps).
func layerRows(isa ISA, y, x, w, b, mean, inv []float32, eps float32) {
	if layerRowsSIMD(isa, y, x, w, b, mean, inv, eps) {
		return
	}
	n := len(w)
	for r := range inv {
		x, y := x[r*n:(r+1)*n], y[r*n:(r+1)*n]
		var acc, squares lanesOf
		for i, v := range x {
			acc[i%lanes] += v
		}
		m := acc.sum() / float32(n)
		for i, v := range x {
			d := v - m
			squares[i%lanes] = fma32(d, d, squares[i%lanes])
		}
		s := inverseRoot(squares.sum()/float32(n), eps)
		for i, v := range x {
			y[i] = fma32(float32((v-m)*s), w[i], b[i])
		}
		mean[r], inv[r] = m, s
	}
}

// layerRowsBack computes for each row dx = inv (a - mean(a) - h mean(a h)) with a = dy w
// and h the normalised x, and adds dy h to dw and dy to db.
func layerRowsBack(isa ISA, dx, dw, db, dy, x, w, mean, inv []float32) {
	if layerRowsBackSIMD(isa, dx, dw, db, dy, x, w, mean, inv) {
		return
	}
	n := len(w)
	for r, s := range inv {
		x, dx, dy, m := x[r*n:(r+1)*n], dx[r*n:(r+1)*n], dy[r*n:(r+1)*n], mean[r]
		var sum, dot lanesOf
		for i, v := range x {
			h, a := float32((v-m)*s), float32(dy[i]*w[i])
			sum[i%lanes] += a
			dot[i%lanes] = fma32(a, h, dot[i%lanes])
		}
		k1, k2 := sum.sum()/float32(n), dot.sum()/float32(n)
		for i, v := range x {
			h, d := float32((v-m)*s), dy[i]
			a := float32(d * w[i])
			dw[i] = fma32(d, h, dw[i])
			db[i] += d
			dx[i] = fma32(-k2, h, a-k1) * s
		}
	}
}
