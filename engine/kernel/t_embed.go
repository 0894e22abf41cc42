package kernel

import "fmt"

// EmbeddingOp looks rows of a table up. A negative id stands for no row: zeros, without
// gradient.
type EmbeddingOp struct {
	onISA
	// Accumulate makes Backward add to dtable instead of overwriting it, for a table that is
	// also used elsewhere.
	Accumulate bool
	task       embedTask
}

// NewEmbeddingOp returns an op.
func NewEmbeddingOp() *EmbeddingOp { return &EmbeddingOp{onISA: onISA{current}} }

type embedTask struct {
	isa      ISA
	y, table []float32
	ids      []int32
	dim      int
	scatter  bool
	fresh    bool // the table is cleared first
}

// Forward writes row ids[i] of table (any number of rows of dim) to row i of y
// (len(ids), dim). It panics on an id that is not in the table.
func (o *EmbeddingOp) Forward(p *Pool, y, table []float32, ids []int32, dim int) {
	checkEmbedding("Forward", y, table, ids, dim)
	o.task = embedTask{isa: o.isa, y: y, table: table, ids: ids, dim: dim}
	p.Run(len(ids), grainRows(dim), &o.task)
	o.task = embedTask{}
}

// Backward writes to each row of dtable the sum of the rows of dy (len(ids), dim) with its
// id, added in the order of the ids.
func (o *EmbeddingOp) Backward(p *Pool, dtable, dy []float32, ids []int32, dim int) {
	checkEmbedding("Backward", dy, dtable, ids, dim)
	o.task = embedTask{isa: o.isa, y: dy, table: dtable, ids: ids, dim: dim, scatter: true, fresh: !o.Accumulate}
	work := len(dtable)/dim + len(ids)
	p.Run((dim+embedColumns-1)/embedColumns, max(1, grainElements/(embedColumns*max(work, 1))), &o.task)
	o.task = embedTask{}
}

func checkEmbedding(name string, y, table []float32, ids []int32, dim int) {
	if dim < 1 || len(table)%dim != 0 || len(y) < len(ids)*dim {
		panic(fmt.Sprintf("kernel: EmbeddingOp.%s of %d ids of width %d, a table of %d and %d elements", name, len(ids), dim, len(table), len(y)))
	}
	for i, id := range ids {
		if int(id) >= len(table)/dim {
			panic(fmt.Sprintf("kernel: EmbeddingOp.%s: id %d at %d is not in a table of %d rows", name, id, i, len(table)/dim))
		}
	}
}

// embedColumns is the number of columns of the table that a goroutine sums at a time.
const embedColumns = 128

func (t *embedTask) Do(lo, hi int) {
	if t.scatter {
		t.sum(lo*embedColumns, min(hi*embedColumns, t.dim))
		return
	}
	for i := lo; i < hi; i++ {
		y := t.y[i*t.dim : (i+1)*t.dim]
		if id := int(t.ids[i]); id >= 0 {
			copy(y, t.table[id*t.dim:])
		} else {
			clear(y)
		}
	}
}

// sum adds the columns [lo, hi) of all rows.
func (t *embedTask) sum(lo, hi int) {
	if t.fresh {
		for at := lo; at < len(t.table); at += t.dim {
			clear(t.table[at : at+hi-lo])
		}
	}
	for i, id := range t.ids {
		if id < 0 {
			continue
		}
		row := t.table[int(id)*t.dim+lo : int(id)*t.dim+hi]
		addTo(t.isa, row, row, t.y[i*t.dim+lo:i*t.dim+hi], false)
	}
}
