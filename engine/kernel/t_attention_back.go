package kernel

import "math"

// both computes the gradients of the keys and values of a key-value head and of the queries
// of its query heads. Open was called for the first of these.
func (a *attentionPass) both() {
	share, first := a.shape.Heads/a.shape.KVHeads, a.head
	for h := range share {
		a.head = first + h
		for q := 0; q < a.shape.Seq; q += attentionBlock {
			a.gradients(q)
			for k := 0; a.visible(a.groups-1, k) > 0; k += attentionBlock {
				a.pair(k)
				a.addQueries(k)
				a.addKeys(k, h == 0 && a.firstTo(k))
			}
		}
	}
	a.zero(rowsDK, a.keys, a.shape.Seq-a.keys)
	a.zero(rowsDV, a.keys, a.shape.Seq-a.keys)
}

// firstTo reports whether the block of queries is the first that sees the block of keys at
// a position.
func (a *attentionPass) firstTo(k int) bool {
	return a.first == 0 || a.shape.Causal && a.first == k
}

// keyBlock computes the gradients of a block of keys and values alone.
func (a *attentionPass) keyBlock(k int) {
	share, first := a.shape.Heads/a.shape.KVHeads, a.head
	for h := range share {
		a.head = first + h
		for q := 0; q < a.shape.Seq; q += attentionBlock {
			if k >= a.keys || a.shape.Causal && q < k {
				continue
			}
			a.gradients(q)
			a.pair(k)
			a.addKeys(k, h == 0 && a.firstTo(k))
		}
	}
	n := min(attentionBlock, a.shape.Seq-k)
	from := min(max(a.keys, k), k+n)
	a.zero(rowsDK, from, k+n-from)
	a.zero(rowsDV, from, k+n-from)
}

// queryBlock computes the gradient of a block of queries alone.
func (a *attentionPass) queryBlock(q int) {
	a.gradients(q)
	for k := 0; a.visible(a.groups-1, k) > 0; k += attentionBlock {
		a.pair(k)
		a.addQueries(k)
	}
}

// gradients begins the block of queries at a position: beside the queries it needs the
// gradient of their outputs, and its product with the outputs.
func (a *attentionPass) gradients(pos int) {
	a.queries(pos)
	if a.keys == 0 {
		a.zero(rowsDQ, pos, a.n)
		return
	}
	dout, stride := a.operand(rowsDOut, pos)
	transposeScale(a.isa, a.doutT, attentionBlock, dout, stride, a.n, a.shape.HeadDim, 1)
	out, outStride := a.operand(rowsOut, pos)
	at := (a.batch*a.shape.Heads+a.head)*a.op.padded + pos
	for g := range a.groups {
		st := a.state[g*attentionState : (g+1)*attentionState]
		copy(st[:lanes], a.op.top[at+g*lanes:])
		copy(st[lanes:2*lanes], a.op.inv[at+g*lanes:])
		clear(st[2*lanes:])
		for l := range min(lanes, a.n-g*lanes) {
			i := g*lanes + l
			st[2*lanes+l] = rowDot(a.isa, dout[i*stride:i*stride+a.shape.HeadDim], out[i*outStride:i*outStride+a.shape.HeadDim])
		}
	}
	a.load(rowsQ, pos, a.n)
	a.load(rowsDOut, pos, a.n)
}

// pair computes the weights and the gradients of the scores for the block of keys at a
// position.
func (a *attentionPass) pair(k int) {
	n := a.visible(a.groups-1, k)
	a.scores(a.s, a.load(rowsK, k, n), a.qT, k)
	a.scores(a.ds, a.load(rowsV, k, n), a.doutT, k)
	a.drop(a.ds, k)
	for g := range a.groups {
		st := a.state[g*attentionState : (g+1)*attentionState]
		gradColumns(a.isa, a.s[g*lanes:], a.ds[g*lanes:], attentionBlock, a.visible(g, k), a.masked(g, k), st, a.shape.Scale)
	}
	a.drop(a.s, k)
}

// addQueries adds what the block of keys at a position gives to the gradient of the
// queries.
func (a *attentionPass) addQueries(k int) {
	dq, more := a.reserve(rowsDQ, a.first), k > 0
	if more {
		a.load(rowsDQ, a.first, a.n)
	}
	keys := &a.rows[rowsK]
	for g := range a.groups {
		p := tileProduct{
			isa: a.isa, dst: dq.x[g*lanes*dq.stride:], dstRow: dq.stride, w: keys.x, wRow: keys.stride,
			x: a.ds[g*lanes:], xRow: 1, xCol: attentionBlock, k: a.visible(g, k), more: more,
		}
		p.run(min(lanes, a.n-g*lanes), a.wide/lanes)
	}
	a.store(rowsDQ, a.first, a.n)
}

// addKeys adds what the block of queries gives to the gradients of the keys and values at a
// position.
func (a *attentionPass) addKeys(k int, first bool) {
	a.addRows(rowsDV, a.s, &a.rows[rowsDOut], k, first)
	a.addRows(rowsDK, a.ds, &a.rows[rowsQ], k, first)
}

func (a *attentionPass) addRows(which int, x []float32, w *attentionOperand, k int, first bool) {
	n := a.visible(a.groups-1, k)
	d := a.reserve(which, k)
	if !first {
		a.load(which, k, n)
	}
	for lo := 0; lo < n; {
		hi, g := a.span(k, lo)
		p := tileProduct{
			isa: a.isa, dst: d.x[lo*d.stride:], dstRow: d.stride, w: w.x[g*lanes*w.stride:], wRow: w.stride,
			x: x[lo*attentionBlock+g*lanes:], xRow: attentionBlock, xCol: 1, k: a.n - g*lanes, more: !first,
		}
		p.run(hi-lo, a.wide/lanes)
		lo = hi
	}
	a.store(which, k, n)
}

// softmaxColumns continues the softmax of 16 columns of scores over n rows of s. Row i is
// hidden from column l if first+i > l. State holds for each column the largest score, the
// sum of weights and what was before times the factor it had to be multiplied with. Scores
// become weights.
func softmaxColumns(isa ISA, s []float32, stride, n, first int, state []float32) {
	_, _ = s[(n-1)*stride+lanes-1], state[attentionState-1]
	if softmaxColumnsSIMD(isa, s, stride, n, first, state) {
		return
	}
	for l := range lanes {
		top := state[l]
		for i := range n {
			v := s[i*stride+l]
			if first+i > l {
				v = float32(math.Inf(-1))
			}
			top = maxps(top, v)
		}
		f := expf(state[l] - top)
		sum := float32(0)
		for i := range n {
			v := s[i*stride+l]
			if first+i > l {
				v = float32(math.Inf(-1))
			}
			v = expf(v - top)
			s[i*stride+l] = v
			sum += v
		}
		state[l], state[lanes+l], state[2*lanes+l] = top, fma32(state[lanes+l], f, sum), f
	}
}

// gradColumns turns 16 columns of scores s and of the gradients ds of the weights into
// weights and the gradients of the scores before scaling. State holds for each column the
// largest score, the inverse sum of weights and the product of output and its gradient.
func gradColumns(isa ISA, s, ds []float32, stride, n, first int, state []float32, scale float32) {
	_, _, _ = s[(n-1)*stride+lanes-1], ds[(n-1)*stride+lanes-1], state[attentionState-1]
	if gradColumnsSIMD(isa, s, ds, stride, n, first, state, scale) {
		return
	}
	for l := range lanes {
		top, inv, dot := state[l], state[lanes+l], state[2*lanes+l]
		for i := range n {
			v := s[i*stride+l]
			if first+i > l {
				v = float32(math.Inf(-1))
			}
			w := float32(expf(v-top) * inv)
			s[i*stride+l] = w
			ds[i*stride+l] = float32(w*(ds[i*stride+l]-dot)) * scale
		}
	}
}
