package worker_test

import (
	"math"
	"reflect"
	"testing"

	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
)

func TestSampleDraw(t *testing.T) {
	t.Parallel()
	logits := []float32{0, float32(math.Log(2)), float32(math.Inf(-1)), float32(math.Log(5))}
	half, quarter, eighth := float32(math.Log(0.625)), float32(math.Log(0.25)), float32(math.Log(0.125))
	for _, tc := range []struct {
		name    string
		p       wire.Sampling
		history []int32
		prompt  int
		want    wire.Sampled
	}{
		{"zero value", wire.Sampling{}, nil, 0, wire.Sampled{Token: 3}},
		{"logprob", wire.Sampling{WantLogprob: true}, nil, 0, wire.Sampled{Token: 3, Logprob: half}},
		{"alternatives", wire.Sampling{Logprobs: 5}, nil, 0, wire.Sampled{Token: 3, Logprob: half, Top: []wire.TokenLogprob{{Token: 3, Logprob: half}, {Token: 1, Logprob: quarter}, {Token: 0, Logprob: eighth}}}},
		{"top-k", wire.Sampling{Temperature: 9, TopK: 1}, nil, 0, wire.Sampled{Token: 3}},
		{"largest top-k", wire.Sampling{Temperature: 0.01, TopK: math.MaxUint32}, nil, 0, wire.Sampled{Token: 3}},
		{"top-p", wire.Sampling{Temperature: 1, TopP: 0.5}, nil, 0, wire.Sampled{Token: 3}},
		{"min-p", wire.Sampling{Temperature: 1, MinP: 0.5}, nil, 0, wire.Sampled{Token: 3}},
		{"repetition penalty", wire.Sampling{RepetitionPenalty: 10}, []int32{3}, 1, wire.Sampled{Token: 1}},
		{"frequency penalty of a prompt", wire.Sampling{FrequencyPenalty: 10}, []int32{3}, 1, wire.Sampled{Token: 3}},
		{"frequency penalty", wire.Sampling{FrequencyPenalty: 10}, []int32{3}, 0, wire.Sampled{Token: 1}},
		{"presence penalty", wire.Sampling{PresencePenalty: 10}, []int32{3, 1}, 0, wire.Sampled{Token: 0}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := worker.SampleDraw(tc.p, logits, tc.history, tc.prompt)
			if err != nil {
				t.Fatal(err)
			}
			round := func(x *float32) { *x = float32(math.Round(float64(*x)*1e6) / 1e6) }
			for _, s := range []*wire.Sampled{&got, &tc.want} {
				round(&s.Logprob)
				s.Top = append([]wire.TokenLogprob(nil), s.Top...)
				for i := range s.Top {
					round(&s.Top[i].Logprob)
				}
			}
			if !reflect.DeepEqual(got, tc.want) {
				t.Errorf("got %+v, want %+v", got, tc.want)
			}
		})
	}
}

func TestSampleDrawErrors(t *testing.T) {
	t.Parallel()
	for name, p := range map[string]wire.Sampling{"temperature": {Temperature: -1}, "logprobs": {Logprobs: math.MaxUint32}} {
		if got, err := worker.SampleDraw(p, []float32{1, 2}, nil, 0); err == nil {
			t.Errorf("%s: got %+v, want an error", name, got)
		}
	}
	if got, err := worker.SampleDraw(wire.Sampling{}, []float32{float32(math.NaN())}, nil, 0); err == nil {
		t.Errorf("NaN logit: got %+v, want an error", got)
	}
}
