package model

import (
	"fmt"
	"strings"

	"github.com/covey-network/covey/engine/model/llama"
)

// naming finds a canonical tensor's name in a checkpoint's own scheme.
type naming struct {
	block string            // prefix of block tensors, with %d for the index
	names map[string]string // canonical to own, without .weight or .bias; of blocks after the prefix
	same  bool              // the format's names are the canonical ones
}

// name returns the checkpoint's name of a canonical tensor.
func (n naming) name(part Part, canonical string) (string, error) {
	if n.same {
		return canonical, nil
	}
	dot := strings.LastIndexByte(canonical, '.')
	own, ok := n.names[part.Kind.String()+"/"+canonical[:dot]]
	if !ok {
		return "", fmt.Errorf("the format has no name for tensor %q of %v", canonical, part)
	}
	own += canonical[dot:]
	if part.Kind == Block {
		return fmt.Sprintf(n.block, part.Index) + own, nil
	}
	return own, nil
}

// hfLlamaNames is the scheme of transformers' Llama, Mistral and Qwen classes.
func hfLlamaNames(c *llama.Config) naming {
	n := naming{block: "model.layers.%d.", names: map[string]string{
		"embedding/tokens":  "model.embed_tokens",
		"block/attn_norm":   "input_layernorm",
		"block/attn.q":      "self_attn.q_proj",
		"block/attn.k":      "self_attn.k_proj",
		"block/attn.v":      "self_attn.v_proj",
		"block/attn.o":      "self_attn.o_proj",
		"block/attn.q_norm": "self_attn.q_norm",
		"block/attn.k_norm": "self_attn.k_norm",
		"block/ffn_norm":    "post_attention_layernorm",
		"block/ffn.gate":    "mlp.gate_proj",
		"block/ffn.up":      "mlp.up_proj",
		"block/ffn.down":    "mlp.down_proj",
		"head/norm":         "model.norm",
		"head/output":       "lm_head",
	}}
	if c.Tied {
		n.names["head/output"] = n.names["embedding/tokens"]
	}
	return n
}

// hfBertNames is the scheme of transformers' BERT classes; prefix is "bert." in those with
// a head of their own.
func hfBertNames(prefix string) naming {
	return naming{block: prefix + "encoder.layer.%d.", names: map[string]string{
		"embedding/tokens":    prefix + "embeddings.word_embeddings",
		"embedding/positions": prefix + "embeddings.position_embeddings",
		"embedding/types":     prefix + "embeddings.token_type_embeddings",
		"embedding/norm":      prefix + "embeddings.LayerNorm",
		"block/attn.q":        "attention.self.query",
		"block/attn.k":        "attention.self.key",
		"block/attn.v":        "attention.self.value",
		"block/attn.o":        "attention.output.dense",
		"block/attn_norm":     "attention.output.LayerNorm",
		"block/ffn.up":        "intermediate.dense",
		"block/ffn.down":      "output.dense",
		"block/ffn_norm":      "output.LayerNorm",
		"head/pooler":         prefix + "pooler.dense",
		"head/classifier":     "classifier",
	}}
}

// ggufNames is llama.cpp's scheme for decoders and encoders.
func ggufNames(arch string, tied bool) naming {
	n := naming{block: "blk.%d.", names: map[string]string{
		"embedding/tokens":    "token_embd",
		"embedding/positions": "position_embd",
		"embedding/types":     "token_types",
		"embedding/norm":      "token_embd_norm",
		"block/attn_norm":     "attn_norm",
		"block/attn.q":        "attn_q",
		"block/attn.k":        "attn_k",
		"block/attn.v":        "attn_v",
		"block/attn.o":        "attn_output",
		"block/attn.q_norm":   "attn_q_norm",
		"block/attn.k_norm":   "attn_k_norm",
		"block/ffn_norm":      "ffn_norm",
		"block/ffn.gate":      "ffn_gate",
		"block/ffn.up":        "ffn_up",
		"block/ffn.down":      "ffn_down",
		"head/norm":           "output_norm",
		"head/output":         "output",
	}}
	if tied {
		n.names["head/output"] = "token_embd"
	}
	if arch == ArchBert {
		n.names["block/attn_norm"], n.names["block/ffn_norm"] = "attn_output_norm", "layer_output_norm"
	}
	return n
}

// renameNorms gives the norms of BERT's first checkpoints, which have TensorFlow's names
// gamma and beta, those of today.
func renameNorms(raw map[string]rawTensor) {
	for old, now := range map[string]string{".gamma": ".weight", ".beta": ".bias"} {
		for name, t := range raw {
			stem, ok := strings.CutSuffix(name, "LayerNorm"+old)
			if _, both := raw[stem+"LayerNorm"+now]; ok && !both {
				delete(raw, name)
				raw[stem+"LayerNorm"+now] = t
			}
		}
	}
}

// bertPrefix tells which of the two BERT schemes a checkpoint has.
func bertPrefix(has func(name string) bool) string {
	if has("bert.embeddings.word_embeddings.weight") {
		return "bert."
	}
	return ""
}

// ignorable reports whether a tensor of a Hugging Face checkpoint plays no role in what we
// compute: buffers that old versions saved, a second copy of a tied output, and heads for
// training or tasks other than the model's.
func ignorable(c Config, name string) bool {
	for _, suffix := range []string{".position_ids", ".rotary_emb.inv_freq"} {
		if strings.HasSuffix(name, suffix) || name == suffix[1:] {
			return true
		}
	}
	switch c.Arch {
	case ArchVision: // a counter that training keeps
		return strings.HasSuffix(name, ".num_batches_tracked")
	case ArchLlama:
		return c.Llama.Tied && name == "lm_head.weight"
	}
	if c.Task() == TaskEmbed && (strings.HasPrefix(name, "pooler.") || strings.HasPrefix(name, "bert.pooler.")) {
		return true
	}
	return strings.HasPrefix(name, "cls.")
}
