package kernel

import (
	"fmt"
	"math"
)

// attnBlock is the number of positions whose scores are computed before their values are
// summed. Blocks start at multiples of it, so that the order of all sums depends on
// positions only: not on how a prompt was cut, nor on the batch.
const attnBlock = 64

// attnRows is how many rows (query, head) of one key-value head a goroutine takes at a
// time: a multiple of tileRows, enough to use keys and values often while they are in the
// first-level cache.
const attnRows = 24

// AttendOptions says how attention is computed.
type AttendOptions struct {
	Heads  int     // query heads, a multiple of the cache's heads
	Pos    int     // position of the first query
	Window int     // if positive, a query sees only the last Window positions, its own included
	Causal bool    // a query sees no position after its own
	Scale  float32 // of the scores, usually 1 / sqrt(headDim)
}

// AttendSeq is one sequence of a batch: N queries q, (N, Heads * headDim), and the output
// dst of the same shape. Dst may be Q. Pos is the position of the first query.
type AttendSeq struct {
	Dst, Q []float32
	N, Pos int
	Cache  *KVCache
}

// AttnScratch holds the buffers of [Attend]. The zero value is ready; it grows to the
// sizes in use and is then free of allocations. It is for one call at a time.
type AttnScratch struct {
	buffers scratchList
	one     [1]AttendSeq
	task    attendTask
}

// Attend computes attention of n queries q, (n, Heads * headDim), over the keys and values
// of a cache into dst, which has the same shape and may be q. Without Causal each query
// sees all positions of the cache.
func Attend(p *Pool, dst, q []float32, n int, c *KVCache, o AttendOptions, s *AttnScratch) {
	s.one[0] = AttendSeq{Dst: dst, Q: q, N: n, Pos: o.Pos, Cache: c}
	attend(current, p, s.one[:], o, s)
	s.one[0] = AttendSeq{}
}

// AttendBatch is [Attend] for several sequences, in one task of the pool; their caches
// have the same shape. The position in the options does not count.
func AttendBatch(p *Pool, seqs []AttendSeq, o AttendOptions, s *AttnScratch) {
	attend(current, p, seqs, o, s)
}

func attend(isa ISA, p *Pool, seqs []AttendSeq, o AttendOptions, s *AttnScratch) {
	if len(seqs) == 0 {
		return
	}
	t := &s.task
	*t = attendTask{isa: isa, o: o, seqs: seqs, buffers: &s.buffers, first: append(t.first[:0], 0)}
	items := 0
	for i := range seqs {
		seqs[i].check(o, seqs[0].Cache)
		items += t.tiles(&seqs[i]) * seqs[i].Cache.kvHeads
		t.first = append(t.first, items)
	}
	p.Run(items, 1, t)
	t.seqs = nil
}

func (s *AttendSeq) check(o AttendOptions, first *KVCache) {
	c := s.Cache
	if c.kvHeads != first.kvHeads || c.headDim != first.headDim || o.Heads < 1 || o.Heads%c.kvHeads != 0 {
		panic(fmt.Sprintf("kernel: attention of %d heads over caches of %d x %d and %d x %d", o.Heads, first.kvHeads, first.headDim, c.kvHeads, c.headDim))
	}
	size := s.N * o.Heads * c.headDim
	if s.N < 0 || len(s.Q) < size || len(s.Dst) < size || s.Pos < 0 || o.Causal && s.Pos+s.N > c.len || c.len == 0 {
		panic(fmt.Sprintf("kernel: attention of %d queries at %d, %d and %d elements, %d heads of %d, %d positions", s.N, s.Pos, len(s.Q), len(s.Dst), o.Heads, c.headDim, c.len))
	}
}

// attendTask computes tiles: up to attnRows rows of one head of one sequence. Items count
// sequences, then heads, then tiles.
type attendTask struct {
	isa     ISA
	o       AttendOptions
	seqs    []AttendSeq
	first   []int // first item of each sequence, and their number
	buffers *scratchList
}

// tiles returns the number of tiles for each head of the cache.
func (t *attendTask) tiles(s *AttendSeq) int {
	rows := s.N * (t.o.Heads / s.Cache.kvHeads)
	return (rows + attnRows - 1) / attnRows
}

func (t *attendTask) Do(lo, hi int) {
	c := t.seqs[0].Cache
	tile := newAttnTile(t, t.buffers.get(attnTileFloats(c.headDim)), c.headDim)
	seq := 0
	for item := lo; item < hi; item++ {
		for item >= t.first[seq+1] {
			seq++
		}
		s := &t.seqs[seq]
		tiles, i := t.tiles(s), item-t.first[seq]
		tile.run(s, i/tiles, i%tiles*attnRows)
	}
	t.buffers.put(tile.buf)
}

// attnTile is the state of up to attnRows rows: their softmax in progress over the blocks
// of positions (Milakov and Gimelshein, "Online normalizer calculation for softmax", 2018).
type attnTile struct {
	task *attendTask
	buf  []float32

	headDim, padded int
	q               []float32 // (rows, headDim), scaled
	out             []float32 // (rows, padded): sum of weights times values so far
	scores          []float32 // (rows, attnBlock), then weights
	row             [attnRows]attnRow
}

// attnRow is one query of one head.
type attnRow struct {
	lo, hi int     // the positions it sees
	at     int     // where it lies in q and dst
	max    float32 // of the scores so far
	sum    float32 // of the weights so far
}

func attnTileFloats(headDim int) int {
	return attnRows * (headDim + groupsOf(headDim)*lanes + attnBlock)
}

func newAttnTile(t *attendTask, buf []float32, headDim int) attnTile {
	padded := groupsOf(headDim) * lanes
	q, rest := buf[:attnRows*headDim], buf[attnRows*headDim:]
	return attnTile{
		task: t, buf: buf, headDim: headDim, padded: padded,
		q: q, out: rest[:attnRows*padded], scores: rest[attnRows*padded:],
	}
}

// run computes the rows from first on of a head of the cache.
func (t *attnTile) run(s *AttendSeq, head, first int) {
	o, c := &t.task.o, s.Cache
	share := o.Heads / c.kvHeads // rows of one query
	n := min(attnRows, s.N*share-first)
	for i := range n {
		query, sub := (first+i)/share, (first+i)%share
		r := attnRow{hi: c.len, at: (query*o.Heads + head*share + sub) * c.headDim, max: float32(math.Inf(-1))}
		if o.Causal {
			r.hi = s.Pos + query + 1
			if o.Window > 0 {
				r.lo = max(0, r.hi-o.Window)
			}
		}
		t.row[i] = r
		scaleTo(t.task.isa, t.q[i*c.headDim:(i+1)*c.headDim], s.Q[r.at:], o.Scale)
	}
	clear(t.out[:n*t.padded])
	for b := t.row[0].lo / attnBlock * attnBlock; b < t.row[n-1].hi; b += attnBlock {
		t.block(c, head, n, b)
	}
	for i := range t.row[:n] {
		r := &t.row[i]
		scaleTo(t.task.isa, s.Dst[r.at:r.at+c.headDim], t.out[i*t.padded:], 1/r.sum)
	}
}

// block adds the positions [at, at+attnBlock) to n rows.
func (t *attnTile) block(c *KVCache, head, n, at int) {
	// Groups of 16 positions that any row sees: rows are in the order of their queries.
	lo := max(at, t.row[0].lo) / lanes * lanes
	hi := min(at+attnBlock, t.row[n-1].hi)
	p := product{
		isa: t.task.isa, dst: t.scores[lo-at:], dstStride: attnBlock,
		w: c.headKeys(head)[lo*c.headDim:], wStride: c.headDim * lanes,
		x: t.q, xStride: c.headDim, k: c.headDim,
	}
	p.run(n, groupsOf(hi-lo))
	for i := range n {
		t.weigh(i, at)
	}
	for i := 0; i < n; {
		rows := tileSize(n - i)
		t.values(c, head, i, rows, at)
		i += rows
	}
}

// weigh turns the scores of row i in the block at position at into weights.
func (t *attnTile) weigh(i, at int) {
	r := &t.row[i]
	lo, hi := max(r.lo, at)-at, min(r.hi, at+attnBlock)-at
	if lo >= hi {
		return
	}
	first, last := lo/lanes*lanes, groupsOf(hi)*lanes
	s := t.scores[i*attnBlock : (i+1)*attnBlock]
	for j := first; j < lo; j++ {
		s[j] = float32(math.Inf(-1))
	}
	for j := hi; j < last; j++ {
		s[j] = float32(math.Inf(-1))
	}
	s = s[first:last]
	if top := maxOf(t.task.isa, s); top > r.max {
		f := expf(r.max - top)
		r.max, r.sum = top, float32(r.sum*f)
		out := t.out[i*t.padded : (i+1)*t.padded]
		scaleTo(t.task.isa, out, out, f)
	}
	r.sum += expSum(t.task.isa, s, r.max)
}

// values adds the weighted values of a block to the rows [i, i+rows). Positions that all
// of them see are done together, those before and after row by row.
func (t *attnTile) values(c *KVCache, head, i, rows, at int) {
	lo, hi := at, at+attnBlock
	for _, r := range t.row[i : i+rows] {
		lo, hi = max(lo, r.lo), min(hi, r.hi)
	}
	lo = min(lo, at+attnBlock)
	hi = max(hi, lo)
	for j := i; j < i+rows; j++ {
		t.positions(c, head, j, 1, at, max(at, t.row[j].lo), min(lo, t.row[j].hi))
	}
	t.positions(c, head, i, rows, at, lo, hi)
	for j := i; j < i+rows; j++ {
		t.positions(c, head, j, 1, at, max(hi, t.row[j].lo), min(at+attnBlock, t.row[j].hi))
	}
}

// positions adds the weighted values of the positions [lo, hi) of the block at at.
func (t *attnTile) positions(c *KVCache, head, i, rows, at, lo, hi int) {
	if lo >= hi {
		return
	}
	p := product{
		isa: t.task.isa, dst: t.out[i*t.padded:], dstStride: t.padded,
		w: c.headValues(head)[lo*lanes:], wStride: c.max * lanes,
		x: t.scores[i*attnBlock+lo-at:], xStride: attnBlock, k: hi - lo, more: true,
	}
	p.run(rows, t.padded/lanes)
}
