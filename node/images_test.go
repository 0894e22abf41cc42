package node_test

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/image/tiff"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/tiny"
)

// picture returns a PNG file of a size.
func picture(t *testing.T, w, h int) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range w * h {
		m.SetRGBA(i%w, i/w, color.RGBA{R: uint8(i), G: uint8(i / w * 5), B: uint8(i * i), A: 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withImages starts a node, imports the tiny ResNet, and returns what the engine makes of
// a picture: the values of it and the scores.
func withImages(t *testing.T, file []byte, change func(*node.Config)) (c *api.Client, pixels, scores []float32) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := tiny.WriteResNet(dir); err != nil {
		t.Fatal(err)
	}
	c = start(t, t.TempDir(), change)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: dir}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	ck, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	pipe, err := ck.Config.Vision.Pipeline()
	if err != nil {
		t.Fatal(err)
	}
	pixels = make([]float32, ck.Config.Dim())
	if err := pipe.Run(pixels, file, nil); err != nil {
		t.Fatal(err)
	}
	pool := kernel.NewPool(1)
	defer pool.Close()
	s, err := model.Load(t.Context(), ck.Config, ck.Config.Whole(), ck.Weights(), pool)
	if err != nil {
		t.Fatal(err)
	}
	out, err := s.Forward(t.Context(), []model.Input{{Numbers: pixels}})
	if err != nil {
		t.Fatal(err)
	}
	return c, pixels, out[0].Pooled
}

// inferred is an answer of the Open Inference Protocol.
type inferred struct {
	ID      string `json:"id"`
	Model   string `json:"model_name"`
	Version string `json:"model_version"`
	Outputs []struct {
		Name, Datatype string
		Shape          []int
		Data           json.RawMessage
	}
}

// output decodes the data of an output.
func (r *inferred) output(t *testing.T, name string, shape []int, data any) {
	t.Helper()
	for _, o := range r.Outputs {
		if o.Name != name {
			continue
		}
		if !slices.Equal(o.Shape, shape) {
			t.Errorf("output %s has shape %v, want %v", name, o.Shape, shape)
		}
		if err := json.Unmarshal(o.Data, data); err != nil {
			t.Error(err)
		}
		return
	}
	t.Errorf("no output %s", name)
}

type object = map[string]any

func infer(t *testing.T, c *api.Client, name string, body object) *inferred {
	t.Helper()
	out := new(inferred)
	if err := c.Post(t.Context(), "/v2/models/"+name+"/infer", body, out); err != nil {
		t.Fatal(err)
	}
	return out
}

func input(name, kind string, shape []int, data any) []object {
	return []object{{"name": name, "datatype": kind, "shape": shape, "data": data}}
}

func sameFloats(a, b []float32) bool {
	return slices.EqualFunc(a, b, func(x, y float32) bool { return math.Float32bits(x) == math.Float32bits(y) })
}

// TestImageFormats asks for the same pixels in files of several formats, and for a photo of
// 50 million pixels.
func TestImageFormats(t *testing.T) {
	t.Parallel()
	gray8, gray16 := image.NewGray(image.Rect(0, 0, 32, 32)), image.NewGray16(image.Rect(0, 0, 32, 32))
	palette := make(color.Palette, 256)
	for i := range palette {
		palette[i] = color.Gray{Y: uint8(i)}
	}
	table := image.NewPaletted(gray8.Rect, palette)
	for i := range gray8.Pix {
		gray8.Pix[i], table.Pix[i] = uint8(i), uint8(i)
		gray16.SetGray16(i%32, i/32, color.Gray16{Y: uint16(i%256)<<8 | 99})
	}
	var files [4]bytes.Buffer
	var large bytes.Buffer
	if err := errors.Join(
		png.Encode(&files[0], gray8), png.Encode(&files[1], gray16), gif.Encode(&files[2], table, &gif.Options{NumColors: 256}), tiff.Encode(&files[3], gray16, nil),
		png.Encode(&large, image.NewPaletted(image.Rect(0, 0, 8192, 6144), color.Palette{color.Black, color.White})),
	); err != nil {
		t.Fatal(err)
	}
	c, _, want := withImages(t, files[0].Bytes(), nil)
	for i := range files {
		var got []float32
		infer(t, c, "tiny", object{
			"inputs": input("image", "BYTES", []int{1}, []string{base64.StdEncoding.EncodeToString(files[i].Bytes())}), "outputs": []object{{"name": "logits"}},
		}).output(t, "logits", []int{1, len(want)}, &got)
		if !sameFloats(got, want) {
			t.Errorf("file %d: got %v, want %v", i, got, want)
		}
	}
	infer(t, c, "tiny", object{"inputs": input("image", "BYTES", []int{1}, []string{base64.StdEncoding.EncodeToString(large.Bytes())})})
}

// TestClassifyImages asks for an image by its file and by its values, and compares with the
// engine, bit by bit.
func TestClassifyImages(t *testing.T) {
	t.Parallel()
	file := picture(t, 60, 40)
	c, pixels, want := withImages(t, file, nil)
	text := base64.StdEncoding.EncodeToString(file)
	n := len(want)
	for name, in := range map[string][]object{
		"image":         input("image", "BYTES", []int{2}, []string{text, text}),
		"nested image":  input("image", "BYTES", []int{2, 1}, [][]string{{text}, {text}}),
		"pixels":        input("pixels", "FP32", []int{2, 3, 32, 32}, slices.Concat(pixels, pixels)),
		"nested pixels": input("pixels", "FP32", []int{2, 3, 32, 32}, [][]float32{pixels, pixels}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			res := infer(t, c, "tiny", object{"id": "7", "inputs": in})
			var logits, shares []float32
			var labels []string
			res.output(t, "logits", []int{2, n}, &logits)
			res.output(t, "probabilities", []int{2, n}, &shares)
			res.output(t, "labels", []int{2, n}, &labels)
			if res.ID != "7" || res.Model != "tiny" || res.Version != "1" || len(res.Outputs) != 3 {
				t.Errorf("answer %+v", res)
			}
			if !sameFloats(logits, slices.Concat(want, want)) || !slices.Equal(labels, slices.Concat(tiny.Labels(), tiny.Labels())) {
				t.Errorf("logits %v of %v, want %v", logits, labels, want)
			}
			sum := float32(0)
			for _, p := range shares[:n] {
				sum += p
			}
			if !(math.Abs(float64(sum)-1) < 1e-6) {
				t.Errorf("probabilities %v", shares)
			}
		})
	}
	t.Run("top", func(t *testing.T) {
		t.Parallel()
		res := infer(t, c, "tiny", object{
			"inputs": input("image", "BYTES", []int{1}, []string{text}), "parameters": object{"top_k": 2, "else": "ignored"},
			"outputs": []object{{"name": "labels"}, {"name": "logits"}},
		})
		var logits []float32
		var labels []string
		res.output(t, "labels", []int{1, 2}, &labels)
		res.output(t, "logits", []int{1, 2}, &logits)
		best := slices.Max(want)
		if len(res.Outputs) != 2 || res.Outputs[0].Name != "labels" || logits[0] != best || logits[1] > best || labels[0] != tiny.Labels()[slices.Index(want, best)] {
			t.Errorf("%v %v of %v", labels, logits, want)
		}
	})
	t.Run("served again", func(t *testing.T) {
		t.Parallel()
		if _, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "tiny", Blocks: "0-3"}, func(api.Event) {}); err == nil || !strings.Contains(err.Error(), "served whole") {
			t.Errorf("a range of it: %v", err)
		}
		if _, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "tiny", Blocks: "auto"}, func(api.Event) {}); err != nil {
			t.Error(err)
		}
	})
}

// TestLargePhotos sends files as large as a photo of 50 million pixels may be: one of 24 MB is
// answered like its picture, and what is beyond the limit is refused.
func TestLargePhotos(t *testing.T) {
	t.Parallel()
	small := picture(t, 40, 40)
	c, _, scores := withImages(t, small, nil)
	padded := func(size int) string {
		const head = 33 // bytes of a PNG before its second chunk
		chunk := append([]byte("teXt"), make([]byte, size-len(small)-12)...)
		b := append(bytes.Clone(small[:head]), binary.BigEndian.AppendUint32(nil, uint32(len(chunk)-4))...)
		b = binary.BigEndian.AppendUint32(append(b, chunk...), crc32.ChecksumIEEE(chunk))
		return base64.StdEncoding.EncodeToString(append(b, small[head:]...))
	}
	var logits []float32
	infer(t, c, "tiny", object{"inputs": input("image", "BYTES", []int{1}, []string{padded(24e6)})}).output(t, "logits", []int{1, len(scores)}, &logits)
	if !sameFloats(logits, scores) {
		t.Errorf("scores %v, want %v", logits, scores)
	}
	status, body := request(t, c, "POST", "/v2/models/tiny/infer", `{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["`+padded(26e6)+`"]}]}`, nil)
	if status != 413 || !strings.Contains(body, "33 MiB: send a smaller image") {
		t.Errorf("a photo of 26 MB: %d %.200s", status, body)
	}
}

// TestOpenInferenceProtocol looks at the routes beside inference.
func TestOpenInferenceProtocol(t *testing.T) {
	t.Parallel()
	c, _, _ := withImages(t, picture(t, 32, 32), nil)
	for path, want := range map[string]string{
		"/v2":                   `"name":"covey"`,
		"/v2/health/live":       `{"live":true}`,
		"/v2/health/ready":      `{"ready":true}`,
		"/v2/models/tiny":       `{"inputs":[{"name":"image","datatype":"BYTES","shape":[-1]},{"name":"pixels","datatype":"FP32","shape":[-1,3,32,32]}],"name":"tiny","outputs":[{"name":"logits","datatype":"FP32","shape":[-1,5]},{"name":"probabilities","datatype":"FP32","shape":[-1,5]},{"name":"labels","datatype":"BYTES","shape":[-1,5]}],"platform":"covey","versions":["1"]}`,
		"/v2/models/tiny/ready": `{"name":"tiny","ready":true}`,
		"/covey/v1/models/tiny": `"task":"classify-image"`,
		"/v1/models":            `"id":"tiny"`,
	} {
		status, body := request(t, c, "GET", path, "", nil)
		if want != "" && (status != 200 || !strings.Contains(body, want)) {
			t.Errorf("%s: %d %s, want %s", path, status, body, want)
		}
	}
}

func TestInferRefusals(t *testing.T) {
	t.Parallel()
	c, _, _ := withImages(t, picture(t, 32, 32), nil)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "demo"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	bytesOf := func(files ...string) string {
		return fmt.Sprintf(`{"inputs":[{"name":"image","datatype":"BYTES","shape":[%d],"data":["%s"]}]}`, len(files), strings.Join(files, `","`))
	}
	pixels := func(shape, data string) string {
		return `{"inputs":[{"name":"pixels","datatype":"FP32","shape":` + shape + `,"data":` + data + `}]}`
	}
	// A PNG header that announces 60000 x 60000 pixels.
	huge := picture(t, 1, 1)
	copy(huge[16:], []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60})
	binary.BigEndian.PutUint32(huge[29:], crc32.ChecksumIEEE(huge[12:29]))
	good := base64.StdEncoding.EncodeToString(picture(t, 8, 8))
	for _, tc := range []struct {
		name, method, path, body string
		status                   int
		want                     string
	}{
		{"no JSON", "POST", "/v2/models/tiny/infer", `{`, 400, "JSON"},
		{"key twice", "POST", "/v2/models/tiny/infer", `{"id":"a","id":"b"}`, 400, "twice"},
		{"unknown model", "POST", "/v2/models/nothing/infer", bytesOf(good), 404, "not here"},
		{"model that generates", "POST", "/v2/models/demo/infer", bytesOf(good), 400, "/v1"},
		{"no inputs", "POST", "/v2/models/tiny/infer", `{}`, 400, "inputs"},
		{"two inputs", "POST", "/v2/models/tiny/infer", `{"inputs":[{"name":"image"},{"name":"image"}]}`, 400, "2 inputs"},
		{"unknown input", "POST", "/v2/models/tiny/infer", `{"inputs":[{"name":"sound","datatype":"BYTES","shape":[1],"data":["x"]}]}`, 400, "sound"},
		{"text for an image model", "POST", "/v2/models/tiny/infer", `{"inputs":[{"name":"text","datatype":"BYTES","shape":[1],"data":["x"]}]}`, 400, "takes"},
		{"unknown output", "POST", "/v2/models/tiny/infer", strings.Replace(bytesOf(good), `{"inputs"`, `{"outputs":[{"name":"x"}],"inputs"`, 1), 400, "output"},
		{"top of none", "POST", "/v2/models/tiny/infer", strings.Replace(bytesOf(good), `{"inputs"`, `{"parameters":{"top_k":0},"inputs"`, 1), 400, "top_k"},
		{"not base64", "POST", "/v2/models/tiny/infer", bytesOf("!!"), 400, "base64"},
		{"empty file", "POST", "/v2/models/tiny/infer", bytesOf(""), 400, "base64"},
		{"not an image", "POST", "/v2/models/tiny/infer", bytesOf(base64.StdEncoding.EncodeToString([]byte("GIF88a"))), 400, "JPEG, PNG, WebP, GIF, BMP or TIFF"},
		{"many pixels", "POST", "/v2/models/tiny/infer", bytesOf(base64.StdEncoding.EncodeToString(huge)), 400, "pixels"},
		{"cut image", "POST", "/v2/models/tiny/infer", bytesOf(base64.StdEncoding.EncodeToString(picture(t, 9, 9)[:60])), 400, "image 0"},
		{"second image bad", "POST", "/v2/models/tiny/infer", bytesOf(good, "AAAA"), 400, "image 1"},
		{"wrong type", "POST", "/v2/models/tiny/infer", `{"inputs":[{"name":"image","datatype":"FP32","shape":[1],"data":[1]}]}`, 400, "BYTES"},
		{"wrong shape", "POST", "/v2/models/tiny/infer", pixels("[1,3,2,2]", "[1,2,3,4,5,6,7,8,9,10,11,12]"), 400, "takes [3 32 32]"},
		{"short data", "POST", "/v2/models/tiny/infer", pixels("[1,3,32,32]", "[1,2,3]"), 400, "3072 elements"},
		{"negative shape", "POST", "/v2/models/tiny/infer", pixels("[-1,3,32,32]", "[1]"), 400, "shape"},
		{"overflowing shape", "POST", "/v2/models/tiny/infer", pixels("[4611686018427387904,4,4,4]", "[1]"), 400, "shape"},
		{"infinite value", "POST", "/v2/models/tiny/infer", pixels("[1,1,1,2]", "[1,1e99]"), 400, "too large"},
		{"text as value", "POST", "/v2/models/tiny/infer", pixels("[1,1,1,2]", `[1,"2"]`), 400, "not a number"},
		{"no route", "GET", "/v2/nothing", "", 404, "no route"},
		{"wrong method", "GET", "/v2/models/tiny/infer", "", 404, "no route"},
		{"metadata of none", "GET", "/v2/models/nothing", "", 404, "not here"},
		{"none ready", "GET", "/v2/models/nothing/ready", "", 404, "not here"},
		{"completion", "POST", "/v1/completions", `{"model":"tiny","prompt":"x"}`, 400, "task"},
		{"embedding", "POST", "/v1/embeddings", `{"model":"tiny","input":"x"}`, 400, "task"},
		{"longer than 33 MiB", "POST", "/v2/models/tiny/infer", `{"id":"` + strings.Repeat("x", 34<<20) + `"}`, 413, "33 MiB"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			status, body := request(t, c, tc.method, tc.path, tc.body, nil)
			if status != tc.status || !strings.Contains(body, tc.want) {
				t.Errorf("answered %d %s, want %d with %q", status, body, tc.status, tc.want)
			}
			var doc struct{ Error string }
			if err := json.Unmarshal([]byte(body), &doc); strings.HasPrefix(tc.path, "/v2") && (err != nil || doc.Error == "") {
				t.Errorf("%s is not in the protocol's form: %v", body, err)
			}
		})
	}
}

// TestGuardOfInference checks that the guard stands before the protocol's routes, and speaks
// in its form.
func TestGuardOfInference(t *testing.T) {
	t.Parallel()
	key := strings.Repeat("k", 20)
	c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.API.Keys = []string{sha256Hex(key)} })
	for _, route := range []string{
		"GET /v2", "GET /v2/health/live", "GET /v2/health/ready", "GET /v2/models/x", "GET /v2/models/x/ready", "POST /v2/models/x/infer", "GET /v2/nothing",
	} {
		method, path, _ := strings.Cut(route, " ")
		for name, tc := range map[string]struct {
			headers map[string]string
			status  int
		}{
			"no key":       {map[string]string{"Authorization": ""}, 401},
			"other host":   {map[string]string{"Authorization": "Bearer " + key, "Host": "evil.example"}, 421},
			"other origin": {map[string]string{"Authorization": "Bearer " + key, "Origin": "https://evil.example"}, 403},
		} {
			status, body := request(t, c, method, path, "{}", tc.headers)
			var doc struct{ Error string }
			if err := json.Unmarshal([]byte(body), &doc); status != tc.status || err != nil || doc.Error == "" {
				t.Errorf("%s with %s: %d %s, want %d and a message", route, name, status, body, tc.status)
			}
		}
	}
	if status, body := request(t, c, "GET", "/v2/health/live", "", map[string]string{"Authorization": "Bearer " + key}); status != 200 {
		t.Errorf("with the key: %d %s", status, body)
	}
}

// TestClassifyTexts asks the tiny BERT classifier of engine/model about its reference texts.
func TestClassifyTexts(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "bert")
	unzip(t, "../engine/model/testdata/bert.zip", dir)
	c := start(t, t.TempDir(), nil)
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: dir}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	ck, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer ck.Close()
	n := len(ck.Config.Labels())
	res := infer(t, c, "bert", object{"inputs": input("text", "BYTES", []int{2}, []string{"a word", "two more words"})})
	var logits []float32
	var labels []string
	res.output(t, "logits", []int{2, n}, &logits)
	res.output(t, "labels", []int{2, n}, &labels)
	if !slices.Equal(labels[:n], ck.Config.Labels()) || sameFloats(logits[:n], logits[n:]) {
		t.Errorf("%v %v", labels, logits)
	}
	if status, body := request(t, c, "POST", "/v2/models/bert/infer", `{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["AAAA"]}]}`, nil); status != 400 || !strings.Contains(body, "takes") {
		t.Errorf("an image for a text model: %d %s", status, body)
	}
}

func unzip(t *testing.T, path, dir string) {
	t.Helper()
	z, err := zip.OpenReader(path)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		writeFile(t, filepath.Join(dir, filepath.Base(f.Name)), string(data))
	}
}
