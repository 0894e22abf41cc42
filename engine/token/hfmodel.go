package token

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// hfBuilder carries what the parts of a tokenizer.json must know of each other.
type hfBuilder struct {
	splits    []splitter
	byteLast  bool // the last pre-tokenizer spells bytes: BPE may work on the bytes
	byteLevel bool // a decoder reads byte-level spelling
	fallback  bool // a decoder reads <0xHH>
	spaceMark string
	wordMark  string // WordPiece's mark inside words
	bpe       *bpe
	parts     int // components read
	spellings int // pre-tokenizers that spell bytes
}

// hfModel has the fields of all models.
type hfModel struct {
	Type         string          `json:"type"`
	Vocab        json.RawMessage `json:"vocab"`
	Merges       []hfMerge       `json:"merges"`
	Dropout      *float64        `json:"dropout"`
	UnkToken     *string         `json:"unk_token"`
	UnkID        *int64          `json:"unk_id"`
	InnerPrefix  *string         `json:"continuing_subword_prefix"`
	WordSuffix   *string         `json:"end_of_word_suffix"`
	FuseUnk      bool            `json:"fuse_unk"`
	ByteFallback bool            `json:"byte_fallback"`
	IgnoreMerges bool            `json:"ignore_merges"`
	MaxChars     *int64          `json:"max_input_chars_per_word"`
}

// hfMerge is a merge: "a b" or ["a", "b"].
type hfMerge struct{ left, right string }

// UnmarshalJSON reads both forms.
func (m *hfMerge) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '[' {
		var p []string
		if err := json.Unmarshal(b, &p); err != nil {
			return err
		}
		if len(p) != 2 {
			return errors.New("merge: want two tokens")
		}
		m.left, m.right = p[0], p[1]
		return nil
	}
	var s string
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	var ok bool
	m.left, m.right, ok = strings.Cut(s, " ")
	if !ok || strings.Contains(m.right, " ") {
		return fmt.Errorf("merge %q: want two tokens", s)
	}
	return nil
}

func (b *hfBuilder) model(raw json.RawMessage) (*Tokenizer, error) {
	var m hfModel
	if isNull(raw) {
		return nil, errors.New("model: missing")
	}
	if err := decodeStrict("model", raw, &m); err != nil {
		return nil, err
	}
	if m.Type == "" { // files from before types were written
		switch {
		case m.Merges != nil:
			m.Type = "BPE"
		case m.UnkID != nil:
			m.Type = "Unigram"
		case m.MaxChars != nil:
			m.Type = "WordPiece"
		}
	}
	if m.Type == "Unigram" {
		return newUnigram(&m)
	}
	if m.Type != "BPE" && m.Type != "WordPiece" {
		return nil, unsupported("model", m.Type)
	}
	var vocab map[string]int64
	if err := decodeStrict("model.vocab", m.Vocab, &vocab); err != nil {
		return nil, err
	}
	t, err := vocabulary("model.vocab", vocab)
	if err != nil {
		return nil, err
	}
	if m.Type == "WordPiece" {
		return t, newWordPiece(t, &m)
	}
	return t, b.newBPE(t, &m)
}

// unknown returns the id of the unknown token, -1 if there is none.
func (m *hfModel) unknown(t *Tokenizer) (int32, error) {
	if m.UnkToken == nil || *m.UnkToken == "" {
		return -1, nil
	}
	id, ok := t.ids[*m.UnkToken]
	if !ok {
		return -1, fmt.Errorf("model.unk_token: %q is not in the vocabulary", *m.UnkToken)
	}
	return id, nil
}

// fallbackIDs returns the ids of the byte tokens.
func fallbackIDs(ids map[string]int32) *[256]int32 {
	var out [256]int32
	for i := range out {
		id, ok := ids[fmt.Sprintf("<0x%02X>", i)]
		if !ok {
			id = -1
		}
		out[i] = id
	}
	return &out
}

func (b *hfBuilder) newBPE(t *Tokenizer, m *hfModel) error {
	if m.Dropout != nil && *m.Dropout != 0 {
		return errors.New("model.dropout: unsupported (ids would be random)")
	}
	if len(m.Merges) > maxMerges {
		return fmt.Errorf("model.merges: %d entries, at most %d", len(m.Merges), maxMerges)
	}
	unk, err := m.unknown(t)
	if err != nil {
		return err
	}
	p := &bpe{unk: unk, fuseUnk: m.FuseUnk, ignoreMerges: m.IgnoreMerges, pairs: newPairTable(len(m.Merges))}
	inner, suffix := value(m.InnerPrefix), value(m.WordSuffix)
	for i, e := range m.Merges {
		left, okL := t.ids[e.left]
		right, okR := t.ids[e.right]
		made, okM := t.ids[e.left+strings.TrimPrefix(e.right, inner)]
		if !okL || !okR || !okM {
			return fmt.Errorf("model.merges[%d]: %q + %q is not in the vocabulary", i, e.left, e.right)
		}
		p.pairs.put(left, right, uint32(i), made, false)
	}
	if m.ByteFallback {
		p.fallback = fallbackIDs(t.ids)
	}
	b.bpe, t.model = p, p
	if b.byteLast && inner == "" && suffix == "" {
		b.splits = b.splits[:len(b.splits)-1]
		p.useBytes(t)
		return nil
	}
	p.words = t.ids
	p.chars = singles(t.ids, "", "")
	if inner != "" {
		p.inner = singles(t.ids, inner, "")
		p.words = nil
	}
	if suffix != "" {
		p.suffix = singles(t.ids, "", suffix)
		p.words = nil
	}
	if p.words == nil {
		if m.IgnoreMerges {
			return errors.New("model.ignore_merges: unsupported with a subword prefix or suffix")
		}
		return nil
	}
	if unk < 0 && !p.complete() {
		return nil // unknown characters vanish, so what is around them may merge
	}
	p.cuts = newCutTable(len(t.tokens))
	for _, e := range m.Merges {
		_, l := byteToken(e.left)
		_, r := byteToken(e.right)
		if l || r {
			p.cuts = nil // bytes may merge across characters
			return nil
		}
		if !p.cuts.add(e.left + e.right) {
			p.cuts = nil
			return nil
		}
	}
	return nil
}

// useBytes makes the model work on bytes in place of their spelling.
func (p *bpe) useBytes(t *Tokenizer) {
	p.bytes = new([256]int32)
	for i := range p.bytes {
		id, ok := t.ids[string(byteRune(byte(i)))]
		if !ok {
			id = -1
		}
		p.bytes[i] = id
	}
	p.words = make(map[string]int32, len(t.ids))
	for tok, id := range t.ids {
		if raw, ok := unspell(tok); ok {
			p.words[raw] = id
		}
	}
}

// complete reports whether every byte has a token.
func (p *bpe) complete() bool {
	return p.fallback != nil && !slices.Contains(p.fallback[:], -1)
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// singles returns the tokens that are one character between a prefix and a suffix.
func singles(ids map[string]int32, prefix, suffix string) map[rune]int32 {
	out := map[rune]int32{}
	for tok, id := range ids {
		s, ok := strings.CutPrefix(tok, prefix)
		if !ok {
			continue
		}
		if s, ok = strings.CutSuffix(s, suffix); !ok {
			continue
		}
		if r, n := utf8.DecodeRuneInString(s); n > 0 && n == len(s) {
			out[r] = id
		}
	}
	return out
}

// finishModel gives the model what is known only after the added tokens.
func (b *hfBuilder) finishModel(t *Tokenizer) {
	switch m := t.model.(type) {
	case *bpe:
		m.special = t.special
		m.self = make([]uint32, len(t.tokens))
	case *unigram:
		m.special = t.special
	case *wordPiece:
		m.special = t.special
	}
}

// hfPiece is an entry of a Unigram vocabulary: [token, score].
type hfPiece struct {
	text  string
	score float64
}

// UnmarshalJSON reads the pair.
func (p *hfPiece) UnmarshalJSON(b []byte) error {
	var e []json.RawMessage
	if err := json.Unmarshal(b, &e); err != nil {
		return err
	}
	if len(e) != 2 {
		return errors.New("want [token, score]")
	}
	if err := json.Unmarshal(e[0], &p.text); err != nil {
		return err
	}
	return json.Unmarshal(e[1], &p.score)
}

func newUnigram(m *hfModel) (*Tokenizer, error) {
	var pieces []hfPiece
	if err := decodeStrict("model.vocab", m.Vocab, &pieces); err != nil {
		return nil, err
	}
	if len(pieces) == 0 || len(pieces) > maxVocab {
		return nil, fmt.Errorf("model.vocab: %d tokens, want 1 to %d", len(pieces), maxVocab)
	}
	total := 0
	for i, p := range pieces {
		if err := checkToken(p.text); err != nil {
			return nil, fmt.Errorf("model.vocab[%d]: %w", i, err)
		}
		total += len(p.text)
	}
	if total > maxVocabBytes {
		return nil, fmt.Errorf("model.vocab: tokens of %d bytes, at most %d", total, maxVocabBytes)
	}
	tokens := make([]string, len(pieces))
	t := newTokenizer(tokens)
	u := &unigram{trie: newTrie(), scores: make([]float64, len(pieces)), unk: -1, ids: t.ids}
	low := math.Inf(1)
	for i, p := range pieces {
		tokens[i], u.scores[i] = p.text, p.score
		t.ids[p.text] = int32(i)
		low = min(low, p.score)
		if p.text != "" {
			u.trie.add(p.text, int32(i))
		}
	}
	u.unkScore = low - unkPenalty
	if m.UnkID != nil {
		if err := t.checkID("model.unk_id", *m.UnkID); err != nil {
			return nil, err
		}
		u.unk = int32(*m.UnkID)
	}
	if m.ByteFallback {
		u.fallback = fallbackIDs(t.ids)
	}
	t.model = u
	return t, nil
}

func newWordPiece(t *Tokenizer, m *hfModel) error {
	unk, err := m.unknown(t)
	if err != nil {
		return err
	}
	if unk < 0 {
		return errors.New("model.unk_token: missing")
	}
	inner := "##"
	if m.InnerPrefix != nil {
		inner = *m.InnerPrefix
	}
	w := &wordPiece{trie: newTrie(), unk: unk, maxChars: 100}
	if m.MaxChars != nil {
		if *m.MaxChars < 1 || *m.MaxChars > 1<<20 {
			return fmt.Errorf("model.max_input_chars_per_word: %d out of range", *m.MaxChars)
		}
		w.maxChars = int(*m.MaxChars)
	}
	for id, tok := range t.tokens {
		if tok != "" {
			w.trie.add(tok, int32(id))
		}
	}
	w.inner = w.trie.seek(inner)
	t.model = w
	return nil
}
