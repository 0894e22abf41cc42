package token

import (
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// MaxFileBytes bounds a tokenizer.json: protocol.MaxTokenizer and hf.MaxTokenizer are the
// same. The largest published ones have 33 MiB.
const MaxFileBytes = 96 << 20

// Limits on what a tokenizer may hold. The largest published vocabularies have about
// 262,144 tokens.
const (
	maxVocab      = 1 << 21
	maxMerges     = 1 << 22
	maxTokenBytes = 1024
	maxVocabBytes = 16 << 20 // all tokens; published ones have 3 MB
	maxSplits     = 8        // pairs of symbols for each token that make tokens of scored BPE; published ones have under 3
	minSplits     = 1 << 12  // allowed for any number of tokens
	maxCuts       = 2        // pairs of neighbours for each token that a cutTable holds
	minCuts       = 1 << 16  // held for any number of tokens
	maxAdded      = 1 << 16
	maxDepth      = 8
	maxParts      = 64  // in one list; ids around a text
	maxAllParts   = 256 // in one file
	maxSpellings  = 2   // ByteLevel splitters; each may double the text
)

// A text that normalising has made more than maxGrowth times longer, and longer than
// minGrown bytes, is not made longer still: the parts that would come out as they are.
// Published normalisers stay below 12 times, so only a file made to exhaust memory is cut.
const (
	maxGrowth = 16
	minGrown  = 1 << 12
)

// Tokenizer encodes text to token ids and decodes ids to text. Build one with [FromHF] or
// [FromVocab]. It is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens  []string // by id; "" where the id is free
	ids     map[string]int32
	special []bool // by id: never produced from literal text
	skip    []bool // by id: left out by Decode with skipSpecial

	raw        *matcher // added tokens found in the text as given; nil if none
	cooked     *matcher // added tokens found in normalised text; nil if none
	normalize  normalizer
	split      splitter
	model      model
	prefix     []int32 // special tokens before the text
	suffix     []int32
	decoders   []stageMaker
	piece      func(id int32) string // bytes of one token
	chainText  func(id int32) string // what the decoders take
	bos, eos   int32                 // -1 if unknown
	hasLiteral bool                  // some special token is matched after normalising;
	rawLiteral *matcher              // then this is raw plus those, for texts with Literal

	scratches sync.Pool
}

// Span is a range of bytes [Start, End) of a text.
type Span struct{ Start, End int }

// Options says how a text is encoded. The zero value is the safe one: no special tokens
// are added and none are read from the text.
type Options struct {
	AddSpecial   bool   // put the model's special tokens (BOS, [CLS], ...) around the text
	ParseSpecial bool   // the text may name special tokens
	Literal      []Span // with ParseSpecial: ranges of the text, ascending and disjoint, that may not
}

// scratch holds the buffers of one encoding.
type scratch struct {
	ids     []int32
	plain   bool // do not produce special ids
	lastUnk bool
	sym     []int32
	rank    []uint32
	made    []int32
	nodes   []node
	heap    []pair
	path    []pathNode
	buf     []byte
	spans   []fragment
	cooked  []fragment
	steps   int // heap operations, for tests of the bound
}

// Encode returns the ids of text as the reference tokenizer gives them by default: special
// tokens that the text names are parsed. With addSpecial the model's special tokens are put
// around it. For text of users take [Tokenizer.EncodeOpts].
func (t *Tokenizer) Encode(text string, addSpecial bool) []int32 {
	return t.EncodeOpts(text, Options{AddSpecial: addSpecial, ParseSpecial: true})
}

// EncodeOpts returns the ids of text under the given options. Bytes that are not UTF-8 are
// read as U+FFFD, with Literal as "?".
func (t *Tokenizer) EncodeOpts(text string, o Options) []int32 {
	text = validText(text, len(o.Literal) > 0)
	sc := t.scratches.Get().(*scratch)
	defer t.scratches.Put(sc)
	sc.ids = sc.ids[:0]
	sc.plain = !o.ParseSpecial || len(o.Literal) > 0
	if o.AddSpecial {
		sc.ids = append(sc.ids, t.prefix...)
	}
	t.encode(sc, text, o)
	if o.AddSpecial {
		sc.ids = append(sc.ids, t.suffix...)
	}
	out := make([]int32, len(sc.ids))
	copy(out, sc.ids)
	return out
}

// Cut shortens the ids of a text to at most most. Those that the tokenizer puts behind each text
// stay: only they are at the place where a model wants them. Training and serving both cut so.
func (t *Tokenizer) Cut(ids []int32, most int) []int32 {
	if len(ids) <= most {
		return ids
	}
	kept := min(len(t.suffix), most)
	return append(ids[:most-kept:most-kept], ids[len(ids)-kept:]...)
}

// validText replaces what is not UTF-8: with keep byte by byte, so that offsets stay right.
func validText(s string, keep bool) string {
	if utf8.ValidString(s) {
		return s
	}
	if !keep {
		return strings.ToValidUTF8(s, "\uFFFD")
	}
	b := []byte(s)
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			b[i] = '?'
		}
		i += n
	}
	return string(b)
}

// encode cuts text at the added tokens and encodes what lies between.
func (t *Tokenizer) encode(sc *scratch, text string, o Options) {
	if text == "" {
		return
	}
	after := true // at the start or after an added token
	raw := t.raw
	if t.hasLiteral && len(o.Literal) > 0 {
		raw = t.rawLiteral
	}
	sc.spans = raw.partition(sc.spans[:0], text, o)
	for _, f := range sc.spans {
		if f.id >= 0 {
			sc.ids = append(sc.ids, f.id)
			after = true
			continue
		}
		t.encodeFragment(sc, text[f.start:f.end], place{first: f.start == 0, after: after}, o)
		after = false
	}
}

// encodeFragment normalises a piece of text without raw added tokens and encodes it.
func (t *Tokenizer) encodeFragment(sc *scratch, s string, at place, o Options) {
	if t.normalize != nil {
		at.limit = grown(len(s))
		s = t.normalize(s, at)
	}
	if t.cooked == nil {
		t.encodeWords(sc, s, at.first)
		return
	}
	// Literal spans are places in the raw text: with them, cooked special tokens are matched
	// there by rawLiteral, so here only the others are left.
	sc.cooked = t.cooked.partition(sc.cooked[:0], s, Options{ParseSpecial: o.ParseSpecial && len(o.Literal) == 0})
	for _, f := range sc.cooked {
		if f.id >= 0 {
			sc.ids = append(sc.ids, f.id)
			continue
		}
		t.encodeWords(sc, s[f.start:f.end], at.first && f.start == 0)
	}
}

// grown returns how long n bytes may become.
func grown(n int) int { return max(minGrown, maxGrowth*n) }

func (t *Tokenizer) encodeWords(sc *scratch, s string, first bool) {
	if s == "" {
		return
	}
	if t.split == nil {
		t.model.encode(sc, s)
		return
	}
	t.split(s, first, func(w string, _ bool) {
		if w != "" {
			t.model.encode(sc, w)
		}
	})
}

// Decode returns the text of ids; with skipSpecial, special tokens are left out. Unknown
// ids are skipped. Bytes that do not form UTF-8 become U+FFFD.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	d := t.newDecoder(skipSpecial, true)
	for _, id := range ids {
		d.push(id)
	}
	return d.Flush()
}

// Size returns one more than the greatest id.
func (t *Tokenizer) Size() int { return len(t.tokens) }

// Token returns the vocabulary's own spelling of id, "" if there is no such id.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= len(t.tokens) {
		return ""
	}
	return t.tokens[id]
}

// TokenBytes returns the bytes that id stands for in the middle of a text, nil if there is
// no such id. They need not be whole characters.
func (t *Tokenizer) TokenBytes(id int32) []byte {
	if t.Token(id) == "" {
		return nil
	}
	return []byte(t.piece(id))
}

// ID returns the id of a token in the vocabulary's spelling.
func (t *Tokenizer) ID(token string) (int32, bool) {
	id, ok := t.ids[token]
	return id, ok
}

// Special reports whether id is a special (control) token.
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < len(t.special) && t.special[id]
}

// HasSpecial reports whether Encode would find a special token in text.
func (t *Tokenizer) HasSpecial(text string) bool {
	if t.namesSpecial(t.raw, text) {
		return true
	}
	if !t.hasLiteral {
		return false
	}
	if t.namesSpecial(t.rawLiteral, text) {
		return true
	}
	if t.normalize != nil {
		text = t.normalize(text, place{first: true, after: true, limit: grown(len(text))})
	}
	return t.namesSpecial(t.cooked, text)
}

// namesSpecial reports whether a matcher finds a special token.
func (t *Tokenizer) namesSpecial(m *matcher, text string) bool {
	return slices.ContainsFunc(m.partition(nil, text, Options{ParseSpecial: true}), func(f fragment) bool { return f.id >= 0 && t.special[f.id] })
}

// BOS returns the token that starts a text: the vocabulary's, or for tokenizer.json, which
// does not name one, the first special token its post-processor puts before the text.
func (t *Tokenizer) BOS() (int32, bool) { return t.bos, t.bos >= 0 }

// EOS returns the token that ends a text: the vocabulary's, or for tokenizer.json the
// special token its post-processor puts after the text. The model's configuration knows
// better.
func (t *Tokenizer) EOS() (int32, bool) { return t.eos, t.eos >= 0 }

// newTokenizer makes an empty tokenizer for a vocabulary. tokens is kept.
func newTokenizer(tokens []string) *Tokenizer {
	t := &Tokenizer{tokens: tokens, ids: make(map[string]int32, len(tokens)), bos: -1, eos: -1}
	t.special = make([]bool, len(tokens))
	t.skip = make([]bool, len(tokens))
	t.scratches.New = func() any { return new(scratch) }
	return t
}

// grow makes room for ids below n.
func (t *Tokenizer) grow(n int) {
	for len(t.tokens) < n {
		t.tokens = append(t.tokens, "")
		t.special = append(t.special, false)
		t.skip = append(t.skip, false)
	}
}
