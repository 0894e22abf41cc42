package token_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/token"
)

// list repeats a JSON value n times.
func list(n int, value string) string {
	return "[" + strings.TrimSuffix(strings.Repeat(value+",", n), ",") + "]"
}

func TestFromHFErrors(t *testing.T) {
	t.Parallel()
	nested := func(n int) string {
		return strings.Repeat(`{"type":"Sequence","normalizers":[`, n) + `{"type":"NFC"}` + strings.Repeat("]}", n)
	}
	for _, tc := range []struct{ name, file, want string }{
		{"no JSON", `{`, "unexpected EOF"},
		{"unknown field", `{"surprise":1}`, `unknown field "surprise"`},
		{"no model", `{}`, "model: missing"},
		{"unknown model", tiny(`{"type":"Hash","vocab":{}}`), `model.type: unsupported "Hash"`},
		{"unknown normalizer", tiny(tinyBPE, `"normalizer":{"type":"X"}`), `normalizer.type: unsupported "X"`},
		{"unknown part of a sequence", tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":[{"type":"NFC"},{"type":"X"}]}`), `normalizer.normalizers[1].type: unsupported "X"`},
		{"unknown pre-tokenizer", tiny(tinyBPE, `"pre_tokenizer":{"type":"X"}`), `pre_tokenizer.type: unsupported "X"`},
		{"unknown decoder", tiny(tinyBPE, `"decoder":{"type":"X"}`), `decoder.type: unsupported "X"`},
		{"unknown post-processor", tiny(tinyBPE, `"post_processor":{"type":"X"}`), `post_processor.type: unsupported "X"`},
		{"dropout", tiny(`{"type":"BPE","vocab":{"a":0},"merges":[],"dropout":0.1}`), "model.dropout: unsupported"},
		{"merge of unknown tokens", tiny(`{"type":"BPE","vocab":{"a":0},"merges":["a b"]}`), "model.merges[0]"},
		{"unknown token not there", tiny(`{"type":"BPE","vocab":{"a":0},"merges":[],"unk_token":"u"}`), `model.unk_token: "u" is not in the vocabulary`},
		{"id twice", tiny(`{"type":"BPE","vocab":{"a":0,"b":0},"merges":[]}`), `model.vocab: id 0 is given to "a" and "b"`},
		{"huge id", tiny(`{"type":"BPE","vocab":{"a":4000000000},"merges":[]}`), "id 4000000000 out of range"},
		{"negative id", tiny(`{"type":"BPE","vocab":{"a":-1},"merges":[]}`), "id -1 out of range"},
		{"long token", tiny(`{"type":"BPE","vocab":{"` + strings.Repeat("a", 1025) + `":0},"merges":[]}`), "1025 bytes, at most 1024"},
		{"unigram without tokens", tiny(`{"type":"Unigram","vocab":[]}`), "model.vocab: 0 tokens"},
		{"unigram's unknown outside", tiny(`{"type":"Unigram","vocab":[["a",0]],"unk_id":1}`), "model.unk_id: id 1"},
		{"wordpiece without unknown", tiny(`{"type":"WordPiece","vocab":{"a":0}}`), "model.unk_token: missing"},
		{"special token outside", tiny(tinyWP, `"post_processor":{"type":"BertProcessing","sep":["x",99],"cls":["y",1]}`), "post_processor.sep: id 99"},
		{"template without the text", tiny(tinyWP, `"post_processor":{"type":"TemplateProcessing","single":[],"special_tokens":{}}`), "sequence A appears 0 times"},
		{"bad pattern", tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a"},"behavior":"Isolated"}`), "group is not closed"},
		{"back reference", tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(a)\\1"},"behavior":"Isolated"}`), "unsupported escape"},
		{"endless nothing", tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?:a?)*"},"behavior":"Isolated"}`), "unlimited repetition of what may be empty"},
		{"repetition of repetitions", tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"((ab){1000}){1000}"},"behavior":"Isolated"}`), "too big"},
		{"groups in groups", tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"`+strings.Repeat("(", 1000)+`"},"behavior":"Isolated"}`), "nested too deep"},
		{"short character map", tiny(tinyUni, `"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAA="}`), "shorter than its header"},
		{"character map cut off", tiny(tinyUni, `"normalizer":{"type":"Precompiled","precompiled_charsmap":"AAEAAAAAAAA="}`), "longer than the map"},
		{"long replacement", tiny(tinyBPE, `"normalizer":{"type":"Replace","pattern":{"String":"a"},"content":"`+strings.Repeat("a", 65)+`"}`), "normalizer.content: 65 bytes, at most 64"},
		{"nested too deep", tiny(tinyBPE, `"normalizer":`+nested(9)), "nested deeper than 8"},
		{"long list", tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":`+list(65, `{"type":"NFC"}`)+`}`), "65 entries, at most 64"},
		{"many parts", tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":`+list(5, `{"type":"Sequence","normalizers":`+list(64, `{"type":"NFC"}`)+`}`)+`}`), "more than 256 parts"},
		{"bytes spelled again and again", tiny(tinyBPE, `"pre_tokenizer":{"type":"Sequence","pretokenizers":`+list(60, `{"type":"ByteLevel"}`)+`}`), "ByteLevel 60 times, at most 2"},
		{"many tokens around", tiny(tinyWP, `"post_processor":{"type":"Sequence","processors":`+list(64, `{"type":"BertProcessing","sep":["x",2],"cls":["y",1]}`)+`}`), "128 tokens around a text, at most 64"},
		{"mark of two characters", tiny(tinyBPE, `"pre_tokenizer":{"type":"Metaspace","replacement":"  "}`), "pre_tokenizer.replacement: want one character"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			_, err := token.FromHF([]byte(tc.file))
			if err == nil || !strings.HasPrefix(err.Error(), "parse tokenizer.json: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

func TestFromVocabErrors(t *testing.T) {
	t.Parallel()
	id := func(n int32) *int32 { return &n }
	nan := float32(0)
	nan /= nan
	for _, tc := range []struct {
		name string
		v    token.Vocab
		want string
	}{
		{"nothing", token.Vocab{}, "0 tokens"},
		{"unknown model", token.Vocab{Model: "rwkv", Tokens: []string{"a"}}, "unsupported model"},
		{"unknown pre", token.Vocab{Model: "gpt2", Pre: "x", Tokens: []string{"a"}, Merges: []string{}}, `pre: unsupported "x"`},
		{"no merges", token.Vocab{Model: "gpt2", Tokens: []string{"a"}}, "merges are missing"},
		{"bad merge", token.Vocab{Model: "gpt2", Tokens: []string{"a"}, Merges: []string{"ab"}}, "merges[0]: want two tokens"},
		{"no scores", token.Vocab{Model: "llama", Tokens: []string{"a"}}, "scores are missing"},
		{"too few scores", token.Vocab{Model: "llama", Tokens: []string{"a", "b"}, Scores: []float32{1}}, "1 scores for 2 tokens"},
		{"NaN score", token.Vocab{Model: "llama", Tokens: []string{"a"}, Scores: []float32{nan}}, "scores[0] is not a number"},
		{"too few types", token.Vocab{Model: "gpt2", Tokens: []string{"a", "b"}, Types: []int32{1}}, "1 token types for 2 tokens"},
		{"token twice", token.Vocab{Model: "gpt2", Tokens: []string{"a", "a"}, Merges: []string{}}, `tokens[1]: "a" is also token 0`},
		{"not UTF-8", token.Vocab{Model: "gpt2", Tokens: []string{"\xff"}}, "tokens[0]: not UTF-8"},
		{"id outside", token.Vocab{Model: "gpt2", Tokens: []string{"a"}, EOS: id(1)}, "eos: id 1 is not in the vocabulary"},
		{"no unknown token", token.Vocab{Model: "bert", Tokens: []string{"a"}}, "unknown token is missing"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := token.FromVocab(tc.v); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

// TestHostileFiles has files made to exhaust memory or time: they encode and decode within
// bounds.
func TestHostileFiles(t *testing.T) {
	t.Parallel()
	replace := fmt.Sprintf(`{"type":"Replace","pattern":{"String":"a"},"content":%q}`, strings.Repeat("a", 64))
	for name, file := range map[string]string{
		"replacements that multiply": tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":`+list(60, replace)+`}`),
		"patterns that multiply":     tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":`+list(60, strings.Replace(replace, "String", "Regex", 1))+`}`),
		"spellings that multiply":    tiny(tinyBPE, `"normalizer":{"type":"Sequence","normalizers":`+list(60, `{"type":"ByteLevel"}`)+`}`),
		"spaces that multiply":       tiny(tinyBPE, `"pre_tokenizer":{"type":"Sequence","pretokenizers":`+list(60, `{"type":"Metaspace","replacement":" "}`)+`}`),
		"decoders that multiply":     tiny(tinyBPE, `"decoder":{"type":"Sequence","decoders":`+list(60, replace)+`}`),
		"backtracking":               tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?:a|a|aa)+c"},"behavior":"Isolated"}`),
		"frames":                     tiny(tinyBPE, `"pre_tokenizer":{"type":"Split","pattern":{"Regex":"(?:(?:|){0,500}a)*c"},"behavior":"Isolated"}`),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok, err := token.FromHF([]byte(file))
			if err != nil {
				t.Fatal(err)
			}
			ids := tok.EncodeOpts(strings.Repeat("aé", 5000), token.Options{})
			if len(ids) > 16*15000*2 {
				t.Errorf("15000 bytes became %d tokens", len(ids))
			}
			if n := len(tok.Decode(ids[:10], false)); n > 10*(1<<16) {
				t.Errorf("10 tokens became %d bytes", n)
			}
		})
	}
}

func TestLookUps(t *testing.T) {
	t.Parallel()
	tok, err := token.FromHF([]byte(tinyFiles()[0]))
	if err != nil {
		t.Fatal(err)
	}
	if bos, ok := tok.BOS(); !ok || bos != 9 {
		t.Errorf("BOS is %d, %v", bos, ok)
	}
	if _, ok := tok.EOS(); ok || tok.Size() != 11 {
		t.Errorf("EOS is %v, size %d", ok, tok.Size())
	}
	if id, ok := tok.ID("Ġa"); !ok || id != 4 || tok.Token(4) != "Ġa" || string(tok.TokenBytes(4)) != " a" {
		t.Errorf("Ġa is %d, %v, %q, %q", id, ok, tok.Token(4), tok.TokenBytes(4))
	}
	if tok.Token(-1) != "" || tok.Token(99) != "" || tok.TokenBytes(99) != nil || tok.Special(-1) || tok.Special(99) {
		t.Error("ids outside the vocabulary are known")
	}
	if !tok.Special(9) || tok.Special(0) || !tok.HasSpecial("a <s>") || tok.HasSpecial("a s") {
		t.Error("special tokens are wrong")
	}
}
