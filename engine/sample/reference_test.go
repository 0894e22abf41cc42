package sample_test

import (
	"math"
	"math/bits"
	"slices"

	"github.com/covey-network/covey/engine/sample"
)

// candidate is a token with its penalised logit and probability.
type candidate struct {
	id    int
	logit float64
	prob  float64
}

// remaining is what Sample may draw and with which probability, the plain way: float64,
// math.Exp and full sorts. It is in order of ids.
func remaining(p sample.Params, logits []float32, history []int32, promptLen int) []candidate {
	var all []candidate
	for id, l := range logits {
		all = append(all, candidate{id: id, logit: penalised(p, float64(l), int32(id), history, promptLen)})
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		switch {
		case a.logit > b.logit:
			return -1
		case a.logit < b.logit:
			return 1
		}
		return a.id - b.id
	})
	if p.Temperature == 0 {
		all[0].prob = 1
		return all[:1]
	}
	most := all[0].logit
	for i := range all {
		all[i].prob = math.Exp((all[i].logit - most) / float64(p.Temperature))
	}
	if p.TopK > 0 {
		all = all[:min(p.TopK, len(all))]
	}
	if p.TopP > 0 && p.TopP < 1 {
		sum, n := 0.0, 0
		for total := total(all); sum < float64(p.TopP)*total; n++ {
			sum += all[n].prob
		}
		all = all[:n]
	}
	all = slices.DeleteFunc(all, func(c candidate) bool { return c.prob < float64(p.MinP) })
	sum := total(all)
	for i := range all {
		all[i].prob /= sum
	}
	slices.SortFunc(all, func(a, b candidate) int { return a.id - b.id })
	return all
}

func penalised(p sample.Params, l float64, id int32, history []int32, promptLen int) float64 {
	if r := float64(p.RepetitionPenalty); r != 0 && slices.Contains(history, id) {
		if l > 0 {
			l /= r
		} else {
			l *= r
		}
	}
	n := 0
	for _, t := range history[promptLen:] {
		if t == id {
			n++
		}
	}
	if n > 0 {
		l -= float64(n)*float64(p.FrequencyPenalty) + float64(p.PresencePenalty)
	}
	return float64(float32(l))
}

func total(cs []candidate) float64 {
	sum := 0.0
	for _, c := range cs {
		sum += c.prob
	}
	return sum
}

// reference draws from remaining with the random bits Sample uses.
func reference(p sample.Params, logits []float32, history []int32, promptLen int) int32 {
	n := uint64(len(history))
	out := sample.Philox([4]uint32{uint32(n), uint32(n >> 32)}, [2]uint32{uint32(p.Seed), uint32(p.Seed >> 32)})
	u, _ := bits.Mul64(uint64(out[1])<<32|uint64(out[0]), 1<<53)
	left := float64(u) / (1 << 53)
	cs := remaining(p, logits, history, promptLen)
	for _, c := range cs {
		if left -= c.prob; left < 0 {
			return int32(c.id)
		}
	}
	return int32(cs[len(cs)-1].id)
}

// logprob is the plain log-softmax.
func logprob(logits []float32, id int32) float64 {
	most := float64(slices.Max(logits))
	sum := 0.0
	for _, l := range logits {
		sum += math.Exp(float64(l) - most)
	}
	return float64(logits[id]) - most - math.Log(sum)
}
