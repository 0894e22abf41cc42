package job_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/job"
)

// trained returns a trainer with the state that was exported.
func trained(t *testing.T, folder string, pool *kernel.Pool) *train.Trainer {
	t.Helper()
	path := filepath.Join(folder, "best.state")
	cfg, err := train.ReadConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := train.New(cfg, pool)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Load(path); err != nil {
		t.Fatal(err)
	}
	return tr
}

// served loads an export as a node does.
func served(t *testing.T, path string, pool *kernel.Pool) (*model.Checkpoint, *model.Stage) {
	t.Helper()
	c, err := model.Import(path, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s, err := model.Load(t.Context(), c.Config, c.Config.Whole(), c.Weights(), pool)
	if err != nil {
		t.Fatal(err)
	}
	return c, s
}

func apart(t *testing.T, got, want []float32, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d numbers, want %d", len(got), len(want))
	}
	worst := 0.0
	for i := range got {
		worst = max(worst, math.Abs(float64(got[i])-float64(want[i])))
	}
	if !(worst <= tolerance) {
		t.Errorf("off by %v, want at most %v", worst, tolerance)
	}
}

// TestExportText trains decoders, imports what was exported, and compares the logits of both
// for a text that the tokenizer of the export made ids of.
func TestExportText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name          string
		tied, qkvBias bool
		more          string
	}{{"llama", true, false, ""}, {"llama with a head of its own", false, false, ""}, {"qwen2", true, true, ""}, {"scaled", true, false, "rope_scaling = {rope_type = \"linear\", factor = 3}\n"}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			texts(t, dir)
			res := run(t, read(t, dir, strings.Replace(fmt.Sprintf(textJob, c.tied, c.qkvBias, "split = 0.1", 20), "[data", c.more+"[data", 1)), job.Options{})
			pool := kernel.NewPool(1)
			defer pool.Close()
			checkpoint, stage := served(t, res.Model, pool)
			if !slices.Equal(checkpoint.EOSIDs, []int32{256}) || checkpoint.Config.Llama.Context != 64 {
				t.Errorf("ends with %v, %+v", checkpoint.EOSIDs, checkpoint.Config.Llama)
			}
			tok, err := token.FromHF(checkpoint.Tokenizer.Data)
			if err != nil {
				t.Fatal(err)
			}
			ids := tok.Encode("the cat 1 sat on the mat.\n", true)
			session, err := stage.NewSession(64)
			if err != nil {
				t.Fatal(err)
			}
			defer session.Close()
			out, err := stage.Forward(t.Context(), []model.Input{{Session: session, Tokens: ids, Logits: model.LogitsAll}})
			if err != nil {
				t.Fatal(err)
			}
			want, err := trained(t, res.Folder, pool).Predict(&train.Batch{N: 1, Seq: len(ids), IDs: ids, Labels: make([]int32, len(ids))})
			if err != nil {
				t.Fatal(err)
			}
			apart(t, out[0].Logits, want, 1e-4)
		})
	}
}

func TestExportEncoder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 160)
	res := run(t, read(t, dir, bertJob), job.Options{})
	pool := kernel.NewPool(1)
	defer pool.Close()
	checkpoint, stage := served(t, res.Model, pool)
	if !slices.Equal(checkpoint.Config.Bert.Labels, []string{"high", "low"}) {
		t.Errorf("labels %q", checkpoint.Config.Bert.Labels)
	}
	tok, err := token.FromHF(checkpoint.Tokenizer.Data)
	if err != nil {
		t.Fatal(err)
	}
	ids := tok.Encode("good it was", true)
	if ids[0] != 256 || len(ids) != 12 {
		t.Fatalf("ids %v", ids)
	}
	out, err := stage.Forward(t.Context(), []model.Input{{Tokens: ids}})
	if err != nil {
		t.Fatal(err)
	}
	want, err := trained(t, res.Folder, pool).Predict(&train.Batch{N: 1, Seq: len(ids), IDs: ids, Labels: []int32{0}})
	if err != nil {
		t.Fatal(err)
	}
	apart(t, out[0].Pooled, want, 1e-4)
}

// TestTokensOfTexts compares the ids that classifiers of texts are trained with to those they are
// served with: a text names no special tokens, and one that is cut keeps what ends each text, and
// nothing else of its end.
func TestTokensOfTexts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	table(t, dir, 16)
	special := `{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}`
	write(t, dir, "words/tokenizer.json", `{"version": "1.0", "normalizer": null, "decoder": null, "truncation": null, "padding": null,
		"added_tokens": [{"id": 1, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
			{"id": 2, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}],
		"pre_tokenizer": {"type": "BertPreTokenizer"},
		"post_processor": {"type": "TemplateProcessing", "single": [`+special+`], "pair": [`+special+`, {"Sequence": {"id": "B", "type_id": 1}}],
			"special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [1], "tokens": ["[CLS]"]}, "[SEP]": {"id": "[SEP]", "ids": [2], "tokens": ["[SEP]"]}}},
		"model": {"type": "WordPiece", "unk_token": "?", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {"?": 0, "[CLS]": 1, "[SEP]": 2, "a": 3, "b": 4, "SEP": 5, "[": 6, "]": 7}}}`)
	res := run(t, read(t, dir, strings.Replace(bertJob, "epochs = 6", "steps = 1", 1)), job.Options{})
	bytes := contents(t, res.Model)["tokenizer.json"]
	for _, c := range []struct {
		name, job, file, text string
		want                  []int
	}{
		{"bytes, a special token", bertJob, bytes, "x<|endoftext|>y", []int{256, 'x', '<', '|', 'e', 'n', 'd', 'o', 'f', 't', 'e', 'x'}},
		{"bytes, a long text", bertJob, bytes, strings.Repeat("a", 40) + "b", []int{256, 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a', 'a'}},
		{"words, a special token", "words", "", "a[SEP]b", []int{1, 3, 6, 5, 7, 4, 2}},
		{"words, a long text", "words", "", strings.Repeat("a ", 40) + "b", []int{1, 3, 3, 3, 3, 3, 3, 3, 3, 3, 3, 2}},
	} {
		if c.job == "words" {
			c.job, c.file = strings.Replace(bertJob, "length = 12", "length = 12\ntokenizer = \"words/tokenizer.json\"", 1), contents(t, filepath.Join(dir, "words"))["tokenizer.json"]
		}
		got, err := job.TokensOf(read(t, dir, c.job), c.text)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: trained with %v, want %v (%v)", c.name, got, c.want, err)
		}
		tok, err := token.FromHF([]byte(c.file))
		if err != nil {
			t.Fatal(err)
		}
		var ids []int
		for _, id := range tok.Cut(tok.EncodeOpts(c.text, token.Options{AddSpecial: true}), 12) {
			ids = append(ids, int(id))
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("%s: served with %v, want %v", c.name, ids, c.want)
		}
	}
}

// TestExportTable trains on numbers and categories, imports what was exported, and compares
// what comes out for rows of the file with the trainer's.
func TestExportTable(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ more, label, ignored string }{"classes": {"", "class", "sum"}, "a number": {"regression = true", "sum", "class"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			table(t, dir, 160)
			res := run(t, read(t, dir, fmt.Sprintf(tableJob, c.more, c.label, c.ignored)), job.Options{})
			pool := kernel.NewPool(1)
			defer pool.Close()
			checkpoint, stage := served(t, res.Model, pool)
			config := checkpoint.Config.MLP
			if config.Target != c.label || config.Regression() != (c.more != "") || len(config.Columns) != 3 || config.Columns[0].Std == 0 {
				t.Fatalf("configuration %+v", config)
			}
			rows, err := config.Rows()
			if err != nil {
				t.Fatal(err)
			}
			batch := &train.Batch{}
			for _, row := range [][]string{{"0.5", "45.25", "red"}, {"-1.25", "61", "blue"}, {"3", "50", "red"}} {
				x := make([]float32, rows.Width())
				if err := rows.Inputs(x, row, nil, "", ""); err != nil {
					t.Fatal(err)
				}
				batch.N, batch.Floats, batch.Labels = batch.N+1, append(batch.Floats, x...), append(batch.Labels, 0)
			}
			if config.Regression() {
				batch.Targets, batch.Labels = make([]float32, batch.N), nil
			}
			out, err := stage.Forward(t.Context(), []model.Input{{Numbers: batch.Floats}})
			if err != nil {
				t.Fatal(err)
			}
			want, err := trained(t, res.Folder, pool).Predict(batch)
			if err != nil {
				t.Fatal(err)
			}
			for i := range want { // the trainer's are standardised
				if config.Regression() {
					want[i] = float32(float64(want[i])*config.TargetStd + config.TargetMean)
				}
			}
			apart(t, out[0].Pooled, want, 1e-5)
			if config.Regression() && !(math.Abs(float64(out[0].Pooled[2])-9) < 1.5) { // 3 * 3 + (50 - 50) / 10
				t.Errorf("predicts %v, want about 9", out[0].Pooled[2])
			}
		})
	}
}

// TestExportImages checks names, shapes and numbers of the tensors, and what is said of the
// images.
func TestExportImages(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 8)
	res := run(t, read(t, dir, fmt.Sprintf(imageJob, "resnet18", "resnet = {width = 4, stem = \"cifar\"}", 2)), job.Options{})
	pool := kernel.NewPool(1)
	defer pool.Close()
	m := trained(t, res.Folder, pool).Model()
	f, err := safetensors.Open(filepath.Join(res.Model, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if got, want := len(f.Tensors), len(m.Params.List())+len(m.Stats.List); got != want {
		t.Errorf("%d tensors, want %d", got, want)
	}
	var names []string
	for _, x := range f.Tensors {
		names = append(names, x.Name)
	}
	for _, want := range []string{"conv1.weight", "bn1.running_var", "layer2.0.downsample.0.weight", "layer4.1.bn2.bias", "fc.weight", "fc.bias"} {
		if !slices.Contains(names, want) {
			t.Errorf("no tensor %q", want)
		}
	}
	config := contents(t, res.Model)["config.json"]
	for _, want := range []string{
		`"model_type": "resnet"`, `"ResNet18"`, `"depth": 18`, `"stem": "cifar"`, `"left",`, `"channels": 1`, `"height": 8`, `"fit": "crop"`, `"resize": 8`, `"filter": "bilinear"`,
	} {
		if !strings.Contains(config, want) {
			t.Errorf("config.json lacks %s:\n%s", want, config)
		}
	}
}

// TestByteTokenizer compares the ids of training with those of the exported tokenizer.json.
func TestByteTokenizer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	res := run(t, read(t, dir, fmt.Sprintf(textJob, true, false, "", 6)), job.Options{})
	tok, err := token.FromHF([]byte(contents(t, res.Model)["tokenizer.json"]))
	if err != nil {
		t.Fatal(err)
	}
	all := ""
	for r := rune(0); r < 0x300; r++ {
		all += string(r)
	}
	for _, text := range []string{"", "a", " the  cat\r\n\tsat ", all, "日本語 \U0001f600", "<|endoftext"} {
		ids := tok.EncodeOpts(text, token.Options{})
		if len(ids) != len(text) {
			t.Fatalf("%.20q: %d ids, want %d", text, len(ids), len(text))
		}
		for i := range ids {
			if ids[i] != int32(text[i]) {
				t.Fatalf("%.20q: id %d is %d, want %d", text, i, ids[i], text[i])
			}
		}
		if got := tok.Decode(ids, true); got != text {
			t.Errorf("%.20q becomes %.20q", text, got)
		}
	}
	if id, ok := tok.ID("<|endoftext|>"); !ok || id != 256 || tok.Size() != 257 || !tok.Special(256) {
		t.Errorf("end token %d of %d", id, tok.Size())
	}
}

// TestTokenizerFile trains with the exported tokenizer.json: the ids, and so all bits, are
// those of the tokenizer bytes.
func TestTokenizerFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	first := run(t, read(t, dir, fmt.Sprintf(textJob, true, false, "split = 0.1", 8)), job.Options{})
	write(t, dir, "tok/tokenizer.json", contents(t, first.Model)["tokenizer.json"])
	options := "split = 0.1\ntokenizer = \"tok/tokenizer.json\"\neos = \"<|endoftext|>\"\n"
	j := read(t, dir, fmt.Sprintf(textJob, true, false, options, 8))
	j.Train.Folder = "second"
	second := run(t, j, job.Options{})
	a, b := contents(t, first.Model), contents(t, second.Model)
	for name := range a {
		if a[name] != b[name] {
			t.Errorf("%s differs", name)
		}
	}
}
