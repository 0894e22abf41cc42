package wire

import (
	"math"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
)

// SessionIDSize is the length of a session's random id in bytes.
const SessionIDSize = 16

// Range is a stage: blocks First (inclusive) to Last (exclusive) with or without the
// embedding in front and the head behind.
type Range struct {
	First uint32 `cbor:"1,keyasint" json:"first"`
	Last  uint32 `cbor:"2,keyasint" json:"last"`
	Embed bool   `cbor:"3,keyasint,omitempty" json:"embed,omitempty"`
	Head  bool   `cbor:"4,keyasint,omitempty" json:"head,omitempty"`
}

// Validate checks form: not empty, not absurdly long.
func (r Range) Validate() error {
	if r.First > r.Last || r.Last > protocol.MaxBlocksOfModel || r.First == r.Last && !r.Embed && !r.Head {
		return invalid("range of blocks %d to %d", r.First, r.Last)
	}
	if r.Embed && r.First != 0 {
		return invalid("embedding in front of block %d", r.First)
	}
	return nil
}

// Hop is one stage of a chain: who runs which part. Addrs help to dial a peer that the
// dialler has not met.
type Hop struct {
	Peer     PeerID `cbor:"1,keyasint"`
	Range    Range  `cbor:"2,keyasint"`
	Addrs    []Addr `cbor:"3,keyasint,omitempty"`
	Progress bool   `cbor:"4,keyasint,omitempty"` // it tells that it is at work when asked to
}

// Sampling is how the last stage draws tokens. The zero value is greedy. Draws depend on
// seed, position and logits only, so that any peer continues a stream exactly.
type Sampling struct {
	Temperature       float32 `cbor:"1,keyasint,omitempty"`
	TopK              uint32  `cbor:"2,keyasint,omitempty"`
	TopP              float32 `cbor:"3,keyasint,omitempty"`
	MinP              float32 `cbor:"4,keyasint,omitempty"`
	RepetitionPenalty float32 `cbor:"5,keyasint,omitempty"`
	FrequencyPenalty  float32 `cbor:"6,keyasint,omitempty"`
	PresencePenalty   float32 `cbor:"7,keyasint,omitempty"`
	Seed              uint64  `cbor:"8,keyasint,omitempty"`
	Logprobs          uint32  `cbor:"9,keyasint,omitempty"` // alternatives per position
	WantLogprob       bool    `cbor:"10,keyasint,omitempty"`
}

// Validate checks ranges: no NaN, no infinity.
func (s *Sampling) Validate() error {
	if s.Logprobs > protocol.MaxLogprobs {
		return invalid("%d logprobs", s.Logprobs)
	}
	for _, v := range []struct {
		name      string
		x, lo, hi float32
	}{
		{"temperature", s.Temperature, 0, 100},
		{"top_p", s.TopP, 0, 1},
		{"min_p", s.MinP, 0, 1},
		{"repetition penalty", s.RepetitionPenalty, 0, 100},
		{"frequency penalty", s.FrequencyPenalty, -100, 100},
		{"presence penalty", s.PresencePenalty, -100, 100},
	} {
		if !(v.x >= v.lo && v.x <= v.hi) { // false for NaN
			return invalid("%s %g", v.name, v.x)
		}
	}
	return nil
}

// InferOpen opens a session. Each worker reserves memory for MaxTokens positions, dials
// the first hop of Route, passes the rest on, and answers InferOpened when all have.
type InferOpen struct {
	Session   []byte   `cbor:"1,keyasint"` // SessionIDSize random bytes
	Model     cid.Cid  `cbor:"2,keyasint"` // the manifest
	Range     Range    `cbor:"3,keyasint"` // what the receiver runs
	MaxTokens uint32   `cbor:"4,keyasint"` // positions to reserve
	TimeoutMs uint64   `cbor:"5,keyasint"` // left of the session's life; relative, as clocks differ
	Route     []Hop    `cbor:"6,keyasint,omitempty"`
	Sampling  Sampling `cbor:"7,keyasint"` // for the last stage
	// ProgressMs asks for an InferProgress at least this often while the initiator waits
	// for an answer, to the open or to a step; 0 for none.
	ProgressMs uint32 `cbor:"8,keyasint,omitempty"`
}

// Timeout returns what is left of the session's life.
func (o *InferOpen) Timeout() time.Duration { return time.Duration(o.TimeoutMs) * time.Millisecond }

// Progress returns how often the initiator wants to hear that its peer is at work, 0 for never.
func (o *InferOpen) Progress() time.Duration { return time.Duration(o.ProgressMs) * time.Millisecond }

// Validate checks form, also that the chain has no gap and no overlap and that a route
// which starts with the embedding ends with the head.
func (o *InferOpen) Validate() error {
	if len(o.Session) != SessionIDSize {
		return invalid("session id of %d bytes", len(o.Session))
	}
	if err := ValidCID(o.Model); err != nil {
		return err
	}
	if o.MaxTokens == 0 || o.MaxTokens > protocol.MaxSessionTokens {
		return invalid("session of %d tokens", o.MaxTokens)
	}
	if o.TimeoutMs == 0 || o.TimeoutMs > uint64(protocol.MaxInferTimeout/time.Millisecond) {
		return invalid("timeout of %d ms", o.TimeoutMs)
	}
	if o.ProgressMs != 0 && (o.Progress() < protocol.MinProgress || o.Progress() > protocol.MaxProgress) {
		return invalid("progress every %d ms", o.ProgressMs)
	}
	if err := o.Sampling.Validate(); err != nil {
		return err
	}
	return o.validRoute()
}

func (o *InferOpen) validRoute() error {
	if len(o.Route) >= protocol.MaxHops {
		return invalid("route of %d hops", len(o.Route))
	}
	if err := o.Range.Validate(); err != nil {
		return err
	}
	last := o.Range
	for i, h := range o.Route {
		if err := h.Peer.Validate(); err != nil {
			return err
		}
		if err := h.Range.Validate(); err != nil {
			return err
		}
		if err := validAddrs(h.Addrs); err != nil {
			return err
		}
		if last.Head || h.Range.Embed || h.Range.First != last.Last {
			return invalid("hop %d does not follow on block %d", i+1, last.Last)
		}
		last = h.Range
	}
	return nil
}

// Last reports whether the receiver is the end of the chain.
func (o *InferOpen) Last() bool { return len(o.Route) == 0 }

// Next returns the open for the next hop and that hop; o must not be the last. left is
// what remains of the session's life.
func (o *InferOpen) Next(left time.Duration) (Hop, *InferOpen) {
	n := *o
	h := o.Route[0]
	n.Range, n.Route = h.Range, o.Route[1:]
	n.TimeoutMs = uint64(max(left.Milliseconds(), 1))
	return h, &n
}

// InferOpened tells that the whole chain behind the sender is ready.
type InferOpened struct {
	MaxTokens uint32 `cbor:"1,keyasint"` // reserved, at least what was asked for
	Hidden    uint32 `cbor:"2,keyasint"` // width of the hidden state, 0 if none is passed on
}

// Validate checks form.
func (o *InferOpened) Validate() error {
	if o.MaxTokens == 0 || o.MaxTokens > protocol.MaxSessionTokens || o.Hidden > 1<<20 {
		return invalid("opened with %d tokens, width %d", o.MaxTokens, o.Hidden)
	}
	return nil
}

// InferProgress tells that the sender is at work on the open or the step that it owes an
// answer to. Peer is the later hop that it waits for, empty while the work is its own.
type InferProgress struct {
	Peer PeerID `cbor:"1,keyasint,omitempty"`
}

// Validate checks form.
func (p *InferProgress) Validate() error {
	if p.Peer == "" {
		return nil
	}
	return p.Peer.Validate()
}

// Want is what a step shall give back.
type Want uint8

// The wants.
const (
	WantNone   Want = 0 // nothing but an acknowledgement: a prefill chunk before the last
	WantToken  Want = 1 // the token after the last position
	WantAll    Want = 2 // the token after each position: checks a draft
	WantPooled Want = 3 // the pooled vector or class logits of the sequence, image or rows
)

// InferStep runs positions Position to Position+len(Tokens). A Position below the
// session's length rolls back first. Every stage gets the tokens (the last one samples
// with their history); a stage without embedding also gets the hidden state in a tensor
// frame (float32, [tokens, width]) right after the step. A model of images or tables is one
// stage whose step has a token 0 for each image or row, at position 0, and their numbers as
// the tensor.
type InferStep struct {
	Seq       uint64  `cbor:"1,keyasint"` // counts steps from 1
	Position  uint32  `cbor:"2,keyasint"`
	Tokens    []int32 `cbor:"3,keyasint"`
	Want      Want    `cbor:"4,keyasint,omitempty"`
	PromptLen uint32  `cbor:"5,keyasint,omitempty"` // positions that are prompt, for the penalties
	Tensor    bool    `cbor:"6,keyasint,omitempty"` // a tensor frame follows
	Final     bool    `cbor:"7,keyasint,omitempty"` // the session ends with this step's result
}

// Validate checks form.
func (s *InferStep) Validate() error {
	if s.Seq == 0 || s.Want > WantPooled {
		return invalid("step %d wants %d", s.Seq, s.Want)
	}
	if len(s.Tokens) == 0 || len(s.Tokens) > protocol.MaxStepTokens {
		return invalid("step of %d tokens", len(s.Tokens))
	}
	if s.Want == WantAll && len(s.Tokens) > protocol.MaxDraftTokens {
		return invalid("draft of %d tokens, at most %d", len(s.Tokens), protocol.MaxDraftTokens)
	}
	if s.Position > protocol.MaxSessionTokens || int(s.Position)+len(s.Tokens) > protocol.MaxSessionTokens || s.PromptLen > protocol.MaxSessionTokens {
		return invalid("step at position %d, prompt of %d", s.Position, s.PromptLen)
	}
	for _, t := range s.Tokens {
		if t < 0 {
			return invalid("token %d", t)
		}
	}
	return nil
}

// TokenLogprob is an alternative at a position.
type TokenLogprob struct {
	Token   int32   `cbor:"1,keyasint"`
	Logprob float32 `cbor:"2,keyasint"`
}

// Sampled is a drawn token.
type Sampled struct {
	Token   int32          `cbor:"1,keyasint"`
	Logprob float32        `cbor:"2,keyasint,omitempty"`
	Top     []TokenLogprob `cbor:"3,keyasint,omitempty"` // most likely first
}

// Timing is what a hop spent on a step.
type Timing struct {
	Peer      PeerID `cbor:"1,keyasint"`
	ComputeNs uint64 `cbor:"2,keyasint"`
	QueueNs   uint64 `cbor:"3,keyasint,omitempty"`
}

// InferResult answers one step. It travels back through the chain unchanged but for the
// timing that each hop puts in front.
type InferResult struct {
	Seq     uint64    `cbor:"1,keyasint"`
	Length  uint32    `cbor:"2,keyasint"` // positions in the session now
	Tokens  []Sampled `cbor:"3,keyasint,omitempty"`
	Tensor  bool      `cbor:"4,keyasint,omitempty"` // pooled vector or logits follow as a tensor frame
	Timings []Timing  `cbor:"5,keyasint,omitempty"` // first hop first
}

// Validate checks form. Log-probabilities are finite or -Inf, never above zero.
func (r *InferResult) Validate() error {
	if r.Seq == 0 || r.Length > protocol.MaxSessionTokens {
		return invalid("result of step %d at length %d", r.Seq, r.Length)
	}
	if len(r.Tokens) > protocol.MaxStepTokens || len(r.Timings) > protocol.MaxHops {
		return invalid("result of %d tokens and %d timings", len(r.Tokens), len(r.Timings))
	}
	for _, s := range r.Tokens {
		if s.Token < 0 || !validLogprob(s.Logprob) || len(s.Top) > protocol.MaxLogprobs {
			return invalid("token %d with logprob %g and %d alternatives", s.Token, s.Logprob, len(s.Top))
		}
		for _, a := range s.Top {
			if a.Token < 0 || !validLogprob(a.Logprob) {
				return invalid("alternative %d with logprob %g", a.Token, a.Logprob)
			}
		}
	}
	for _, t := range r.Timings {
		if err := t.Peer.Validate(); err != nil {
			return err
		}
		if t.ComputeNs > math.MaxInt64 || t.QueueNs > math.MaxInt64 {
			return invalid("timing of %d ns", t.ComputeNs)
		}
	}
	return nil
}

// validLogprob allows a rounding error above zero.
func validLogprob(p float32) bool { return p <= 1e-3 }

// InferClose ends a session; workers release its memory and pass it on.
type InferClose struct {
	Reason string `cbor:"1,keyasint,omitempty"` // for logs
}

// Validate checks form.
func (c *InferClose) Validate() error {
	return validLine("reason", c.Reason, protocol.MaxTextMessage)
}
