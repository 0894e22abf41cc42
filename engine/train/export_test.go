package train_test

import (
	"archive/zip"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/model/llama"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

// The files of an exported model.
const (
	weightsFile = "model.safetensors"
	configFile  = "config.json"
)

// export writes the tensors and what describes them.
func export(t *testing.T, tr *train.Trainer, dir string) {
	t.Helper()
	config, err := json.Marshal(tr.Model().Describe())
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(dir, 0o700), os.WriteFile(filepath.Join(dir, configFile), config, 0o600)); err != nil {
		t.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, weightsFile))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := safetensors.Write(f, nil, tr.Model().Tensors()); err != nil {
		t.Fatal(err)
	}
}

// exported trains a little and exports, with a tokenizer that nobody asks.
func exported(t *testing.T, cfg train.Config, b *train.Batch) (*train.Trainer, string) {
	t.Helper()
	tr := newTrainer(t, cfg, 1)
	for range 3 {
		if _, err := tr.Step(b); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Join(t.TempDir(), "model")
	export(t, tr, dir)
	if err := os.WriteFile(filepath.Join(dir, "tokenizer.json"), []byte(`{"added_tokens":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	return tr, dir
}

// serve runs a sequence through the exported model as it is served.
func serve(t *testing.T, dir string, tokens []int32) []float32 {
	t.Helper()
	c, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	pool := kernel.NewPool(1)
	defer pool.Close()
	stage, err := model.Load(t.Context(), c.Config, c.Config.Whole(), c.Weights(), pool)
	if err != nil {
		t.Fatal(err)
	}
	in := model.Input{Tokens: tokens}
	if c.Config.Task() == model.TaskGenerate {
		session, err := stage.NewSession(len(tokens))
		if err != nil {
			t.Fatal(err)
		}
		defer session.Close()
		in.Session, in.Logits = session, model.LogitsAll
	}
	out, err := stage.Forward(t.Context(), []model.Input{in})
	if err != nil {
		t.Fatal(err)
	}
	return append(out[0].Logits, out[0].Pooled...)
}

func closeTo(t *testing.T, what string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 2e-5*(1+math.Abs(float64(want[i]))) {
			t.Errorf("%s: number %d is %v, trainer has %v", what, i, got[i], want[i])
			return
		}
	}
}

// What was trained is what is served: the language model under the names of Llama, with
// biases as Qwen2, and the classifier as BERT.
func TestExportIsServed(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"llama", "qwen2", "untied", net.KindBert} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cfg, batch := small(net.KindLlama)
			if kind == net.KindBert {
				cfg, batch = small(net.KindBert)
			} else {
				cfg.Model.Llama.QKVBias, cfg.Model.Llama.Tied = kind == "qwen2", kind != "untied"
			}
			b := batch(2)
			tr, dir := exported(t, cfg, b)
			logits, err := tr.Predict(b)
			if err != nil {
				t.Fatal(err)
			}
			n := tr.Model().Outputs()
			if kind == net.KindBert {
				for i := range b.N {
					closeTo(t, kind, serve(t, dir, b.IDs[i*b.Seq:i*b.Seq+int(b.Lengths[i])]), logits[i*n:(i+1)*n])
				}
				return
			}
			for i := range b.N {
				closeTo(t, kind, serve(t, dir, b.IDs[i*b.Seq:(i+1)*b.Seq]), logits[i*b.Seq*n:(i+1)*b.Seq*n])
			}
		})
	}
}

// A served model whose rotary frequencies are scaled is taken over, computes what
// transformers does, is trained, and is exported as the same model.
func TestScaledModelIsTrained(t *testing.T) {
	t.Parallel()
	z, err := zip.OpenReader("../model/testdata/llama3.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	from := t.TempDir()
	if err := os.CopyFS(from, z); err != nil {
		t.Fatal(err)
	}
	var ref struct {
		IDs       []int32
		Positions []int
		Logits    [][]float32
	}
	data, err := os.ReadFile(filepath.Join(from, "reference.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &ref); err != nil {
		t.Fatal(err)
	}
	cfg, _ := small(net.KindLlama)
	cfg.Model.Llama = &net.Llama{
		Vocab: 1024, Dim: 64, Blocks: 3, Heads: 8, KVHeads: 2, FFN: 176, Context: 512, Eps: 1e-5, RopeTheta: 500000, Tied: true,
		RopeScaling: &net.RopeScaling{Type: "llama3", Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 32},
	}
	tr := newTrainer(t, cfg, 2)
	shards, err := filepath.Glob(filepath.Join(from, "*.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	taken := 0
	for _, path := range shards {
		got, err := tr.Import(path, nil)
		if err != nil || len(got.Unused) > 0 {
			t.Fatalf("%s: %+v, %v", path, got, err)
		}
		taken += len(tr.Params().List()) - len(got.Missing)
	}
	if want := len(tr.Params().List()); taken != want {
		t.Fatalf("%d tensors taken over, want %d", taken, want)
	}
	b := &train.Batch{N: 1, Seq: len(ref.IDs), IDs: ref.IDs, Labels: append(slices.Clone(ref.IDs[1:]), -1)}
	logits, err := tr.Predict(b)
	if err != nil {
		t.Fatal(err)
	}
	for i, pos := range ref.Positions {
		closeTo(t, "transformers", logits[pos*1024:(pos+1)*1024], ref.Logits[i])
	}
	if _, err := tr.Step(b); err != nil {
		t.Fatal(err)
	}
	if logits, err = tr.Predict(b); err != nil {
		t.Fatal(err)
	}
	to := t.TempDir()
	export(t, tr, to)
	if err := errors.Join(os.Rename(filepath.Join(from, "tokenizer.json"), filepath.Join(to, "tokenizer.json"))); err != nil {
		t.Fatal(err)
	}
	closeTo(t, "served", serve(t, to, ref.IDs), logits)
	again := imported(t, to)
	if err := os.Rename(filepath.Join(to, "tokenizer.json"), filepath.Join(from, "tokenizer.json")); err != nil {
		t.Fatal(err)
	}
	if before := imported(t, from); !reflect.DeepEqual(again, before) {
		t.Errorf("exported as %+v, was %+v", again, before)
	}
}

// imported returns the configuration of a decoder as it is served.
func imported(t *testing.T, dir string) *llama.Config {
	t.Helper()
	c, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.Config.Llama
}

func TestImportTakesOver(t *testing.T) {
	t.Parallel()
	for _, kind := range kinds {
		cfg, batch := small(kind)
		tr, dir := exported(t, cfg, batch(4))
		cfg.Seed++
		again := newTrainer(t, cfg, 1)
		taken, err := again.Import(filepath.Join(dir, weightsFile), nil)
		if err != nil || len(taken.Missing)+len(taken.Unused) != 0 {
			t.Fatalf("%s: %+v, %v", kind, taken, err)
		}
		sameNumbers(t, tr, again)
	}
}

func TestImportForOtherClasses(t *testing.T) {
	t.Parallel()
	cfg, batch := small(net.KindCNN)
	tr, dir := exported(t, cfg, batch(4))
	cfg.Model.CNN.Classes, cfg.Seed = 7, 9
	path := filepath.Join(dir, weightsFile)
	again := newTrainer(t, cfg, 1)
	before := slices.Clone(again.Params().Values)
	if _, err := again.Import(path, nil); err == nil || !strings.Contains(err.Error(), "fc.weight") || !slices.Equal(before, again.Params().Values) {
		t.Errorf("another head was taken over, %v", err)
	}
	taken, err := again.Import(path, func(name string) bool { return strings.HasPrefix(name, "fc.") })
	if err != nil || len(taken.Missing) != 0 || !slices.Equal(taken.Unused, []string{"fc.weight", "fc.bias"}) {
		t.Errorf("%+v, %v", taken, err)
	}
	if !slices.Equal(tr.Params().Value("conv1.weight"), again.Params().Value("conv1.weight")) {
		t.Error("the body was not taken over")
	}
}

// A tensor of as many elements in another shape is not the same tensor.
func TestImportChecksShapes(t *testing.T) {
	t.Parallel()
	cfg, _ := small(net.KindMLP)
	tr := newTrainer(t, cfg, 1)
	tensors := tr.Model().Tensors()
	w := &tensors[0]
	if len(w.Shape) != 2 || w.Shape[0] == w.Shape[1] {
		t.Fatalf("first tensor has shape %v", w.Shape)
	}
	w.Shape = tensor.Shape{w.Shape[1], w.Shape[0]}
	path := filepath.Join(t.TempDir(), "transposed")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(safetensors.Write(f, nil, tensors), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Import(path, nil); err == nil || !strings.Contains(err.Error(), w.Name) || !strings.Contains(err.Error(), "shape") {
		t.Errorf("error %v, want one about the shape of %s", err, w.Name)
	}
}
