package sample

import (
	"errors"
	"fmt"
)

// Limits of what Sample takes.
const (
	MaxLogprobs = 20      // alternatives, the limit of the OpenAI API
	MaxVocab    = 1 << 20 // logits; bounds the sum of the weights to 62 bits
)

// Params says how a token is drawn. The zero value takes the likeliest token.
type Params struct {
	Temperature float32 // 0 to 100; 0 takes the likeliest token
	TopK        int     // how many of the likeliest tokens stay; 0 is all
	TopP        float32 // 0 to 1: the fewest of the likeliest tokens stay that have this share together, at least one; 0 and 1 are all
	MinP        float32 // 0 to 1: tokens with this share of the likeliest one's probability stay; 0 is all

	RepetitionPenalty float32 // 0 to 100: divides positive logits of tokens seen, multiplies negative ones; 0 and 1 are none
	FrequencyPenalty  float32 // -100 to 100: taken off a token's logit for each time it was generated
	PresencePenalty   float32 // -100 to 100: taken off the logit of each token generated

	Seed        uint64
	Logprobs    int  // alternatives to list with their log-probabilities, at most MaxLogprobs
	WantLogprob bool // gives the log-probability of the drawn token; so does Logprobs
}

// Validate reports all values out of range.
func (p *Params) Validate() error {
	var errs []error
	for _, v := range []struct {
		name      string
		x, lo, hi float32
	}{
		{"temperature", p.Temperature, 0, 100},
		{"top-p", p.TopP, 0, 1},
		{"min-p", p.MinP, 0, 1},
		{"repetition penalty", p.RepetitionPenalty, 0, 100},
		{"frequency penalty", p.FrequencyPenalty, -100, 100},
		{"presence penalty", p.PresencePenalty, -100, 100},
	} {
		if !(v.x >= v.lo && v.x <= v.hi) { // false for NaN
			errs = append(errs, fmt.Errorf("%s is %g, want %g to %g", v.name, v.x, v.lo, v.hi))
		}
	}
	if p.TopK < 0 {
		errs = append(errs, fmt.Errorf("top-k is %d, want at least 0", p.TopK))
	}
	if p.Logprobs < 0 || p.Logprobs > MaxLogprobs {
		errs = append(errs, fmt.Errorf("logprobs is %d, want 0 to %d", p.Logprobs, MaxLogprobs))
	}
	return errors.Join(errs...)
}

// valid is Validate without the table, for the path of each token.
func (p *Params) valid() bool {
	in := func(x, lo, hi float32) bool { return x >= lo && x <= hi }
	return in(p.Temperature, 0, 100) && in(p.TopP, 0, 1) && in(p.MinP, 0, 1) && in(p.RepetitionPenalty, 0, 100) &&
		in(p.FrequencyPenalty, -100, 100) && in(p.PresencePenalty, -100, 100) && p.TopK >= 0 && p.Logprobs >= 0 && p.Logprobs <= MaxLogprobs
}

func (p *Params) repeats() bool   { return p.RepetitionPenalty != 0 && p.RepetitionPenalty != 1 }
func (p *Params) penalises() bool { return p.FrequencyPenalty != 0 || p.PresencePenalty != 0 }
func (p *Params) narrows(n int) bool {
	return p.TopK > 0 && p.TopK < n || p.TopP > 0 && p.TopP < 1 || p.MinP > 0
}
