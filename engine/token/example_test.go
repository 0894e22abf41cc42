package token_test

import (
	"fmt"
	"log"

	"github.com/covey-network/covey/engine/token"
)

func ExampleFromHF() {
	file := `{
		"model": {"type": "BPE", "vocab": {"h": 0, "i": 1, "hi": 2}, "merges": ["h i"]},
		"added_tokens": [{"id": 3, "content": "<end>", "special": true}],
		"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
		"decoder": {"type": "ByteLevel"}
	}`
	tok, err := token.FromHF([]byte(file))
	if err != nil {
		log.Fatal(err)
	}
	ids := tok.Encode("hihi<end>", true)
	fmt.Println(ids, tok.Decode(ids, true))
	fmt.Println(tok.EncodeOpts("hi<end>", token.Options{}), "as text of a user")
	// Output:
	// [2 2 3] hihi
	// [2] as text of a user
}

func ExampleFromVocab() {
	tok, err := token.FromVocab(token.Vocab{
		Model: "llama", Tokens: []string{"<unk>", "<s>", "</s>", "▁", "h", "i", "▁h", "▁hi"}, Scores: []float32{0, 0, 0, -5, -6, -7, -2, -1},
		Types: []int32{token.TypeUnknown, token.TypeControl, token.TypeControl, 1, 1, 1, 1, 1},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(tok.Encode("hi", true))
	// Output: [1 7]
}
