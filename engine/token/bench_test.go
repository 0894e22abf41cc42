package token_test

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// english returns about n bytes of words in sentences, the same on every run.
func english(n int) string {
	words := strings.Fields(`the of and a to in is that it was for on are as with his they at be this from have or by one
		had not but what all were when we there can an your which their said if do will each about how up out them then she
		many some so these would other into has more her two like him see time could no make than first been its who now
		people my made over did down only way find use may water long little very after words called just where most know
		network computer language model because different following important government information understanding
		development throughout particularly philosophical characterised uncomfortable`)
	rng := rand.New(rand.NewPCG(1, 2))
	var b strings.Builder
	for b.Len() < n {
		w := words[int(float64(len(words))*rng.Float64()*rng.Float64())]
		switch rng.IntN(12) {
		case 0:
			w += "."
		case 1:
			w += ",\n"[:1+rng.IntN(2)]
		case 2:
			w = strings.ToUpper(w[:1]) + w[1:]
		}
		b.WriteString(w)
		b.WriteByte(' ')
	}
	return b.String()
}

func BenchmarkEncode(b *testing.B) {
	text := english(1 << 18)
	for _, name := range hfNames {
		b.Run(name, func(b *testing.B) {
			tok := openHF(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text, false)
			}
		})
	}
	for _, name := range ggufNames {
		b.Run("gguf/"+name, func(b *testing.B) {
			tok := openVocab(b, name)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tok.Encode(text, false)
			}
		})
	}
}

// BenchmarkEncodeRun shows that one long word costs about as much per byte at 1 MB as at
// 64 KB.
func BenchmarkEncodeRun(b *testing.B) {
	for _, name := range []string{"gpt2", "llama2", "unigram", "wordpiece"} {
		for _, size := range []struct {
			name string
			n    int
		}{{"64KB", 64 << 10}, {"1MB", 1 << 20}} {
			b.Run(name+"/"+size.name, func(b *testing.B) {
				tok := openHF(b, name)
				text := strings.Repeat("a", size.n)
				b.SetBytes(int64(len(text)))
				for b.Loop() {
					tok.Encode(text, false)
				}
			})
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	tok := openVocab(b, "gpt-2")
	ids := tok.Encode(english(1<<16), false)
	b.SetBytes(1 << 16)
	for b.Loop() {
		tok.Decode(ids, true)
	}
}

func BenchmarkFromHF(b *testing.B) {
	data := unzip(b, "hf/wordpiece.json.gz")
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		openHF(b, "wordpiece")
	}
}
