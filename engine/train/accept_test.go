//go:build accept

package train_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// goText is testdata/lm_go.json: what PyTorch reaches on text of the Go distribution.
type goText struct {
	Config struct {
		Seed                                                              uint64
		Vocab, EOS, Hidden, Layers, Heads, KVHeads, HeadDim, Intermediate int
		RMSEps, RopeTheta                                                 float64
		Tied                                                              bool
		Length, Batch, Steps, Warmup                                      int
		LR, MinFactor, Beta1, Beta2, Eps, Decay, Clip                     float64
		EveryValidation, ValidationRows                                   int
		Packages, Docs                                                    []string
	}
	Go             string
	SHA256         []string
	First          []int32
	Validation     [][2]float64
	ValidationLoss float64
	Train          [][2]float64
}

// streams returns the tokens of training and of validation as testdata/make/lm_go.py does.
func (f *goText) streams(t *testing.T) [2][]int32 {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	dir := strings.TrimSpace(string(root))
	var files []string
	for _, p := range f.Config.Packages {
		names, err := filepath.Glob(filepath.Join(dir, "src", filepath.FromSlash(p), "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(names)
		for _, n := range names {
			if !strings.HasSuffix(n, "_test.go") {
				files = append(files, n)
			}
		}
	}
	for _, d := range f.Config.Docs {
		files = append(files, filepath.Join(dir, "doc", d))
	}
	var out [2][]int32
	for i, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		to := &out[0]
		if i%f.Config.EveryValidation == f.Config.EveryValidation-1 {
			to = &out[1]
		}
		for _, v := range b {
			*to = append(*to, int32(v))
		}
		*to = append(*to, int32(f.Config.EOS))
	}
	for i, s := range out {
		b := make([]byte, 0, 2*len(s))
		for _, v := range s {
			b = append(b, byte(v), byte(v>>8))
		}
		if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != f.SHA256[i] {
			t.Fatalf("stream %d is another text: the reference was made with %s", i, f.Go)
		}
	}
	return out
}

// rows makes a batch of rows of a stream.
func (f *goText) rows(stream []int32, rows []int32) *train.Batch {
	n := f.Config.Length
	b := &train.Batch{N: len(rows), Seq: n}
	for _, r := range rows {
		at := int(r) * n
		b.IDs = append(b.IDs, stream[at:at+n]...)
		b.Labels = append(b.Labels, stream[at+1:at+n+1]...)
	}
	return b
}

// TestAcceptText trains a Llama on text of the Go distribution from the weights and batches
// of PyTorch. Its validation loss must be within one part in a hundred; rounding alone makes
// differences below one in a thousand.
func TestAcceptText(t *testing.T) {
	data, err := os.ReadFile("testdata/lm_go.json")
	if err != nil {
		t.Fatal(err)
	}
	var f goText
	if err := json.Unmarshal(data, &f); err != nil {
		t.Fatal(err)
	}
	c := &f.Config
	streams := f.streams(t)
	pool := kernel.NewPool(0)
	defer pool.Close()
	tr, err := train.New(train.Config{
		Model: net.Config{Kind: net.KindLlama, Llama: &net.Llama{
			Vocab: c.Vocab, Dim: c.Hidden, Blocks: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, FFN: c.Intermediate,
			Context: 2 * c.Length, Eps: c.RMSEps, RopeTheta: c.RopeTheta, Tied: c.Tied,
		}},
		Optimizer: train.Optimizer{Kind: train.AdamW, LR: c.LR, Beta1: &c.Beta1, Beta2: &c.Beta2, Eps: &c.Eps, Decay: c.Decay},
		Schedule:  train.Schedule{Kind: train.Cosine, Warmup: c.Warmup, Steps: c.Steps, Final: c.MinFactor}, Clip: c.Clip,
	}, pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range tr.Params().List() {
		bound, center := 0.1, float32(1)
		if len(p.Shape) > 1 {
			bound, center = 1/math.Sqrt(float64(p.Shape[1])), 0
		}
		copy(tr.Params().Value(p.Name), uniform(p.Name, c.Seed, p.Size, bound, center))
	}
	order := integers("order", c.Seed, c.Steps*c.Batch, uint64((len(streams[0])-1)/c.Length))
	if !slices.Equal(order[:c.Batch], f.First) {
		t.Fatalf("the first batch is %v, want %v", order[:c.Batch], f.First)
	}
	validate := func(n int) float64 {
		var s train.Score
		for at := 0; at < n; at += 32 {
			var rows []int32
			for i := at; i < min(at+32, n); i++ {
				rows = append(rows, int32(i))
			}
			one, err := tr.Evaluate(f.rows(streams[1], rows))
			if err != nil {
				t.Fatal(err)
			}
			s.Add(one)
		}
		return s.Mean()
	}
	told, start := 0, time.Now()
	for step := range c.Steps {
		if step%200 == 0 {
			t.Logf("step %d: validation loss %.5f, PyTorch %.5f, %v", step, validate(c.ValidationRows), f.Validation[step/200][1], time.Since(start).Round(time.Second))
		}
		r, err := tr.Step(f.rows(streams[0], order[step*c.Batch:(step+1)*c.Batch]))
		if err != nil {
			t.Fatal(err)
		}
		if told < len(f.Train) && int(f.Train[told][0]) == step {
			if apart := math.Abs(r.Loss/f.Train[told][1] - 1); step < 10 && apart > 1e-4 {
				t.Errorf("step %d: loss %v, PyTorch %v", step, r.Loss, f.Train[told][1])
			}
			told++
		}
	}
	loss := validate(c.ValidationRows)
	t.Logf("validation loss %.5f nats a byte, PyTorch %.5f: %+.3f %% (%v)", loss, f.ValidationLoss, 100*(loss/f.ValidationLoss-1), time.Since(start).Round(time.Second))
	t.Logf("validation loss of all rows %.5f", validate((len(streams[1])-1)/c.Length))
	if math.Abs(loss/f.ValidationLoss-1) > 0.01 {
		t.Errorf("more than 1 %% apart")
	}
}
