package model_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/engine/token"
)

// ggufFile is a GGUF file to be written: metadata of uint32, float32, string, bool and
// []string, []int32 values, and tensors.
type ggufFile struct {
	meta    map[string]any
	tensors []tensor.Tensor
}

// write writes the file and returns its path.
func (g ggufFile) write(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "made.gguf")
	if err := os.WriteFile(path, g.bytes(t), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// bytes makes version 3 of the format: header, metadata, tensor table, aligned data.
func (g ggufFile) bytes(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	put := func(v any) {
		if err := binary.Write(&b, binary.LittleEndian, v); err != nil {
			t.Fatal(err)
		}
	}
	text := func(s string) { put(uint64(len(s))); b.WriteString(s) }
	b.WriteString("GGUF")
	put(uint32(3))
	put(uint64(len(g.tensors)))
	put(uint64(len(g.meta)))
	for _, key := range slices.Sorted(maps.Keys(g.meta)) {
		text(key)
		switch v := g.meta[key].(type) {
		case uint32:
			put(uint32(4))
			put(v)
		case float32:
			put(uint32(6))
			put(v)
		case bool:
			put(uint32(7))
			put(v)
		case string:
			put(uint32(8))
			text(v)
		case []string:
			put(uint32(9))
			put(uint32(8))
			put(uint64(len(v)))
			for _, s := range v {
				text(s)
			}
		case []int32:
			put(uint32(9))
			put(uint32(5))
			put(uint64(len(v)))
			put(v)
		default:
			t.Fatalf("no GGUF type for %T", v)
		}
	}
	types := map[tensor.DType]uint32{tensor.F32: 0, tensor.F16: 1, tensor.Q8_0: 8, tensor.Q2_K: 10, tensor.BF16: 30}
	offset := 0
	for _, x := range g.tensors {
		text(x.Name)
		put(uint32(len(x.Shape)))
		for _, d := range slices.Backward(x.Shape) {
			put(uint64(d))
		}
		put(types[x.DType])
		put(uint64(offset))
		offset += (len(x.Data) + 31) / 32 * 32
	}
	pad := func() { b.Write(make([]byte, (32-b.Len()%32)%32)) }
	pad()
	for _, x := range g.tensors {
		b.Write(x.Data)
		pad()
	}
	return b.Bytes()
}

// renamed takes the tensors of a checkpoint under the names that llama.cpp gives them.
func renamed(t *testing.T, c *model.Checkpoint, names map[string]string) []tensor.Tensor {
	t.Helper()
	var out []tensor.Tensor
	for _, s := range c.Tensors {
		dot := strings.LastIndexByte(s.Name, '.')
		own, ok := names[s.Part.Kind.String()+"/"+s.Name[:dot]]
		if !ok {
			continue
		}
		if s.Part.Kind == model.Block {
			own = fmt.Sprintf("blk.%d.%s", s.Part.Index, own)
		}
		data := make([]byte, s.Bytes)
		if err := s.Read(data); err != nil {
			t.Fatal(err)
		}
		out = append(out, tensor.Tensor{Name: own + s.Name[dot:], DType: s.DType, Shape: s.Shape, Data: data})
	}
	return out
}

func words(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("w%d", i)
	}
	return out
}

// TestBertFromGGUF turns the classifier's body into an embedding model.
func TestBertFromGGUF(t *testing.T) {
	t.Parallel()
	path := unpack(t, "bert")
	var ref bertReference
	readReference(t, path, &ref)
	c := importModel(t, path, 0)
	file := ggufFile{meta: map[string]any{
		"general.architecture": "bert", "bert.context_length": uint32(64), "bert.embedding_length": uint32(32), "bert.block_count": uint32(2),
		"bert.attention.head_count": uint32(4), "bert.feed_forward_length": uint32(96), "bert.attention.layer_norm_epsilon": float32(1e-12), "bert.pooling_type": uint32(1),
		"tokenizer.ggml.model": "bert", "tokenizer.ggml.tokens": words(c.Config.Vocab()), "tokenizer.ggml.token_type": make([]int32, c.Config.Vocab()),
	}, tensors: renamed(t, c, map[string]string{
		"embedding/tokens": "token_embd", "embedding/positions": "position_embd", "embedding/types": "token_types", "embedding/norm": "token_embd_norm",
		"block/attn.q": "attn_q", "block/attn.k": "attn_k", "block/attn.v": "attn_v", "block/attn.o": "attn_output", "block/attn_norm": "attn_output_norm",
		"block/ffn.up": "ffn_up", "block/ffn.down": "ffn_down", "block/ffn_norm": "layer_output_norm",
	})}
	for kind, pooling := range map[uint32]string{1: "mean", 2: "cls"} {
		file.meta["bert.pooling_type"] = kind
		g := importModel(t, file.write(t), 0)
		if g.Config.Task() != model.TaskEmbed || g.Config.Bert.Pooling != pooling {
			t.Errorf("got task %s, pooling %s", g.Config.Task(), g.Config.Bert.Pooling)
		}
		if pooling == "mean" {
			checkMean(t, g, ref)
		}
	}
}

// checkMean compares an embedding with the mean of the hidden states.
func checkMean(t *testing.T, c *model.Checkpoint, ref bertReference) {
	t.Helper()
	s := load(t, c, c.Config.Whole(), pool(t, 1))
	out, err := s.Forward(t.Context(), []model.Input{{Tokens: ref.Texts[0]}})
	if err != nil {
		t.Fatal(err)
	}
	var length float64
	for _, v := range ref.MeanHidden[0] {
		length += float64(v) * float64(v)
	}
	for i, v := range out[0].Pooled {
		out[0].Pooled[i] = v * float32(math.Sqrt(length))
	}
	if largest, _ := distance(out[0].Pooled, ref.MeanHidden[0]); !(largest <= 1e-4) {
		t.Errorf("embedding off by %v", largest)
	}
}

func TestGGUFRefuses(t *testing.T) {
	t.Parallel()
	c := importModel(t, unpack(t, "qwen2"), 0)
	base := map[string]any{
		"general.architecture": "qwen2", "qwen2.context_length": uint32(512), "qwen2.embedding_length": uint32(64), "qwen2.block_count": uint32(3),
		"qwen2.attention.head_count": uint32(4), "qwen2.attention.head_count_kv": uint32(2), "qwen2.feed_forward_length": uint32(176),
		"qwen2.attention.layer_norm_rms_epsilon": float32(1e-6), "qwen2.rope.freq_base": float32(1e6),
		"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "qwen2", "tokenizer.ggml.tokens": words(1024), "tokenizer.ggml.token_type": make([]int32, 1024), "tokenizer.ggml.merges": []string{},
	}
	tensors := renamed(t, c, map[string]string{
		"embedding/tokens": "token_embd", "block/attn_norm": "attn_norm", "block/attn.q": "attn_q", "block/attn.k": "attn_k", "block/attn.v": "attn_v",
		"block/attn.o": "attn_output", "block/ffn_norm": "ffn_norm", "block/ffn.gate": "ffn_gate", "block/ffn.up": "ffn_up", "block/ffn.down": "ffn_down", "head/norm": "output_norm",
	})
	cases := []struct {
		name, key string
		value     any // nil deletes
		want      string
	}{
		{"as it is", "general.name", "made", ""},
		{"no architecture", "general.architecture", nil, `architecture "" is not supported`},
		{"other architecture", "general.architecture", "gemma", `"gemma"`},
		{"number as text", "qwen2.block_count", "3", "qwen2.block_count is not"},
		{"blocks", "qwen2.block_count", uint32(1 << 31), "qwen2.block_count is not"},
		{"more blocks", "qwen2.block_count", uint32(4), `"blk.3.attn_norm.weight" is missing`},
		{"fewer blocks", "qwen2.block_count", uint32(2), "have no place"},
		{"no heads", "qwen2.attention.head_count", nil, "head_count is 0"},
		{"head width", "qwen2.attention.key_length", uint32(32), "has shape [64 64], want [128 64]"},
		{"partial rotation", "qwen2.rope.dimension_count", uint32(8), "rope.dimension_count is 8"},
		{"yarn", "qwen2.rope.scaling.type", "yarn", `"yarn"`},
		{"factor of 1", "qwen2.rope.scaling.factor", float32(1), ""},
		{"factor of 0", "qwen2.rope.scaling.factor", float32(0), ""},
		{"factor as integer", "qwen2.rope.scaling.factor", uint32(4), "is not a float"},
		{"linear without factor", "qwen2.rope.scaling.type", "linear", "factor 0"},
		{"experts", "qwen2.expert_count", uint32(8), "mixtures of experts"},
		{"no tokens", "tokenizer.ggml.tokens", nil, "tokenizer.ggml.tokens is missing"},
		{"eps as integer", "qwen2.attention.layer_norm_rms_epsilon", uint32(1), "is not a float"},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			meta := maps.Clone(base)
			meta[k.key] = k.value
			if k.value == nil {
				delete(meta, k.key)
			}
			got, err := model.Import(ggufFile{meta, tensors}.write(t), model.ImportOptions{})
			if k.want != "" {
				if err == nil || !strings.Contains(err.Error(), k.want) {
					t.Errorf("got %v, want %q", err, k.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer got.Close()
			p := pool(t, 1)
			tokens := []int32{1, 2, 3}
			sameBits(t, "GGUF and safetensors", open(t, 3, load(t, got, got.Config.Whole(), p)).step(t, tokens, model.LogitsAll),
				open(t, 3, load(t, c, c.Config.Whole(), p)).step(t, tokens, model.LogitsAll))
		})
	}
}

// TestGGUFRopeFactor has a factor without the type of scaling, in its two spellings.
func TestGGUFRopeFactor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		meta map[string]any
		want nn.Rope
	}{
		{"factor", map[string]any{"rope.scaling.factor": float32(4)}, nn.Rope{Theta: 10000, Scaling: nn.ScaleLinear, Factor: 4}},
		{"old name", map[string]any{"rope.scale_linear": float32(2)}, nn.Rope{Theta: 10000, Scaling: nn.ScaleLinear, Factor: 2}},
		{"none", map[string]any{"rope.scaling.type": "none", "rope.scaling.factor": float32(4)}, nn.Rope{Theta: 10000}},
		{"nothing", nil, nn.Rope{Theta: 10000}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := tinyGGUF(t, "llama", tensor.F32)
			for key, v := range c.meta {
				g.meta["llama."+key] = v
			}
			if got := importModel(t, g.write(t), 0).Config.Llama.Rope; !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

// TestGGUFNormalizer has a vocabulary that keeps case and accents.
func TestGGUFNormalizer(t *testing.T) {
	t.Parallel()
	g := tinyGGUF(t, "llama", tensor.F32)
	read := func() (v token.Vocab) {
		if err := json.Unmarshal(importModel(t, g.write(t), 0).Tokenizer.Data, &v); err != nil {
			t.Fatal(err)
		}
		return v
	}
	if v := read(); v.Lower != nil || v.Accent != nil {
		t.Errorf("without the keys: got %v, %v", v.Lower, v.Accent)
	}
	g.meta["tokenizer.ggml.normalizer.lowercase"], g.meta["tokenizer.ggml.normalizer.strip_accents"] = false, true
	if v := read(); v.Lower == nil || *v.Lower || v.Accent == nil || !*v.Accent {
		t.Errorf("got %v, %v, want false and true", v.Lower, v.Accent)
	}
}
