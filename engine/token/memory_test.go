package token_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/token"
)

// live returns the bytes in use.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// hostileTokens makes n tokens that share little, of some characters each, from an alphabet.
func hostileTokens(n, chars int, alphabet []rune) []string {
	rng := rand.New(rand.NewPCG(uint64(n), uint64(chars)))
	noise := make([]rune, 1<<19)
	for i := range noise {
		noise[i] = alphabet[rng.IntN(len(alphabet))]
	}
	out := make([]string, n)
	for i := range out {
		lead := fmt.Sprintf("##%x-", i)
		from := rng.IntN(len(noise) - chars)
		out[i] = lead + string(noise[from:from+max(0, chars-len(lead))])
	}
	return out
}

// TestMemoryOfHostileVocabularies measures what tokenizers of made-up vocabularies keep: at
// most about eight times their file. It is not parallel: it reads the heap of the process.
func TestMemoryOfHostileVocabularies(t *testing.T) {
	const most = 8.5
	ascii, wide := []rune("abcdefghijklmnopqrstuvwxyz"), make([]rune, 1500)
	for i := range wide {
		wide[i] = rune(0x100 + i) // two bytes
	}
	for _, c := range []struct {
		name   string
		tokens []string
	}{
		{"long", hostileTokens(1000, 1000, ascii)},
		{"long and wide", hostileTokens(1000, 500, wide)},
		{"middling", hostileTokens(30000, 32, ascii)},
		{"short", hostileTokens(75000, 8, ascii)},
	} {
		ids := map[string]int{"u": len(c.tokens)}
		pieces := [][2]any{{"u", 0}}
		scores := make([]float32, len(c.tokens))
		for i, s := range c.tokens {
			ids[s] = i
			pieces = append(pieces, [2]any{s, -1.5})
		}
		hf := func(kind string, vocab any, more string) string {
			text, err := json.Marshal(vocab)
			if err != nil {
				t.Fatal(err)
			}
			return tiny(`{"type":"` + kind + `","vocab":` + string(text) + more + `}`)
		}
		vocab, err := json.Marshal(token.Vocab{Model: "llama", Tokens: c.tokens, Scores: scores})
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range []struct{ kind, file string }{
			{"WordPiece", hf("WordPiece", ids, `,"unk_token":"u"`)},
			{"Unigram", hf("Unigram", pieces, `,"unk_id":0`)},
			{"BPE", hf("BPE", ids, `,"merges":[]`)},
			{"llama", string(vocab)},
		} {
			t.Run(f.kind+" "+c.name, func(t *testing.T) {
				before := live()
				var tok *token.Tokenizer
				var err error
				if f.kind == "llama" {
					var v token.Vocab
					if err := json.Unmarshal([]byte(f.file), &v); err != nil {
						t.Fatal(err)
					}
					tok, err = token.FromVocab(v)
				} else {
					tok, err = token.FromHF([]byte(f.file))
				}
				if err != nil {
					t.Fatal(err)
				}
				if ratio := float64(live()-before) / float64(len(f.file)); ratio > most {
					t.Errorf("keeps %.1f times the %d bytes of its file, want at most %v", ratio, len(f.file), most)
				} else {
					t.Logf("%.1f times %d bytes", ratio, len(f.file))
				}
				runtime.KeepAlive(tok)
				runtime.KeepAlive(f.file)
			})
		}
	}
}

// TestTokensOfTokens has tokens that are all the beginnings of one: the pairs that make
// them grow with the square of their length.
func TestTokensOfTokens(t *testing.T) {
	t.Parallel()
	const n = 1000
	v := token.Vocab{Model: "llama", Scores: make([]float32, n)}
	for i := range n {
		v.Tokens = append(v.Tokens, strings.Repeat("a", i+1))
	}
	if _, err := token.FromVocab(v); err == nil || !strings.Contains(err.Error(), "pairs of symbols") {
		t.Errorf("got %v, want an error", err)
	}
	v.Tokens, v.Scores = v.Tokens[:80], v.Scores[:80] // as for indents
	if _, err := token.FromVocab(v); err != nil {
		t.Error(err)
	}
}

// TestBytesOfAllTokens has more than any vocabulary needs.
func TestBytesOfAllTokens(t *testing.T) {
	t.Parallel()
	tokens := hostileTokens(17<<10, 1024, []rune("ab"))
	if _, err := token.FromVocab(token.Vocab{Model: "gpt2", Tokens: tokens, Merges: []string{}}); err == nil || !strings.Contains(err.Error(), "at most 16777216") {
		t.Errorf("vocabulary: got %v, want an error", err)
	}
	ids, pieces := map[string]int{}, [][2]any{}
	for i, s := range tokens {
		ids[s] = i
		pieces = append(pieces, [2]any{s, 0})
	}
	for kind, vocab := range map[string]any{"BPE": ids, "Unigram": pieces} {
		text, err := json.Marshal(vocab)
		if err != nil {
			t.Fatal(err)
		}
		_, err = token.FromHF([]byte(tiny(`{"type":"` + kind + `","vocab":` + string(text) + `}`)))
		if err == nil || !strings.Contains(err.Error(), "at most 16777216") {
			t.Errorf("%s: got %v, want an error", kind, err)
		}
	}
}
