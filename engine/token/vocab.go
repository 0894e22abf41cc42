package token

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Vocab is the vocabulary of a GGUF file: its tokenizer.ggml.* keys. It travels as JSON.
// Pointers that are nil mean that the file lacks the key; the model's default then holds.
type Vocab struct {
	Model  string    `json:"model"`         // model: gpt2, llama or bert
	Pre    string    `json:"pre,omitempty"` // pre: how gpt2 splits words
	Tokens []string  `json:"tokens"`
	Scores []float32 `json:"scores,omitempty"`      // llama needs them
	Types  []int32   `json:"token_type,omitempty"`  // see the Type constants; nil means all normal
	Merges []string  `json:"merges,omitempty"`      // gpt2 needs them
	BOS    *int32    `json:"bos,omitempty"`         // bos_token_id
	EOS    *int32    `json:"eos,omitempty"`         // eos_token_id
	UNK    *int32    `json:"unk,omitempty"`         // unknown_token_id
	SEP    *int32    `json:"sep,omitempty"`         // seperator_token_id (so spelled)
	PAD    *int32    `json:"pad,omitempty"`         // padding_token_id
	CLS    *int32    `json:"cls,omitempty"`         // cls_token_id
	MASK   *int32    `json:"mask,omitempty"`        // mask_token_id
	AddBOS *bool     `json:"add_bos,omitempty"`     // add_bos_token
	AddEOS *bool     `json:"add_eos,omitempty"`     // add_eos_token
	Prefix *bool     `json:"add_prefix,omitempty"`  // add_space_prefix
	Lower  *bool     `json:"lowercase,omitempty"`   // normalizer.lowercase, for bert
	Accent *bool     `json:"strip_marks,omitempty"` // normalizer.strip_accents, for bert
}

// Types of tokens in a GGUF vocabulary.
const (
	TypeUndefined   = 0
	TypeNormal      = 1
	TypeUnknown     = 2
	TypeControl     = 3
	TypeUserDefined = 4
	TypeUnused      = 5
	TypeByte        = 6
)

// FromVocab builds a tokenizer from a GGUF vocabulary. Its ids are those of llama.cpp. v is
// not kept. The ends are tokens that end a text for the model: they are control tokens
// whatever the file says.
func FromVocab(v Vocab, ends ...int32) (*Tokenizer, error) {
	t, err := fromVocab(&v, ends)
	if err != nil {
		return nil, fmt.Errorf("read vocabulary %q: %w", v.Model, err)
	}
	return t, nil
}

func fromVocab(v *Vocab, ends []int32) (*Tokenizer, error) {
	if err := v.check(); err != nil {
		return nil, err
	}
	t := newTokenizer(slices.Clone(v.Tokens))
	for i, tok := range t.tokens {
		if tok == "" {
			tok = fmt.Sprintf("[EMPTY_%d]", i)
			t.tokens[i] = tok
		}
		if prev, ok := t.ids[tok]; ok {
			return nil, fmt.Errorf("tokens[%d]: %q is also token %d", i, tok, prev)
		}
		t.ids[tok] = int32(i)
	}
	kinds := v.kinds(t)
	for _, id := range ends {
		if t.reserves(id) || id >= 0 && int(id) < len(kinds) && kinds[id] == TypeUserDefined {
			kinds[id] = TypeControl
		}
	}
	t.addVocabTokens(kinds)
	var err error
	switch v.Model {
	case "gpt2":
		err = t.initGPT2(v)
	case "llama":
		err = t.initSPM(v, kinds)
	case "bert":
		err = t.initWPM(v)
	default:
		err = errors.New("unsupported model; want gpt2, llama or bert")
	}
	if err != nil {
		return nil, err
	}
	model := v.Model // so that v is not kept
	t.piece = func(id int32) string { return t.ggufPiece(model, kinds[id], id) }
	t.chainText = t.piece
	t.decoders = []stageMaker{func(bool) stage { return &utf8Stage{} }}
	return t, nil
}

// check tests sizes and ranges.
func (v *Vocab) check() error {
	n := len(v.Tokens)
	switch {
	case n == 0 || n > maxVocab:
		return fmt.Errorf("%d tokens, want 1 to %d", n, maxVocab)
	case len(v.Merges) > maxMerges:
		return fmt.Errorf("%d merges, at most %d", len(v.Merges), maxMerges)
	case v.Types != nil && len(v.Types) != n:
		return fmt.Errorf("%d token types for %d tokens", len(v.Types), n)
	case v.Scores != nil && len(v.Scores) != n:
		return fmt.Errorf("%d scores for %d tokens", len(v.Scores), n)
	}
	total := 0
	for i, tok := range v.Tokens {
		if err := checkToken(tok); err != nil {
			return fmt.Errorf("tokens[%d]: %w", i, err)
		}
		total += len(tok)
	}
	if total > maxVocabBytes {
		return fmt.Errorf("tokens of %d bytes, at most %d", total, maxVocabBytes)
	}
	for i, s := range v.Scores {
		if math.IsNaN(float64(s)) {
			return fmt.Errorf("scores[%d] is not a number", i)
		}
	}
	for _, e := range []struct {
		name string
		id   *int32
	}{{"bos", v.BOS}, {"eos", v.EOS}, {"unk", v.UNK}, {"sep", v.SEP}, {"pad", v.PAD}, {"cls", v.CLS}, {"mask", v.MASK}} {
		if e.id != nil && *e.id != -1 && (*e.id < 0 || int(*e.id) >= n) {
			return fmt.Errorf("%s: id %d is not in the vocabulary", e.name, *e.id)
		}
	}
	return nil
}

// kinds returns the types of the tokens, as llama.cpp corrects them: tokens that look like
// control tokens are.
func (v *Vocab) kinds(t *Tokenizer) []int32 {
	out := slices.Clone(v.Types)
	if out == nil {
		out = make([]int32, len(v.Tokens))
		for i := range out {
			out[i] = TypeNormal
		}
	}
	for _, s := range []string{
		"<|eot_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "<|end_of_text|>", "<EOT>", "_<EOT>", "[EOT]",
		"<｜end▁of▁sentence｜>", "<end_of_utterance>", "<|eom_id|>", "<|return|>", "<|call|>",
	} {
		if id, ok := t.ids[s]; ok {
			out[id] = TypeControl
		}
	}
	return out
}

// addVocabTokens makes the matcher of control, unknown and user-defined tokens.
func (t *Tokenizer) addVocabTokens(kinds []int32) {
	var list []addedToken
	for id, kind := range kinds {
		special := kind == TypeControl || kind == TypeUnknown
		t.skip[id] = special
		special = special || kind == TypeUserDefined && controlLike(t.tokens[id])
		t.special[id] = special
		if special || kind == TypeUserDefined {
			list = append(list, addedToken{content: t.tokens[id], id: int32(id), special: special})
		}
	}
	t.raw = newMatcher(list, true)
}

// pick returns the id of a special token, the default if the file names none and the
// vocabulary has it, else -1.
func (t *Tokenizer) pick(id *int32, standard int32) int32 {
	if id != nil {
		return *id
	}
	if int(standard) >= len(t.tokens) {
		return -1
	}
	return standard
}

func flag(b *bool, standard bool) bool {
	if b != nil {
		return *b
	}
	return standard
}

// surround sets what goes around a text.
func (t *Tokenizer) surround(addBOS, addEOS bool) {
	if addBOS && t.bos >= 0 {
		t.prefix = []int32{t.bos}
	}
	if addEOS && t.eos >= 0 {
		t.suffix = []int32{t.eos}
	}
}

func (t *Tokenizer) initGPT2(v *Vocab) error {
	pre, err := parsePre(v.Pre)
	if err != nil {
		return err
	}
	if v.Merges == nil {
		return errors.New("merges are missing")
	}
	t.bos, t.eos = t.pick(v.BOS, 11), t.pick(v.EOS, 11)
	t.surround(flag(v.AddBOS, pre.addBOS), flag(v.AddEOS, false))
	if t.split, err = pre.splitter(); err != nil {
		return err
	}
	p := &bpe{unk: -1, ignoreMerges: pre.ignoreMerges, special: t.special, pairs: newPairTable(len(v.Merges))}
	x := extras{ids: t.ids, next: int32(len(t.tokens)), more: map[string]int32{}}
	for i, m := range v.Merges {
		left, right, ok := cutMerge(m)
		if !ok || len(m) > 2*maxTokenBytes {
			return fmt.Errorf("merges[%d]: want two tokens and a space", i)
		}
		p.pairs.put(x.id(left), x.id(right), uint32(i), x.id(left+right), true)
	}
	for _, s := range x.order { // what is no token comes out as its one-byte tokens
		var ids []int32
		for i := 0; i < len(s); i++ {
			if id, ok := t.ids[s[i:i+1]]; ok {
				ids = append(ids, id)
			}
		}
		p.virtual = append(p.virtual, ids)
	}
	p.useBytes(t)
	for b := range p.bytes {
		if id, ok := x.more[string(byteRune(byte(b)))]; ok && p.bytes[b] < 0 {
			p.bytes[b] = id
		}
	}
	p.self = make([]uint32, len(t.tokens))
	t.model = p
	return nil
}

// cutMerge cuts a merge at its first space that is not the first byte.
func cutMerge(m string) (left, right string, ok bool) {
	if m == "" {
		return "", "", false
	}
	i := strings.IndexByte(m[1:], ' ')
	if i < 0 || i+2 == len(m) {
		return "", "", false
	}
	return m[:i+1], m[i+2:], true
}

// extras numbers symbols that are not in the vocabulary, from next on.
type extras struct {
	ids   map[string]int32
	more  map[string]int32
	order []string
	next  int32
}

func (x *extras) id(s string) int32 {
	if id, ok := x.ids[s]; ok {
		return id
	}
	id, ok := x.more[s]
	if !ok {
		id = x.next + int32(len(x.order))
		x.more[s] = id
		x.order = append(x.order, s)
	}
	return id
}

// initSPM makes the pairs of SentencePiece's BPE: each split of a token into two symbols
// (tokens or single characters), ranked by the token's score.
func (t *Tokenizer) initSPM(v *Vocab, kinds []int32) error {
	if v.Scores == nil {
		return errors.New("scores are missing")
	}
	t.bos, t.eos = t.pick(v.BOS, 1), t.pick(v.EOS, 2)
	t.surround(flag(v.AddBOS, true), flag(v.AddEOS, false))
	t.normalize = spmNormalizer(flag(v.Prefix, true))
	p := &bpe{unk: t.pick(v.UNK, 0), special: t.special, words: t.ids, cuts: newCutTable(len(t.tokens)), chars: map[rune]int32{}}
	p.fallback = fallbackIDs(t.ids)
	for b := range p.fallback { // a byte without its token may be a token of one byte
		if id, ok := t.ids[string([]byte{byte(b)})]; ok && p.fallback[b] < 0 {
			p.fallback[b] = id
		}
	}
	ranks := rankScores(v.Scores)
	x := extras{ids: t.ids, next: int32(len(t.tokens)), more: map[string]int32{}}
	type split struct{ left, right, made int32 }
	var splits []split
	for id, tok := range t.tokens {
		if n := utf8.RuneCountInString(tok); n == 1 {
			r, _ := utf8.DecodeRuneInString(tok)
			p.chars[r] = int32(id)
			continue
		}
		if p.cuts != nil && !p.cuts.add(tok) {
			p.cuts = nil
		}
		for i := range tok {
			if i == 0 {
				continue
			}
			left, okL := symbolID(&x, tok[:i])
			right, okR := symbolID(&x, tok[i:])
			if okL && okR {
				splits = append(splits, split{left, right, int32(id)})
			}
		}
		if most := maxSplits*len(t.tokens) + minSplits; len(splits) > most {
			return fmt.Errorf("more than %d pairs of symbols make tokens", most)
		}
	}
	p.pairs = newPairTable(len(splits))
	for _, s := range splits {
		p.pairs.put(s.left, s.right, ranks[s.made], s.made, false)
	}
	for _, s := range x.order { // a character that is only part of tokens comes out as bytes
		r, _ := utf8.DecodeRuneInString(s)
		p.chars[r] = x.more[s]
		p.virtual = append(p.virtual, p.bytesOf(s))
	}
	p.self = make([]uint32, len(t.tokens))
	t.model = p
	return nil
}

// symbolID returns the symbol of a part of a token: a token, or any single character.
func symbolID(x *extras, s string) (int32, bool) {
	if id, ok := x.ids[s]; ok {
		return id, true
	}
	if _, n := utf8.DecodeRuneInString(s); n != len(s) {
		return 0, false
	}
	return x.id(s), true
}

// bytesOf returns the byte tokens of s, or the unknown token.
func (b *bpe) bytesOf(s string) []int32 {
	var ids []int32
	for i := 0; i < len(s); i++ {
		id := b.fallback[s[i]]
		if id < 0 {
			if b.unk < 0 {
				return nil
			}
			return []int32{b.unk}
		}
		ids = append(ids, id)
	}
	return ids
}

// rankScores returns for each score how many different ones are higher.
func rankScores(scores []float32) []uint32 {
	sorted := slices.Clone(scores)
	slices.Sort(sorted)
	sorted = slices.Compact(sorted)
	out := make([]uint32, len(scores))
	for i, s := range scores {
		at, _ := slices.BinarySearch(sorted, s)
		out[i] = uint32(len(sorted) - 1 - at)
	}
	return out
}

func (t *Tokenizer) initWPM(v *Vocab) error {
	cls := v.CLS
	if v.BOS != nil {
		cls = v.BOS
	}
	t.bos, t.eos = t.pick(cls, 101), t.pick(v.SEP, 102)
	t.surround(true, true)
	unk := t.pick(v.UNK, 100)
	if unk < 0 {
		return errors.New("unknown token is missing")
	}
	low := flag(v.Lower, true)
	t.normalize = wpmNormalizer(low, flag(v.Accent, low))
	t.split = splitSpace
	all := newTrie()
	for id, tok := range t.tokens {
		all.add(tok, int32(id))
	}
	t.model = &wordPiece{trie: all, lead: metaspace, unk: unk, special: t.special}
	return nil
}

// ggufPiece returns the bytes of a token, as llama.cpp prints it.
func (t *Tokenizer) ggufPiece(model string, kind, id int32) string {
	s := t.tokens[id]
	switch kind {
	case TypeByte:
		if b, ok := byteToken(s); ok {
			return string([]byte{b})
		}
		return s
	case TypeNormal:
		if model != "gpt2" {
			return strings.ReplaceAll(s, metaspace, " ")
		}
		if raw, ok := unspell(s); ok {
			return raw
		}
	case TypeUndefined, TypeUnused:
		return ""
	}
	return s
}
