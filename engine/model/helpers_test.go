package model_test

import (
	"archive/zip"
	"encoding/json"
	"io"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// reference is what other programs compute from a fixture, at some positions of ids.
type reference struct {
	IDs       []int32     `json:"ids"`
	Positions []int       `json:"positions"`
	Logits    [][]float32 `json:"logits"`
	Greedy    []int32     `json:"greedy"`   // continuation of ids
	LlamaCpp  [][]float32 `json:"llamacpp"` // what llama.cpp gives, for quantised files
}

// unpack extracts testdata/name.zip and returns the model's path: the directory, or the
// GGUF file in it.
func unpack(t testing.TB, name string) string {
	t.Helper()
	path, err := extract(t.TempDir(), name)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// extract is unpack into a directory of dir.
func extract(dir, name string) (string, error) {
	z, err := zip.OpenReader(filepath.Join("testdata", name+".zip"))
	if err != nil {
		return "", err
	}
	defer z.Close()
	dir = filepath.Join(dir, name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	path := dir
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return "", err
		}
		to := filepath.Join(dir, filepath.Base(f.Name))
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return "", err
		}
		if filepath.Ext(to) == ".gguf" {
			path = to
		}
	}
	return path, nil
}

func readReference(t testing.TB, path string, into any) {
	t.Helper()
	if filepath.Ext(path) != "" {
		path = filepath.Dir(path)
	}
	data, err := os.ReadFile(filepath.Join(path, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatal(err)
	}
}

func importModel(t testing.TB, path string, quantize tensor.DType) *model.Checkpoint {
	t.Helper()
	var opt model.ImportOptions
	if quantize.Valid() {
		opt.Quantize = &quantize
	}
	c, err := model.Import(path, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func pool(t testing.TB, threads int) *kernel.Pool {
	p := kernel.NewPool(threads)
	t.Cleanup(p.Close)
	return p
}

func load(t testing.TB, c *model.Checkpoint, r model.Range, p *kernel.Pool) *model.Stage {
	t.Helper()
	s, err := model.Load(t.Context(), c.Config, r, c.Weights(), p)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// chain is stages that together make a whole model, with a session on each.
type chain struct {
	stages   []*model.Stage
	sessions []*model.Session
}

func open(t testing.TB, maxTokens int, stages ...*model.Stage) *chain {
	t.Helper()
	c := &chain{stages: stages}
	for _, s := range stages {
		ses, err := s.NewSession(maxTokens)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(ses.Close)
		c.sessions = append(c.sessions, ses)
	}
	return c
}

// step runs tokens through the chain and returns a copy of the logits.
func (c *chain) step(t testing.TB, tokens []int32, want model.LogitsWanted) []float32 {
	t.Helper()
	in := model.Input{Tokens: tokens}
	for i, s := range c.stages {
		in.Session = c.sessions[i]
		if i == len(c.stages)-1 {
			in.Logits = want
		}
		out, err := s.Forward(t.Context(), []model.Input{in})
		if err != nil {
			t.Fatal(err)
		}
		if i == len(c.stages)-1 {
			return append([]float32(nil), out[0].Logits...)
		}
		in = model.Input{Hidden: out[0].Hidden}
	}
	return nil
}

// singly gives one token at a time and returns all logits.
func (c *chain) singly(t testing.TB, tokens []int32) []float32 {
	t.Helper()
	var all []float32
	for i := range tokens {
		all = append(all, c.step(t, tokens[i:i+1], model.LogitsLast)...)
	}
	return all
}

func (c *chain) rollback(t testing.TB, pos int) {
	t.Helper()
	for _, s := range c.sessions {
		if err := s.Rollback(pos); err != nil {
			t.Fatal(err)
		}
	}
}

func argmax(x []float32) int32 {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return int32(best)
}

// sameBits fails at the first value that is not the same.
func sameBits(t testing.TB, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d values, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Errorf("%s: value %d of %d is %v, want %v", what, i, len(want), got[i], want[i])
			return
		}
	}
}

// distance returns the largest difference, and the root mean square of the differences
// relative to the standard deviation of want.
func distance(got, want []float32) (largest, relative float64) {
	var mean, square, diff float64
	for i := range want {
		d := math.Abs(float64(got[i]) - float64(want[i]))
		if !(d <= largest) { // keeps NaN
			largest = d
		}
		diff += d * d
		mean += float64(want[i])
		square += float64(want[i]) * float64(want[i])
	}
	n := float64(len(want))
	mean /= n
	return largest, math.Sqrt(diff/n) / math.Sqrt(square/n-mean*mean)
}

// thirds splits a model of n blocks into three stages.
func thirds(n int) []model.Range {
	return []model.Range{{Last: n / 3, Embed: true}, {First: n / 3, Last: n - 1}, {First: n - 1, Last: n, Head: true}}
}
