package model_test

import (
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/sample"
	"github.com/covey-network/covey/engine/tensor"
)

// broken gives the weights of a checkpoint with one value of the vectors of a name NaN.
func broken(c *model.Checkpoint, name string) model.Weights {
	return editedWeights{c.Weights(), func(x *tensor.Tensor) error {
		if x.Name == name {
			binary.LittleEndian.PutUint32(x.Data[4:], math.Float32bits(float32(math.NaN())))
		}
		return nil
	}}
}

func loadFrom(t *testing.T, c *model.Checkpoint, r model.Range, w model.Weights) *model.Stage {
	t.Helper()
	s, err := model.Load(t.Context(), c.Config, r, w, pool(t, 1))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestForwardNotFinite breaks one weight: what the stage gives is an error of a kind that a
// caller can tell from its own mistakes, and the session is as it was.
func TestForwardNotFinite(t *testing.T) {
	t.Parallel()
	llama, bert := importModel(t, unpack(t, "llama3"), 0), importModel(t, unpack(t, "bert"), 0)
	table := importModel(t, readTables(t)["classes"].write(t), 0)
	first := model.Range{Last: 1, Embed: true}
	cases := []struct {
		name   string
		c      *model.Checkpoint
		r      model.Range
		weight string
		in     model.Input
	}{
		{"hidden state", llama, first, "attn_norm.weight", model.Input{Tokens: []int32{1, 2, 3}}},
		{"hidden state of an encoder", bert, first, "attn_norm.bias", model.Input{Tokens: []int32{1, 2, 3}}},
		{"pooled", bert, bert.Config.Whole(), "attn_norm.bias", model.Input{Tokens: []int32{1, 2, 3}}},
		{"numbers", table, table.Config.Whole(), "fc1.bias", model.Input{Numbers: make([]float32, table.Config.Dim())}},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			for _, bad := range []bool{false, true} {
				w := k.c.Weights()
				if bad {
					w = broken(k.c, k.weight)
				}
				s := loadFrom(t, k.c, k.r, w)
				in := k.in
				if k.c == llama {
					in.Session = open(t, 8, s).sessions[0]
				}
				_, err := s.Forward(t.Context(), []model.Input{in})
				if errors.Is(err, model.ErrNotFinite) != bad || !bad && err != nil {
					t.Errorf("broken %t: got error %v", bad, err)
				}
				if bad && in.Session != nil && in.Session.Len() != 0 {
					t.Errorf("session has %d tokens after the error", in.Session.Len())
				}
			}
		})
	}
}

// TestLogitsNotFinite breaks the norm before the output: the draw tells it.
func TestLogitsNotFinite(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "llama3"), 0)
	logits := open(t, 8, loadFrom(t, c, c.Config.Whole(), broken(c, "norm.weight"))).step(t, []int32{1, 2, 3}, model.LogitsLast)
	if _, err := sample.Sample(sample.Params{}, logits, nil, 0); !errors.Is(err, sample.ErrNotFinite) {
		t.Errorf("got error %v, want %v", err, sample.ErrNotFinite)
	}
}

// TestNumbersNotFinite gives a table's model a number that is none: that is the caller's
// mistake and not the model's.
func TestNumbersNotFinite(t *testing.T) {
	t.Parallel()
	c := importModel(t, readTables(t)["classes"].write(t), 0)
	x := make([]float32, c.Config.Dim())
	x[len(x)-1] = float32(math.Inf(1))
	_, err := loadFrom(t, c, c.Config.Whole(), c.Weights()).Forward(t.Context(), []model.Input{{Numbers: x}})
	if err == nil || errors.Is(err, model.ErrNotFinite) || !strings.Contains(err.Error(), "a number is NaN or infinite") {
		t.Errorf("got error %v", err)
	}
}
