package model_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

func TestConfigRoundTrip(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"llama3", "mistral", "qwen2", "qwen3", "llama3-f16", "llama256-Q2_K", "bert"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := importModel(t, unpack(t, name), 0)
			data, err := json.Marshal(c.Config)
			if err != nil {
				t.Fatal(err)
			}
			got, err := model.ParseConfig(data)
			if err != nil {
				t.Fatal(err)
			}
			again, err := json.Marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if string(again) != string(data) {
				t.Errorf("got %s, want %s", again, data)
			}
		})
	}
}

func TestParseConfigRefuses(t *testing.T) {
	t.Parallel()
	const good = `{"arch":"llama","llama":{"dim":64,"blocks":2,"heads":4,"kv_heads":2,"head_dim":16,"ffn":128,"vocab":100,"context":512,"eps":1e-5,"rope":{"theta":10000}}}`
	cases := []struct{ name, old, new, want string }{
		{"good", "", "", ""},
		{"not JSON", `"arch"`, `arch`, "parse model configuration"},
		{"two values", `10000}}}`, `10000}}} {}`, "more than one value"},
		{"unknown field", `"dim"`, `"dimension"`, "dimension"},
		{"unknown architecture", `"arch":"llama"`, `"arch":"gpt"`, `"gpt"`},
		{"wrong section", `"llama":{`, `"bert":{`, "unknown field"},
		{"no section", `,"llama":{"dim":64,"blocks":2,"heads":4,"kv_heads":2,"head_dim":16,"ffn":128,"vocab":100,"context":512,"eps":1e-5,"rope":{"theta":10000}}`, "", "needs its configuration"},
		{"too many blocks", `"blocks":2`, `"blocks":1025`, "blocks is 1025"},
		{"no blocks", `"blocks":2`, `"blocks":0`, "blocks is 0"},
		{"too wide", `"dim":64`, `"dim":65537`, "dim is 65537"},
		{"negative", `"ffn":128`, `"ffn":-1`, "ffn is -1"},
		{"too many tokens", `"vocab":100`, `"vocab":1048577`, "vocab is 1048577"},
		{"heads do not divide", `"kv_heads":2`, `"kv_heads":3`, "do not divide"},
		{"heads too wide", `"heads":4,"kv_heads":2,"head_dim":16`, `"heads":1024,"kv_heads":2,"head_dim":1024`, "heads * head_dim"},
		{"no eps", `"eps":1e-5`, `"eps":0`, "eps is 0"},
		{"angles too large", `"context":512,"eps":1e-5,"rope":{"theta":10000}`, `"context":1048576,"eps":1e-5,"rope":{"theta":10000,"divisors":[0.5,1,1,1,1,1,1,1]}`, "pair 0 turns by 2"},
		{"no theta", `"theta":10000`, `"theta":0`, "theta"},
		{"window block", `"eps"`, `"window":4,"window_blocks":[2],"eps"`, "window_blocks[0] is 2"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := model.ParseConfig([]byte(strings.Replace(good, c.old, c.new, 1)))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
	if _, err := model.ParseConfig(make([]byte, model.MaxConfigBytes+1)); err == nil {
		t.Error("accepted a configuration above the limit")
	}
}

// TestImportConfigs edits config.json of a fixture: what we cannot run right is refused.
func TestImportConfigs(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, fixture string
		edit          map[string]any // nil values delete
		want          string         // "" imports
		check         func(model.Config) bool
	}{
		{"linear scaling", "qwen2", map[string]any{"rope_scaling": map[string]any{"type": "linear", "factor": 2}}, "", func(c model.Config) bool { return c.Llama.Rope.Factor == 2 }},
		{"yarn", "qwen2", map[string]any{"rope_scaling": map[string]any{"rope_type": "yarn", "factor": 4}}, `"yarn"`, nil},
		{"dynamic", "llama3", map[string]any{"rope_parameters": map[string]any{"rope_type": "dynamic", "rope_theta": 1e4, "factor": 4}}, `"dynamic"`, nil},
		{"partial rotation", "qwen2", map[string]any{"partial_rotary_factor": 0.5}, "partial_rotary_factor 0.5", nil},
		{"mixture of experts", "qwen2", map[string]any{"model_type": "qwen2_moe"}, `"qwen2_moe"`, nil},
		{"quantised by others", "qwen2", map[string]any{"quantization_config": map[string]any{"bits": 4}}, "quantization_config", nil},
		{"other activation", "qwen2", map[string]any{"hidden_act": "relu"}, `"relu"`, nil},
		{"other head", "qwen2", map[string]any{"architectures": []string{"Qwen2ForTokenClassification"}}, "ForTokenClassification", nil},
		{"more blocks than tensors", "qwen2", map[string]any{"num_hidden_layers": 4, "layer_types": nil}, "model.layers.3.input_layernorm.weight\" is missing", nil},
		{"fewer blocks than tensors", "qwen2", map[string]any{"num_hidden_layers": 2, "layer_types": nil}, "have no place", nil},
		{"layer types", "qwen2", map[string]any{"num_hidden_layers": 2}, "3 layer_types for 2 blocks", nil},
		{"other width", "qwen2", map[string]any{"intermediate_size": 100}, "has shape [176 64], want [100 64]", nil},
		{"untied without output", "qwen2", map[string]any{"tie_word_embeddings": false}, `"lm_head.weight" is missing`, nil},
		{"no heads", "qwen2", map[string]any{"num_attention_heads": 0}, "num_attention_heads is 0", nil},
		{"huge", "qwen2", map[string]any{"num_hidden_layers": 1 << 40, "layer_types": nil}, "blocks is", nil},
		{"biases undeclared", "qwen3", map[string]any{"model_type": "llama"}, "have no place", nil},
		{"window off", "qwen2", map[string]any{"sliding_window": 16, "max_window_layers": 1}, "", func(c model.Config) bool { return c.Llama.Window == 0 }},
		{
			"window from a block on", "qwen2",
			map[string]any{"sliding_window": 16, "max_window_layers": 1, "use_sliding_window": true, "layer_types": nil},
			"",
			func(c model.Config) bool { return c.Llama.Window == 16 && len(c.Llama.WindowBlocks) == 2 },
		},
		{"window of none", "mistral", map[string]any{"sliding_window": "null"}, "sliding_window is", nil},
		{"window by default", "mistral", map[string]any{"sliding_window": nil}, "", func(c model.Config) bool { return c.Llama.Window == 4096 }},
		{"decoder", "bert", map[string]any{"is_decoder": true}, "is_decoder", nil},
		{"relative positions", "bert", map[string]any{"position_embedding_type": "relative_key"}, `"relative_key"`, nil},
		{"labels", "bert", map[string]any{"id2label": map[string]string{"0": "a", "2": "b"}}, "id2label", nil},
		{"labels do not fit", "bert", map[string]any{"id2label": map[string]string{"0": "a", "1": "b"}}, `"classifier.weight" has shape`, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			path := unpack(t, c.fixture)
			editJSON(t, filepath.Join(path, "config.json"), c.edit)
			got, err := model.Import(path, model.ImportOptions{})
			if c.want != "" {
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v, want %q", err, c.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			if !c.check(got.Config) {
				t.Errorf("got %+v", got.Config.Llama)
			}
		})
	}
}

func editJSON(t *testing.T, path string, edit map[string]any) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(data, &m); err != nil {
		t.Fatal(err)
	}
	for k, v := range edit {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
	if data, err = json.Marshal(m); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	q2 := tensor.Q2_K
	if _, err := model.Import(t.TempDir(), model.ImportOptions{Quantize: &q2}); err == nil || !strings.Contains(err.Error(), "quantise to Q2_K") {
		t.Errorf("quantise to Q2_K: got %v", err)
	}
	if _, err := model.Import(filepath.Join(t.TempDir(), "none"), model.ImportOptions{}); err == nil {
		t.Error("imported a path that does not exist")
	}
	if _, err := model.Import(t.TempDir(), model.ImportOptions{}); err == nil {
		t.Error("imported an empty directory")
	}
	file := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(file, []byte("nothing of the kind"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := model.Import(file, model.ImportOptions{}); err == nil {
		t.Error("imported a text file")
	}
	q4 := tensor.Q4_0
	if _, err := model.Import(unpack(t, "llama256-Q2_K"), model.ImportOptions{Quantize: &q4}); err == nil || !strings.Contains(err.Error(), "already") {
		t.Errorf("quantise a quantised file: got %v", err)
	}
}

// TestCheckpoint looks at what goes into a manifest.
func TestCheckpoint(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "llama3"), tensor.Q8_0)
	if c.Name != "llama3" || c.Config.Task() != model.TaskGenerate || len(c.EOSIDs) != 1 || c.EOSIDs[0] != 2 || c.Tokenizer.Kind != model.TokenizerHF {
		t.Errorf("got name %q, task %q, eos %v, tokenizer %q", c.Name, c.Config.Task(), c.EOSIDs, c.Tokenizer.Kind)
	}
	var embed, output model.TensorSource
	for _, s := range c.Tensors {
		want := tensor.Q8_0
		switch {
		case len(s.Shape) == 1:
			want = tensor.F32
		case s.Name == "ffn.down.weight": // 176 columns are no multiple of 32
			want = tensor.BF16
		}
		if s.DType != want {
			t.Errorf("%v %s is %v, want %v", s.Part, s.Name, s.DType, want)
		}
		switch s.Name {
		case "tokens.weight":
			embed = s
		case "output.weight":
			output = s
		}
	}
	a, b := make([]byte, embed.Bytes), make([]byte, output.Bytes)
	if err := embed.Read(a); err != nil {
		t.Fatal(err)
	}
	if err := output.Read(b); err != nil {
		t.Fatal(err)
	}
	if string(a) != string(b) {
		t.Error("the tied output differs from the embedding")
	}
	if err := embed.Read(a[1:]); err == nil {
		t.Error("read into a destination of the wrong size")
	}
}
