package net

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/tensor"
)

// Tensors returns parameters and running statistics under the names of checkpoints. The
// data is the model's own memory.
func (m *Model) Tensors() []safetensors.Tensor {
	var out []safetensors.Tensor
	for _, p := range m.Params.List() {
		out = append(out, safetensors.Tensor{Name: p.Name, Shape: p.Shape, Data: m.Params.Value(p.Name)})
	}
	for _, s := range m.Stats.List {
		out = append(out, safetensors.Tensor{Name: s.Name, Shape: tensor.Shape{s.Size}, Data: m.Stats.View(s.Name)})
	}
	return out
}

// Taken says what became of the tensors of a file.
type Taken struct {
	Missing []string // tensors of the model that were not in the file: they keep their values
	Unused  []string // tensors of the file that the model does not have
}

// Source is an open file of tensors.
type Source struct {
	Tensors []safetensors.TensorInfo
	Section func(i int) *io.SectionReader
}

// Take reads the model's numbers from a checkpoint with the same names, in F32, F16 or
// BF16. Those for which skip, if not nil, is true are left as they are: a head for other
// classes. The model has not changed if there is an error.
func (m *Model) Take(src Source, skip func(name string) bool) (Taken, error) {
	index := map[string]int{}
	for i, t := range src.Tensors {
		index[t.Name] = i
	}
	var out Taken
	var errs []error
	own := m.Tensors()
	used := map[int]bool{}
	read := make([][]float32, len(own))
	for k, t := range own {
		if skip != nil && skip(t.Name) {
			continue
		}
		i, ok := index[t.Name]
		if !ok { // checkpoints of encoders without a head have no prefix
			i, ok = index[strings.TrimPrefix(t.Name, "bert.")]
		}
		if !ok {
			out.Missing = append(out.Missing, t.Name)
			continue
		}
		used[i] = true
		x, err := readTensor(src, i, t.Shape)
		if err != nil {
			errs = append(errs, fmt.Errorf("tensor %q: %w", t.Name, err))
		}
		read[k] = x
	}
	if err := errors.Join(errs...); err != nil {
		return Taken{}, fmt.Errorf("take over weights: %w", err)
	}
	for k, x := range read {
		copy(own[k].Data, x)
	}
	for i, t := range src.Tensors {
		if !used[i] && !strings.HasSuffix(t.Name, "num_batches_tracked") {
			out.Unused = append(out.Unused, t.Name)
		}
	}
	return out, nil
}

// readTensor reads tensor i, whose shape must be the given one.
func readTensor(src Source, i int, shape tensor.Shape) ([]float32, error) {
	t := src.Tensors[i]
	if !slices.Equal(t.Shape, shape) {
		return nil, fmt.Errorf("has shape %v, want %v", t.Shape, shape)
	}
	if t.DType != tensor.F32 && t.DType != tensor.F16 && t.DType != tensor.BF16 {
		return nil, fmt.Errorf("is of type %.20s, want F32, F16 or BF16", t.Type)
	}
	data := make([]byte, t.Bytes) // bounded by the model's shape
	if _, err := io.ReadFull(src.Section(i), data); err != nil {
		return nil, err
	}
	n, err := shape.Elems()
	if err != nil {
		return nil, err
	}
	x := make([]float32, n)
	return x, tensor.Dequantize(x, t.DType, data)
}

// Describe returns what transformers writes into config.json for a language model or an
// encoder, so that it can be imported and served as it is; nil for other models. Identifiers
// of tokens are not in it: they are the tokenizer's.
func (m *Model) Describe() map[string]any {
	switch {
	case m.Config.Llama != nil:
		return m.Config.Llama.describe()
	case m.Config.Bert != nil:
		return m.Config.Bert.describe()
	}
	return nil
}

func (c *Llama) describe() map[string]any {
	doc := map[string]any{
		"model_type": "llama", "architectures": []string{"LlamaForCausalLM"}, "torch_dtype": "float32", "hidden_act": "silu",
		"vocab_size": c.Vocab, "hidden_size": c.Dim, "num_hidden_layers": c.Blocks, "num_attention_heads": c.Heads, "num_key_value_heads": c.kvHeads(),
		"head_dim": c.headDim(), "intermediate_size": c.FFN, "max_position_embeddings": c.Context, "rms_norm_eps": c.eps(), "rope_theta": c.Rope().Theta,
		"tie_word_embeddings": c.Tied, "attention_dropout": c.AttentionDropout, "attention_bias": false, "mlp_bias": false,
	}
	if c.RopeScaling != nil {
		doc["rope_scaling"] = c.RopeScaling
	}
	if c.QKVBias { // the only class with biases at query, key and value alone
		doc["model_type"], doc["architectures"], doc["use_sliding_window"] = "qwen2", []string{"Qwen2ForCausalLM"}, false
		delete(doc, "attention_bias")
		delete(doc, "mlp_bias")
	}
	return doc
}

func (c *Bert) describe() map[string]any {
	labels, ids := map[string]string{}, map[string]int{}
	for i, l := range c.Labels {
		labels[strconv.Itoa(i)], ids[l] = l, i
	}
	act := c.activation()
	if act == kernel.ActGELUTanh.String() {
		act = "gelu_pytorch_tanh"
	}
	return map[string]any{
		"model_type": "bert", "architectures": []string{"BertForSequenceClassification"}, "torch_dtype": "float32", "hidden_act": act,
		"vocab_size": c.Vocab, "hidden_size": c.Dim, "num_hidden_layers": c.Blocks, "num_attention_heads": c.Heads, "intermediate_size": c.FFN,
		"max_position_embeddings": c.Context, "type_vocab_size": c.types(), "layer_norm_eps": c.eps(), "position_embedding_type": "absolute",
		"pad_token_id": 0, "id2label": labels, "label2id": ids, "problem_type": "single_label_classification",
		"hidden_dropout_prob": c.Dropout, "attention_probs_dropout_prob": c.AttentionDropout,
	}
}
