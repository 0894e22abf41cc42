package sample

import (
	"math"
	"slices"
	"sync"

	"github.com/covey-network/covey/engine/kernel"
)

const (
	one   = 1 << 42 // the weight of the likeliest token
	chunk = 256     // logits whose weights are summed together
)

// scratch holds the buffers of one draw.
type scratch struct {
	counts    []int32 // (vocab): 2 per time generated, 1 if in the prompt. Invariant: all 0 between draws.
	seen      []int32 // tokens whose count is not 0
	penalised []float32
	x         []float32 // (vocab): logits less their maximum, over the temperature
	e         []float32 // (vocab): exp(x)
	sums      []int64   // (vocab/chunk): sums of weights
	tops      []float32 // (vocab/chunk): maxima of x
	sorted    []float32 // (vocab/chunk)
	ids       []int32   // tokens left, ascending
	open      []int32   // tokens between which cut has to choose, ascending
	hist      [1 << 11]int64
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// grow returns a slice of n elements, buf if it has room. The elements have any values.
func grow[T any](buf []T, n int) []T {
	if cap(buf) < n {
		return make([]T, n)
	}
	return buf[:n]
}

// penalise returns the logits after the penalties that p asks for.
func (s *scratch) penalise(p *Params, logits []float32, history []int32, promptLen int) []float32 {
	if len(s.counts) < len(logits) {
		s.counts = make([]int32, len(logits))
	}
	s.seen = s.seen[:0]
	if p.repeats() {
		s.count(history[:promptLen], 1)
	}
	s.count(history[promptLen:], 2)
	s.penalised = append(s.penalised[:0], logits...)
	for _, t := range s.seen {
		v := float64(logits[t])
		if p.repeats() {
			if v > 0 {
				v /= float64(p.RepetitionPenalty)
			} else {
				v = float64(v * float64(p.RepetitionPenalty))
			}
		}
		if n := s.counts[t] >> 1; n > 0 {
			v = v - float64(float64(n)*float64(p.FrequencyPenalty)) - float64(p.PresencePenalty)
		}
		if !math.IsInf(v, 0) {
			v = max(-math.MaxFloat32, min(math.MaxFloat32, v))
		}
		s.penalised[t] = float32(v)
		s.counts[t] = 0
	}
	return s.penalised
}

// count adds tokens to the counts: 2 each time, or only 1 for a token however often it is there.
func (s *scratch) count(tokens []int32, by int32) {
	for _, t := range tokens {
		if s.counts[t] == 0 {
			s.seen = append(s.seen, t)
		} else if by == 1 {
			continue
		}
		s.counts[t] += by
	}
}

// weigh fills x, e, sums and tops from logits, of which most is the largest, and returns
// the sum of all weights.
func (s *scratch) weigh(logits []float32, most float32, temperature float32) int64 {
	n := len(logits)
	s.x, s.e, s.sums, s.tops = grow(s.x, n), grow(s.e, n), s.sums[:0], s.tops[:0]
	shift, scale := float64(most), 1/float64(temperature)
	total := int64(0)
	for lo := 0; lo < n; lo += chunk {
		l := logits[lo:min(lo+chunk, n)]
		x, e := s.x[lo:][:len(l)], s.e[lo:][:len(l)]
		for i := range l {
			x[i] = float32(float64(float64(l[i])-shift) * scale)
		}
		kernel.Exp(e, x)
		top := x[0]
		for _, v := range x {
			if v > top {
				top = v
			}
		}
		sum := int64(0)
		for _, v := range e {
			sum += weight(v)
		}
		s.sums, s.tops = append(s.sums, sum), append(s.tops, top)
		total += sum
	}
	return total
}

// weight makes an exponential, at most 1, an integer.
func weight(e float32) int64 { return int64(e * one) }

// rank orders tokens by x, which is at most 0, likeliest first: 31 bits.
func rank(x float32) uint32 { return math.Float32bits(x) &^ (1 << 31) }

// narrow makes ids the tokens that top-k, top-p and min-p leave. total is the weight of all.
func (s *scratch) narrow(p *Params, top int, total int64) {
	n, least := len(s.x), math.Inf(-1)
	switch nucleus := p.TopP > 0 && p.TopP < 1; {
	case p.TopK > 0 && p.TopK < n:
		s.topK(p.TopK)
		if nucleus {
			s.cut(share(p.TopP, s.total()), true)
		}
	case nucleus:
		// Tokens whose weight is below spare/2n have less than spare together, so none of
		// them is needed; the 2 is more than rounding takes.
		target := share(p.TopP, total)
		if spare := total - target; spare > 0 {
			least = ln(float64(spare) / float64(2*n) / one)
		}
		s.above(float32(least))
		s.cut(target, true)
	default:
		s.above(float32(ln(float64(p.MinP)) - 0.001)) // coarse
	}
	if p.MinP > 0 {
		s.minP(p.MinP, s.e[top])
	}
}

// above makes ids the tokens whose x is at least least.
func (s *scratch) above(least float32) {
	s.ids = s.ids[:0]
	for c, top := range s.tops {
		if top < least {
			continue
		}
		lo := c * chunk
		for i, x := range s.x[lo:min(lo+chunk, len(s.x))] {
			if x >= least {
				s.ids = append(s.ids, int32(lo+i))
			}
		}
	}
}

// share returns the part p of a weight, rounded up, at least 1.
func share(p float32, total int64) int64 {
	part := float64(float64(p) * float64(total))
	target := int64(part)
	if float64(target) < part {
		target++
	}
	return max(1, min(target, total))
}

// total returns the weight of ids.
func (s *scratch) total() int64 {
	sum := int64(0)
	for _, id := range s.ids {
		sum += weight(s.e[id])
	}
	return sum
}

// topK makes ids the k first tokens by rank. The maxima of k chunks are k tokens, so none
// below the least of these maxima is among the first k.
func (s *scratch) topK(k int) {
	least := float32(math.Inf(-1))
	if k <= len(s.tops) {
		s.sorted = append(s.sorted[:0], s.tops...)
		slices.Sort(s.sorted)
		least = s.sorted[len(s.sorted)-k]
	}
	s.above(least)
	s.cut(int64(k), false)
}

// minP leaves the tokens in ids whose exponential is at least the share p of most.
func (s *scratch) minP(p, most float32) {
	least := float64(p) * float64(most) // exact
	kept := s.ids[:0]
	for _, id := range s.ids {
		if float64(s.e[id]) >= least {
			kept = append(kept, id)
		}
	}
	s.ids = kept
}

// cut leaves the fewest first tokens by rank in ids whose mass reaches target, which is
// above 0. The mass of a token is its weight, or 1. It is a radix selection over the bits
// of the rank, in time linear in ids whatever the logits.
func (s *scratch) cut(target int64, weighted bool) {
	prefix, shift := uint32(0), 31
	open := s.ids
	for _, width := range [...]int{11, 10, 10} {
		shift -= width
		hist, mask := s.hist[:1<<width], uint32(1<<width-1)
		clear(hist)
		for _, id := range open {
			hist[rank(s.x[id])>>shift&mask] += s.mass(id, weighted)
		}
		digit := uint32(0)
		for digit < mask && hist[digit] < target {
			target -= hist[digit]
			digit++
		}
		prefix = prefix<<width | digit
		s.open = slices.Grow(s.open[:0], len(open))
		for _, id := range open {
			if rank(s.x[id])>>shift == prefix {
				s.open = append(s.open, id) // never ahead of the reading, where open is s.open
			}
		}
		open = s.open
	}
	last := int32(-1) // of the tokens with rank prefix
	for i := 0; i < len(open) && target > 0; i++ {
		last = open[i]
		target -= s.mass(last, weighted)
	}
	kept := s.ids[:0]
	for _, id := range s.ids {
		if r := rank(s.x[id]); r < prefix || r == prefix && id <= last {
			kept = append(kept, id)
		}
	}
	s.ids = kept
}

func (s *scratch) mass(id int32, weighted bool) int64 {
	if weighted {
		return weight(s.e[id])
	}
	return 1
}
