package hf_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/hf"
)

// folder writes files by name; "model.safetensors" gets one tensor unless it is given.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	all := map[string]string{"config.json": "{}", "tokenizer.json": "{}", "model.safetensors": oneTensor}
	for name, text := range files {
		all[name] = text
	}
	for name, text := range all {
		path := filepath.Join(dir, name)
		if text == "" {
			continue
		}
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// oneTensor is a safetensors file of one tensor, w.
const oneTensor = "\x36\x00\x00\x00\x00\x00\x00\x00" + `{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}` + "ab"

// lfsPointer is what git has of a large file without git-lfs.
const lfsPointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n"

const (
	modules = `[{"path":"","type":"sentence_transformers.models.Transformer"},{"path":"1_Pooling","type":"sentence_transformers.models.Pooling"},
		{"path":"2_Normalize","type":"sentence_transformers.models.Normalize"}]`
	byMean = `{"word_embedding_dimension":384,"pooling_mode_mean_tokens":true,"pooling_mode_cls_token":false}`
)

func TestOpen(t *testing.T) {
	t.Parallel()
	d, err := hf.Open(folder(t, map[string]string{
		"tokenizer_config.json": `{"chat_template":[{"name":"tool_use","template":"t"},{"name":"default","template":"d"}]}`,
		"modules.json":          modules, "1_Pooling/config.json": byMean, "sentence_bert_config.json": `{"max_seq_length":256}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.ChatTemplate != "d" || len(d.Tensors) != 1 || d.GenerationConfig != nil {
		t.Errorf("template %q, tensors %v, generation config %q", d.ChatTemplate, d.Tensors, d.GenerationConfig)
	}
	if want := (hf.Sentence{MaxTokens: 256, Normalize: true}); d.Sentence == nil || *d.Sentence != want {
		t.Errorf("sentence %+v, want %+v", d.Sentence, want)
	}
}

// TestMarksOfByteOrder has the mark that editors of Windows write in front of each text.
func TestMarksOfByteOrder(t *testing.T) {
	t.Parallel()
	const mark = "\ufeff"
	d, err := hf.Open(folder(t, map[string]string{
		"config.json": mark + `{"a":1}`, "tokenizer.json": mark + "{}", "tokenizer_config.json": mark + "{}", "generation_config.json": mark + "{}",
		"chat_template.jinja": mark + "t", "modules.json": mark + modules, "1_Pooling/config.json": mark + byMean,
		"model.safetensors": "", "a.safetensors": oneTensor, "model.safetensors.index.json": mark + `{"weight_map":{"w":"a.safetensors"}}`,
	}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if string(d.Config) != `{"a":1}` || string(d.Tokenizer) != "{}" || d.ChatTemplate != "t" || len(d.Tensors) != 1 {
		t.Errorf("configuration %q, tokenizer %q, template %q, tensors %v", d.Config, d.Tokenizer, d.ChatTemplate, d.Tensors)
	}
}

func TestTemplateFileGoesFirst(t *testing.T) {
	t.Parallel()
	d, err := hf.Open(folder(t, map[string]string{"tokenizer_config.json": `{"chat_template":"old"}`, "chat_template.jinja": "new"}))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	if d.ChatTemplate != "new" || d.Sentence != nil {
		t.Errorf("template %q, sentence %v", d.ChatTemplate, d.Sentence)
	}
}

// TestLicenseOfTheCard reads the license from the front matter of README.md, and nothing
// that is not one plain word there.
func TestLicenseOfTheCard(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, card, want string }{
		{"plain", "---\nlanguage:\n- en\nlicense: apache-2.0\ntags: [a]\n---\n# Model\n", "apache-2.0"},
		{"quoted", "---\r\nlicense: 'cc-by-4.0' # see LICENSE\r\n---\r\n", "cc-by-4.0"},
		{"mark of byte order", "\ufeff---\nlicense: \"mit\"\n---\n", "mit"},
		{"no card", "", ""},
		{"no front matter", "# Model\nlicense: mit\n", ""},
		{"after the front matter", "---\nlanguage: en\n---\nlicense: mit\n", ""},
		{"of something else", "---\nparent:\n  license: mit\nlicense_name: x\n---\n", ""},
		{"list", "---\nlicense: [mit, gpl]\n---\n", ""},
		{"list below", "---\nlicense:\n- mit\n---\n", ""},
		{"block", "---\nlicense: |\n  mit\n---\n", ""},
		{"control characters", "---\nlicense: mit\x1b[31m\n---\n", ""},
		{"long", "---\nlicense: " + strings.Repeat("x", 65) + "\n---\n", ""},
		{"far down", "---\n" + strings.Repeat("#\n", 64<<10) + "license: mit\n---\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d, err := hf.Open(folder(t, map[string]string{"README.md": c.card}))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close()
			if d.License != c.want {
				t.Errorf("got %q, want %q", d.License, c.want)
			}
		})
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		files      map[string]string
	}{
		{"no config", "config.json", map[string]string{"config.json": ""}},
		{"no weights", "model.safetensors is missing", map[string]string{"model.safetensors": ""}},
		{"weights of PyTorch", `"pytorch_model.bin" can hold code`, map[string]string{"model.safetensors": "", "pytorch_model.bin": "x"}},
		{"weights of ONNX", `"model.onnx" is of ONNX`, map[string]string{"model.safetensors": "", "model.onnx": "x"}},
		{"GGUF beside the configuration", `"m.gguf" is a model of its own`, map[string]string{"model.safetensors": "", "m.gguf": "x"}},
		{"GGUF alone", `import its GGUF file, "m.gguf"`, map[string]string{"config.json": "", "model.safetensors": "", "m.gguf": "x"}},
		{"adapter", "merge_and_unload", map[string]string{"config.json": "", "adapter_config.json": "{}"}},
		{"parts without index", "no model.safetensors.index.json", map[string]string{"model.safetensors": "", "model-00001-of-00002.safetensors": "x", "model-00002-of-00002.safetensors": "x"}},
		{"a part is missing", `"b.safetensors", one of the 2 files that the index names, is missing`, map[string]string{
			"model.safetensors": "", "a.safetensors": oneTensor, "model.safetensors.index.json": `{"weight_map":{"w":"a.safetensors","x":"b.safetensors"}}`,
		}},
		{"parts are missing", `2 of the 2 files that the index names are missing, the first is "a.safetensors": the download is not complete`, map[string]string{
			"model.safetensors": "", "model.safetensors.index.json": `{"weight_map":{"w":"a.safetensors","x":"b.safetensors"}}`,
		}},
		{"index leads out", "leads out of the folder", map[string]string{"model.safetensors.index.json": `{"weight_map":{"w":"../a.safetensors"}}`}},
		{"pointer for weights", "run git lfs pull", map[string]string{"model.safetensors": lfsPointer}},
		{"pointer for the tokenizer", `"tokenizer.json": it is a git-lfs pointer`, map[string]string{"tokenizer.json": lfsPointer}},
		{"UTF-16", `"tokenizer_config.json": it is UTF-16, save it as UTF-8`, map[string]string{"tokenizer_config.json": "\xff\xfe{\x00}\x00"}},
		{"bad template", "chat_template", map[string]string{"tokenizer_config.json": `{"chat_template":7}`}},
		{"two poolings", "not supported", map[string]string{"modules.json": modules, "1_Pooling/config.json": `{"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true}`}},
		{"pooling elsewhere", "leads out of the folder", map[string]string{"modules.json": strings.Replace(modules, "1_Pooling", "../..", 1)}},
		{"pooling missing", "1_Pooling/config.json is missing, which modules.json names (file does not exist): download it with hf download OWNER/", map[string]string{"modules.json": modules, "1_Pooling/config.json": ""}},
		{"weights cut off", "truncated or damaged; download the model again: hf download OWNER/", map[string]string{"model.safetensors": oneTensor[:len(oneTensor)-1]}},
		{"weights without a header", "truncated or damaged; download the model again: hf download OWNER/", map[string]string{"model.safetensors": oneTensor[:4]}},
		{"other module", "not supported", map[string]string{"modules.json": `[{"type":"sentence_transformers.models.Dense"}]`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := hf.Open(folder(t, c.files)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// FuzzOpen opens directories whose small files are made up.
func FuzzOpen(f *testing.F) {
	f.Add([]byte(modules), []byte(byMean), []byte(`{"chat_template":"t"}`))
	f.Add([]byte(`[{"path":"..","type":"x.Pooling"}]`), []byte(`{}`), []byte(`{"chat_template":[{"name":"default","template":"d"}]}`))
	f.Fuzz(func(t *testing.T, modules, pooling, tokenizer []byte) {
		d, err := hf.Open(folder(t, map[string]string{
			"modules.json": string(modules), "1_Pooling/config.json": string(pooling), "tokenizer_config.json": string(tokenizer),
		}))
		if err == nil {
			d.Close()
		}
	})
}
