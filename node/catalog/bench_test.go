package catalog_test

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/testnet/demo"
)

// BenchmarkImport imports 600 MB from a file in the cache of the operating system.
func BenchmarkImport(b *testing.B) {
	dir := b.TempDir()
	write(b, dir, synthetic(b, 1<<16, 1024, 16))
	ck, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		b.Fatal(err)
	}
	defer ck.Close()
	b.SetBytes(ck.Bytes())
	for i := range b.N {
		b.StopTimer()
		c := newCatalog(b, catalog.Config{Store: openStore(b)})
		b.StartTimer()
		if _, err := c.Import(b.Context(), ck, fmt.Sprint("m", i), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// write writes a checkpoint as a Hugging Face folder, with the tokenizer of the demo.
func write(b *testing.B, dir string, ck *model.Checkpoint) {
	b.Helper()
	if err := demo.Write(dir); err != nil {
		b.Fatal(err)
	}
	l := ck.Config.Llama
	config := fmt.Sprintf(`{"architectures":["LlamaForCausalLM"],"model_type":"llama","hidden_size":%d,"num_hidden_layers":%d,"num_attention_heads":%d,
		"num_key_value_heads":%d,"head_dim":%d,"intermediate_size":%d,"vocab_size":%d,"max_position_embeddings":%d,"rms_norm_eps":1e-5,"rope_theta":10000,"hidden_act":"silu"}`,
		l.Dim, l.Blocks, l.Heads, l.KVHeads, l.HeadDim, l.FFN, l.Vocab, l.Context)
	names := map[string]string{
		"tokens.weight": "model.embed_tokens.weight", "norm.weight": "model.norm.weight", "output.weight": "lm_head.weight",
		"attn_norm.weight": "input_layernorm.weight", "ffn_norm.weight": "post_attention_layernorm.weight",
		"attn.q.weight": "self_attn.q_proj.weight", "attn.k.weight": "self_attn.k_proj.weight", "attn.v.weight": "self_attn.v_proj.weight",
		"attn.o.weight": "self_attn.o_proj.weight", "ffn.gate.weight": "mlp.gate_proj.weight", "ffn.up.weight": "mlp.up_proj.weight", "ffn.down.weight": "mlp.down_proj.weight",
	}
	type entry struct {
		DType   string   `json:"dtype"`
		Shape   []int    `json:"shape"`
		Offsets [2]int64 `json:"data_offsets"`
	}
	header := map[string]entry{}
	at := int64(0)
	for _, t := range ck.Tensors {
		name := names[t.Name]
		if t.Part.Kind == model.Block {
			name = fmt.Sprintf("model.layers.%d.%s", t.Part.Index, name)
		}
		header[name] = entry{t.DType.String(), t.Shape, [2]int64{at, at + t.Bytes}}
		at += t.Bytes
	}
	head, err := json.Marshal(header)
	if err != nil {
		b.Fatal(err)
	}
	f, err := os.Create(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		b.Fatal(err)
	}
	_, err = f.Write(append(binary.LittleEndian.AppendUint64(nil, uint64(len(head))), head...))
	for _, t := range ck.Tensors {
		data := make([]byte, t.Bytes)
		readErr := t.Read(data)
		_, writeErr := f.Write(data)
		err = errors.Join(err, readErr, writeErr)
	}
	if err := errors.Join(err, f.Close(), os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o644)); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkWeights reads all tensors back.
func BenchmarkWeights(b *testing.B) {
	ck := synthetic(b, 1<<16, 1024, 16)
	c := newCatalog(b, catalog.Config{Store: openStore(b)})
	m, err := c.Import(b.Context(), ck, "m", nil)
	if err != nil {
		b.Fatal(err)
	}
	w := c.Weights(m)
	b.SetBytes(ck.Bytes())
	for b.Loop() {
		for _, s := range ck.Tensors {
			if _, err := w.Tensor(b.Context(), s.Part, s.Name); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkHeld looks for what is here of a model with 70 thousand blocks.
func BenchmarkHeld(b *testing.B) {
	s := openStore(b)
	c := newCatalog(b, catalog.Config{Store: s})
	id := put(b, s, bare(b, tiny(b, func(c *model.Config) { c.Llama.Blocks, c.Llama.Dim, c.Llama.FFN = 50, 8192, 28672 })))
	m, err := c.Get(b.Context(), id, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(m.Manifest.Bytes)/(1<<20), "MiB/model")
	for b.Loop() {
		c.Held(m)
	}
}
