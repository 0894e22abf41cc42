package sample_test

import (
	"encoding/binary"
	"math"
	"reflect"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/sample"
)

// FuzzSample gives Sample any parameters, logits and history: an error comes back, or twice
// the same token, one that the parameters leave.
func FuzzSample(f *testing.F) {
	bytes := func(logits ...float32) (b []byte) {
		for _, l := range logits {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(l))
		}
		return b
	}
	f.Add(float32(0), 0, float32(0), float32(0), float32(0), float32(0), float32(0), uint64(0), 0, bytes(1, 2, 3), []byte{}, 0)
	f.Add(float32(1), 2, float32(0.9), float32(0.1), float32(1.1), float32(0.5), float32(-0.5), uint64(7), 3, bytes(1, 2, -3, 2, 0.5), []byte{0, 1, 1}, 1)
	f.Add(float32(1e-45), 0, float32(1e-45), float32(1e-45), float32(1e-45), float32(100), float32(100), uint64(7), 20, bytes(math.MaxFloat32, -math.MaxFloat32, 0, -inf), []byte{0, 1, 2, 3}, 0)
	f.Add(float32(1), 0, float32(0), float32(0), float32(0), float32(0), float32(0), uint64(7), 0, bytes(nan, inf), []byte{9}, 2)
	f.Fuzz(func(t *testing.T, temperature float32, topK int, topP, minP, repetition, frequency, presence float32, seed uint64, logprobs int, data, past []byte, promptLen int) {
		p := sample.Params{
			Temperature: temperature, TopK: topK, TopP: topP, MinP: minP, RepetitionPenalty: repetition,
			FrequencyPenalty: frequency, PresencePenalty: presence, Seed: seed, Logprobs: logprobs, WantLogprob: true,
		}
		var logits []float32
		for ; len(data) >= 4; data = data[4:] {
			logits = append(logits, math.Float32frombits(binary.LittleEndian.Uint32(data)))
		}
		var history []int32
		for _, b := range past {
			history = append(history, int32(int8(b)))
		}
		got, err := sample.Sample(p, logits, history, promptLen)
		if err != nil {
			return
		}
		if again, err := sample.Sample(p, logits, history, promptLen); err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("got %+v and then %+v, %v", got, again, err)
		}
		if got.Token < 0 || int(got.Token) >= len(logits) || logits[got.Token] == -inf {
			t.Fatalf("got token %d of %v", got.Token, logits)
		}
		if !(got.Logprob <= 0) || len(got.Top) > logprobs {
			t.Fatalf("got logprob %g and %d alternatives", got.Logprob, len(got.Top))
		}
		for i, a := range got.Top {
			if !(a.Logprob <= 0) || i > 0 && a.Logprob > got.Top[i-1].Logprob {
				t.Fatalf("alternative %d of %+v", i, got.Top)
			}
		}
	})
}

// FuzzStopMatcher gives a matcher any stops, one a line, and any text in pieces of any
// length: what it gives out is what the plain way gives.
func FuzzStopMatcher(f *testing.F) {
	f.Add("one STOP two", "STOP\nSTART", []byte{3, 5, 1})
	f.Add("aabaabaaa", "aabaaa\nba", []byte{1})
	f.Add("n\xc3\xa9e", "é", []byte{2, 1})
	f.Fuzz(func(t *testing.T, text, stops string, sizes []byte) {
		if len(text) > 500 || len(stops) > 100 {
			return
		}
		var pieces []string
		for i := 0; text != ""; i++ {
			n := 1
			if len(sizes) > 0 {
				n = min(int(sizes[i%len(sizes)]%8)+1, len(text))
			}
			pieces = append(pieces, text[:n])
			text = text[n:]
		}
		feed(t, pieces, strings.Split(stops, "\n"))
	})
}
