package token_test

import (
	"encoding/base64"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/covey-network/covey/engine/token"
)

// use encodes and decodes text with any tokenizer and checks what holds for all of them.
func use(t *testing.T, tok *token.Tokenizer, text string) {
	t.Helper()
	plain := tok.EncodeOpts(text, token.Options{})
	whole := tok.Encode(text, true)
	if again := tok.Encode(text, true); !slices.Equal(whole, again) {
		t.Fatalf("Encode(%q) = %v and then %v", text, whole, again)
	}
	for _, ids := range [][]int32{plain, whole} {
		for _, id := range ids {
			if id < 0 || int(id) >= tok.Size() {
				t.Fatalf("Encode(%q) gives id %d of %d", text, id, tok.Size())
			}
			tok.TokenBytes(id)
		}
	}
	for _, skip := range []bool{false, true} {
		got := tok.Decode(whole, skip)
		streamed := stream(tok, whole, skip)
		if !strings.ContainsRune(got, utf8.RuneError) && got != streamed {
			t.Fatalf("Decode(%v, %v) = %q, stream %q", whole, skip, got, streamed)
		}
	}
}

// tiny writes a tokenizer.json of a model and other parts.
func tiny(model string, parts ...string) string {
	return `{"model":` + model + "," + strings.Join(append(parts, `"version":"1.0"`), ",") + "}"
}

const (
	tinyBPE = `{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"Ġ":3,"Ġa":4,"Ã":5,"©":6,"<unk>":7,"c":8},"merges":["a b",["Ġ","a"]],"unk_token":"<unk>"}`
	tinySPM = `{"type":"BPE","vocab":{"<unk>":0,"<0x41>":1,"▁":2,"a":3,"▁a":4,"<0xC3>":5,"<0xA9>":6},"merges":["▁ a"],"unk_token":"<unk>","fuse_unk":true,"byte_fallback":true}`
	tinyUni = `{"type":"Unigram","vocab":[["<unk>",0],["▁",-1.5],["a",-2],["▁a",-2.5],["ab",-3]],"unk_id":0}`
	tinyWP  = `{"type":"WordPiece","vocab":{"[UNK]":0,"[CLS]":1,"[SEP]":2,"a":3,"##b":4,"ab":5,"##a":6},"unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":20}`
)

// tinyFiles are files that use all components.
func tinyFiles() []string {
	// A character map of one entry: "A" becomes "ab".
	units := make([]byte, 4*0x60)
	units[1] = 1 << 2                                  // root: offset 1
	units[4*('A'^1)], units[4*('A'^1)+1] = 'A', 1|1<<2 // leaf below, offset 1
	chars := append(append([]byte{byte(len(units) % 256), byte(len(units) / 256), 0, 0}, units...), "ab\x00"...)
	return []string{
		tiny(tinyBPE, `"normalizer":{"type":"NFC"}`, `"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":true}`, `"decoder":{"type":"ByteLevel"}`,
			`"added_tokens":[{"id":9,"content":"<s>","special":true},{"id":10,"content":"x y","lstrip":true,"rstrip":true,"normalized":true,"single_word":true}]`,
			`"post_processor":{"type":"TemplateProcessing","single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"<s>":{"id":"<s>","ids":[9],"tokens":["<s>"]}}}`),
		tiny(tinyBPE, `"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Split","pattern":{"Regex":"(?i:'s|'t)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}+|(?>a|b)??c{2,}?|\\s+(?!\\S)|\\s+(?=\\S)|^\\A[a-z&&[^c]\\x41\\u{42}]*$\\z"},"behavior":"Isolated","invert":false},{"type":"ByteLevel","add_prefix_space":false,"use_regex":false}]}`),
		tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":[{"type":"NFKD"},{"type":"StripAccents"},{"type":"Lowercase"},{"type":"Strip","strip_left":true,"strip_right":true},{"type":"Nmt"},{"type":"Replace","pattern":{"Regex":" +"},"content":" a"}]}`,
			`"pre_tokenizer":{"type":"Sequence","pretokenizers":[{"type":"Whitespace"},{"type":"Digits","individual_digits":true},{"type":"Punctuation","behavior":"MergedWithNext"},{"type":"CharDelimiterSplit","delimiter":"-"}]}`,
			`"decoder":{"type":"BPEDecoder","suffix":"b"}`),
		tiny(tinySPM, `"normalizer":{"type":"Sequence","normalizers":[{"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]}`,
			`"decoder":{"type":"Sequence","decoders":[{"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},{"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]}`),
		tiny(tinyUni, `"normalizer":{"type":"Precompiled","precompiled_charsmap":"`+base64.StdEncoding.EncodeToString(chars)+`"}`,
			`"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"first","split":true}`, `"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always"}`),
		tiny(tinyWP, `"normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true}`,
			`"pre_tokenizer":{"type":"BertPreTokenizer"}`, `"post_processor":{"type":"BertProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]}`, `"decoder":{"type":"WordPiece","prefix":"##","cleanup":true}`),
		tiny(tinyWP, `"pre_tokenizer":{"type":"WhitespaceSplit"}`, `"post_processor":{"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"RobertaProcessing","sep":["[SEP]",2],"cls":["[CLS]",1]}]}`),
	}
}

const tinyText = "aB ab-é A\r\n  12,'S <s>x y\xc3"

// FuzzFromHF gives FromHF any file: an error comes back or a tokenizer that works.
func FuzzFromHF(f *testing.F) {
	for _, file := range tinyFiles() {
		if _, err := token.FromHF([]byte(file)); err != nil {
			f.Fatalf("%v: %s", err, file)
		}
		f.Add(file, tinyText)
	}
	f.Fuzz(func(t *testing.T, file, text string) {
		if tok, err := token.FromHF([]byte(file)); err == nil && len(text) < 1000 {
			use(t, tok, text)
		}
	})
}

// FuzzFromVocab gives FromVocab any vocabulary in JSON, the same way.
func FuzzFromVocab(f *testing.F) {
	for _, v := range []string{
		`{"model":"gpt2","pre":"llama-bpe","tokens":["a","b","ab","Ġ","Ġa","Ã","©","<|im_end|>"],"merges":["a b","Ġ a","x y"],"bos":7,"eos":7,"token_type":[1,1,1,1,1,1,1,3]}`,
		`{"model":"gpt2","tokens":["a","1","11"],"merges":["1 1"]}`,
		`{"model":"gpt2","pre":"deepseek-v3","tokens":["a","","c"],"merges":[],"add_bos":true}`,
		`{"model":"gpt2","pre":"tekken","tokens":["a","A"],"merges":["a A"]}`,
		`{"model":"llama","tokens":["<unk>","<s>","</s>","<0x41>","▁","a","▁a","é","aé"],"scores":[0,0,0,0,-1,-2,-3,-4,-5],"token_type":[2,3,3,6,1,1,1,1,4],"add_eos":true}`,
		`{"model":"bert","tokens":["[UNK]","[CLS]","[SEP]","▁a","b","▁ab","a"],"unk":0,"bos":1,"sep":2,"lowercase":true,"strip_marks":false}`,
	} {
		f.Add(v, tinyText)
	}
	f.Fuzz(func(t *testing.T, vocab, text string) {
		var v token.Vocab
		if json.Unmarshal([]byte(vocab), &v) != nil {
			return
		}
		if tok, err := token.FromVocab(v); err == nil && len(text) < 1000 {
			use(t, tok, text)
		}
	})
}

// FuzzEncode gives any text to the tokenizers of the fixtures. Text taken literally never
// gives a special token but the unknown one, and byte-level vocabularies give it back.
func FuzzEncode(f *testing.F) {
	toks := map[string]*token.Tokenizer{}
	for _, name := range hfNames {
		toks[name] = openHF(f, name)
	}
	for _, name := range ggufNames {
		toks[name] = openVocab(f, name)
	}
	unknown := map[string]bool{"<unk>": true, "[UNK]": true}
	f.Add(tinyText, 0, 3)
	f.Add("<|begin_of_text|><s>[CLS]</s> <|im_start|>user\n", 5, 40)
	f.Add("e\u0301\u0301 \u200d\u0930\u094d ﷺ 中文 \x00\xff", 2, 9)
	f.Fuzz(func(t *testing.T, text string, start, end int) {
		if len(text) > 2000 {
			return
		}
		for name, tok := range toks {
			use(t, tok, text)
			literal := token.Options{ParseSpecial: true, Literal: []token.Span{{Start: 0, End: len(text)}}}
			for _, o := range []token.Options{{}, literal} {
				for _, id := range tok.EncodeOpts(text, o) {
					if tok.Special(id) && !unknown[tok.Token(id)] {
						t.Fatalf("%s: literal %q gives %q", name, text, tok.Token(id))
					}
				}
			}
			if start >= 0 && start <= end && end <= len(text) {
				tok.EncodeOpts(text, token.Options{ParseSpecial: true, Literal: []token.Span{{Start: start, End: end}}})
			}
			if name == "gpt-2" && utf8.ValidString(text) {
				if got := tok.Decode(tok.EncodeOpts(text, token.Options{}), false); got != text {
					t.Fatalf("%s: %q comes back as %q", name, text, got)
				}
			}
		}
	})
}
