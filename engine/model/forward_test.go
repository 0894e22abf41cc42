package model_test

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

func TestForwardRefuses(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "llama3"), 0)
	p := pool(t, 1)
	blocks := c.Config.Blocks()
	whole := load(t, c, c.Config.Whole(), p)
	tail := load(t, c, model.Range{First: 1, Last: blocks, Head: true}, p)
	ses := open(t, 8, whole).sessions[0]
	other := open(t, 8, tail).sessions[0]
	closed := open(t, 8, whole).sessions[0]
	closed.Close()
	wide := make([]float32, c.Config.Dim())
	cases := []struct {
		name  string
		stage *model.Stage
		in    []model.Input
		want  string
	}{
		{"no session", whole, []model.Input{{Tokens: []int32{1}}}, "no session"},
		{"no tokens", whole, []model.Input{{Session: ses}}, "no tokens"},
		{"token too large", whole, []model.Input{{Session: ses, Tokens: []int32{1, 1024}}}, "token 1 is 1024, want 0 to 1023"},
		{"token negative", whole, []model.Input{{Session: ses, Tokens: []int32{-1}}}, "token 0 is -1"},
		{"hidden for an embedding", whole, []model.Input{{Session: ses, Hidden: wide}}, "takes tokens"},
		{"tokens without embedding", tail, []model.Input{{Session: other, Tokens: []int32{1}}}, "takes hidden states"},
		{"half a row", tail, []model.Input{{Session: other, Hidden: wide[:3]}}, "multiple of the width"},
		{"no rows", tail, []model.Input{{Session: other}}, "no tokens"},
		{"another stage's session", whole, []model.Input{{Session: other, Tokens: []int32{1}}}, "another stage"},
		{"twice in a batch", whole, []model.Input{{Session: ses, Tokens: []int32{1}}, {Session: ses, Tokens: []int32{1}}}, "input 1: session is in use"},
		{"full", whole, []model.Input{{Session: ses, Tokens: make([]int32, 9)}}, "session is full"},
		{"closed", whole, []model.Input{{Session: closed, Tokens: []int32{1}}}, "session is closed"},
		{"token types", whole, []model.Input{{Session: ses, Tokens: []int32{1}, Types: []int32{0}}}, "token types"},
		{"unknown logits", whole, []model.Input{{Session: ses, Tokens: []int32{1}, Logits: 3}}, "logits 3"},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			out, err := k.stage.Forward(t.Context(), k.in)
			if out != nil || err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("got %v, want %q", err, k.want)
			}
			if ses.Len() != 0 {
				t.Errorf("session has %d tokens after an error", ses.Len())
			}
		})
	}
	if out, err := whole.Forward(t.Context(), nil); err != nil || len(out) != 0 {
		t.Errorf("empty batch: %v", err)
	}
	if _, err := whole.NewSession(0); err == nil {
		t.Error("opened a session of no tokens")
	}
	if _, err := whole.NewSession(c.Config.ContextLen() + 1); err == nil {
		t.Error("opened a session longer than the context")
	}
}

func TestLoadRefuses(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "llama3"), 0)
	p := pool(t, 1)
	edit := func(f func(*tensor.Tensor) error) model.Weights { return editedWeights{c.Weights(), f} }
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	cases := []struct {
		name string
		ctx  context.Context
		r    model.Range
		w    model.Weights
		want string
	}{
		{"range", t.Context(), model.Range{First: 2, Last: 9}, c.Weights(), "the model has blocks [0, 3)"},
		{"no weights", t.Context(), c.Config.Whole(), nil, "no weights"},
		{"cancelled", cancelled, c.Config.Whole(), c.Weights(), "context canceled"},
		{"missing", t.Context(), c.Config.Whole(), edit(func(x *tensor.Tensor) error {
			if x.Name == "attn.k.weight" {
				return errors.New("lost")
			}
			return nil
		}), `load tensor "attn.k.weight" of block `},
		{"shape", t.Context(), c.Config.Whole(), edit(func(x *tensor.Tensor) error {
			if x.Name == "ffn.up.weight" {
				x.Shape = tensor.Shape{64, 176}
			}
			return nil
		}), "shape is [64 176], want [176 64]"},
		{"short", t.Context(), c.Config.Whole(), edit(func(x *tensor.Tensor) error {
			x.Data = x.Data[1:]
			return nil
		}), "takes 131072 bytes, got 131071"},
		{"type without kernel", t.Context(), model.Range{First: 0, Last: 1}, edit(func(x *tensor.Tensor) error {
			if x.Name == "attn.q.weight" {
				x.DType, x.Data = tensor.MXFP4, make([]byte, 64*64/32*17)
			}
			return nil
		}), "MXFP4"},
		{"no type", t.Context(), model.Range{First: 0, Last: 1}, edit(func(x *tensor.Tensor) error {
			x.DType = 99
			return nil
		}), "attn_norm.weight"},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			s, err := model.Load(k.ctx, c.Config, k.r, k.w, p)
			if s != nil || err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("got %v, want %q", err, k.want)
			}
		})
	}
}

// editedWeights changes tensors on their way.
type editedWeights struct {
	model.Weights
	edit func(*tensor.Tensor) error
}

func (w editedWeights) Tensor(ctx context.Context, part model.Part, name string) (tensor.Tensor, error) {
	t, err := w.Weights.Tensor(ctx, part, name)
	if err == nil {
		err = w.edit(&t)
	}
	return t, err
}

// countdown is a context that ends after its Err has been asked a number of times.
type countdown struct {
	context.Context
	left int
}

func (c *countdown) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}

func TestCancelledPassChangesNothing(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "llama3"), 0)
	s := load(t, c, c.Config.Whole(), pool(t, 2))
	tokens := []int32{5, 6, 7, 8}
	want := open(t, 8, s).step(t, tokens, model.LogitsAll)
	run := open(t, 8, s)
	run.step(t, tokens[:1], model.LogitsNone)
	for asked := range 4 {
		_, err := s.Forward(&countdown{t.Context(), asked}, []model.Input{{Session: run.sessions[0], Tokens: tokens[1:]}})
		if !errors.Is(err, context.Canceled) {
			t.Fatalf("asked %d times: got %v", asked, err)
		}
		if got := run.sessions[0].Len(); got != 1 {
			t.Fatalf("asked %d times: session has %d tokens, want 1", asked, got)
		}
	}
	sameBits(t, "after cancelled passes", run.step(t, tokens[1:], model.LogitsAll), want[c.Config.Vocab():])
}

// TestHostileHiddenStates sends what a peer could send: it must not panic, and must not
// reach other sessions of the batch.
func TestHostileHiddenStates(t *testing.T) {
	t.Parallel()
	for _, quantize := range []tensor.DType{0, tensor.Q8_0, tensor.Q4_0} {
		c := importModel(t, unpack(t, "qwen3"), quantize)
		s := load(t, c, model.Range{First: 1, Last: c.Config.Blocks(), Head: true}, pool(t, 1))
		dim := c.Config.Dim()
		good := make([]float32, 3*dim)
		for i := range good {
			good[i] = float32(i%7) - 3
		}
		alone, err := s.Forward(t.Context(), []model.Input{{Session: open(t, 3, s).sessions[0], Hidden: good, Logits: model.LogitsLast}})
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), math.MaxFloat32, math.SmallestNonzeroFloat32, 0} {
			evil := make([]float32, 2*dim)
			for i := range evil {
				evil[i] = bad
			}
			out, err := s.Forward(t.Context(), []model.Input{
				{Session: open(t, 3, s).sessions[0], Hidden: evil, Logits: model.LogitsLast},
				{Session: open(t, 3, s).sessions[0], Hidden: good, Logits: model.LogitsLast},
			})
			if err != nil {
				t.Fatalf("%v: %v", bad, err)
			}
			sameBits(t, "beside a hostile input", out[1].Logits, alone[0].Logits)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "llama3"), 0)
	s := load(t, c, c.Config.Whole(), pool(t, 2))
	tokens := []int32{5, 6, 7, 8, 9}
	want := open(t, 8, s).step(t, tokens, model.LogitsAll)
	var wg sync.WaitGroup
	for range 4 {
		run := open(t, 8, s)
		wg.Go(func() {
			for range 5 {
				out, err := s.Forward(t.Context(), []model.Input{{Session: run.sessions[0], Tokens: tokens, Logits: model.LogitsAll}})
				if err != nil {
					t.Error(err)
					return
				}
				sameBits(t, "beside others", out[0].Logits, want)
				if err := run.sessions[0].Rollback(0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// TestDecodeAllocations bounds what a step allocates: the list of outputs and little else,
// nothing that grows with the model.
func TestDecodeAllocations(t *testing.T) {
	c := importModel(t, unpack(t, "llama3"), tensor.Q8_0)
	s := load(t, c, c.Config.Whole(), pool(t, 2))
	ses := open(t, 512, s).sessions[0]
	batch := []model.Input{{Session: ses, Tokens: []int32{7}, Logits: model.LogitsLast}}
	allocs := testing.AllocsPerRun(200, func() {
		if _, err := s.Forward(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
	})
	if allocs > 4 {
		t.Errorf("%v allocations in a step, want at most 4", allocs)
	}
}

func TestMemoryFigures(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "qwen2"), 0)
	p := pool(t, 1)
	whole := load(t, c, c.Config.Whole(), p)
	if got, file := whole.WeightBytes(), c.Bytes(); got < file || got > 3*file {
		t.Errorf("weights take %d bytes, the file's tensors %d", got, file)
	}
	var sum int64
	for _, r := range thirds(c.Config.Blocks()) {
		sum += load(t, c, r, p).WeightBytes()
	}
	if sum != whole.WeightBytes() {
		t.Errorf("stages take %d bytes together, the whole %d", sum, whole.WeightBytes())
	}
	floats := int64(2 * c.Config.Blocks() * c.Config.Llama.KVHeads * c.Config.Llama.HeadDim)
	const kept = 4 * nn.MaxKeptFloats // of 512 rows of logits
	if got := whole.SessionBytes(512) - kept; got < 512*floats*4 || got > 2*512*floats*4 {
		t.Errorf("session of 512 tokens takes %d bytes beside its output, its keys and values %d", got, 512*floats*4)
	}
	encoder := load(t, importModel(t, unpack(t, "bert"), 0), importModel(t, unpack(t, "bert"), 0).Config.Whole(), p)
	if got, longest := encoder.ScratchBytes(), int64(encoder.Config().ContextLen()*encoder.Config().Bert.FFN*4); got < longest {
		t.Errorf("scratch of an encoder is %d bytes, its longest text takes at least %d", got, longest)
	}
}
