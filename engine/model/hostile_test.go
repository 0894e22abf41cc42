package model_test

import (
	"encoding/binary"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// tinyGGUF is a decoder of one block with a single head of 256, whose query has a bias of
// the given type.
func tinyGGUF(t testing.TB, arch string, bias tensor.DType) ggufFile {
	t.Helper()
	g := ggufFile{meta: map[string]any{
		"general.architecture": arch, arch + ".context_length": uint32(8), arch + ".embedding_length": uint32(2), arch + ".block_count": uint32(1),
		arch + ".attention.head_count": uint32(1), arch + ".attention.key_length": uint32(256), arch + ".feed_forward_length": uint32(1),
		arch + ".attention.layer_norm_rms_epsilon": float32(1e-6), arch + ".attention.value_length": uint32(256), arch + ".rope.dimension_count": uint32(256),
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "default", "tokenizer.ggml.tokens": words(2), "tokenizer.ggml.token_type": make([]int32, 2), "tokenizer.ggml.merges": []string{},
	}}
	add := func(name string, d tensor.DType, shape ...int) {
		n, err := d.Bytes(shape)
		if err != nil {
			t.Fatal(err)
		}
		g.tensors = append(g.tensors, tensor.Tensor{Name: name, DType: d, Shape: shape, Data: make([]byte, n)})
	}
	add("token_embd.weight", tensor.F32, 2, 2)
	add("output_norm.weight", tensor.F32, 2)
	add("blk.0.attn_norm.weight", tensor.F32, 2)
	for _, name := range []string{"q", "k", "v"} {
		add("blk.0.attn_"+name+".weight", tensor.F16, 256, 2)
		add("blk.0.attn_"+name+".bias", bias, 256)
	}
	add("blk.0.attn_output.weight", tensor.F16, 2, 256)
	add("blk.0.ffn_norm.weight", tensor.F32, 2)
	add("blk.0.ffn_gate.weight", tensor.F32, 1, 2)
	add("blk.0.ffn_up.weight", tensor.F32, 1, 2)
	add("blk.0.ffn_down.weight", tensor.F32, 2, 1)
	return g
}

// tinyDir is config.json and model.safetensors of a decoder of one block whose first norm
// has the given type of elements.
func tinyDir(t testing.TB, norm string, elementBytes int) (config, weights []byte) {
	t.Helper()
	config = []byte(`{"model_type":"llama","hidden_size":2,"num_hidden_layers":1,"num_attention_heads":1,"head_dim":2,` +
		`"intermediate_size":1,"vocab_size":2,"max_position_embeddings":8,"rms_norm_eps":1e-6,"tie_word_embeddings":true}`)
	type entry struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	header, at := map[string]entry{}, 0
	add := func(name, kind string, size int, shape ...int) {
		for _, n := range shape {
			size *= n
		}
		header[name] = entry{kind, shape, [2]int{at, at + size}}
		at += size
	}
	add("model.embed_tokens.weight", "F32", 4, 2, 2)
	add("model.norm.weight", norm, elementBytes, 2)
	for _, name := range []string{"q_proj", "k_proj", "v_proj", "o_proj"} {
		add("model.layers.0.self_attn."+name+".weight", "BF16", 2, 2, 2)
	}
	add("model.layers.0.input_layernorm.weight", "F32", 4, 2)
	add("model.layers.0.post_attention_layernorm.weight", "F32", 4, 2)
	add("model.layers.0.mlp.gate_proj.weight", "F32", 4, 1, 2)
	add("model.layers.0.mlp.up_proj.weight", "F32", 4, 1, 2)
	add("model.layers.0.mlp.down_proj.weight", "F32", 4, 2, 1)
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	weights = binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return config, append(append(weights, text...), make([]byte, at)...)
}

// writeDir writes a Hugging Face directory.
func writeDir(t testing.TB, config, weights []byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, data := range map[string][]byte{"config.json": config, "tokenizer.json": []byte("{}"), "model.safetensors": weights} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// importAndRead imports a path and reads all tensors.
func importAndRead(path string) error {
	c, err := model.Import(path, model.ImportOptions{})
	if err != nil {
		return err
	}
	defer c.Close()
	for _, s := range c.Tensors {
		if err := s.Read(make([]byte, s.Bytes)); err != nil {
			return err
		}
	}
	return nil
}

// TestVectorsOfTypesWithoutFloats has norms stored in types that the engine does not know:
// they would divide by the zero size of a block.
func TestVectorsOfTypesWithoutFloats(t *testing.T) {
	t.Parallel()
	for name, bytes := range map[string]int{"F32": 4, "F16": 2, "F64": 8, "I64": 8, "I32": 4, "U16": 2, "I8": 1, "BOOL": 1, "F8_E4M3": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, weights := tinyDir(t, name, bytes)
			err := importAndRead(writeDir(t, config, weights))
			if name == "F32" || name == "F16" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), "model.norm.weight") || !strings.Contains(err.Error(), `"`+name+`"`) {
				t.Errorf("got %v, want an error that names the tensor and its type", err)
			}
		})
	}
}

// TestBiasInBlocks has biases whose elements are to be put in another order, which blocks
// do not allow: an element of Q2_K has less than a byte.
func TestBiasInBlocks(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		arch string
		bias tensor.DType
		want string
	}{
		{"llama", tensor.F32, ""},
		{"llama", tensor.F16, ""},
		{"llama", tensor.Q2_K, "want a float type"},
		{"llama", tensor.Q8_0, "want a float type"},
		{"qwen2", tensor.Q2_K, ""}, // keeps the order
	} {
		t.Run(c.arch+" "+c.bias.String(), func(t *testing.T) {
			t.Parallel()
			err := importAndRead(tinyGGUF(t, c.arch, c.bias).write(t))
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// FuzzImport imports what is made up and reads all tensors. Without a config.json the
// weights are a GGUF file, else a directory's model.safetensors.
func FuzzImport(f *testing.F) {
	f.Add([]byte(nil), tinyGGUF(f, "llama", tensor.F32).bytes(f))
	f.Add([]byte(nil), tinyGGUF(f, "qwen2", tensor.Q8_0).bytes(f))
	config, weights := tinyDir(f, "F16", 2)
	f.Add(config, weights)
	f.Fuzz(func(t *testing.T, config, weights []byte) {
		path := filepath.Join(t.TempDir(), "made.gguf")
		if len(config) > 0 {
			path = writeDir(t, config, weights)
		} else if err := os.WriteFile(path, weights, 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := model.Import(path, model.ImportOptions{})
		if err != nil {
			return
		}
		defer c.Close()
		for _, s := range c.Tensors {
			if s.Bytes < 1 || s.Bytes > 32*int64(len(weights)) {
				t.Fatalf("%v %s has %d bytes, of a file of %d", s.Part, s.Name, s.Bytes, len(weights))
			}
			if err := s.Read(make([]byte, s.Bytes)); err != nil {
				t.Errorf("%v %s: %v", s.Part, s.Name, err)
			}
		}
	})
}
