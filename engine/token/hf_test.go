package token_test

import (
	"compress/gzip"
	"encoding/json"
	"io"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/token"
)

// unzip reads a compressed fixture.
func unzip(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func openHF(t testing.TB, name string) *token.Tokenizer {
	t.Helper()
	tok, err := token.FromHF(unzip(t, "hf/"+name+".json.gz"))
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

func openVocab(t testing.TB, name string) *token.Tokenizer {
	t.Helper()
	var v token.Vocab
	if err := json.Unmarshal(unzip(t, "gguf/"+name+".json.gz"), &v); err != nil {
		t.Fatal(err)
	}
	tok, err := token.FromVocab(v)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

var hfNames = []string{"gpt2", "llama3", "qwen2", "llama2", "unigram", "wordpiece"}

var ggufNames = []string{"gpt-2", "llama-spm", "bert-bge"}

type hfCase struct {
	Text        string  `json:"text"`
	IDs         []int32 `json:"ids"`
	Special     []int32 `json:"ids_with_special"`
	Decoded     string  `json:"decoded"`
	DecodedSkip string  `json:"decoded_skip_special"`
}

type ggufCase struct {
	Text    string  `json:"text"`
	IDs     []int32 `json:"ids"`
	Special []int32 `json:"ids_parse_special"`
	Decoded string  `json:"decoded"`
}

func loadCases[T any](t testing.TB, name string) []T {
	t.Helper()
	var out []T
	if err := json.Unmarshal(unzip(t, name), &out); err != nil {
		t.Fatal(err)
	}
	if len(out) < 150 {
		t.Fatalf("got %d cases", len(out))
	}
	return out
}

// stream decodes through a Decoder.
func stream(tok *token.Tokenizer, ids []int32, skip bool) string {
	d := tok.NewDecoder(skip)
	var b strings.Builder
	for _, id := range ids {
		b.WriteString(d.Next(id))
	}
	b.WriteString(d.Flush())
	return b.String()
}

func TestHuggingFaceCases(t *testing.T) {
	t.Parallel()
	for _, name := range hfNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := openHF(t, name)
			for _, c := range loadCases[hfCase](t, "hf/"+name+".cases.json.gz") {
				if got := tok.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%q) = %v, want %v", c.Text, got, c.IDs)
				}
				if got := tok.Encode(c.Text, true); !slices.Equal(got, c.Special) {
					t.Errorf("Encode(%q) with special tokens = %v, want %v", c.Text, got, c.Special)
				}
				for _, skip := range []bool{false, true} {
					want := c.Decoded
					if skip {
						want = c.DecodedSkip
					}
					if got := tok.Decode(c.IDs, skip); got != want {
						t.Errorf("Decode(%v, %v) = %q, want %q", c.IDs, skip, got, want)
					}
					if got := stream(tok, c.IDs, skip); got != want {
						t.Errorf("stream of %v, %v = %q, want %q", c.IDs, skip, got, want)
					}
				}
			}
		})
	}
}

func TestGGUFCases(t *testing.T) {
	t.Parallel()
	for _, name := range ggufNames {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tok := openVocab(t, name)
			for _, c := range loadCases[ggufCase](t, "gguf/"+name+".cases.json.gz") {
				if got := tok.EncodeOpts(c.Text, token.Options{}); !slices.Equal(got, c.IDs) {
					t.Errorf("EncodeOpts(%q) = %v, want %v", c.Text, got, c.IDs)
				}
				if got := tok.Encode(c.Text, false); !slices.Equal(got, c.Special) {
					t.Errorf("Encode(%q) = %v, want %v", c.Text, got, c.Special)
				}
				if got := tok.Decode(c.IDs, true); got != c.Decoded {
					t.Errorf("Decode(%v) = %q, want %q", c.IDs, got, c.Decoded)
				}
				if got := stream(tok, c.IDs, true); got != c.Decoded {
					t.Errorf("stream of %v = %q, want %q", c.IDs, got, c.Decoded)
				}
			}
		})
	}
}
