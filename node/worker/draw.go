package worker

import (
	"github.com/covey-network/covey/engine/sample"
	"github.com/covey-network/covey/protocol/wire"
)

var _ Draw = SampleDraw

// SampleDraw is the Draw of engine/sample.
func SampleDraw(p wire.Sampling, logits []float32, history []int32, promptLen int) (wire.Sampled, error) {
	r, err := sample.Sample(sample.Params{
		Temperature: p.Temperature, TopK: int(min(p.TopK, sample.MaxVocab)), TopP: p.TopP, MinP: p.MinP,
		RepetitionPenalty: p.RepetitionPenalty, FrequencyPenalty: p.FrequencyPenalty, PresencePenalty: p.PresencePenalty,
		Seed: p.Seed, Logprobs: int(min(p.Logprobs, sample.MaxLogprobs+1)), WantLogprob: p.WantLogprob,
	}, logits, history, promptLen)
	if err != nil {
		return wire.Sampled{}, err
	}
	drawn := wire.Sampled{Token: r.Token, Logprob: r.Logprob}
	for _, a := range r.Top {
		drawn.Top = append(drawn.Top, wire.TokenLogprob{Token: a.Token, Logprob: a.Logprob})
	}
	return drawn, nil
}
