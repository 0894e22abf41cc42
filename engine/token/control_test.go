package token_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/token"
)

// added returns a fixture with one more added token, which its file does not call special.
func added(t *testing.T, name, content string, more map[string]any) []byte {
	t.Helper()
	var file map[string]json.RawMessage
	if err := json.Unmarshal(unzip(t, "hf/"+name+".json.gz"), &file); err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(file["added_tokens"], &list); err != nil {
		t.Fatal(err)
	}
	list = slices.DeleteFunc(list, func(a map[string]any) bool { return a["content"] == content })
	e := map[string]any{"id": 1 << 20, "content": content, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": false}
	for k, v := range more {
		e[k] = v
	}
	var err error
	if file["added_tokens"], err = json.Marshal(append(list, e)); err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// vocab returns the vocabulary of a GGUF fixture with one more token, or another type for
// one that is there.
func vocab(t *testing.T, name, content string, kind int32) token.Vocab {
	t.Helper()
	var v token.Vocab
	if err := json.Unmarshal(unzip(t, "gguf/"+name+".json.gz"), &v); err != nil {
		t.Fatal(err)
	}
	if i := slices.Index(v.Tokens, content); i >= 0 {
		v.Types[i] = kind
		return v
	}
	v.Tokens, v.Types = append(v.Tokens, content), append(v.Types, kind)
	if v.Scores != nil {
		v.Scores = append(v.Scores, -1000)
	}
	return v
}

// TestTextIsNeverControl has control tokens that files call ordinary: no text becomes one,
// a template still writes them, and HasSpecial tells of them.
func TestTextIsNeverControl(t *testing.T) {
	t.Parallel()
	hf := func(data []byte, ends ...int32) *token.Tokenizer {
		tok, err := token.FromHF(data, ends...)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	gguf := func(v token.Vocab, ends ...int32) *token.Tokenizer {
		tok, err := token.FromVocab(v, ends...)
		if err != nil {
			t.Fatal(err)
		}
		return tok
	}
	untyped := vocab(t, "llama-spm", "</s>", token.TypeNormal)
	untyped.Types = nil
	turn := gguf(vocab(t, "gpt-2", "=end=", token.TypeUserDefined))
	turnID, _ := turn.ID("=end=")
	for _, k := range []struct {
		name, control string
		tok           *token.Tokenizer
	}{
		{"phi-3 in GGUF", "</s>", gguf(vocab(t, "llama-spm", "</s>", token.TypeUserDefined))},
		{"phi-3 in HF", "</s>", hf(added(t, "llama2", "</s>", map[string]any{"rstrip": true}))},
		{"phi-3 in HF, after normalising", "</s>", hf(added(t, "llama2", "</s>", map[string]any{"normalized": true}))},
		{"Command R in GGUF", "<|USER_TOKEN|>", gguf(vocab(t, "gpt-2", "<|USER_TOKEN|>", token.TypeUserDefined))},
		{"DeepSeek in HF", "<｜User｜>", hf(added(t, "qwen2", "<｜User｜>", nil))},
		{"DeepSeek in GGUF", "<｜Assistant｜>", gguf(vocab(t, "gpt-2", "<｜Assistant｜>", token.TypeUserDefined))},
		{"ChatML by fine-tuning", "<|im_start|>", hf(added(t, "llama3", "<|im_start|>", nil))},
		{"qwen2 in HF", "<|im_end|>", hf(added(t, "qwen2", "<|im_end|>", nil))},
		{"Gemma in GGUF", "<start_of_turn>", gguf(vocab(t, "llama-spm", "<start_of_turn>", token.TypeUserDefined))},
		{"Mistral in HF", "[/INST]", hf(added(t, "llama2", "[/INST]", nil))},
		{"holes in code", "<fim_prefix>", hf(added(t, "gpt2", "<fim_prefix>", nil))},
		{"no types", "</s>", gguf(untyped, 2)},
		{"an end of any look", "=end=", gguf(vocab(t, "gpt-2", "=end=", token.TypeUserDefined), turnID)},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			id, ok := k.tok.ID(k.control)
			if !ok {
				t.Fatal("the vocabulary does not have it")
			}
			text := "a " + k.control + " b"
			if !k.tok.HasSpecial(text) || !k.tok.Special(id) {
				t.Error("it is not special")
			}
			if ids := k.tok.EncodeOpts(text, token.Options{}); slices.Contains(ids, id) {
				t.Errorf("as text it gives %v", ids)
			}
			both := k.control + text // the template's, then what a message says
			ids := k.tok.EncodeOpts(both, token.Options{ParseSpecial: true, Literal: []token.Span{{Start: len(k.control), End: len(both)}}})
			if n := len(slices.DeleteFunc(slices.Clone(ids), func(i int32) bool { return i != id })); n != 1 {
				t.Errorf("as template and as text it stands %d times in %v, want once", n, ids)
			}
		})
	}
}

// TestPhi3TextLikeLlama has the right value: the ids of phi-3's </s> as text are those that
// llama.cpp gives for Llama's, which it takes for a control token.
func TestPhi3TextLikeLlama(t *testing.T) {
	t.Parallel()
	phi3, err := token.FromVocab(vocab(t, "llama-spm", "</s>", token.TypeUserDefined))
	if err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, c := range loadCases[ggufCase](t, "gguf/llama-spm.cases.json.gz") {
		if got := phi3.EncodeOpts(c.Text, token.Options{}); !slices.Equal(got, c.IDs) {
			t.Errorf("%q gives %v, want %v", c.Text, got, c.IDs)
		}
		if !slices.Equal(c.IDs, c.Special) {
			checked++
		}
	}
	if checked == 0 {
		t.Error("no case has a control token in its text")
	}
}

// TestAdditionsStayTokens has added tokens that are text: blanks, letters and the tags of
// answers are read wherever they stand, as the reference reads them.
func TestAdditionsStayTokens(t *testing.T) {
	t.Parallel()
	for _, content := range []string{"    ", "ö", "<think>", "</tool_call>", "<table>", "|||EMAIL|||", "word", "[x]", "a<b"} {
		tok, err := token.FromHF(added(t, "qwen2", content, nil))
		if err != nil {
			t.Fatal(err)
		}
		id, _ := tok.ID(content)
		text := "x" + content + "y"
		for _, o := range []token.Options{{}, {ParseSpecial: true, Literal: []token.Span{{End: len(text)}}}} {
			if ids := tok.EncodeOpts(text, o); !slices.Contains(ids, id) {
				t.Errorf("%q with %+v gives %v, want %d among them", content, o, ids, id)
			}
		}
	}
}
