package hostile

import (
	"bytes"
	"context"
	"encoding/binary"
	"math"
	"slices"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// Mode is a way to do harm to those who ask.
type Mode struct {
	Name, Story string
	Blames      bool // needs a victim
	Vectors     bool // shows with models that give vectors only
	Hidden      bool // shows on a peer that has another one behind it only
	Returns     bool // looks back to work after each time

	open    func(ctx context.Context, p *Peer, s host.Stream) // instead of a session
	result  change                                            // of what goes back
	forward change                                            // of what goes to the next hop
	blocks  bool                                              // serves blocks instead of sessions
}

// Names returns the names of all modes.
func Names() (out []string) {
	for _, m := range Modes() {
		out = append(out, m.Name)
	}
	return out
}

// Find returns a mode by its name, nil if there is none.
func Find(name string) *Mode {
	for _, m := range Modes() {
		if m.Name == name {
			return &m
		}
	}
	return nil
}

// Modes lists all ways.
func Modes() []Mode {
	return []Mode{
		{Name: "blame-open", Story: "says at the open that an honest peer behind it failed", Blames: true, open: blameAtOpen},
		{Name: "blame-step", Story: "says at a step that an honest peer behind it failed", Blames: true, result: results(blame)},
		{Name: "objection", Story: "says that the request is at fault", result: results(failure(wire.CodeBadRequest))},
		{Name: "deadline", Story: "says that the session's time is over", result: results(failure(wire.CodeDeadline))},
		{Name: "hang-open", Story: "never answers an open", open: hang},
		{Name: "hang-step", Story: "never answers a step", result: results(func(*tamper, *wire.InferResult) ([]byte, error) { return nil, errHang })},
		{Name: "half-answer", Story: "sends half of a result, and then nothing", result: results(half)},
		{Name: "break", Story: "resets the stream of a session, and serves the next one", Returns: true, result: results(func(*tamper, *wire.InferResult) ([]byte, error) { return nil, errBreak })},
		{Name: "garbage-answer", Story: "sends random bytes instead of a result", result: results(garbage)},
		{Name: "no-token", Story: "gives a result without a token", result: results(func(_ *tamper, r *wire.InferResult) ([]byte, error) {
			r.Tokens = nil
			return messageFrame(wire.TypeInferResult, r)
		})},
		{Name: "ten-tokens", Story: "gives ten tokens instead of one", result: results(func(_ *tamper, r *wire.InferResult) ([]byte, error) {
			r.Tokens = slices.Repeat(r.Tokens, 10)
			return messageFrame(wire.TypeInferResult, r)
		})},
		{Name: "huge-token", Story: "gives the token 2^31-1", result: results(hugeToken)},
		{Name: "negative-token", Story: "gives the token -2^31", result: results(negativeToken)},
		{Name: "wrong-sequence", Story: "answers another step", result: results(func(_ *tamper, r *wire.InferResult) ([]byte, error) {
			r.Seq += 7
			return messageFrame(wire.TypeInferResult, r)
		})},
		{Name: "wrong-length", Story: "says that the session has another length", result: results(func(_ *tamper, r *wire.InferResult) ([]byte, error) {
			r.Length += 1000
			return messageFrame(wire.TypeInferResult, r)
		})},
		{Name: "nan-vector", Story: "gives a vector of NaN", Vectors: true, result: vectors(func(x []float32) []float32 { return filled(len(x), math.NaN()) })},
		{Name: "inf-vector", Story: "gives a vector of infinities", Vectors: true, result: vectors(func(x []float32) []float32 { return filled(len(x), math.Inf(1)) })},
		{Name: "short-vector", Story: "gives a vector of 3", Vectors: true, result: vectors(func([]float32) []float32 { return filled(3, 0.5) })},
		{Name: "long-vector", Story: "gives a vector of 8,388,608", Vectors: true, result: vectors(func([]float32) []float32 { return filled(8<<20, 0.5) })},
		{Name: "stalled-vector", Story: "sends half of a vector, and then nothing", Vectors: true, result: tensors(halfTensor)},
		{Name: "nan-hidden", Story: "passes on a hidden state of NaN", Hidden: true, forward: tensors(hidden(math.NaN()))},
		{Name: "inf-hidden", Story: "passes on a hidden state with an infinity", Hidden: true, forward: tensors(hidden(math.Inf(1)))},
		{Name: "wrong-shape", Story: "passes on a hidden state of another shape", Hidden: true, forward: tensors(wrongShape)},
		{Name: "stalled-hidden", Story: "passes on half of a hidden state, and then nothing", Hidden: true, forward: tensors(halfTensor)},
		{Name: "wrong-blocks", Story: "serves blocks of other bytes", blocks: true},
	}
}

// results makes a change of results that carry what was asked for; acknowledgements of a
// prompt's chunks pass.
func results(f func(t *tamper, r *wire.InferResult) ([]byte, error)) change {
	return func(t *tamper, typ frame.Type, payload []byte) ([]byte, error) {
		r := new(wire.InferResult)
		if typ != wire.TypeInferResult || wire.Decode(payload, r) != nil || len(r.Tokens) == 0 && !r.Tensor || !t.due() {
			return nil, nil
		}
		return f(t, r)
	}
}

// tensors makes a change of tensors.
func tensors(f func(x []float32, rows int) ([]byte, error)) change {
	return func(t *tamper, typ frame.Type, payload []byte) ([]byte, error) {
		if typ != wire.TypeTensor || !t.due() {
			return nil, nil
		}
		tensor, err := frame.ParseTensor(payload)
		if err != nil {
			return nil, err
		}
		x := make([]float32, len(tensor.Data)/4)
		if _, err := binary.Decode(tensor.Data, binary.LittleEndian, x); err != nil {
			return nil, err
		}
		return f(x, tensor.Shape[0])
	}
}

// vectors makes a change of the values of a tensor of one row.
func vectors(f func(x []float32) []float32) change {
	return tensors(func(x []float32, _ int) ([]byte, error) { return tensorFrame(f(x), 1) })
}

func filled(n int, x float64) []float32 { return slices.Repeat([]float32{float32(x)}, n) }

func tensorFrame(x []float32, rows int) ([]byte, error) {
	data, err := binary.Append(nil, binary.LittleEndian, x)
	if err != nil {
		return nil, err
	}
	head, err := frame.Tensor{DType: frame.F32, Shape: []int{rows, len(x) / rows}, Data: data}.Header()
	if err != nil {
		return nil, err
	}
	return frameOf(wire.TypeTensor, head, data)
}

// hidden puts a value into the middle of an otherwise right hidden state.
func hidden(bad float64) func(x []float32, rows int) ([]byte, error) {
	return func(x []float32, rows int) ([]byte, error) {
		x[len(x)/2] = float32(bad)
		return tensorFrame(x, rows)
	}
}

func wrongShape(x []float32, rows int) ([]byte, error) {
	return tensorFrame(append(x, make([]float32, rows)...), rows) // one column more
}

func halfTensor(x []float32, rows int) ([]byte, error) {
	raw, err := tensorFrame(x, rows)
	if err != nil {
		return nil, err
	}
	return raw[:len(raw)/2], errHang
}

func half(_ *tamper, r *wire.InferResult) ([]byte, error) {
	raw, err := messageFrame(wire.TypeInferResult, r)
	if err != nil {
		return nil, err
	}
	return raw[:len(raw)/2], errHang
}

func garbage(*tamper, *wire.InferResult) ([]byte, error) {
	return frameOf(wire.TypeInferResult, bytes.Repeat([]byte{0xfe, 0x17}, 40))
}

func blame(t *tamper, r *wire.InferResult) ([]byte, error) {
	e := wire.Errorf(wire.CodeUpstream, "the peer behind does not answer")
	e.Seq, e.Peer = r.Seq, t.p.cfg.Claim.Victim
	return messageFrame(wire.TypeError, e)
}

func failure(code wire.Code) func(*tamper, *wire.InferResult) ([]byte, error) {
	return func(_ *tamper, r *wire.InferResult) ([]byte, error) {
		e := wire.Errorf(code, "no")
		e.Seq = r.Seq
		return messageFrame(wire.TypeError, e)
	}
}

func hugeToken(_ *tamper, r *wire.InferResult) ([]byte, error) {
	for i := range r.Tokens {
		r.Tokens[i] = wire.Sampled{Token: math.MaxInt32}
	}
	return messageFrame(wire.TypeInferResult, r)
}

// negativeToken writes what the encoder of an honest peer refuses: the number's major type
// in CBOR is the only difference (RFC 8949, section 3.1).
func negativeToken(t *tamper, r *wire.InferResult) ([]byte, error) {
	raw, err := hugeToken(t, r)
	return bytes.ReplaceAll(raw, []byte{0x1a, 0x7f, 0xff, 0xff, 0xff}, []byte{0x3a, 0x7f, 0xff, 0xff, 0xff}), err
}

func blameAtOpen(_ context.Context, p *Peer, s host.Stream) {
	e := wire.Errorf(wire.CodeUpstream, "the peer behind does not answer")
	e.Peer = p.cfg.Claim.Victim
	raw, err := messageFrame(wire.TypeError, e)
	if err == nil {
		_, err = s.Write(raw)
	}
	if err != nil {
		_ = s.Reset()
		return
	}
	_ = s.CloseWrite()
	discard(s) // a reset would overtake the lie
	_ = s.Close()
}

func hang(ctx context.Context, _ *Peer, s host.Stream) {
	<-ctx.Done()
	_ = s.Reset()
}
