//go:build accept

package model_test

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/engine/token"
)

// These tests check all reference models, which are too large for the repository:
//
//	COVEY_FIXTURES=DIR go test -tags accept -run Accept -v ./engine/model
//
// DIR holds models/, gguf/ and minilm/; all-MiniLM-L6-v2 lies in DIR/../models.
func fixtures(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("COVEY_FIXTURES")
	if dir == "" {
		t.Fatal("COVEY_FIXTURES is not set")
	}
	return dir
}

// readTensors reads all tensors of a reference file.
func readTensors(t *testing.T, path string) map[string]tensor.Tensor {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	size := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		Shape   tensor.Shape `json:"shape"`
		Offsets [2]int       `json:"data_offsets"`
	}
	if err := json.Unmarshal(data[8:8+size], &header); err != nil {
		t.Fatal(err)
	}
	out := map[string]tensor.Tensor{}
	for name, h := range header {
		out[name] = tensor.Tensor{Name: name, DType: tensor.F32, Shape: h.Shape, Data: data[8+size:][h.Offsets[0]:h.Offsets[1]]}
	}
	return out
}

func floats(t *testing.T, x tensor.Tensor) []float32 {
	t.Helper()
	out, err := x.Floats()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func ids(x tensor.Tensor) []int32 {
	var out []int32
	for at := 0; at+8 <= len(x.Data); at += 8 {
		out = append(out, int32(binary.LittleEndian.Uint64(x.Data[at:])))
	}
	return out
}

// checkGreedy continues after a prompt whose last logits are given.
func checkGreedy(t *testing.T, run *chain, last []float32, want []int32) {
	t.Helper()
	next := argmax(last)
	for i, w := range want {
		if next != w {
			t.Fatalf("greedy token %d: got %d, want %d", i, next, w)
		}
		next = argmax(run.step(t, []int32{next}, model.LogitsLast))
	}
}

func TestAcceptModels(t *testing.T) {
	dir := fixtures(t)
	p := pool(t, 2)
	for _, name := range []string{"llama2", "llama256", "llama3", "mistral", "qwen2", "qwen3"} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(dir, "models", name)
			ref := readTensors(t, filepath.Join(path, "reference.safetensors"))
			c := importModel(t, path, 0)
			prompt, greedy := ids(ref["ids"]), ids(ref["greedy"])
			run := open(t, len(prompt)+len(greedy), load(t, c, c.Config.Whole(), p))
			logits := run.step(t, prompt, model.LogitsAll)
			largest, relative := distance(logits, floats(t, ref["logits"]))
			t.Logf("largest difference %.2g, relative rms %.2g", largest, relative)
			if !(largest <= tolerance) {
				t.Errorf("largest difference %v, want at most %v", largest, tolerance)
			}
			checkGreedy(t, run, logits[len(logits)-c.Config.Vocab():], greedy)
		})
	}
}

func TestAcceptGGUF(t *testing.T) {
	dir := fixtures(t)
	files, err := filepath.Glob(filepath.Join(dir, "gguf", "*.gguf"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no GGUF files in %s: %v", dir, err)
	}
	p := pool(t, 2)
	t.Logf("%-20s %10s %10s %10s %8s", "file", "largest", "ours", "llama.cpp", "ratio")
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".gguf")
		ref := readTensors(t, strings.TrimSuffix(file, ".gguf")+".reference.safetensors")
		c := importModel(t, file, 0)
		prompt := ids(ref["ids"])
		logits := open(t, len(prompt), load(t, c, c.Config.Whole(), p)).step(t, prompt, model.LogitsAll)
		exact := floats(t, ref["exact"])
		largest, ours := distance(logits[len(logits)-len(exact):], exact)
		_, theirs := distance(floats(t, ref["llamacpp"]), exact)
		t.Logf("%-20s %10.2g %10.6f %10.6f %8.3f", name, largest, ours, theirs, ours/theirs)
		if !(ours <= 1.1*theirs) {
			t.Errorf("%s: relative rms error %.6f, llama.cpp has %.6f", name, ours, theirs)
		}
		if suffix := name[strings.LastIndexByte(name, '-')+1:]; strings.Contains(suffix, "f") && !(largest <= tolerance) { // f32, f16, bf16
			t.Errorf("%s: largest difference %v, want at most %v", name, largest, tolerance)
		}
	}
}

func TestAcceptBert(t *testing.T) {
	path := filepath.Join(fixtures(t), "models", "bert")
	ref := readTensors(t, filepath.Join(path, "reference.safetensors"))
	var texts struct {
		Texts []string `json:"texts"`
	}
	readReference(t, path, &texts)
	c := importModel(t, path, 0)
	p := pool(t, 2)
	scores := encode(t, c, load(t, c, c.Config.Whole(), p), texts.Texts)
	body := load(t, c, model.Range{Last: c.Config.Blocks(), Embed: true}, p)
	want, mean := floats(t, ref["logits"]), floats(t, ref["mean_hidden"])
	dim := c.Config.Dim()
	for i, out := range scores {
		if largest, _ := distance(out, want[i*len(out):(i+1)*len(out)]); !(largest <= tolerance) {
			t.Errorf("text %d: class scores off by %v", i, largest)
		}
		hidden := forward(t, body, tokenize(t, c, texts.Texts[i])).Hidden
		sum := make([]float32, dim)
		for k, v := range hidden {
			sum[k%dim] += v * float32(dim) / float32(len(hidden))
		}
		if largest, _ := distance(sum, mean[i*dim:(i+1)*dim]); !(largest <= tolerance) {
			t.Errorf("text %d: mean hidden state off by %v", i, largest)
		}
	}
}

func TestAcceptMiniLM(t *testing.T) {
	dir := fixtures(t)
	want := floats(t, readTensors(t, filepath.Join(dir, "minilm", "embeddings.safetensors"))["embeddings"])
	data, err := os.ReadFile(filepath.Join(dir, "minilm", "sentences.json"))
	if err != nil {
		t.Fatal(err)
	}
	var sentences struct {
		Sentences []string `json:"sentences"`
	}
	if err := json.Unmarshal(data, &sentences); err != nil {
		t.Fatal(err)
	}
	c := importModel(t, filepath.Join(dir, "..", "models", "all-MiniLM-L6-v2"), 0)
	if c.Config.Task() != model.TaskEmbed || c.Config.ContextLen() != 256 {
		t.Errorf("task %s of %d tokens, want embed of 256", c.Config.Task(), c.Config.ContextLen())
	}
	worst := 1.0
	dim := c.Config.Dim()
	for i, got := range encode(t, c, load(t, c, c.Config.Whole(), pool(t, 2)), sentences.Sentences) {
		var dot, a, b float64
		for k, w := range want[i*dim : (i+1)*dim] {
			dot += float64(got[k]) * float64(w)
			a += float64(got[k]) * float64(got[k])
			b += float64(w) * float64(w)
		}
		cosine := dot / math.Sqrt(a*b)
		worst = min(worst, cosine)
		if !(cosine >= 0.99999) {
			t.Errorf("sentence %d: cosine %v", i, cosine)
		}
	}
	t.Logf("%d sentences, lowest cosine %.8f", len(sentences.Sentences), worst)
}

// tokenize gives a text's ids with special tokens, cut to what the model takes: the last
// token is kept, it ends the text.
func tokenize(t *testing.T, c *model.Checkpoint, text string) []int32 {
	t.Helper()
	tok, err := token.FromHF(c.Tokenizer.Data)
	if err != nil {
		t.Fatal(err)
	}
	out := tok.Encode(text, true)
	if limit := c.Config.ContextLen(); len(out) > limit {
		out = append(out[:limit-1], out[len(out)-1])
	}
	return out
}

func forward(t *testing.T, s *model.Stage, tokens []int32) model.Output {
	t.Helper()
	out, err := s.Forward(t.Context(), []model.Input{{Tokens: tokens}})
	if err != nil {
		t.Fatal(err)
	}
	return out[0]
}

func encode(t *testing.T, c *model.Checkpoint, s *model.Stage, texts []string) [][]float32 {
	t.Helper()
	var out [][]float32
	for _, text := range texts {
		out = append(out, forward(t, s, tokenize(t, c, text)).Pooled)
	}
	return out
}
