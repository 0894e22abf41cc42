package token

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// hfByteLevel has the fields of ByteLevel in all its places.
type hfByteLevel struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	TrimOffsets    bool   `json:"trim_offsets"`
	UseRegex       *bool  `json:"use_regex"`
}

// hfPattern is a fixed text or a regular expression.
type hfPattern struct {
	String *string `json:"String"`
	Regex  *string `json:"Regex"`
}

// finder compiles the pattern.
func (p hfPattern) finder(path string) (finder, error) {
	switch {
	case p.String != nil && p.Regex == nil:
		if *p.String == "" {
			return nil, fmt.Errorf("%s.String: empty", path)
		}
		return findString(*p.String), nil
	case p.Regex != nil && p.String == nil:
		c, err := compilePattern(*p.Regex)
		if err != nil {
			return nil, fmt.Errorf("%s.Regex: %w", path, err)
		}
		return c.find, nil
	}
	return nil, fmt.Errorf("%s: want String or Regex", path)
}

func (b *hfBuilder) normalizer(path string, raw json.RawMessage, depth int) (normalizer, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := b.kindOf(path, raw, depth)
	if err != nil {
		return nil, err
	}
	var p struct {
		Type          string            `json:"type"`
		Normalizers   []json.RawMessage `json:"normalizers"`
		StripLeft     bool              `json:"strip_left"`
		StripRight    bool              `json:"strip_right"`
		Prepend       string            `json:"prepend"`
		Pattern       hfPattern         `json:"pattern"`
		Content       string            `json:"content"`
		CharsMap      []byte            `json:"precompiled_charsmap"`
		CleanText     bool              `json:"clean_text"`
		ChineseChars  bool              `json:"handle_chinese_chars"`
		StripAccents_ *bool             `json:"strip_accents"`
		Lowercase     bool              `json:"lowercase"`
	}
	if err := decodeStrict(path, raw, &p); err != nil {
		return nil, err
	}
	form := func(f norm.Form) (normalizer, error) {
		return func(s string, _ place) string { return unicodeForm(f, s) }, nil
	}
	switch kind {
	case "Sequence":
		var parts []normalizer
		err := eachPart(path+".normalizers", p.Normalizers, func(path string, raw json.RawMessage) error {
			n, err := b.normalizer(path, raw, depth+1)
			if n != nil {
				parts = append(parts, n)
			}
			return err
		})
		return sequence(parts), err
	case "NFC":
		return form(norm.NFC)
	case "NFD":
		return form(norm.NFD)
	case "NFKC":
		return form(norm.NFKC)
	case "NFKD":
		return form(norm.NFKD)
	case "Lowercase":
		return lower, nil
	case "Strip":
		return stripSpace(p.StripLeft, p.StripRight), nil
	case "StripAccents":
		return stripMarks(unicode.M), nil
	case "Nmt":
		return mapRunes(nmt), nil
	case "ByteLevel":
		return func(s string, _ place) string { return spell(s) }, nil
	case "Prepend":
		return func(s string, _ place) string {
			if s == "" {
				return s
			}
			return p.Prepend + s
		}, checkLength(path+".prepend", p.Prepend)
	case "Replace":
		find, err := p.Pattern.finder(path + ".pattern")
		if err != nil {
			return nil, err
		}
		return func(s string, at place) string { return replaceAll(s, find, p.Content, at.limit) }, checkLength(path+".content", p.Content)
	case "Precompiled":
		m, err := newCharsMap(p.CharsMap)
		if err != nil {
			return nil, fmt.Errorf("%s.precompiled_charsmap: %w", path, err)
		}
		return m.normalize, nil
	case "BertNormalizer":
		o := bertOptions{clean: p.CleanText, chinese: p.ChineseChars, accents: p.Lowercase, lower: p.Lowercase}
		if p.StripAccents_ != nil {
			o.accents = *p.StripAccents_
		}
		return bertNormalizer(o), nil
	}
	return nil, unsupported(path, kind)
}

// maxDecoded is how long, in bytes, a decoder's replacements may make one token; the
// longest are maxTokenBytes in the file.
const maxDecoded = 1 << 16

// checkLength bounds what a file may put in front of or in place of every match.
func checkLength(path, s string) error {
	if len(s) > 64 {
		return fmt.Errorf("%s: %d bytes, at most 64", path, len(s))
	}
	return nil
}

// replaceAll replaces what find finds, as long as the text stays within limit bytes; that
// makes no difference where the replacement is not longer.
func replaceAll(s string, find finder, with string, limit int) string {
	var b strings.Builder
	done := 0
	limit = max(limit, len(s))
	find(s, func(start, end int) {
		if b.Len()+len(s)-done-(end-start)+len(with) > limit {
			return
		}
		b.WriteString(s[done:start])
		b.WriteString(with)
		done = end
	})
	if done == 0 {
		return s
	}
	b.WriteString(s[done:])
	return b.String()
}

// preTokenizers reads the splitters.
func (b *hfBuilder) preTokenizers(path string, raw json.RawMessage, depth int) ([]splitter, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := b.kindOf(path, raw, depth)
	if err != nil {
		return nil, err
	}
	b.byteLast = kind == "ByteLevel"
	var p struct {
		Type           string            `json:"type"`
		Pretokenizers  []json.RawMessage `json:"pretokenizers"`
		AddPrefixSpace *bool             `json:"add_prefix_space"`
		TrimOffsets    bool              `json:"trim_offsets"`
		UseRegex       *bool             `json:"use_regex"`
		Pattern        hfPattern         `json:"pattern"`
		Behavior       string            `json:"behavior"`
		Invert         bool              `json:"invert"`
		Individual     bool              `json:"individual_digits"`
		Replacement    string            `json:"replacement"`
		PrependScheme  string            `json:"prepend_scheme"`
		StrRep         string            `json:"str_rep"`
		SplitField     *bool             `json:"split"`
		Delimiter      string            `json:"delimiter"`
	}
	if err := decodeStrict(path, raw, &p); err != nil {
		return nil, err
	}
	one := func(s splitter) ([]splitter, error) { return []splitter{s}, nil }
	switch kind {
	case "Sequence":
		var parts []splitter
		err := eachPart(path+".pretokenizers", p.Pretokenizers, func(path string, raw json.RawMessage) error {
			more, err := b.preTokenizers(path, raw, depth+1)
			parts = append(parts, more...)
			return err
		})
		return parts, err
	case "ByteLevel":
		b.spellings++
		var parts []splitter
		if p.AddPrefixSpace == nil || *p.AddPrefixSpace {
			parts = append(parts, prefixSpace)
		}
		if p.UseRegex == nil || *p.UseRegex {
			parts = append(parts, scanGPT2)
		}
		return append(parts, spellBytes), nil
	case "Split":
		return b.splitPart(path, p.Pattern, p.Behavior, p.Invert)
	case "Metaspace":
		return metaPart(path, p.Replacement, p.PrependScheme, p.AddPrefixSpace, p.SplitField)
	case "Whitespace":
		return one(splitBy(findRuns(wordKind), removed, true))
	case "WhitespaceSplit":
		return one(splitSpace)
	case "BertPreTokenizer":
		return []splitter{splitSpace, splitBy(findRunes(isPunct), isolated, false)}, nil
	case "Punctuation":
		how, ok := parseBehavior(p.Behavior)
		if p.Behavior == "" {
			how, ok = isolated, true
		}
		if !ok {
			return nil, fmt.Errorf("%s.behavior: unsupported %q", path, p.Behavior)
		}
		return one(splitBy(findRunes(isPunct), how, false))
	case "Digits":
		how := contiguous
		if p.Individual {
			how = isolated
		}
		return one(splitBy(findRunes(unicode.IsNumber), how, false))
	case "CharDelimiterSplit":
		if p.Delimiter == "" {
			return nil, fmt.Errorf("%s.delimiter: empty", path)
		}
		return one(splitBy(findString(p.Delimiter), removed, false))
	}
	return nil, unsupported(path, kind)
}

func (b *hfBuilder) splitPart(path string, p hfPattern, how string, invert bool) ([]splitter, error) {
	act, ok := parseBehavior(how)
	if !ok {
		return nil, fmt.Errorf("%s.behavior: unsupported %q", path, how)
	}
	if scan := scanner(p); scan != nil && (act == isolated || act == removed && invert) {
		return []splitter{scan}, nil
	}
	find, err := p.finder(path + ".pattern")
	if err != nil {
		return nil, err
	}
	return []splitter{splitBy(find, act, invert)}, nil
}

// scanner returns the hand-written splitter of a published pattern, nil if it has none.
func scanner(p hfPattern) splitter {
	if p.Regex == nil {
		return nil
	}
	switch *p.Regex {
	case patternGPT2:
		return scanGPT2
	case patternLlama3:
		return scanLlama3(3, true)
	case patternQwen2:
		return scanLlama3(1, true)
	}
	return nil
}

func metaPart(path, mark, scheme string, prefix, cut *bool) ([]splitter, error) {
	if utf8.RuneCountInString(mark) != 1 {
		return nil, fmt.Errorf("%s.replacement: want one character", path)
	}
	switch scheme {
	case "": // files from before schemes
		scheme = "always"
		if prefix != nil && !*prefix {
			scheme = "never"
		}
	case "always", "first", "never":
	default:
		return nil, fmt.Errorf("%s.prepend_scheme: unsupported %q", path, scheme)
	}
	return []splitter{metaSplit(mark, scheme, cut == nil || *cut)}, nil
}

// decoderList reads the decoder stages.
func (b *hfBuilder) decoderList(path string, raw json.RawMessage, depth int) ([]stageMaker, error) {
	if isNull(raw) {
		return nil, nil
	}
	kind, err := b.kindOf(path, raw, depth)
	if err != nil {
		return nil, err
	}
	var p struct {
		Type           string            `json:"type"`
		Decoders       []json.RawMessage `json:"decoders"`
		AddPrefixSpace *bool             `json:"add_prefix_space"`
		TrimOffsets    bool              `json:"trim_offsets"`
		UseRegex       bool              `json:"use_regex"`
		Replacement    string            `json:"replacement"`
		PrependScheme  string            `json:"prepend_scheme"`
		StrRep         string            `json:"str_rep"`
		Split          *bool             `json:"split"`
		Pattern        hfPattern         `json:"pattern"`
		Content        string            `json:"content"`
		Start          int               `json:"start"`
		Stop           int               `json:"stop"`
		Prefix         string            `json:"prefix"`
		Cleanup        *bool             `json:"cleanup"`
		Suffix         string            `json:"suffix"`
	}
	if err := decodeStrict(path, raw, &p); err != nil {
		return nil, err
	}
	one := func(m stageMaker) ([]stageMaker, error) { return []stageMaker{m}, nil }
	switch kind {
	case "Sequence":
		var parts []stageMaker
		err := eachPart(path+".decoders", p.Decoders, func(path string, raw json.RawMessage) error {
			more, err := b.decoderList(path, raw, depth+1)
			parts = append(parts, more...)
			return err
		})
		return parts, err
	case "ByteLevel":
		b.byteLevel = true
		return one(func(bool) stage { return &byteLevelStage{} })
	case "ByteFallback":
		b.fallback = true
		return one(func(whole bool) stage { return &byteFallbackStage{whole: whole} })
	case "Fuse":
		return one(func(bool) stage { return &fuseStage{} })
	case "Strip":
		if len([]rune(p.Content)) != 1 || p.Start < 0 || p.Stop < 0 || p.Start > maxTokenBytes || p.Stop > maxTokenBytes {
			return nil, fmt.Errorf("%s: want one character, start and stop from 0 to %d", path, maxTokenBytes)
		}
		return one(func(bool) stage { return &stripStage{char: p.Content, left: p.Start, right: p.Stop} })
	case "Replace":
		find, err := p.Pattern.finder(path + ".pattern")
		if err != nil {
			return nil, err
		}
		if p.Content == " " && p.Pattern.String != nil {
			b.spaceMark = *p.Pattern.String
		}
		f := stateless(func(s string) string { return replaceAll(s, find, p.Content, maxDecoded) })
		return []stageMaker{func(bool) stage { return f }}, checkLength(path+".content", p.Content)
	case "Metaspace":
		return b.metaDecoder(path, p.Replacement, p.PrependScheme, p.AddPrefixSpace)
	case "WordPiece":
		b.wordMark = p.Prefix
		return one(wordPieceDecoder(p.Prefix, p.Cleanup == nil || *p.Cleanup))
	case "BPEDecoder":
		return one(suffixDecoder(p.Suffix))
	}
	return nil, unsupported(path, kind)
}

func (b *hfBuilder) metaDecoder(path, mark, scheme string, prefix *bool) ([]stageMaker, error) {
	if utf8.RuneCountInString(mark) != 1 {
		return nil, fmt.Errorf("%s.replacement: want one character", path)
	}
	b.spaceMark = mark
	never := scheme == "never" || scheme == "" && prefix != nil && !*prefix
	f := func(s string, first bool) string {
		if first && !never {
			return strings.ReplaceAll(s, mark, "")
		}
		return strings.ReplaceAll(s, mark, " ")
	}
	return []stageMaker{func(bool) stage { return &perToken{f: f} }}, nil
}

func wordPieceDecoder(mark string, clean bool) stageMaker {
	f := func(s string, first bool) string {
		if !first {
			if rest, ok := strings.CutPrefix(s, mark); ok {
				s = rest
			} else {
				s = " " + s
			}
		}
		if clean {
			s = cleanUp(s)
		}
		return s
	}
	return func(bool) stage { return &perToken{f: f} }
}

func suffixDecoder(suffix string) stageMaker {
	f := func(s string, last bool) string {
		if suffix == "" {
			return s
		}
		if last {
			return strings.ReplaceAll(s, suffix, "")
		}
		return strings.ReplaceAll(s, suffix, " ")
	}
	return func(bool) stage { return &holdStage{f: f} }
}

// piece returns the bytes of a token in the middle of a text.
func (b *hfBuilder) piece(t *Tokenizer, id int32) string {
	s := t.tokens[id]
	if t.skip[id] {
		return s
	}
	if b.byteLevel {
		if raw, ok := unspell(s); ok {
			return raw
		}
		return s
	}
	if v, ok := byteToken(s); ok && b.fallback {
		return string([]byte{v})
	}
	if b.wordMark != "" {
		if rest, ok := strings.CutPrefix(s, b.wordMark); ok {
			return rest
		}
		return " " + s
	}
	if b.spaceMark != "" {
		return strings.ReplaceAll(s, b.spaceMark, " ")
	}
	return s
}
