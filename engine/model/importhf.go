package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/covey-network/covey/engine/format/hf"
	"github.com/covey-network/covey/engine/model/bert"
	"github.com/covey-network/covey/engine/tensor"
)

// modelAdvice says what can be imported.
const modelAdvice = "a model is a Hugging Face directory, with config.json, tokenizer.json and *.safetensors, or a GGUF file"

// Look reports early, from names alone, that a directory is not a model.
func Look(dir string) error { return advise(hf.Look(dir)) }

// advise says what a model is to who has none.
func advise(err error) error {
	if errors.Is(err, hf.ErrNoConfig) {
		return fmt.Errorf("%w: %s; %s", err, modelAdvice, configAdvice)
	}
	return err
}

// importHF opens a Hugging Face directory.
func importHF(path string, opt ImportOptions) (c *Checkpoint, err error) {
	dir, err := hf.Open(path)
	if err != nil {
		return nil, advise(err)
	}
	defer func() {
		if err != nil {
			dir.Close()
		}
	}()
	shapes := map[string]tensor.Shape{}
	for _, t := range dir.Tensors {
		shapes[t.Name] = t.Shape
	}
	if cfg, ok, err := parseNumericConfig(dir.Config, shapes); ok {
		if err != nil {
			return nil, err
		}
		return importNumeric(dir, cfg, opt)
	}
	cfg, h, err := parseHFConfig(dir.Config)
	if err != nil {
		return nil, err
	}
	if dir.Tokenizer == nil {
		return nil, dir.NoTokenizer()
	}
	if err := cfg.applySentence(dir.Sentence); err != nil {
		return nil, err
	}
	c = newCheckpoint(dir, cfg)
	c.Tokenizer = TokenizerSpec{Kind: TokenizerHF, Data: dir.Tokenizer}
	if err := c.specials(dir, h); err != nil {
		return nil, err
	}
	a := newAssembly(dir, cfg)
	a.quantize = opt.Quantize
	if cfg.Bert != nil {
		renameNorms(a.raw)
		a.names = hfBertNames(bertPrefix(func(name string) bool { _, ok := a.raw[name]; return ok }))
	} else {
		if err := a.tie(); err != nil {
			return nil, err
		}
		a.names = hfLlamaNames(cfg.Llama)
	}
	c.Tensors, err = a.sources()
	return c, err
}

// importNumeric opens a directory of a model that takes numbers, which has no tokenizer.
func importNumeric(dir *hf.Dir, cfg Config, opt ImportOptions) (*Checkpoint, error) {
	if opt.Quantize != nil {
		return nil, errors.New("models of images and tables are not quantised: import it as it is")
	}
	c := newCheckpoint(dir, cfg)
	a := newAssembly(dir, cfg)
	a.names.same = true
	var err error
	c.Tensors, err = a.sources()
	return c, err
}

// newCheckpoint returns a checkpoint without tokenizer and tensors, named as its directory.
func newCheckpoint(dir *hf.Dir, cfg Config) *Checkpoint {
	c := &Checkpoint{Name: dir.Name, Config: cfg, ChatTemplate: dir.ChatTemplate, License: dir.License, close: dir.Close}
	return c
}

// newAssembly returns an assembly of the tensors of a directory.
func newAssembly(dir *hf.Dir, cfg Config) *assembly {
	a := &assembly{cfg: cfg, raw: map[string]rawTensor{}, ignore: func(name string) bool { return ignorable(cfg, name) }}
	for i, t := range dir.Tensors {
		a.raw[t.Name] = rawTensor{name: t.Name, dtype: t.DType, word: t.Type, shape: t.Shape, bytes: t.Bytes, data: dir.Section(i)}
	}
	return a
}

// applySentence takes over how sentence-transformers makes embeddings with an encoder.
func (c *Config) applySentence(s *hf.Sentence) error {
	if s == nil || c.Bert == nil {
		return nil
	}
	b := c.Bert
	b.Pooling, b.Normalize, b.Labels = bert.PoolMean, s.Normalize, nil
	if s.CLS {
		b.Pooling = bert.PoolCLS
	}
	if s.MaxTokens > 0 {
		b.MaxTokens = min(s.MaxTokens, b.Context)
	}
	return c.Validate()
}

// tie finds out whether a decoder's output is its embedding, which a configuration may say
// although the file has both. As in transformers 5 two that differ are both kept, and one
// alone stands for the other.
func (a *assembly) tie() error {
	const embedding, output = "model.embed_tokens.weight", "lm_head.weight"
	in, hasIn := a.raw[embedding]
	out, hasOut := a.raw[output]
	switch {
	case !a.cfg.Llama.Tied || !hasOut:
	case !hasIn:
		a.raw[embedding] = out
	default:
		same, err := in.same(out)
		if err != nil {
			return err
		}
		a.cfg.Llama.Tied = same
	}
	return nil
}

// specials reads the tokens that begin and end a text. What ends it is said in up to three
// files, each of which may know tokens that the others do not: all of them count. One may be
// stale, and name a token that the vocabulary does not have: that is an error if no other does.
func (c *Checkpoint) specials(dir *hf.Dir, h *hfConfig) error {
	var gen struct {
		EOS json.RawMessage `json:"eos_token_id"`
	}
	if len(dir.GenerationConfig) > 0 {
		if err := json.Unmarshal(dir.GenerationConfig, &gen); err != nil {
			return fmt.Errorf("parse generation_config.json: %w", err)
		}
	}
	var stale error
	for _, list := range []json.RawMessage{gen.EOS, h.EOS} {
		ids, err := tokenIDs(list)
		if err != nil {
			return fmt.Errorf("read eos_token_id: %w", err)
		}
		for _, id := range ids {
			if id < 0 || int(id) >= c.Config.Vocab() {
				stale = fmt.Errorf("eos_token_id %d is not in the vocabulary of %d", id, c.Config.Vocab())
				continue
			}
			c.endAt(id)
		}
	}
	var tok struct {
		BOS specialToken `json:"bos_token"`
		EOS specialToken `json:"eos_token"`
	}
	if len(dir.TokenizerConfig) > 0 {
		if err := json.Unmarshal(dir.TokenizerConfig, &tok); err != nil {
			return fmt.Errorf("parse tokenizer_config.json: %w", err)
		}
	}
	c.BOS, c.EOS = string(tok.BOS), string(tok.EOS)
	if err := c.specialsByID(dir.Tokenizer, h); err != nil {
		return err
	}
	if len(c.EOSIDs) == 0 {
		return stale
	}
	return nil
}

// endAt adds a token that ends a text.
func (c *Checkpoint) endAt(id int32) {
	if !slices.Contains(c.EOSIDs, id) {
		c.EOSIDs = append(c.EOSIDs, id)
	}
}

// specialsByID fills in what tokenizer_config.json does not name from the ids, and the id
// of the end that it names.
func (c *Checkpoint) specialsByID(tokenizer []byte, h *hfConfig) error {
	var tok struct {
		Added []struct {
			ID      int32  `json:"id"`
			Content string `json:"content"`
		} `json:"added_tokens"`
		Model struct {
			Vocab json.RawMessage `json:"vocab"`
		} `json:"model"`
	}
	if err := json.Unmarshal(tokenizer, &tok); err != nil {
		return fmt.Errorf("parse tokenizer.json: %w", err)
	}
	bos, err := tokenIDs(h.BOS)
	if err != nil {
		return fmt.Errorf("read bos_token_id: %w", err)
	}
	end, named := int32(-1), c.EOS != ""
	for _, t := range tok.Added {
		if c.BOS == "" && len(bos) > 0 && t.ID == bos[0] {
			c.BOS = t.Content
		}
		if c.EOS == "" && len(c.EOSIDs) > 0 && t.ID == c.EOSIDs[0] {
			c.EOS = t.Content
		}
		if named && t.Content == c.EOS {
			end = t.ID
		}
	}
	if named && end < 0 {
		var vocab map[string]int32 // a list with scores, as unigram models have it, stays empty
		if json.Unmarshal(tok.Model.Vocab, &vocab) == nil {
			if id, ok := vocab[c.EOS]; ok {
				end = id
			}
		}
	}
	if end >= 0 && int(end) < c.Config.Vocab() {
		c.endAt(end)
	}
	return nil
}

// specialToken is a token in tokenizer_config.json: text, or an object with the text.
type specialToken string

func (s *specialToken) UnmarshalJSON(data []byte) error {
	var object struct {
		Content string `json:"content"`
	}
	if len(data) > 0 && data[0] == '{' {
		if err := json.Unmarshal(data, &object); err != nil {
			return err
		}
		*s = specialToken(object.Content)
		return nil
	}
	return json.Unmarshal(data, (*string)(s))
}
