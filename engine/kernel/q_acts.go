package kernel

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// maxPanel is the largest number of tokens a kernel computes together.
const maxPanel = 16

// Sizes of what a panel stores for each token and block of 32 columns besides the int8
// values: the scale (float32), minus the sum (int32), the sum (float32), and minus the
// sums of the first and second 16 columns (int32).
const (
	actFields     = 5
	actTokenBytes = subLen + 4*actFields
)

// tinyAct is the largest value of a block below which it counts as zero; from there on
// the scale and its inverse are normal numbers.
const tinyAct = 0x1p-110

// quantActs holds activations in int8 blocks of 32, in panels of up to 16 tokens. The
// kernels read four columns of a token at a time and all tokens of a panel for one block
// before the next block, so a panel is (blocks, record) and a record is
// (tokens, 32) int8, then (field, tokens) of the fields above.
type quantActs struct {
	data   []byte
	panels []actPanel
	blocks int
	fill   fillTask
	mul    quantTask
}

// actPanel is a run of tokens. Tokens beyond valid are zero and their results dropped.
type actPanel struct {
	data   []byte
	tokens int // what the kernel computes
	first  int // token of x
	valid  int
}

// actBlock is a block of one token, for the pure Go twin.
type actBlock struct {
	q     []int8
	scale float32
	sum   [2]int32
}

// prepare quantises x (n, cols).
func (a *quantActs) prepare(isa ISA, p *Pool, x []float32, n, cols int) {
	a.blocks = cols / subLen
	a.split(isa, n)
	a.fill = fillTask{a: a, x: x, isa: isa}
	p.Run(n, max(1, fillGrain/cols), &a.fill)
	a.fill.x = nil
}

// fillGrain is how many values a thread quantises at a time, about 10 us of work.
const fillGrain = 32768

// split cuts n tokens in panels and finds room for them.
func (a *quantActs) split(isa ISA, n int) {
	a.panels = a.panels[:0]
	size := 0
	for first := 0; first < n; {
		tokens := panelTokens(isa, n-first)
		valid := min(tokens, n-first)
		a.panels = append(a.panels, actPanel{tokens: tokens, first: first, valid: valid})
		size += tokens * a.blocks * actTokenBytes
		first += valid
	}
	if len(a.data) < size {
		a.data = alignedBytes(size)
	}
	at := 0
	for i := range a.panels {
		p := &a.panels[i]
		end := at + p.tokens*a.blocks*actTokenBytes
		p.data = a.data[at:end:end]
		at = end
		if p.valid < p.tokens {
			clear(p.data)
		}
	}
}

// panelTokens returns how many tokens to compute together when left are left.
func panelTokens(isa ISA, left int) int {
	sizes := panelSizes[isa]
	for _, n := range sizes {
		if n >= left {
			return n
		}
	}
	return sizes[len(sizes)-1]
}

// panelSizes lists the numbers of tokens that each instruction set has kernels for.
var panelSizes = [...][]int{
	Generic: {1, 2, 4, 8, 16},
	AVX2:    {1, 2, 3, 4},
	AVX512:  {1, 2, 3, 4, 6, 8, 12, 16},
}

// panelOf returns the panel that holds a token and its place there.
func (a *quantActs) panelOf(token int) (*actPanel, int) {
	full := a.panels[0].tokens // all panels but the last have the size of the first
	p := &a.panels[token/full]
	return p, token - p.first
}

// fillTask quantises tokens.
type fillTask struct {
	a   *quantActs
	x   []float32
	isa ISA
}

// Do quantises the tokens [lo, hi).
func (t *fillTask) Do(lo, hi int) {
	cols := t.a.blocks * subLen
	for token := lo; token < hi; token++ {
		p, at := t.a.panelOf(token)
		quantizeRow(t.isa, p, at, t.x[token*cols:(token+1)*cols])
	}
}

// quantizeRowGeneric writes x as token number t of the panel. A block with a value that
// is not finite becomes zeros with the scale NaN, so that its results are NaN.
func quantizeRowGeneric(p *actPanel, t int, x []float32) {
	le := binary.LittleEndian
	for b := range len(x) / subLen {
		rec := p.data[b*p.tokens*actTokenBytes:]
		block := x[b*subLen : (b+1)*subLen]
		scale, inverse := actScale(block)
		var sum [2]int32
		for k, v := range block {
			var q int32
			if inverse != 0 {
				q = int32(math.RoundToEven(float64(float32(v * inverse))))
			}
			rec[t*subLen+k] = byte(int8(q))
			sum[k/(subLen/2)] += q
		}
		fields := rec[p.tokens*subLen:]
		le.PutUint32(fields[4*t:], math.Float32bits(scale))
		le.PutUint32(fields[4*(p.tokens+t):], uint32(-sum[0]-sum[1]))
		le.PutUint32(fields[4*(2*p.tokens+t):], math.Float32bits(float32(sum[0]+sum[1])))
		le.PutUint32(fields[4*(3*p.tokens+t):], uint32(-sum[0]))
		le.PutUint32(fields[4*(4*p.tokens+t):], uint32(-sum[1]))
	}
}

// actScale returns the scale of a block, the largest magnitude / 127, and its inverse. It
// returns NaN and 0 if a value is not finite, 0 and 0 if all are tiny.
func actScale(block []float32) (scale, inverse float32) {
	var top uint32 // bits of magnitudes order like the magnitudes, infinity and NaN above all
	for _, v := range block {
		top = max(top, math.Float32bits(v)&0x7fffffff)
	}
	amax := math.Float32frombits(top)
	switch {
	case top >= 0x7f800000:
		return math.Float32frombits(0x7fc00000), 0
	case amax < tinyAct:
		return 0, 0
	}
	return amax / 127, 127 / amax
}

// block returns block b of token t.
func (p actPanel) block(b, t int) actBlock {
	le := binary.LittleEndian
	rec := p.data[b*p.tokens*actTokenBytes:]
	q := rec[t*subLen : (t+1)*subLen]
	fields := rec[p.tokens*subLen:]
	return actBlock{
		q:     unsafe.Slice((*int8)(unsafe.Pointer(unsafe.SliceData(q))), subLen),
		scale: math.Float32frombits(le.Uint32(fields[4*t:])),
		sum:   [2]int32{-int32(le.Uint32(fields[4*(3*p.tokens+t):])), -int32(le.Uint32(fields[4*(4*p.tokens+t):]))},
	}
}
