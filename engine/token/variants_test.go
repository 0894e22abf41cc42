package token_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/token"
)

// variant is a fixture with some components changed, written by testdata/variants.py.
type variant struct {
	Name   string                     `json:"name"`
	Base   string                     `json:"base"`
	Change map[string]json.RawMessage `json:"change"`
	Cases  []struct {
		Text          string  `json:"text"`
		IDs           []int32 `json:"ids"`
		Special       []int32 `json:"special"`
		Decoded       string  `json:"decoded"`
		Random        []int32 `json:"random"`
		RandomDecoded string  `json:"random_decoded"`
	} `json:"cases"`
}

// patch returns the base's JSON with the changes; {"+": fields} changes fields only.
func patch(t testing.TB, base []byte, change map[string]json.RawMessage) []byte {
	t.Helper()
	var file map[string]json.RawMessage
	if err := json.Unmarshal(base, &file); err != nil {
		t.Fatal(err)
	}
	for k, v := range change {
		var fields struct {
			More map[string]json.RawMessage `json:"+"`
		}
		if json.Unmarshal(v, &fields) == nil && fields.More != nil {
			v = patch(t, file[k], fields.More)
		}
		file[k] = v
	}
	out, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestHuggingFaceVariants(t *testing.T) {
	t.Parallel()
	var all []variant
	if err := json.Unmarshal(unzip(t, "variants.json.gz"), &all); err != nil {
		t.Fatal(err)
	}
	bases := map[string][]byte{}
	for _, name := range hfNames {
		bases[name] = unzip(t, "hf/"+name+".json.gz")
	}
	for _, v := range all {
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			tok, err := token.FromHF(patch(t, bases[v.Base], v.Change))
			if err != nil {
				t.Fatal(err)
			}
			// Since 0.23 the library decodes an added token to its normalised text; we keep
			// the text as the file has it.
			spelled := strings.HasPrefix(v.Name, "added ") && (v.Base == "llama2" || v.Base == "wordpiece" || v.Base == "unigram")
			for _, c := range v.Cases {
				if got := tok.Encode(c.Text, false); !slices.Equal(got, c.IDs) {
					t.Errorf("Encode(%+q) = %v, want %v", c.Text, got, c.IDs)
				}
				if got := tok.Encode(c.Text, true); !slices.Equal(got, c.Special) {
					t.Errorf("Encode(%+q) with special tokens = %v, want %v", c.Text, got, c.Special)
				}
				if spelled {
					continue
				}
				if got := tok.Decode(c.Special, true); got != c.Decoded {
					t.Errorf("Decode(%v) = %+q, want %+q", c.Special, got, c.Decoded)
				}
				if got := tok.Decode(c.Random, false); got != c.RandomDecoded {
					t.Errorf("Decode(%v) = %+q, want %+q", c.Random, got, c.RandomDecoded)
				}
			}
		})
	}
}
