package sample

import (
	"errors"
	"fmt"
	"math"
)

// ErrNotFinite is the error of logits that are NaN, +Inf, or all -Inf: the model, run on
// this history, gives nothing to draw from, on whatever machine it runs.
var ErrNotFinite = errors.New("the model gives values that are not finite")

// TokenLogprob is a token with its log-probability.
type TokenLogprob struct {
	Token   int32
	Logprob float32
}

// Result is a drawn token.
type Result struct {
	Token   int32
	Logprob float32        // 0 if not asked for
	Top     []TokenLogprob // the likeliest, most likely first; tokens of probability 0 are not listed
}

// Sample draws the token that follows history from the logits of its last position. The
// first promptLen tokens of history are the prompt, the others were generated. Logits of
// -Inf are tokens that cannot be drawn; NaN, +Inf or nothing but -Inf is [ErrNotFinite].
// Tokens of history outside the vocabulary are an error where penalties look at them.
// Sample keeps none of its arguments and changes none.
func Sample(p Params, logits []float32, history []int32, promptLen int) (Result, error) {
	if !p.valid() {
		return Result{}, fmt.Errorf("sample: %w", p.Validate())
	}
	if len(logits) == 0 || len(logits) > MaxVocab {
		return Result{}, fmt.Errorf("sample: %d logits, want 1 to %d", len(logits), MaxVocab)
	}
	if promptLen < 0 || promptLen > len(history) {
		return Result{}, fmt.Errorf("sample: prompt of %d tokens in a history of %d", promptLen, len(history))
	}
	best, err := likeliest(logits)
	if err != nil {
		return Result{}, err
	}
	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	scores, top := logits, best
	if p.repeats() && len(history) > 0 || p.penalises() && len(history) > promptLen {
		from := promptLen
		if p.repeats() {
			from = 0
		}
		for _, t := range history[from:] {
			if t < 0 || int(t) >= len(logits) {
				return Result{}, fmt.Errorf("sample: token %d in the history, vocabulary of %d", t, len(logits))
			}
		}
		scores = s.penalise(&p, logits, history, promptLen)
		if top, err = likeliest(scores); err != nil {
			return Result{}, err
		}
	}
	token := top
	if p.Temperature > 0 {
		token = s.draw(&p, scores, top, random(p.Seed, len(history)))
	}
	r := Result{Token: int32(token)}
	if p.WantLogprob || p.Logprobs > 0 {
		norm := ln(float64(s.weigh(logits, logits[best], 1)) / one)
		logprob := func(id int32) float32 { return float32(float64(logits[id]) - float64(logits[best]) - norm) }
		r.Logprob = logprob(r.Token)
		r.Top = alternatives(logits, p.Logprobs)
		for i := range r.Top {
			r.Top[i].Logprob = logprob(r.Top[i].Token)
		}
	}
	return r, nil
}

// likeliest returns the lowest id with the largest logit.
func likeliest(logits []float32) (int, error) {
	best, most := -1, float32(math.Inf(-1))
	for i, l := range logits {
		if !(l <= most) { // larger, or NaN
			if l != l || l > math.MaxFloat32 {
				return 0, fmt.Errorf("sample: %w: logit of token %d is %g", ErrNotFinite, i, l)
			}
			best, most = i, l
		}
	}
	if best < 0 {
		return 0, fmt.Errorf("sample: %w: all logits are -Inf", ErrNotFinite)
	}
	return best, nil
}

// draw takes a token at a temperature above 0. top is the likeliest token.
func (s *scratch) draw(p *Params, scores []float32, top int, r uint64) int {
	total := s.weigh(scores, scores[top], p.Temperature)
	if !p.narrows(len(scores)) {
		return s.find(below(total, r))
	}
	s.narrow(p, top, total)
	left := below(s.total(), r)
	for _, id := range s.ids {
		if left -= weight(s.e[id]); left < 0 {
			return int(id)
		}
	}
	panic(fmt.Sprintf("sample: weight %d left over after %d tokens", left, len(s.ids))) // the sums are exact
}

// find returns the token at weight left, which is below the total, in order of ids.
func (s *scratch) find(left int64) int {
	id := 0
	for _, sum := range s.sums {
		if left < sum {
			break
		}
		left -= sum
		id += chunk
	}
	for {
		if left -= weight(s.e[id]); left < 0 {
			return id
		}
		id++
	}
}

// alternatives lists the n tokens with the largest logits, without log-probabilities.
func alternatives(logits []float32, n int) []TokenLogprob {
	if n == 0 {
		return nil
	}
	n = min(n, len(logits))
	top := make([]TokenLogprob, 0, n+1)
	least := float32(math.Inf(-1))
	for i, l := range logits {
		if !(l > least) {
			continue
		}
		at := len(top)
		for at > 0 && logits[top[at-1].Token] < l {
			at--
		}
		top = append(top, TokenLogprob{})
		copy(top[at+1:], top[at:])
		top[at] = TokenLogprob{Token: int32(i)}
		if len(top) > n {
			top = top[:n]
		}
		if len(top) == n {
			least = logits[top[n-1].Token]
		}
	}
	return top
}
