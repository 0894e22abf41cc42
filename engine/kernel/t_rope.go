package kernel

import "fmt"

// RopeOp rotates the heads of rows by angles that grow with the position (Su and others,
// "RoFormer", 2021), and back.
type RopeOp struct {
	onISA
	half          int
	cos, sin, neg []float32 // (positions, half); neg is -sin
	task          ropeTask
}

// NewRopeOp returns an op for tables of cosines and sines (positions, half): row p holds
// the angles of position p. The tables are kept and must not change.
func NewRopeOp(cos, sin []float32, half int) *RopeOp {
	if half < 1 || len(cos)%half != 0 || len(sin) != len(cos) {
		panic(fmt.Sprintf("kernel: RopeOp of %d angles, %d cosines, %d sines", half, len(cos), len(sin)))
	}
	o := &RopeOp{onISA: onISA{current}, half: half, cos: cos, sin: sin, neg: make([]float32, len(sin))}
	for i, v := range sin {
		o.neg[i] = -v
	}
	return o
}

type ropeTask struct {
	isa      ISA
	x        []float32
	cos, sin []float32
	rows     RopeRows
	half     int
}

// RopeRows describes rows of heads. Row i begins at i*Stride and is at a position of its
// sequence: Positions[i], or i modulo Seq if there are no Positions.
type RopeRows struct {
	N, Stride      int
	Heads, HeadDim int
	Seq            int
	Positions      []int32
}

// Forward rotates each head of each row of x in place: in a head element j and element
// j + half form a pair, and elements from 2*half on stay as they are.
func (o *RopeOp) Forward(p *Pool, x []float32, r RopeRows) { o.run(p, x, r, o.sin) }

// Inverse undoes Forward: it is also the gradient of Forward.
func (o *RopeOp) Inverse(p *Pool, x []float32, r RopeRows) { o.run(p, x, r, o.neg) }

func (o *RopeOp) run(p *Pool, x []float32, r RopeRows, sin []float32) {
	o.check(x, r)
	o.task = ropeTask{isa: o.isa, x: x, cos: o.cos, sin: sin, rows: r, half: o.half}
	p.Run(r.N, grainRows(r.Heads*r.HeadDim), &o.task)
	o.task = ropeTask{}
}

func (o *RopeOp) check(x []float32, r RopeRows) {
	width, most := r.Heads*r.HeadDim, len(o.cos)/o.half
	if r.N < 0 || r.Heads < 1 || r.HeadDim < 2*o.half || r.Stride < width || r.N > 0 && len(x) < (r.N-1)*r.Stride+width {
		panic(fmt.Sprintf("kernel: RopeOp of %d rows of %d heads of %d, stride %d, %d angles, %d elements", r.N, r.Heads, r.HeadDim, r.Stride, o.half, len(x)))
	}
	if r.Positions == nil {
		if r.Seq < 1 || min(r.Seq, r.N) > most {
			panic(fmt.Sprintf("kernel: RopeOp of sequences of %d with tables of %d positions", r.Seq, most))
		}
		return
	}
	if len(r.Positions) < r.N {
		panic(fmt.Sprintf("kernel: RopeOp of %d rows with %d positions", r.N, len(r.Positions)))
	}
	for i, pos := range r.Positions[:r.N] {
		if pos < 0 || int(pos) >= most {
			panic(fmt.Sprintf("kernel: RopeOp: position %d of row %d is not in tables of %d", pos, i, most))
		}
	}
}

func (t *ropeTask) Do(lo, hi int) {
	r := &t.rows
	for i := lo; i < hi; i++ {
		var pos int
		if r.Positions != nil {
			pos = int(r.Positions[i])
		} else {
			pos = i % r.Seq
		}
		at := pos * t.half
		rope(t.isa, t.x[i*r.Stride:i*r.Stride+r.Heads*r.HeadDim], r.Heads, r.HeadDim, t.cos[at:at+t.half], t.sin[at:at+t.half])
	}
}
