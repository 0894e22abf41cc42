package token

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sort"
	"unicode/utf8"
)

// hfFile is the top level of tokenizer.json. Truncation and padding are the caller's
// business and ignored.
type hfFile struct {
	Version       string          `json:"version"`
	Truncation    json.RawMessage `json:"truncation"`
	Padding       json.RawMessage `json:"padding"`
	AddedTokens   []hfAdded       `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  json.RawMessage `json:"pre_tokenizer"`
	Model         json.RawMessage `json:"model"`
	PostProcessor json.RawMessage `json:"post_processor"`
	Decoder       json.RawMessage `json:"decoder"`
}

type hfAdded struct {
	ID         int64  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

// FromHF builds a tokenizer from the bytes of a Hugging Face tokenizer.json. Its ids are
// those of the Hugging Face library. A feature we do not know is an error that names its
// place in the file. The input is not kept. The ends are tokens that end a text for the
// model: they are control tokens whatever the file says.
func FromHF(tokenizerJSON []byte, ends ...int32) (*Tokenizer, error) {
	t, err := fromHF(tokenizerJSON, ends)
	if err != nil {
		return nil, fmt.Errorf("parse tokenizer.json: %w", err)
	}
	return t, nil
}

func fromHF(data []byte, ends []int32) (*Tokenizer, error) {
	if len(data) > MaxFileBytes {
		return nil, fmt.Errorf("%d bytes, at most %d", len(data), MaxFileBytes)
	}
	var f hfFile
	if err := decodeStrict("", data, &f); err != nil {
		return nil, err
	}
	if len(f.AddedTokens) > maxAdded {
		return nil, fmt.Errorf("added_tokens: %d entries, at most %d", len(f.AddedTokens), maxAdded)
	}
	b := &hfBuilder{}
	var err error
	if b.splits, err = b.preTokenizers("pre_tokenizer", f.PreTokenizer, 0); err != nil {
		return nil, err
	}
	t, err := b.model(f.Model)
	if err != nil {
		return nil, err
	}
	if t.normalize, err = b.normalizer("normalizer", f.Normalizer, 0); err != nil {
		return nil, err
	}
	if err := t.addTokens(f.AddedTokens, ends); err != nil {
		return nil, err
	}
	b.finishModel(t)
	if t.decoders, err = b.decoderList("decoder", f.Decoder, 0); err != nil {
		return nil, err
	}
	if isNull(f.Decoder) {
		t.decoders = []stageMaker{func(bool) stage { return &perToken{f: spaced} }}
	}
	if err := b.postProcessor(t, "post_processor", f.PostProcessor, 0); err != nil {
		return nil, err
	}
	if n := len(t.prefix) + len(t.suffix); n > maxParts {
		return nil, fmt.Errorf("post_processor: %d tokens around a text, at most %d", n, maxParts)
	}
	if b.spellings > maxSpellings {
		return nil, fmt.Errorf("pre_tokenizer: ByteLevel %d times, at most %d", b.spellings, maxSpellings)
	}
	if len(b.splits) > 0 {
		t.split = chain(b.splits)
	}
	t.chainText = t.Token
	t.piece = func(id int32) string { return b.piece(t, id) }
	t.guessEnds()
	return t, nil
}

func spaced(s string, first bool) string {
	if first {
		return s
	}
	return " " + s
}

// guessEnds takes BOS and EOS from what the post-processor adds.
func (t *Tokenizer) guessEnds() {
	if len(t.prefix) > 0 {
		t.bos = t.prefix[0]
	}
	if n := len(t.suffix); n > 0 {
		t.eos = t.suffix[n-1]
	}
}

// addTokens enters the added tokens. As in the reference the model's id of the same text
// goes first, and a new text gets the next free id whatever the file says.
func (t *Tokenizer) addTokens(list []hfAdded, ends []int32) error {
	var raw, cooked []addedToken
	next := int32(len(t.ids))
	for i, a := range list {
		path := fmt.Sprintf("added_tokens[%d]", i)
		if a.Content == "" {
			continue
		}
		if len(a.Content) > maxTokenBytes {
			return fmt.Errorf("%s: content of %d bytes, at most %d", path, len(a.Content), maxTokenBytes)
		}
		if a.ID < 0 || a.ID >= maxVocab {
			return fmt.Errorf("%s: id %d out of range", path, a.ID)
		}
		id, known := t.ids[a.Content]
		if !known {
			id = next
			t.grow(int(id) + 1)
			if t.tokens[id] != "" {
				return fmt.Errorf("%s: id %d is taken by %q", path, id, t.tokens[id])
			}
			t.tokens[id] = a.Content
			t.ids[a.Content] = id
		}
		next = max(next, id+1)
		special := a.Special || controlLike(a.Content) || slices.Contains(ends, id)
		t.special[id] = t.special[id] || special
		t.skip[id] = t.skip[id] || a.Special
		e := addedToken{content: a.Content, id: id, singleWord: a.SingleWord, lstrip: a.LStrip, rstrip: a.RStrip, special: special}
		if !a.Normalized {
			raw = append(raw, e)
			continue
		}
		if t.normalize != nil {
			e.content = t.normalize(a.Content, place{limit: grown(len(a.Content))})
		}
		cooked = append(cooked, e)
		t.hasLiteral = t.hasLiteral || special
	}
	for _, id := range ends {
		if t.reserves(id) {
			t.special[id] = true
			raw = append(raw, addedToken{content: t.tokens[id], id: id, special: true})
		}
	}
	t.raw, t.cooked = newMatcher(raw, false), newMatcher(cooked, false)
	if t.hasLiteral {
		t.rawLiteral = newMatcher(append(raw, spelled(list, cooked)...), false)
	}
	return nil
}

// spelled returns the special ones among the tokens matched after normalising, with the
// text the file gives them.
func spelled(list []hfAdded, cooked []addedToken) []addedToken {
	var out []addedToken
	i := 0
	for _, a := range list {
		if a.Content == "" || !a.Normalized {
			continue
		}
		e := cooked[i]
		i++
		if e.special {
			e.content = a.Content
			out = append(out, e)
		}
	}
	return out
}

// postProcessor reads what is put around a text.
func (b *hfBuilder) postProcessor(t *Tokenizer, path string, raw json.RawMessage, depth int) error {
	if isNull(raw) {
		return nil
	}
	kind, err := b.kindOf(path, raw, depth)
	if err != nil {
		return err
	}
	switch kind {
	case "ByteLevel":
		return decodeStrict(path, raw, &hfByteLevel{})
	case "TemplateProcessing":
		return t.template(path, raw)
	case "BertProcessing", "RobertaProcessing":
		var p struct {
			Type           string            `json:"type"`
			Sep            []json.RawMessage `json:"sep"`
			Cls            []json.RawMessage `json:"cls"`
			TrimOffsets    bool              `json:"trim_offsets"`
			AddPrefixSpace bool              `json:"add_prefix_space"`
		}
		if err := decodeStrict(path, raw, &p); err != nil {
			return err
		}
		for _, e := range []struct {
			name string
			pair []json.RawMessage
			to   *[]int32
		}{{"cls", p.Cls, &t.prefix}, {"sep", p.Sep, &t.suffix}} {
			var id int64
			if len(e.pair) != 2 || json.Unmarshal(e.pair[1], &id) != nil {
				return fmt.Errorf("%s.%s: want [token, id]", path, e.name)
			}
			if err := t.checkID(fmt.Sprintf("%s.%s", path, e.name), id); err != nil {
				return err
			}
			if e.name == "cls" {
				*e.to = append([]int32{int32(id)}, *e.to...)
			} else {
				*e.to = append(*e.to, int32(id))
			}
		}
		return nil
	case "Sequence":
		var p struct {
			Type       string            `json:"type"`
			Processors []json.RawMessage `json:"processors"`
		}
		if err := decodeStrict(path, raw, &p); err != nil {
			return err
		}
		return eachPart(path+".processors", p.Processors, func(path string, raw json.RawMessage) error {
			return b.postProcessor(t, path, raw, depth+1)
		})
	}
	return unsupported(path, kind)
}

func (t *Tokenizer) checkID(path string, id int64) error {
	if id < 0 || id >= int64(len(t.tokens)) || t.tokens[id] == "" {
		return fmt.Errorf("%s: id %d is not in the vocabulary", path, id)
	}
	return nil
}

// template reads the single-text half of a TemplateProcessing.
func (t *Tokenizer) template(path string, raw json.RawMessage) error {
	type element struct {
		Special *struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		} `json:"SpecialToken"`
		Sequence *struct {
			ID     string `json:"id"`
			TypeID int    `json:"type_id"`
		} `json:"Sequence"`
	}
	var p struct {
		Type    string          `json:"type"`
		Single  []element       `json:"single"`
		Pair    json.RawMessage `json:"pair"`
		Special map[string]struct {
			ID     string   `json:"id"`
			IDs    []int64  `json:"ids"`
			Tokens []string `json:"tokens"`
		} `json:"special_tokens"`
	}
	if err := decodeStrict(path, raw, &p); err != nil {
		return err
	}
	if len(p.Single) > maxParts {
		return fmt.Errorf("%s.single: %d entries, at most %d", path, len(p.Single), maxParts)
	}
	var before, after []int32
	seen := 0
	for i, e := range p.Single {
		at := fmt.Sprintf("%s.single[%d]", path, i)
		if e.Special == nil {
			if e.Sequence == nil || e.Sequence.ID != "A" {
				return fmt.Errorf("%s: want a special token or sequence A", at)
			}
			seen++
			continue
		}
		s, ok := p.Special[e.Special.ID]
		if !ok || len(s.IDs) > maxParts {
			return fmt.Errorf("%s: special token %q is not declared", at, e.Special.ID)
		}
		for _, id := range s.IDs {
			if err := t.checkID(at, id); err != nil {
				return err
			}
			if seen == 0 {
				before = append(before, int32(id))
			} else {
				after = append(after, int32(id))
			}
		}
	}
	if seen != 1 {
		return fmt.Errorf("%s.single: sequence A appears %d times, want 1", path, seen)
	}
	t.prefix = append(before, t.prefix...)
	t.suffix = append(t.suffix, after...)
	return nil
}

// decodeStrict reads one JSON value into v; fields v lacks are errors.
func decodeStrict(path string, raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	err := dec.Decode(v)
	if err == nil && dec.More() {
		err = errors.New("data after the value")
	}
	if err != nil && path != "" {
		return fmt.Errorf("%s: %w", path, err)
	}
	return err
}

func isNull(raw json.RawMessage) bool {
	return len(raw) == 0 || string(bytes.TrimSpace(raw)) == "null"
}

// kindOf reads the type of a component, counts it and checks how deep it is nested.
func (b *hfBuilder) kindOf(path string, raw json.RawMessage, depth int) (string, error) {
	if depth > maxDepth {
		return "", fmt.Errorf("%s: nested deeper than %d", path, maxDepth)
	}
	if b.parts++; b.parts > maxAllParts {
		return "", fmt.Errorf("%s: more than %d parts in the file", path, maxAllParts)
	}
	var p struct {
		Type string `json:"type"`
	}
	if err := json.Unmarshal(raw, &p); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return p.Type, nil
}

func unsupported(path, kind string) error {
	return fmt.Errorf("%s.type: unsupported %q", path, kind)
}

// eachPart calls f for each component of a sequence.
func eachPart(path string, parts []json.RawMessage, f func(path string, raw json.RawMessage) error) error {
	if len(parts) > maxParts {
		return fmt.Errorf("%s: %d entries, at most %d", path, len(parts), maxParts)
	}
	for i, raw := range parts {
		if err := f(fmt.Sprintf("%s[%d]", path, i), raw); err != nil {
			return err
		}
	}
	return nil
}

// vocabulary makes the tokenizer for a map of tokens to ids.
func vocabulary(path string, vocab map[string]int64) (*Tokenizer, error) {
	if len(vocab) > maxVocab {
		return nil, fmt.Errorf("%s: %d tokens, at most %d", path, len(vocab), maxVocab)
	}
	size, total := int64(0), 0
	for tok, id := range vocab {
		if err := checkToken(tok); err != nil {
			return nil, fmt.Errorf("%s: token with id %d: %w", path, id, err)
		}
		if id < 0 || id >= maxVocab {
			return nil, fmt.Errorf("%s: id %d out of range", path, id)
		}
		size = max(size, id+1)
		total += len(tok)
	}
	if total > maxVocabBytes {
		return nil, fmt.Errorf("%s: tokens of %d bytes, at most %d", path, total, maxVocabBytes)
	}
	t := newTokenizer(make([]string, size))
	keys := make([]string, 0, len(vocab))
	for tok := range vocab {
		keys = append(keys, tok)
	}
	sort.Strings(keys) // so that errors do not depend on the order of a map
	for _, tok := range keys {
		id := int32(vocab[tok])
		if t.tokens[id] != "" {
			return nil, fmt.Errorf("%s: id %d is given to %q and %q", path, id, t.tokens[id], tok)
		}
		t.tokens[id] = tok
		t.ids[tok] = id
	}
	return t, nil
}

func checkToken(tok string) error {
	if len(tok) > maxTokenBytes {
		return fmt.Errorf("%d bytes, at most %d", len(tok), maxTokenBytes)
	}
	if !utf8.ValidString(tok) {
		return errors.New("not UTF-8")
	}
	return nil
}
