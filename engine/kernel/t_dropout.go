package kernel

import (
	"fmt"
	"math"
)

// DropoutOp sets elements to 0 at random and scales the others, so that the expected value
// stays (Srivastava and others, "Dropout", 2014). Which are kept depends on the seed and the
// index of the element only, so no mask is stored.
type DropoutOp struct {
	onISA
	drop dropping
	task mapTask
}

// NewDropoutOp returns an op that drops at a rate of at least 0 and below 1, in steps of
// 2^-32.
func NewDropoutOp(rate float32) *DropoutOp {
	return &DropoutOp{onISA: onISA{current}, drop: newDropping(rate)}
}

// Forward writes the kept elements of x, scaled by 1 / (1 - rate), and 0 for the others to
// y, which has the length that counts and may be x. Each step and place in a network takes
// a seed of its own.
func (o *DropoutOp) Forward(p *Pool, y, x []float32, seed uint64) {
	checkLen("DropoutOp.Forward", len(y), len(x))
	o.task = mapTask{do: dropout, isa: o.isa, kind: int(o.drop.threshold), y: y, a: x, s: o.drop.scale, seed: seed}
	chunks := (len(y) + dropChunk - 1) / dropChunk
	p.Run(chunks, grainElements/dropChunk, &o.task)
	o.task = mapTask{}
}

// Backward is Forward of the gradient: it takes the seed of the Forward it belongs to.
func (o *DropoutOp) Backward(p *Pool, dx, dy []float32, seed uint64) { o.Forward(p, dx, dy, seed) }

// dropout computes chunks.
func dropout(t *mapTask, lo, hi int) {
	d := dropping{uint32(t.kind), t.s}
	for c := lo; c < hi; c++ {
		from, to := c*dropChunk, min((c+1)*dropChunk, len(t.y))
		d.chunk(t.isa, t.y[from:to], t.a[from:to], t.seed, c)
	}
}

// dropping is a rate of dropout.
type dropping struct {
	threshold uint32 // random words from here on keep their element
	scale     float32
}

func newDropping(rate float32) dropping {
	if !(rate >= 0 && rate < 1) {
		panic(fmt.Sprintf("kernel: dropout at a rate of %v", rate))
	}
	return dropping{uint32(float64(rate) * (1 << 32)), 1 / (1 - rate)}
}

// dropChunk is the number of elements that share a key.
const dropChunk = 4096

// chunk masks chunk n, or the beginning of it.
func (d dropping) chunk(isa ISA, y, x []float32, seed uint64, n int) {
	key := splitMix(seed ^ splitMix(uint64(n)))
	dropRow(isa, y, x, uint32(key), uint32(key>>32), d.threshold, d.scale)
}

// dropRow masks a chunk: element i is kept if the word of i is at least the threshold.
func dropRow(isa ISA, y, x []float32, start, key, threshold uint32, scale float32) {
	if dropRowSIMD(isa, y, x, start, key, threshold, scale) {
		return
	}
	for i, v := range x {
		kept := uint32(0)
		if dropWord(start+uint32(i)*dropStep, key) >= threshold {
			kept = math.MaxUint32
		}
		y[i] = math.Float32frombits(math.Float32bits(v*scale) & kept)
	}
}

// Constants of dropWord: the finaliser of MurmurHash3 (Appleby, 2011), and a step between
// counters, 2^32 divided by the golden ratio.
const (
	dropStep = 0x9e3779b9
	dropMul1 = 0x85ebca6b
	dropMul2 = 0xc2b2ae35
)

// dropWord returns 32 random bits for a counter and a key.
func dropWord(x, key uint32) uint32 {
	x ^= x >> 16
	x *= dropMul1
	x ^= x>>13 ^ key
	x *= dropMul2
	return x ^ x>>16
}

// splitMix mixes the bits of a counter (Steele, Lea and Flood, "Fast splittable
// pseudorandom number generators", 2014).
func splitMix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
