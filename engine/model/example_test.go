package model_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
)

// A whole model as one stage: the prompt in one call, then token by token, greedily.
func Example() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "model-")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path, err := extract(dir, "llama3") // a Hugging Face directory; a GGUF file does as well
	if err != nil {
		log.Fatal(err)
	}
	c, err := model.Import(path, model.ImportOptions{})
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	pool := kernel.NewPool(0)
	defer pool.Close()
	stage, err := model.Load(ctx, c.Config, c.Config.Whole(), c.Weights(), pool)
	if err != nil {
		log.Fatal(err)
	}
	session, err := stage.NewSession(16)
	if err != nil {
		log.Fatal(err)
	}
	defer session.Close()
	tokens := []int32{155, 989, 71, 793}
	for range 4 {
		out, err := stage.Forward(ctx, []model.Input{{Session: session, Tokens: tokens, Logits: model.LogitsLast}})
		if err != nil {
			log.Fatal(err)
		}
		tokens = []int32{argmax(out[0].Logits)}
		fmt.Println(tokens, session.Len())
	}
	// Output:
	// [937] 4
	// [906] 5
	// [786] 6
	// [284] 7
}
