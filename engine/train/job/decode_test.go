package job_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

// valid is a job without problems that the cases change.
const valid = `version = 1
[model]
kind = "mlp"
[model.mlp]
hidden = [8]
[data.csv]
file = "a.csv"
label = "y"
split = 0.2
[train]
epochs = 2
batch = 4
[train.optimizer]
kind = "adam"
lr = 0.01
`

const images = `version = 1
[model]
kind = "cnn"
[[model.cnn.layers]]
type = "conv"
channels = 4
[[model.cnn.layers]]
type = "maxpool"
[data.images]
folder = "a"
size = [8, 8]
[train]
epochs = 2
batch = 4
optimizer = {kind = "adam", lr = 0.01}
`

const text = `version = 1
[model]
kind = "llama"
[model.llama]
dim = 8
blocks = 1
heads = 2
ffn = 8
[data.text]
files = ["*.txt"]
length = 16
[train]
steps = 2
batch = 4
[train.optimizer]
kind = "sgd"
lr = 0.01
`

func TestParse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, base, old, new string
		want                 []string
	}{
		{"as it is", valid, "", "", nil},
		{"images as they are", images, "", "", nil},
		{"text as it is", text, "", "", nil},
		{"unknown key", valid, "batch = 4", "batch = 4\nbath = 4", []string{
			"line 13: train.bath: unknown key, want one of epochs, steps, batch, accumulate, threads, seed, optimizer, schedule, clip, smoothing, validate_every, best, patience, folder, checkpoint_every",
		}},
		{"unknown section", valid, "[data.csv]", "[data.xml]", []string{"line 6: data.xml: unknown key, want one of images, text, csv"}},
		{"unknown key of an element", images, "channels = 4", "chanels = 4", []string{
			"line 6: model.cnn.layers[0].chanels: unknown key, want one of type, name, channels, kernel, stride, pad, bias, norm, relu, rate",
		}},
		{"unknown key in braces", images, "lr = 0.01", "lr = 0.01, rate = 1", []string{
			"line 15: train.optimizer.rate: unknown key, want one of kind, lr, momentum, nesterov, beta1, beta2, eps, decay, decay_all",
		}},
		{"text for a number", valid, "batch = 4", `batch = "4"`, []string{`line 12: train.batch: is the text "4", want a whole number`}},
		{"fraction for a whole number", valid, "batch = 4", "batch = 4.5", []string{"line 12: train.batch: is 4.5, want a whole number"}},
		{"number for a list", valid, "hidden = [8]", "hidden = 8", []string{"line 5: model.mlp.hidden: is 8, want a list in brackets, each a whole number"}},
		{"wrong element", valid, "hidden = [8]", "hidden = [8, true]", []string{"line 5: model.mlp.hidden[1]: is true, want a whole number"}},
		{"number for a text", valid, `label = "y"`, "label = 3", []string{"line 8: data.csv.label: is 3, want text in quotes"}},
		{"number for a switch", images, "[train]", "gray = 1\n[train]", []string{"line 12: data.images.gray: is 1, want true or false"}},
		{"value for a section", valid, "[data.csv]", "[data]\nimages = 1\n[data.csv]", []string{"line 7: data.images: is 1, want a section"}},
		{"section for a list", images, "[[model.cnn.layers]]\ntype = \"maxpool\"", "[model.cnn]\nlayers = []", []string{"line 8: model.cnn.layers: toml"}},
		{"one section for many", strings.Replace(images, "[[model.cnn.layers]]", "[model.cnn.layers]", 1), "[[model.cnn.layers]]\ntype = \"maxpool\"\n", "", []string{"line 4: model.cnn.layers: is a list of sections, want [[model.cnn.layers]]"}},
		{"many sections for one", valid, "[train]", "[[train]]", []string{"line 10: train: is one section, want [train]"}},
		{"key twice", valid, "batch = 4", "batch = 4\nbatch = 5", []string{"line 13: "}},
		{"no TOML", valid, "batch = 4", "batch = ", []string{"line 12: "}},
		{"decimal comma", valid, "lr = 0.01", "lr = 0,001", []string{"a number has a decimal point, not a comma: 0.001"}},
		{"decimal comma in braces", images, "lr = 0.01}", "lr = 0,01}", []string{"a number has a decimal point, not a comma: 0.01"}},
		{"no quotes", valid, `file = "a.csv"`, "file = haus.csv # mine", []string{`put text in quotes: file = "haus.csv"`}},
		{"no quotes beside some", images, `kind = "adam", lr = 0.01`, `lr = 0.01, kind = adam`, []string{`put text in quotes: kind = "adam"`}},
		{"no quotes and a blank", valid, `file = "a.csv"`, "file = mein haus.csv", []string{`put text in quotes: file = "mein haus.csv"`}},
		{"True", valid, "split = 0.2", "raw = True", []string{"write it in small letters: raw = true"}},
		{"negative seed", valid, "batch = 4", "batch = 4\nseed = -1", []string{"line 13: "}},
		{"two mistakes", valid, "epochs = 2\nbatch = 4", "epochs = \"2\"\nbatches = 4", []string{"line 11: train.epochs: is the text", "line 12: train.batches: unknown key"}},
		{"version", valid, "version = 1", "version = 2", []string{"line 1: version: is 2, this program reads version = 1"}},
		{"kind of model", valid, `kind = "mlp"`, `kind = "gpt"`, []string{`line 3: model.kind: is "gpt", want one of mlp, cnn, resnet18, resnet34, resnet50, llama, bert`}},
		{"kind for the data", images, `kind = "cnn"`, `kind = "llama"`, []string{`line 3: model.kind: is "llama" for images, want one of cnn, mlp, resnet, resnet18, resnet34, resnet50`}},
		{"section of another kind", images, `kind = "cnn"`, `kind = "resnet18"`, []string{`section cnn does not belong to kind "resnet"`}},
		{"depth against kind", strings.Replace(images, "[[model.cnn.layers]]\ntype = \"conv\"\nchannels = 4\n[[model.cnn.layers]]\ntype = \"maxpool\"", "[model.resnet]\ndepth = 34", 1), `kind = "cnn"`, `kind = "resnet18"`, []string{"line 5: model.resnet.depth: is 34 for kind resnet18"}},
		{"size of a layer", images, "channels = 4", "channels = 4\nkernel = 99\npad = 0", []string{"line 7: model.cnn.layers[0].kernel: 99 is larger than the image of 8x8 with padding 0"}},
		{"type of a layer", images, `type = "maxpool"`, `type = "pool"`, []string{`line 8: model.cnn.layers[1].type: is "pool", want one of [conv`}},
		{"size of a model", text, "heads = 2", "heads = 3", []string{"line 7: model.llama.heads: 3 heads do not divide dim 8"}},
		{"vocabulary against tokenizer", text, "ffn = 8", "ffn = 8\nvocab = 100", []string{"line 9: model.llama.vocab: is 100, the data makes it 257: leave it out"}},
		{"context too short", text, "ffn = 8", "ffn = 8\ncontext = 4", []string{"line 9: model.llama.context: is 4, the data makes it 16"}},
		{"scaling of positions", text, "ffn = 8", "ffn = 8\nrope_scaling = {rope_type = \"linear\", factor = 2}", nil},
		{"unknown scaling", text, "ffn = 8", "ffn = 8\nrope_scaling = {rope_type = \"yarn\", factor = 2}", []string{`line 9: model.llama.rope_scaling.rope_type: is "yarn", want one of [linear llama3]`}},
		{"factor of a scaling", text, "ffn = 8", "ffn = 8\n[model.llama.rope_scaling]\nrope_type = \"linear\"\nfactor = 0", []string{"line 11: model.llama.rope_scaling.factor: check rope: linear scaling with factor 0"}},
		{"not servable", text, "ffn = 8", "ffn = 8\nno_rope = true", []string{"line 9: model.llama.no_rope: is for measurements only"}},
		{"activation", valid, "hidden = [8]", "hidden = [8]\nactivation = \"step\"", []string{"line 6: model.mlp.activation: "}},
		{"no data", valid, "[data.csv]\nfile = \"a.csv\"\nlabel = \"y\"\nsplit = 0.2\n", "", []string{"data: has 0 sections, want exactly one of data.images, data.text, data.csv"}},
		{"two kinds of data", valid, "[train]", "[data.text]\nfiles = [\"a\"]\nlength = 2\n[train]", []string{"line 6: data: has 2 sections"}},
		{"split", valid, "split = 0.2", "split = 1.5", []string{"line 9: data.csv.split: is 1.5, want at least 0 and less than 1"}},
		{"split and validation", valid, "split = 0.2", "split = 0.2\nvalidation = \"b.csv\"", []string{"line 9: data.csv.split: is 0.2 and there is a validation too"}},
		{"kind of column", valid, "split = 0.2", "columns = [{name = \"a\", kind = \"int\"}]", []string{`line 9: data.csv.columns[0].kind: is "int", want one of auto, number, category, text, ignore`}},
		{"separator", valid, "split = 0.2", `separator = "ab"`, []string{`line 9: data.csv.separator: is "ab", want one character`}},
		{"tokens without text", valid, "split = 0.2", "length = 3", []string{"line 6: data.csv: length and tokenizer need a column of kind text"}},
		{"size of images", images, "size = [8, 8]", "size = [8]", []string{"line 11: data.images.size: is [8], want height and width"}},
		{"fit", images, "size = [8, 8]", "size = [8, 8]\nfit = \"squeeze\"", []string{`line 12: data.images.fit: is "squeeze", want one of crop, stretch`}},
		{"filter", images, "size = [8, 8]", "size = [8, 8]\nfilter = \"lanczos\"", []string{`line 12: data.images.filter: is "lanczos", want one of bilinear, bicubic, nearest`}},
		{"mean", images, "size = [8, 8]", "size = [8, 8]\nmean = [1, 2]", []string{"line 12: data.images.mean: has 2 numbers, want 1 or 3"}},
		{"std", images, "size = [8, 8]", "size = [8, 8]\nstd = [0.0]", []string{"line 12: data.images.std: is 0, want 1e-06 to 1e+06"}},
		{"augmentations", images, "[train]", "[data.images.augment]\ncrop = \"any\"\npadding = 3\nflip = 2\nzoom = [2, 1]\nshear = 90\n[train]", []string{
			`line 13: data.images.augment.crop: is "any", want one of none, random, resized`, `line 14: data.images.augment.padding: belongs to crop = "random"`,
			"line 15: data.images.augment.flip: is 2, want 0 to 1", "line 16: data.images.augment.zoom: is [2 1], want two ascending numbers", "line 17: data.images.augment.shear: is 90, want 0 to 89",
		}},
		{"pattern", text, `files = ["*.txt"]`, `files = ["*.txt", "../a"]`, []string{`line 10: data.text.files[1]: is "../a", want a path below folder`}},
		{"length", text, "length = 16", "length = 0", []string{"line 11: data.text.length: is 0, want 1 to"}},
		{"end of bytes", text, "length = 16", "length = 16\neos = \"</s>\"", []string{"line 12: data.text.eos: belongs to a tokenizer.json"}},
		{"epochs and steps", valid, "epochs = 2", "epochs = 2\nsteps = 3", []string{"line 12: train.steps: is 3 and epochs is 2, want one of them"}},
		{"neither epochs nor steps", valid, "epochs = 2\n", "", []string{"line 10: train: has neither epochs nor steps"}},
		{"batch", valid, "batch = 4", "batch = 0", []string{"line 12: train.batch: is 0, want 1 to 1048576"}},
		{"accumulate", valid, "batch = 4", "batch = 4\naccumulate = 8", nil},
		{"accumulate none", valid, "batch = 4", "batch = 4\naccumulate = 0", []string{"line 13: train.accumulate: is 0, want more: without the key it has its default"}},
		{"accumulate many", valid, "batch = 4", "batch = 4\naccumulate = 257", []string{"line 13: train.accumulate: is 257, want 1 to 256"}},
		{"best", valid, "batch = 4", "batch = 4\nbest = \"accuracy\"", []string{`line 13: train.best: is "accuracy", want one of loss, metric`}},
		{"patience without validation", images, "batch = 4", "batch = 4\npatience = 3", []string{"line 12: train: patience and best need data for validation"}},
		{"optimiser", valid, `kind = "adam"`, `kind = "lion"`, []string{`line 14: train.optimizer.kind: is "lion", want one of sgd, adam, adamw`}},
		{"rate", valid, "lr = 0.01", "lr = -1", []string{"line 15: train.optimizer.lr: is -1, want more than 0"}},
		{"momentum", valid, "lr = 0.01", "lr = 0.01\nmomentum = 0.9", []string{"line 16: train.optimizer.momentum: adam has no momentum"}},
		{"schedule", valid, "[train.optimizer]", "[train.schedule]\nkind = \"cos\"\nfinal = 2\n[train.optimizer]", []string{
			`line 14: train.schedule.kind: is "cos", want one of constant, cosine, linear, step`, "line 15: train.schedule.final: is 2, want 0 to 1",
		}},
		{"clip and smoothing", valid, "batch = 4", "batch = 4\nclip = -1\nsmoothing = 1", []string{"line 13: train.clip: is -1, want 0 or more", "line 14: train.smoothing: is 1, want at least 0 and less than 1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			file := strings.Replace(c.base, c.old, c.new, 1)
			if c.old != "" && !strings.Contains(c.base, c.old) {
				t.Fatalf("%q is not in the job", c.old)
			}
			_, err := job.Parse([]byte(file))
			if c.want == nil {
				if err != nil {
					t.Fatalf("got %v, want no error", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("no error, want %q", c.want)
			}
			lines := strings.Split(err.Error(), "\n")
			if c.name == "section for a list" { // what TOML itself forbids
				return
			}
			if len(lines) != len(c.want) {
				t.Errorf("got %d problems, want %d:\n%v", len(lines), len(c.want), err)
			}
			for _, want := range c.want {
				if !slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, want) }) {
					t.Errorf("got\n%v\nwant %s", err, want)
				}
			}
		})
	}
}

func TestExamples(t *testing.T) {
	t.Parallel()
	if got, want := job.Examples(), []string{"bert", "cnn", "llama", "mlp", "resnet18"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, name := range job.Examples() {
		text, err := job.Example(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := job.Parse(text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := job.Example("gpt"); err == nil || !strings.Contains(err.Error(), "bert, cnn, llama, mlp, resnet18") {
		t.Errorf("got %v, want the names", err)
	}
	files, err := filepath.Glob("../../../docs/examples/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, f := range files {
		j, err := job.Read(f)
		if err != nil {
			t.Error(err)
			continue
		}
		if want := strings.TrimSuffix(f, ".toml") + ".run"; !strings.HasSuffix(j.Folder(), filepath.Base(want)) {
			t.Errorf("%s runs in %s", f, j.Folder())
		}
	}
	if _, err := job.Read(filepath.Join(t.TempDir(), "none.toml")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v, want a file that is not there", err)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{valid, images, text, "", "version = 1\n[[train]]", "a.b.c = [{d = 1}, 2]\n", "[model.cnn]\nlayers = [{type = 'conv', pad = 1}]"} {
		f.Add([]byte(s))
	}
	for _, name := range job.Examples() {
		text, err := job.Example(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		j, err := job.Parse(data)
		if err != nil {
			return
		}
		if err := j.Validate(); err != nil {
			t.Errorf("valid when parsed, then %v", err)
		}
	})
}
