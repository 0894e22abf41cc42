package kernel

import "math"

// attentionPass computes blocks of scores of one head. Scores are kept transposed, a row
// for each key and a column for each query: 16 queries then share a vector, so that the
// softmax needs no sums across a vector, and only queries need transposing.
type attentionPass struct {
	*attentionTask
	shape *AttentionShape
	buf   []float32
	isa   ISA

	batch, head, kv int
	keys            int // of this sequence
	wide            int // HeadDim, as a multiple of 16

	// Of the block of queries at hand: how many there are, in groups of 16, and buffers.
	first, n, groups int
	qT, doutT        []float32 // (HeadDim, attentionBlock); qT is scaled
	s, ds            []float32 // (keys, attentionBlock): scores, then weights; and their gradients
	state            []float32 // (groups of 16 queries, 3, 16): see softmaxColumns, gradColumns
	rows             [attentionRows]attentionOperand
}

// Operands whose rows are read or written in blocks.
const (
	rowsQ = iota
	rowsK
	rowsV
	rowsOut
	rowsDOut
	rowsDQ
	rowsDK
	rowsDV
	attentionRows
)

// attentionOperand is a block of rows of one head. If the width of a head is no multiple of
// 16, it is a padded copy.
type attentionOperand struct {
	x      []float32
	stride int
	spare  []float32 // (attentionBlock, wide) for the copy
}

const attentionState = 3 * lanes

func attentionFloats(headDim int) int {
	wide := groupsOf(headDim) * lanes
	return attentionBlock * (2*headDim + 2*attentionBlock + attentionState/lanes + attentionRows*wide)
}

func newAttentionPass(t *attentionTask, buf []float32) attentionPass {
	sh := &t.op.shape
	a := attentionPass{attentionTask: t, shape: sh, buf: buf, isa: t.op.isa, wide: groupsOf(sh.HeadDim) * lanes}
	take := func(n int) []float32 {
		part := buf[:n:n]
		buf = buf[n:]
		return part
	}
	a.qT, a.doutT = take(attentionBlock*sh.HeadDim), take(attentionBlock*sh.HeadDim)
	a.s, a.ds = take(attentionBlock*attentionBlock), take(attentionBlock*attentionBlock)
	a.state = take(attentionBlock * attentionState / lanes)
	for i := range a.rows {
		a.rows[i].spare = take(attentionBlock * a.wide)
	}
	return a
}

// open begins a query head.
func (a *attentionPass) open(batch, head int) {
	a.batch, a.head, a.kv = batch, head, head/(a.shape.Heads/a.shape.KVHeads)
	a.keys = a.shape.Seq
	if l := a.op.Lengths; l != nil {
		a.keys = int(l[batch])
	}
}

// operand returns an operand from the row of a position on, and its stride.
func (a *attentionPass) operand(which, pos int) ([]float32, int) {
	var x []float32
	stride, head := 0, a.head
	switch which {
	case rowsQ:
		x, stride = a.q, a.stride.Q
	case rowsDQ:
		x, stride = a.dq, a.stride.Q
	case rowsOut:
		x, stride = a.out, a.stride.Out
	case rowsDOut:
		x, stride = a.dout, a.stride.Out
	case rowsK:
		x, stride, head = a.k, a.stride.K, a.kv
	case rowsDK:
		x, stride, head = a.dk, a.stride.K, a.kv
	case rowsV:
		x, stride, head = a.v, a.stride.V, a.kv
	case rowsDV:
		x, stride, head = a.dv, a.stride.V, a.kv
	}
	return x[(a.batch*a.shape.Seq+pos)*stride+head*a.shape.HeadDim:], stride
}

// load makes n rows from a position on ready to be read, or to be added to.
func (a *attentionPass) load(which, pos, n int) *attentionOperand {
	r := a.reserve(which, pos)
	if a.wide != a.shape.HeadDim {
		x, stride := a.operand(which, pos)
		for i := range n {
			row := r.x[i*a.wide : (i+1)*a.wide]
			clear(row[copy(row, x[i*stride:i*stride+a.shape.HeadDim]):])
		}
	}
	return r
}

// reserve makes rows ready to be overwritten.
func (a *attentionPass) reserve(which, pos int) *attentionOperand {
	r := &a.rows[which]
	if a.wide == a.shape.HeadDim {
		r.x, r.stride = a.operand(which, pos)
	} else {
		r.x, r.stride = r.spare, a.wide
	}
	return r
}

// store writes n rows back.
func (a *attentionPass) store(which, pos, n int) {
	if a.wide == a.shape.HeadDim {
		return
	}
	x, stride := a.operand(which, pos)
	for i := range n {
		copy(x[i*stride:i*stride+a.shape.HeadDim], a.rows[which].spare[i*a.wide:])
	}
}

// zero clears n rows from a position on.
func (a *attentionPass) zero(which, pos, n int) {
	if n <= 0 {
		return
	}
	x, stride := a.operand(which, pos)
	for i := range n {
		clear(x[i*stride : i*stride+a.shape.HeadDim])
	}
}

// queries begins the block of queries at a position.
func (a *attentionPass) queries(pos int) {
	a.first, a.n = pos, min(attentionBlock, a.shape.Seq-pos)
	a.groups = groupsOf(a.n)
	q, stride := a.operand(rowsQ, pos)
	transposeScale(a.isa, a.qT, attentionBlock, q, stride, a.n, a.shape.HeadDim, a.shape.Scale)
}

// visible returns how many keys from a position on some query of group g sees, at most a
// block.
func (a *attentionPass) visible(g, pos int) int {
	n := min(attentionBlock, a.keys-pos)
	if a.shape.Causal {
		n = min(n, a.first+(g+1)*lanes-pos)
	}
	return max(n, 0)
}

// masked returns what softmaxColumns and gradColumns take as the first key: row i of the
// block is hidden from query l of group g if i plus it is more than l.
func (a *attentionPass) masked(g, pos int) int {
	if !a.shape.Causal {
		return -2 * attentionBlock
	}
	return max(pos-a.first-g*lanes, -2*attentionBlock)
}

// span calls for the rows of the block of keys at a position the parts that are not hidden:
// rows [lo, hi) and the groups of queries from g on. Along the diagonal these are steps of
// 16 rows.
func (a *attentionPass) span(pos, lo int) (hi, g int) {
	n := a.visible(a.groups-1, pos)
	if !a.shape.Causal || pos+n <= a.first {
		return n, 0
	}
	return min(n, lo+lanes), (pos + lo - a.first) / lanes
}

// scores computes x · yT into dst for the block of keys at a position; x holds keys or
// values.
func (a *attentionPass) scores(dst []float32, x *attentionOperand, yT []float32, pos int) {
	for lo, n := 0, a.visible(a.groups-1, pos); lo < n; {
		hi, g := a.span(pos, lo)
		p := tileProduct{
			isa: a.isa, dst: dst[lo*attentionBlock+g*lanes:], dstRow: attentionBlock,
			w: yT[g*lanes:], wRow: attentionBlock,
			x: x.x[lo*x.stride:], xRow: x.stride, xCol: 1, k: a.shape.HeadDim,
		}
		p.run(hi-lo, a.groups-g)
		lo = hi
	}
}

// forward computes the output of the block of queries at a position. It follows the
// softmax over the blocks of keys (Milakov and Gimelshein, 2018).
func (a *attentionPass) forward(pos int) {
	a.queries(pos)
	for g := range a.groups {
		st := a.state[g*attentionState : (g+1)*attentionState]
		clear(st)
		for l := range lanes {
			st[l] = float32(math.Inf(-1))
		}
	}
	out := a.reserve(rowsOut, pos)
	for at := 0; a.visible(a.groups-1, at) > 0; at += attentionBlock {
		n := a.visible(a.groups-1, at)
		a.scores(a.s, a.load(rowsK, at, n), a.qT, at)
		v := a.load(rowsV, at, n)
		for g := range a.groups {
			st := a.state[g*attentionState : (g+1)*attentionState]
			softmaxColumns(a.isa, a.s[g*lanes:], attentionBlock, a.visible(g, at), a.masked(g, at), st)
		}
		a.drop(a.s, at)
		for g := range a.groups {
			a.weigh(out, v, g, at)
		}
	}
	if a.keys == 0 {
		a.zero(rowsOut, pos, a.n)
	}
	a.finish(out, pos)
}

// drop masks what belongs to the block of keys at a position. A block of scores is a chunk
// of dropout, so that the mask follows from the head and the two positions.
func (a *attentionPass) drop(x []float32, pos int) {
	if a.shape.Dropout == 0 {
		return
	}
	blocks := a.op.padded / attentionBlock
	n := ((a.batch*a.shape.Heads+a.head)*blocks+a.first/attentionBlock)*blocks + pos/attentionBlock
	x = x[:a.visible(a.groups-1, pos)*attentionBlock]
	a.op.drop.chunk(a.isa, x, x, a.op.Seed, n)
}

// weigh adds the values that the weights of a group of queries choose.
func (a *attentionPass) weigh(out, v *attentionOperand, g, at int) {
	st := a.state[g*attentionState : (g+1)*attentionState]
	k, rows := a.visible(g, at), min(lanes, a.n-g*lanes)
	dst := out.x[g*lanes*out.stride:]
	if at > 0 {
		for l, f := range st[2*lanes : 2*lanes+rows] {
			if f != 1 {
				row := dst[l*out.stride : l*out.stride+a.wide]
				scaleTo(a.isa, row, row, f)
			}
		}
	}
	p := tileProduct{
		isa: a.isa, dst: dst, dstRow: out.stride, w: v.x, wRow: v.stride,
		x: a.s[g*lanes:], xRow: 1, xCol: attentionBlock, k: k, more: at > 0,
	}
	p.run(rows, a.wide/lanes)
}

// finish divides the outputs by the sums of weights and keeps what Backward needs.
func (a *attentionPass) finish(out *attentionOperand, pos int) {
	at := (a.batch*a.shape.Heads+a.head)*a.op.padded + pos
	top, inv := a.op.top[at:at+attentionBlock], a.op.inv[at:at+attentionBlock]
	clear(top)
	clear(inv)
	if a.keys == 0 {
		return
	}
	for i := range a.n {
		st := a.state[i/lanes*attentionState+i%lanes:]
		top[i], inv[i] = st[0], 1/st[lanes]
		row := out.x[i*out.stride : i*out.stride+a.wide]
		scaleTo(a.isa, row, row, inv[i])
	}
	a.store(rowsOut, pos, a.n)
}
