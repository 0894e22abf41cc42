package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"

	"github.com/covey-network/covey/engine/format/gguf"
	"github.com/covey-network/covey/engine/token"
)

// Kinds of tokens in GGUF files (enum llama_token_type) that can end a text.
const (
	tokenControl     = 3
	tokenUserDefined = 4
)

// ggufMeta reads metadata of expected types. The first value of another type is kept in
// err; what is absent has the default.
type ggufMeta struct {
	values map[string]gguf.Value
	err    error
}

func (m *ggufMeta) fail(key, want string) {
	if m.err == nil {
		m.err = fmt.Errorf("%s is not %s", key, want)
	}
}

func (m *ggufMeta) text(key string) string {
	v, ok := m.values[key]
	if !ok {
		return ""
	}
	s, ok := v.V.(string)
	if !ok {
		m.fail(key, "text")
	}
	return s
}

// integer accepts integers that fit in 31 bits.
func (m *ggufMeta) integer(key string, otherwise int) int {
	v, ok := m.values[key]
	if !ok {
		return otherwise
	}
	if n, ok := small(v.V); ok {
		return n
	}
	m.fail(key, "a small integer")
	return otherwise
}

func small(v any) (int, bool) {
	switch n := v.(type) {
	case uint64:
		return int(n & math.MaxInt32), n <= math.MaxInt32
	case int64:
		return int(n), n >= math.MinInt32 && n <= math.MaxInt32
	}
	return 0, false
}

func (m *ggufMeta) float(key string, otherwise float64) float64 {
	v, ok := m.values[key]
	if !ok {
		return otherwise
	}
	f, ok := v.V.(float64)
	if !ok {
		m.fail(key, "a float")
	}
	return f
}

func (m *ggufMeta) flag(key string, otherwise bool) bool {
	v, ok := m.values[key]
	if !ok {
		return otherwise
	}
	b, ok := v.V.(bool)
	if !ok {
		m.fail(key, "true or false")
	}
	return b
}

func (m *ggufMeta) texts(key string) []string {
	v, ok := m.values[key]
	if !ok {
		return nil
	}
	out, ok := v.Strings()
	if !ok {
		m.fail(key, "a list of texts")
	}
	return out
}

func (m *ggufMeta) integers(key string) []int32 {
	v, ok := m.values[key]
	if !ok {
		return nil
	}
	all, ok := v.Ints()
	out := make([]int32, len(all))
	for i, n := range all {
		ok = ok && n >= math.MinInt32 && n <= math.MaxInt32
		out[i] = int32(n)
	}
	if !ok {
		m.fail(key, "a list of small integers")
	}
	return out
}

func (m *ggufMeta) floats(key string) []float32 {
	v, ok := m.values[key]
	if !ok {
		return nil
	}
	all, ok := v.Floats()
	if !ok {
		m.fail(key, "a list of floats")
	}
	out := make([]float32, len(all))
	for i, f := range all {
		out[i] = float32(f)
	}
	return out
}

// tokenID returns a token's id, nil if the file does not name it.
func (m *ggufMeta) tokenID(key string) *int32 {
	if _, ok := m.values[key]; !ok {
		return nil
	}
	id := int32(m.integer(key, -1))
	return &id
}

// choice returns a flag, nil if the file does not have it.
func (m *ggufMeta) choice(key string) *bool {
	if _, ok := m.values[key]; !ok {
		return nil
	}
	b := m.flag(key, false)
	return &b
}

// vocabulary makes a tokenizer's data of the tokens and the rest of the metadata.
func (m *ggufMeta) vocabulary(tokens []string, types []int32) (TokenizerSpec, error) {
	if len(tokens) == 0 {
		return TokenizerSpec{}, errors.New("read metadata: tokenizer.ggml.tokens is missing")
	}
	const ns = "tokenizer.ggml."
	v := token.Vocab{
		Model: m.text(ns + "model"), Pre: m.text(ns + "pre"), Tokens: tokens, Types: types,
		Scores: m.floats(ns + "scores"), Merges: m.texts(ns + "merges"),
		BOS: m.tokenID(ns + "bos_token_id"), EOS: m.tokenID(ns + "eos_token_id"), UNK: m.tokenID(ns + "unknown_token_id"),
		SEP: m.tokenID(ns + "seperator_token_id"), PAD: m.tokenID(ns + "padding_token_id"), CLS: m.tokenID(ns + "cls_token_id"),
		MASK:   m.tokenID(ns + "mask_token_id"),
		AddBOS: m.choice(ns + "add_bos_token"), AddEOS: m.choice(ns + "add_eos_token"), Prefix: m.choice(ns + "add_space_prefix"),
		Lower: m.choice(ns + "normalizer.lowercase"), Accent: m.choice(ns + "normalizer.strip_accents"),
	}
	if m.err != nil {
		return TokenizerSpec{}, fmt.Errorf("read metadata: %w", m.err)
	}
	data, err := json.Marshal(v)
	return TokenizerSpec{Kind: TokenizerGGUF, Data: data}, err
}
