package gateway

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/json"
	"math"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Limits of what a request may ask for.
const (
	maxStops      = 8
	maxStopBytes  = 256
	defaultTokens = 2048 // of an answer, if the request does not say
)

// sampling holds what chat and completion requests have in common.
type sampling struct {
	Model             string          `json:"model"`
	Stream            bool            `json:"stream"`
	StreamOptions     *streamOptions  `json:"stream_options"`
	MaxTokens         *int            `json:"max_tokens"`
	MaxCompletion     *int            `json:"max_completion_tokens"` // its newer name, which counts if both are there
	Temperature       *float32        `json:"temperature"`
	TopP              *float32        `json:"top_p"`
	TopK              *uint32         `json:"top_k"`
	MinP              *float32        `json:"min_p"`
	RepetitionPenalty *float32        `json:"repetition_penalty"`
	FrequencyPenalty  float32         `json:"frequency_penalty"`
	PresencePenalty   float32         `json:"presence_penalty"`
	Seed              *int64          `json:"seed"`
	Stop              json.RawMessage `json:"stop"`
	N                 *int            `json:"n"`
	LogitBias         given           `json:"logit_bias"`
}

type streamOptions struct {
	IncludeUsage bool `json:"include_usage"`
}

// usage asks for the token counts at the end of a stream.
func (s *sampling) usage() bool { return s.StreamOptions != nil && s.StreamOptions.IncludeUsage }

// options is a checked request.
type options struct {
	wire      wire.Sampling
	maxTokens int // 0: not told
	stops     []string
}

// check translates what the request asks for. What is not supported is refused: an answer
// that silently ignores it would be wrong.
func (s *sampling) check() (*options, error) {
	if s.N != nil && *s.N != 1 {
		return nil, badRequest("n", "n must be 1")
	}
	if s.LogitBias {
		return nil, badRequest("logit_bias", "logit_bias is not supported")
	}
	o := &options{wire: wire.Sampling{
		Temperature: 1, TopP: 1, RepetitionPenalty: 1, FrequencyPenalty: s.FrequencyPenalty, PresencePenalty: s.PresencePenalty,
	}}
	for _, f := range []struct {
		name   string
		from   *float32
		to     *float32
		lo, hi float32
	}{
		{"temperature", s.Temperature, &o.wire.Temperature, 0, 2},
		{"top_p", s.TopP, &o.wire.TopP, 0, 1},
		{"min_p", s.MinP, &o.wire.MinP, 0, 1},
		{"repetition_penalty", s.RepetitionPenalty, &o.wire.RepetitionPenalty, 0.01, 10},
		{"frequency_penalty", &s.FrequencyPenalty, &o.wire.FrequencyPenalty, -2, 2},
		{"presence_penalty", &s.PresencePenalty, &o.wire.PresencePenalty, -2, 2},
	} {
		if f.from == nil {
			continue
		}
		if !(*f.from >= f.lo && *f.from <= f.hi) {
			return nil, badRequest(f.name, "%s is %g, want %g to %g", f.name, *f.from, f.lo, f.hi)
		}
		*f.to = *f.from
	}
	if o.wire.TopP == 0 {
		o.wire.TopP = math.SmallestNonzeroFloat32 // the likeliest token only; 0 would be all
	}
	if s.TopK != nil {
		o.wire.TopK = *s.TopK
	}
	most, name := s.MaxCompletion, "max_completion_tokens"
	if most == nil {
		most, name = s.MaxTokens, "max_tokens"
	}
	if most != nil {
		if o.maxTokens = *most; o.maxTokens < 1 || o.maxTokens > protocol.MaxSessionTokens {
			return nil, badRequest(name, "%s is %d, want 1 to %d", name, o.maxTokens, protocol.MaxSessionTokens)
		}
	}
	if s.Seed != nil {
		o.wire.Seed = uint64(*s.Seed)
	} else {
		var b [8]byte
		rand.Read(b[:]) // never errs since Go 1.24
		o.wire.Seed = binary.LittleEndian.Uint64(b[:]) & math.MaxInt64
	}
	return o, o.readStops(s.Stop)
}

func (o *options) readStops(raw json.RawMessage) error {
	add := func(i int, element []byte) error {
		if i == maxStops {
			return badRequest("stop", "more than %d stop texts", maxStops)
		}
		text, err := readText(element)
		if err != nil || kindOf(element) != kindText {
			return badRequest("stop", "stop must be a text or a list of texts, not %s", kindOf(element))
		}
		if text == "" || len(text) > maxStopBytes {
			return badRequest("stop", "stop text of %d bytes, want 1 to %d", len(text), maxStopBytes)
		}
		o.stops = append(o.stops, text)
		return nil
	}
	switch kindOf(raw) {
	case "", kindNull:
		return nil
	case kindList:
		return elements(raw, add)
	}
	return add(0, raw)
}
