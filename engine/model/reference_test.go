package model_test

import (
	"testing"

	"github.com/covey-network/covey/engine/model"
)

// floatFixtures are models in float types; references are float64 arithmetic.
var floatFixtures = []string{"llama3", "mistral", "qwen2", "qwen3", "llama3-f16"}

const tolerance = 1e-3 // of logits of size about 1 to 10

func TestLogitsAgainstReference(t *testing.T) {
	t.Parallel()
	p := pool(t, 1)
	for _, name := range floatFixtures {
		t.Run(name, func(t *testing.T) {
			path := unpack(t, name)
			var ref reference
			readReference(t, path, &ref)
			c := importModel(t, path, 0)
			s := load(t, c, c.Config.Whole(), p)
			vocab := c.Config.Vocab()
			run := open(t, len(ref.IDs)+len(ref.Greedy), s)
			logits := run.step(t, ref.IDs, model.LogitsAll)
			worst := 0.0
			for i, pos := range ref.Positions {
				largest, _ := distance(logits[pos*vocab:(pos+1)*vocab], ref.Logits[i])
				if !(largest <= tolerance) {
					t.Errorf("position %d: off by %v, want at most %v", pos, largest, tolerance)
				}
				worst = max(worst, largest)
			}
			next := argmax(logits[len(logits)-vocab:])
			for i, want := range ref.Greedy {
				if next != want {
					t.Fatalf("greedy token %d: got %d, want %d", i, next, want)
				}
				next = argmax(run.step(t, []int32{next}, model.LogitsLast))
			}
			t.Logf("largest difference %.2g", worst)
		})
	}
}

// TestQuantizedLogitsAgainstLlamaCpp asks that a quantised file's logits are as close to
// those of its dequantised weights in float64 as llama.cpp's are.
func TestQuantizedLogitsAgainstLlamaCpp(t *testing.T) {
	t.Parallel()
	path := unpack(t, "llama256-Q2_K")
	var ref reference
	readReference(t, path, &ref)
	c := importModel(t, path, 0)
	s := load(t, c, c.Config.Whole(), pool(t, 2))
	vocab := c.Config.Vocab()
	logits := open(t, len(ref.IDs), s).step(t, ref.IDs, model.LogitsAll)
	var got, exact, theirs []float32
	for i, pos := range ref.Positions {
		got = append(got, logits[pos*vocab:(pos+1)*vocab]...)
		exact = append(exact, ref.Logits[i]...)
		theirs = append(theirs, ref.LlamaCpp[i]...)
	}
	_, ours := distance(got, exact)
	_, llama := distance(theirs, exact)
	t.Logf("relative error: ours %.4f, llama.cpp %.4f", ours, llama)
	if !(ours <= 1.1*llama) {
		t.Errorf("relative error %.4f, llama.cpp has %.4f", ours, llama)
	}
}

type bertReference struct {
	Texts      [][]int32   `json:"texts"`
	Logits     [][]float32 `json:"logits"`
	MeanHidden [][]float32 `json:"mean_hidden"`
}

func TestBertAgainstReference(t *testing.T) {
	t.Parallel()
	path := unpack(t, "bert")
	var ref bertReference
	readReference(t, path, &ref)
	c := importModel(t, path, 0)
	if got := c.Config.Task(); got != model.TaskClassify {
		t.Errorf("task is %s, want %s", got, model.TaskClassify)
	}
	p := pool(t, 2)
	s := load(t, c, c.Config.Whole(), p)
	body := load(t, c, model.Range{Last: c.Config.Blocks(), Embed: true}, p)
	batch := make([]model.Input, len(ref.Texts))
	for i, ids := range ref.Texts {
		batch[i].Tokens = ids
	}
	out, err := s.Forward(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	hidden, err := body.Forward(t.Context(), batch)
	if err != nil {
		t.Fatal(err)
	}
	for i := range batch {
		if largest, _ := distance(out[i].Pooled, ref.Logits[i]); !(largest <= 1e-4) {
			t.Errorf("text %d: class scores off by %v", i, largest)
		}
		mean := make([]float32, c.Config.Dim())
		n := len(ref.Texts[i])
		for k := range hidden[i].Hidden {
			mean[k%len(mean)] += hidden[i].Hidden[k] / float32(n)
		}
		if largest, _ := distance(mean, ref.MeanHidden[i]); !(largest <= 1e-4) {
			t.Errorf("text %d: mean hidden state off by %v", i, largest)
		}
		alone, err := s.Forward(t.Context(), batch[i:i+1])
		if err != nil {
			t.Fatal(err)
		}
		sameBits(t, "text alone", alone[0].Pooled, out[i].Pooled)
	}
}
