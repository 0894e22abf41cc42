package hf_test

import (
	"encoding/binary"
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
	header := `{"w":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`
	all := map[string]string{
		"config.json": "{}", "tokenizer.json": "{}",
		"model.safetensors": string(binary.LittleEndian.AppendUint64(nil, uint64(len(header)))) + header + "ab",
	}
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
		{"no weights", "safetensors", map[string]string{"model.safetensors": "", "pytorch_model.bin": "x"}},
		{"bad template", "chat_template", map[string]string{"tokenizer_config.json": `{"chat_template":7}`}},
		{"two poolings", "not supported", map[string]string{"modules.json": modules, "1_Pooling/config.json": `{"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true}`}},
		{"pooling elsewhere", "escapes", map[string]string{"modules.json": strings.Replace(modules, "1_Pooling", "../..", 1)}},
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
