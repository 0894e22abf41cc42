package model_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// visionFixture is testdata/vision.json, made by engine/train/testdata/make/serving.py:
// scores of PyTorch in float64 for networks whose weights are computed from names.
type visionFixture struct {
	Seed     uint64                  `json:"seed"`
	Prepared []float32               `json:"prepared"`
	Models   map[string]*visionModel `json:"models"`
}

type visionModel struct {
	Input   []int        `json:"input"`
	Tensors []madeTensor `json:"tensors"`
	Logits  [][]float32  `json:"logits"`
	seed    uint64
}

type madeTensor struct {
	Name   string  `json:"name"`
	Shape  []int   `json:"shape"`
	Center float64 `json:"center"`
	Bound  float64 `json:"bound"`
}

func readVision(t testing.TB) *visionFixture {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", "vision.json"))
	if err != nil {
		t.Fatal(err)
	}
	f := new(visionFixture)
	if err := json.Unmarshal(data, f); err != nil {
		t.Fatal(err)
	}
	for _, m := range f.Models {
		m.seed = f.Seed
	}
	return f
}

// word is word i of a stream, uniform a number made of it: the formula of
// engine/train/testdata/make/README.md.
func word(name string, seed uint64, i int) uint64 {
	h := fnv.New64a()
	h.Write([]byte(name))
	z := (h.Sum64() ^ seed) + uint64(i) + 0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func uniform(name string, seed uint64, first, n int, bound, center float64) []float32 {
	out := make([]float32, n)
	for i := range out {
		unit := float64(word(name, seed, first+i)>>40)*0x1p-23 - 1
		out[i] = float32(center) + float32(unit*bound)
	}
	return out
}

// image returns the input of a model with a number.
func (m *visionModel) image(i int) []float32 {
	n := m.Input[0] * m.Input[1] * m.Input[2]
	return uniform("inputs", m.seed, i*n, n, 1, 0)
}

// write makes a directory with the weights in a type, rounded to another before, and the
// counters of torchvision's checkpoints.
func (m *visionModel) write(t testing.TB, config any, as, rounded tensor.DType) string {
	t.Helper()
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, data := map[string]entry{}, []byte(nil)
	add := func(name, kind string, shape []int, raw []byte) {
		header[name] = entry{kind, shape, [2]int{len(data), len(data) + len(raw)}}
		data = append(data, raw...)
	}
	for _, made := range m.Tensors {
		n := 1
		for _, d := range made.Shape {
			n *= d
		}
		values := uniform(made.Name, m.seed, 0, n, made.Bound, made.Center)
		for k, d := range []tensor.DType{rounded, as} {
			raw := make([]byte, n*d.BlockBytes())
			if err := tensor.Quantize(raw, d, values); err != nil {
				t.Fatal(err)
			}
			if err := tensor.Dequantize(values, d, raw); err != nil {
				t.Fatal(err)
			}
			if k == 1 {
				add(made.Name, d.String(), made.Shape, raw)
			}
		}
		if stem, ok := strings.CutSuffix(made.Name, ".running_var"); ok {
			add(stem+".num_batches_tracked", "I64", []int{}, make([]byte, 8))
		}
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	files := map[string][]byte{"model.safetensors": slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, data)}
	if config != nil {
		if files["config.json"], err = json.Marshal(config); err != nil {
			t.Fatal(err)
		}
	}
	for name, b := range files {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

type object = map[string]any

// visionConfigs are the config.json of each model as different programs write it.
func visionConfigs(name string, m *visionModel) map[string]object {
	classes := len(m.Logits[0])
	mean := []float32{0.5}
	source := object{"input_size": m.Input, "num_classes": classes, "mean": mean, "std": mean, "crop_pct": 0.95, "interpolation": "bicubic", "architecture": "resnet18"}
	trained := func(kind, section string, model object) object {
		return object{"model_type": kind, "torch_dtype": "float32", "model": object{"kind": section, section: model}, "preprocessing": object{
			"channels": m.Input[0], "height": m.Input[1], "width": m.Input[2], "fit": "crop", "resize": 64, "filter": "nearest", "mean": mean, "std": mean,
		}}
	}
	depth, _, small := strings.Cut(name, "-")
	resnet := trained("resnet", "resnet", object{"depth": map[string]int{"resnet18": 18, "resnet50": 50}[depth], "input": m.Input, "classes": classes, "stem": ""})
	switch {
	case name == "cnn":
		return map[string]object{"ours": trained("covey-cnn", "cnn", object{"input": m.Input, "classes": classes, "layers": []object{
			{"type": "conv", "channels": 8, "bias": true, "norm": true, "relu": true},
			{"type": "conv", "channels": 16, "bias": true, "norm": true, "relu": true},
			{"type": "maxpool"},
			{"type": "dropout", "rate": 0.5},
			{"type": "residual", "name": "block", "channels": 16},
		}})}
	case name == "mlp":
		return map[string]object{"ours": trained("covey-mlp", "mlp", object{"input": 24, "hidden": []int{32, 32}, "output": classes, "activation": ""})}
	case small:
		return map[string]object{"ours": resnet}
	}
	return map[string]object{
		"torchvision": {"architecture": depth, "input_size": m.Input},
		"timm":        {"architecture": depth + ".a1_in1k", "num_classes": classes, "num_features": 512, "global_pool": "avg", "pretrained_cfg": source},
		"ours":        resnet,
	}
}

func scores(t testing.TB, s *model.Stage, pixels []float32) []float32 {
	t.Helper()
	out, err := s.Forward(t.Context(), []model.Input{{Numbers: pixels}})
	if err != nil {
		t.Fatal(err)
	}
	return out[0].Pooled
}

// TestImageModelsMatchPyTorch compares scores with PyTorch's for every way to describe a
// checkpoint.
func TestImageModelsMatchPyTorch(t *testing.T) {
	t.Parallel()
	for name, m := range readVision(t).Models {
		for layout, config := range visionConfigs(name, m) {
			t.Run(name+" "+layout, func(t *testing.T) {
				t.Parallel()
				c := importModel(t, m.write(t, config, tensor.F32, tensor.F32), 0)
				if c.Config.Task() != model.TaskClassifyImage || c.Tokenizer.Kind != "" || len(c.Config.Labels()) != len(m.Logits[0]) || c.Name != "tiny" {
					t.Errorf("task %s, tokenizer %q, labels %v, name %q", c.Config.Task(), c.Tokenizer.Kind, c.Config.Labels(), c.Name)
				}
				s := load(t, c, c.Config.Whole(), pool(t, 2))
				for i, want := range m.Logits {
					largest, _ := distance(scores(t, s, m.image(i)), want)
					if !(largest <= 1e-4) {
						t.Errorf("image %d: largest difference %.2g, want at most 1e-4", i, largest)
					}
					t.Logf("image %d: largest difference %.2g", i, largest)
				}
			})
		}
	}
}

// TestPreparedImage compares scores of a PNG file with those of torchvision's transforms
// and network.
func TestPreparedImage(t *testing.T) {
	t.Parallel()
	f := readVision(t)
	m := f.Models["resnet50"]
	c := importModel(t, m.write(t, object{"architecture": "resnet50", "input_size": m.Input, "crop_pct": 32.0 / 36, "interpolation": "bicubic"}, tensor.F32, tensor.F32), 0)
	picture := image.NewNRGBA(image.Rect(0, 0, 52, 44))
	for i := range 52 * 44 {
		rgb := [3]uint8{}
		for k := range rgb {
			rgb[k] = uint8(word("picture", f.Seed, 3*i+k) % 256)
		}
		picture.SetNRGBA(i%52, i/52, color.NRGBA{R: rgb[0], G: rgb[1], B: rgb[2], A: 255})
	}
	var file bytes.Buffer
	if err := png.Encode(&file, picture); err != nil {
		t.Fatal(err)
	}
	pipe, err := c.Config.Vision.Pipeline()
	if err != nil {
		t.Fatal(err)
	}
	pixels := make([]float32, c.Config.Dim())
	if err := pipe.Run(pixels, file.Bytes(), nil); err != nil {
		t.Fatal(err)
	}
	got := scores(t, load(t, c, c.Config.Whole(), pool(t, 1)), pixels)
	if largest, _ := distance(got, f.Prepared); !(largest <= 1e-4) {
		t.Errorf("largest difference %.2g, want at most 1e-4", largest)
	}
}

// TestImageModelTypes checks that weights of 16 bits count for what they are.
func TestImageModelTypes(t *testing.T) {
	t.Parallel()
	m := readVision(t).Models["resnet18"]
	for _, d := range []tensor.DType{tensor.F16, tensor.BF16} {
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			var got [2][]float32
			for i, as := range []tensor.DType{d, tensor.F32} {
				c := importModel(t, m.write(t, object{"architecture": "resnet18", "input_size": m.Input}, as, d), 0)
				got[i] = scores(t, load(t, c, c.Config.Whole(), pool(t, 1)), m.image(0))
			}
			sameBits(t, "the same weights in 32 bits", got[0], got[1])
		})
	}
}

// TestDigestOfImages checks that scores have the same bits for any number of threads and
// any batch; TestSameBitsOnAllInstructionSets compares the digests.
func TestDigestOfImages(t *testing.T) {
	t.Parallel()
	models := readVision(t).Models
	var all []float32
	for _, name := range slices.Sorted(maps.Keys(models)) {
		m := models[name]
		c := importModel(t, m.write(t, visionConfigs(name, m)["ours"], tensor.F32, tensor.F32), 0)
		var want []float32
		for threads := 1; threads <= 3; threads++ {
			s := load(t, c, c.Config.Whole(), pool(t, threads))
			out, err := s.Forward(t.Context(), []model.Input{{Numbers: m.image(1)}, {Numbers: m.image(0)}, {Numbers: m.image(1)}})
			if err != nil {
				t.Fatal(err)
			}
			sameBits(t, name+" twice in a batch", out[2].Pooled, out[0].Pooled)
			got := slices.Concat(out[0].Pooled, out[1].Pooled)
			if want == nil {
				want = got
			}
			sameBits(t, fmt.Sprintf("%s on %d threads", name, threads), got, want)
		}
		all = append(all, want...)
	}
	logDigest(t, "vision", all)
}

func TestImageStageRefuses(t *testing.T) {
	t.Parallel()
	m := readVision(t).Models["resnet18-small"]
	c := importModel(t, m.write(t, visionConfigs("resnet18-small", m)["ours"], tensor.F32, tensor.F32), 0)
	p := pool(t, 1)
	for _, r := range []model.Range{{Last: 1, Embed: true}, {Last: 1}, {First: 1, Last: 1, Head: true}} {
		if _, err := model.Load(t.Context(), c.Config, r, c.Weights(), p); err == nil || !strings.Contains(err.Error(), "not split") {
			t.Errorf("range %+v: %v, want an error that it is not split", r, err)
		}
	}
	s := load(t, c, c.Config.Whole(), p)
	for name, in := range map[string]model.Input{
		"nothing":     {},
		"tokens":      {Tokens: []int32{0}},
		"too few":     {Numbers: make([]float32, 5)},
		"hidden":      {Hidden: m.image(0)},
		"with logits": {Numbers: m.image(0), Logits: model.LogitsLast},
	} {
		if _, err := s.Forward(t.Context(), []model.Input{in}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if s.ScratchBytes() < int64(4*c.Config.Dim()) || s.WeightBytes() < c.Bytes()/2 || s.SessionBytes(1) != 0 {
		t.Errorf("scratch %d, weights %d of %d, session %d", s.ScratchBytes(), s.WeightBytes(), c.Bytes(), s.SessionBytes(1))
	}
}

func TestImportImagesRefuses(t *testing.T) {
	t.Parallel()
	m := readVision(t).Models["resnet18"]
	resnet := func(change object) object {
		c := object{"architecture": "resnet18", "input_size": m.Input}
		maps.Copy(c, change)
		return c
	}
	trained := func(kind string, section, change object) object {
		p := object{"channels": 3, "height": 64, "width": 48, "fit": "crop", "resize": 64, "filter": "bilinear"}
		maps.Copy(p, change)
		return object{"model_type": kind, "model": section, "preprocessing": p}
	}
	cnn := func(change object, layers ...object) object {
		return trained("covey-cnn", object{"cnn": object{"layers": layers}}, change)
	}
	for _, tc := range []struct {
		name   string
		config object
		want   string
	}{
		{"no config.json", nil, `"architecture": "resnet50"`},
		{"neither", object{}, "model_type"},
		{"unknown", resnet(object{"architecture": "vit_base_patch16_224"}), "want resnet18"},
		{"a variant with another stem", resnet(object{"architecture": "resnet50d"}), "want resnet18"},
		{"other depth", resnet(object{"architecture": "resnet34"}), `"layer1.2.conv1.weight" is missing`},
		{"bottlenecks", resnet(object{"architecture": "resnet50"}), "shape"},
		{"depth of none", trained("resnet", object{"resnet": object{"depth": 19}}, nil), "depth 19"},
		{"no section", trained("resnet", object{}, nil), "section"},
		{"transformers", object{"model_type": "resnet", "architectures": []string{"ResNetForImageClassification"}}, "torchvision"},
		{"of a table", object{"model_type": "resnet", "model": object{"resnet": object{"depth": 18}}}, "preprocessing is missing"},
		{"fit", trained("resnet", object{"resnet": object{"depth": 18}}, object{"fit": "pad"}), "fit"},
		{"resize", trained("resnet", object{"resnet": object{"depth": 18}}, object{"resize": 1 << 30}), "resize"},
		{"no resize", trained("resnet", object{"resnet": object{"depth": 18}}, object{"resize": 0}), "resize"},
		{"regression", trained("covey-mlp", object{"mlp": object{"regression": true}}, nil), "fc1.weight"},
		{"classes", resnet(object{"num_classes": 1000}), "num_classes is 1000"},
		{"labels", resnet(object{"label_names": []string{"a"}}), "1 label_names for 7 classes"},
		{"no channels", resnet(object{"input_size": []int{0, 64, 64}}), "1 or 3 channels"},
		{"channels", resnet(object{"input_size": []int{1, 64, 64}, "mean": []float32{0}, "std": []float32{1}}), "shape"},
		{"flat input", resnet(object{"input_size": []int{64}}), "input_size"},
		{"empty input", resnet(object{"input_size": []int{3, 0, 64}}), "height"},
		{"huge input", resnet(object{"input_size": []int{3, 1 << 40, 64}}), "height"},
		{"large input", resnet(object{"input_size": []int{3, 8192, 8192}}), "numbers"},
		{"negative input", resnet(object{"input_size": []int{3, -1, -1}}), "height"},
		{"mean of two", resnet(object{"mean": []float32{1, 2}}), "mean"},
		{"no deviation", resnet(object{"std": []float32{0, 0, 0}}), "std"},
		{"filter", resnet(object{"interpolation": "lanczos"}), "lanczos"},
		{"crop", resnet(object{"crop_pct": 1e-9}), "crop_pct"},
		{"crop mode", resnet(object{"crop_mode": "squash"}), "crop_mode"},
		{"pooling", resnet(object{"global_pool": "max"}), "global_pool"},
		{"wrong type", resnet(object{"num_classes": "seven"}), "num_classes"},
		{"layer", cnn(nil, object{"type": "attention"}), "attention"},
		{"huge layer", cnn(nil, object{"type": "conv", "channels": 1 << 60}), "channels"},
		{"huge planes", cnn(object{"height": 1024, "width": 1024}, object{"type": "conv", "channels": 1 << 16}), "numbers"},
		{"huge kernel", cnn(nil, object{"type": "conv", "channels": 1, "kernel": 1 << 40}), "kernel"},
		{"no stride", cnn(nil, object{"type": "conv", "channels": 1, "stride": -1}), "stride"},
		{"negative padding", cnn(nil, object{"type": "conv", "channels": 1, "pad": -5}), "pad"},
		{"same name twice", cnn(nil, object{"type": "conv", "name": "a", "channels": 1}, object{"type": "conv", "name": "a", "channels": 1}), "another layer"},
		{"perceptron of none", object{"model_type": "covey-mlp"}, "neither preprocessing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var config any
			if tc.config != nil {
				config = tc.config
			}
			_, err := model.Import(m.write(t, config, tensor.F32, tensor.F32), model.ImportOptions{})
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v, want an error with %q", err, tc.want)
			}
		})
	}
	dir := m.write(t, resnet(nil), tensor.F32, tensor.F32)
	if _, err := model.Import(filepath.Join(dir, "model.safetensors"), model.ImportOptions{}); err == nil || !strings.Contains(err.Error(), "import its folder, ") || !strings.Contains(err.Error(), dir) {
		t.Errorf("the file alone: %v", err)
	}
	q := tensor.Q8_0
	if _, err := model.Import(dir, model.ImportOptions{Quantize: &q}); err == nil || !strings.Contains(err.Error(), "not quantised") {
		t.Errorf("quantised: %v", err)
	}
}

// TestHostileImageConfigs reads configurations as a manifest may have them: what they ask
// for must be refused before it is computed with.
func TestHostileImageConfigs(t *testing.T) {
	t.Parallel()
	good := func() object {
		return object{
			"input": []int{3, 8, 8}, "prepare": object{"filter": "bilinear"}, "eps": 1e-5, "labels": []string{"a", "b"},
			"layers": []object{{"type": "flatten"}, {"type": "linear", "name": "fc", "channels": 2}},
		}
	}
	layers := func(l ...object) object {
		return object{"layers": append(l, object{"type": "globalpool"}, object{"type": "linear", "name": "fc", "channels": 2})}
	}
	many := make([]object, 2000)
	for i := range many {
		many[i] = object{"type": "flatten"}
	}
	for _, tc := range []struct {
		name   string
		change object
		want   string
	}{
		{"good", nil, ""},
		{"good convolution", layers(object{"type": "conv", "name": "c", "channels": 4, "kernel": 3, "stride": 1, "pad": 1, "activation": "silu"}), ""},
		{"no input", object{"input": []int{}}, "input"},
		{"zero channels", object{"input": []int{0, 8, 8}}, "channels"},
		{"overflowing input", object{"input": []int{3, 1 << 62, 1 << 62}}, "height"},
		{"no layers", object{"layers": []object{}}, "layers"},
		{"many layers", object{"layers": many}, "layers"},
		{"no labels", object{"labels": []string{}}, "labels"},
		{"more labels", object{"labels": []string{"a", "b", "c"}}, "labels"},
		{"no eps", object{"eps": 0}, "eps"},
		{"filter", object{"prepare": object{"filter": "x"}}, "filter"},
		{"resize", object{"prepare": object{"filter": "bicubic", "resize": -1}}, "resize"},
		{"deviation", object{"prepare": object{"filter": "bicubic", "std": []float32{-1}}}, "std"},
		{"unknown field", object{"surprise": 1}, "surprise"},
		{"planes to linear", object{"layers": []object{{"type": "linear", "name": "fc", "channels": 2}}}, "flatten"},
		{"planes after a vector", layers(object{"type": "flatten"}), "want planes"},
		{"no scores", object{"layers": []object{{"type": "flatten"}}}, "linear"},
		{"long name", layers(object{"type": "conv", "name": strings.Repeat("x", 200), "channels": 1, "kernel": 1, "stride": 1}), "name"},
		{"no name", layers(object{"type": "conv", "channels": 1, "kernel": 1, "stride": 1}), "name"},
		{"activation", layers(object{"type": "conv", "name": "c", "channels": 1, "kernel": 1, "stride": 1, "activation": "x"}), "activation"},
		{"window", layers(object{"type": "maxpool", "kernel": 99, "stride": 1}), "kernel"},
		{"padding of a pool", layers(object{"type": "maxpool", "kernel": 2, "stride": 1, "pad": 2}), "padding"},
		{"no window", layers(object{"type": "avgpool"}), "kernel"},
		{"bottleneck", layers(object{"type": "bottleneck", "name": "b", "channels": 6, "stride": 1}), "multiple"},
		{"bottleneck of none", layers(object{"type": "bottleneck", "name": "b", "channels": 0, "stride": 1}), "channels"},
		{"stride of a block", layers(object{"type": "basic", "name": "b", "channels": 6}), "stride"},
		{"work", object{"input": []int{3, 1024, 1024}, "layers": []object{
			{"type": "conv", "name": "a", "channels": 64, "kernel": 1, "stride": 1},
			{"type": "conv", "name": "b", "channels": 64, "kernel": 255, "stride": 1, "pad": 127},
			{"type": "globalpool"},
			{"type": "linear", "name": "fc", "channels": 2},
		}}, "multiply-adds"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			v := good()
			maps.Copy(v, tc.change)
			data, err := json.Marshal(object{"arch": "vision", "vision": v})
			if err != nil {
				t.Fatal(err)
			}
			_, err = model.ParseConfig(data)
			if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
}
