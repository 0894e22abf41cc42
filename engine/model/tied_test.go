package model_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// TestTiedLikeTransformers imports checkpoints that say their output is their embedding, and
// compares with what transformers makes of them (testdata/make/tied.py).
func TestTiedLikeTransformers(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("testdata/tied.json")
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Tokens []int32
		Cases  map[string]struct {
			Config  json.RawMessage
			Logits  []float32
			Tensors map[string]struct {
				Shape []int
				Data  []float32
			}
		}
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	tied := map[string]bool{"one": true, "the same twice": true, "output only": true, "other output": false, "one value differs": false}
	if len(tied) != len(all.Cases) {
		t.Fatalf("the file has %d cases, want %d", len(all.Cases), len(tied))
	}
	for name, want := range tied {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			k := all.Cases[name]
			var list []safetensors.Tensor
			for name, x := range k.Tensors {
				list = append(list, safetensors.Tensor{Name: name, Shape: tensor.Shape(x.Shape), Data: x.Data})
			}
			dir := writeDir(t, k.Config, nil)
			f, err := os.Create(filepath.Join(dir, "model.safetensors"))
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			if err := safetensors.Write(f, nil, list); err != nil {
				t.Fatal(err)
			}
			c := importModel(t, dir, 0)
			if c.Config.Llama.Tied != want {
				t.Errorf("tied: %t, want %t", c.Config.Llama.Tied, want)
			}
			got := open(t, len(all.Tokens), load(t, c, c.Config.Whole(), pool(t, 1))).step(t, all.Tokens, model.LogitsLast)
			if far, _ := distance(got, k.Logits); !(far < 1e-5) || len(got) != len(k.Logits) {
				t.Errorf("logits are off by %g\n got %v\nwant %v", far, got, k.Logits)
			}
		})
	}
}

// TestEndsAreJoined has another token that ends a text in each of the files that tell one.
func TestEndsAreJoined(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name      string
		gen       map[string]any
		tokenizer string // of tokenizer_config.json
		want      []int32
	}{
		{"all files", map[string]any{"eos_token_id": []int{4, 5}}, `{"eos_token":"<|end|>"}`, []int32{4, 5, 2, 3}},
		{"generation does not say", map[string]any{"eos_token_id": nil}, `{"eos_token":{"content":"<|end|>"}}`, []int32{2, 3}},
		{"the same everywhere", map[string]any{"eos_token_id": 2}, `{"eos_token":"</s>"}`, []int32{2}},
		{"of the vocabulary alone", map[string]any{"eos_token_id": 2}, `{"eos_token":"word"}`, []int32{2, 6}},
		{"a token that is none", map[string]any{"eos_token_id": 2}, `{"eos_token":"nothing"}`, []int32{2}},
		{"one that the vocabulary does not have", map[string]any{"eos_token_id": []int{4, 1 << 20}}, `{}`, []int32{4, 2}},
		{"null", map[string]any{"eos_token_id": 2}, `{"eos_token":null}`, []int32{2}},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			dir := unpack(t, "llama3")
			editJSON(t, filepath.Join(dir, "config.json"), map[string]any{"eos_token_id": 2})
			for name, text := range map[string]string{
				"generation_config.json": "{}",
				"tokenizer_config.json":  k.tokenizer,
				"tokenizer.json":         `{"added_tokens":[{"id":2,"content":"</s>"},{"id":3,"content":"<|end|>"}],"model":{"vocab":{"word":6}}}`,
			} {
				if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			editJSON(t, filepath.Join(dir, "generation_config.json"), k.gen)
			if c := importModel(t, dir, 0); !slices.Equal(c.EOSIDs, k.want) {
				t.Errorf("texts end at %v, want %v", c.EOSIDs, k.want)
			}
		})
	}
}

// TestStaleEnds has only ends that the vocabulary does not have, but for the one that
// tokenizer_config.json names.
func TestStaleEnds(t *testing.T) {
	t.Parallel()
	for tokenizer, want := range map[string][]int32{`{"eos_token":"</s>"}`: {2}, `{}`: nil} {
		dir := unpack(t, "llama3")
		editJSON(t, filepath.Join(dir, "config.json"), map[string]any{"eos_token_id": 1 << 20})
		for name, text := range map[string]string{"generation_config.json": `{"eos_token_id":1048577}`, "tokenizer_config.json": tokenizer, "tokenizer.json": `{"added_tokens":[{"id":2,"content":"</s>"}]}`} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		c, err := model.Import(dir, model.ImportOptions{})
		if err == nil {
			c.Close()
		}
		if want == nil {
			if err == nil || !strings.Contains(err.Error(), "is not in the vocabulary") {
				t.Errorf("%s: got error %v", tokenizer, err)
			}
		} else if err != nil || !slices.Equal(c.EOSIDs, want) {
			t.Errorf("%s: %v, %v, want %v", tokenizer, c, err, want)
		}
	}
}
