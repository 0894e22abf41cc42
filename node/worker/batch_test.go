package worker

import (
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// TestBatchIsBounded checks how many of the waiting steps run together.
func TestBatchIsBounded(t *testing.T) {
	t.Parallel()
	s := &stage{rng: wire.Range{Embed: true, Head: true}}
	step := func(tokens int, l model.LogitsWanted) request {
		return request{in: model.Input{Tokens: make([]int32, tokens), Logits: l}}
	}
	for _, tc := range []struct {
		name  string
		batch []request
		want  int
	}{
		{"one", []request{step(1, model.LogitsLast)}, 1},
		{"short steps", []request{step(1, model.LogitsLast), step(2, model.LogitsLast), step(3, model.LogitsNone)}, 3},
		{"prompts that fill it", []request{step(maxBatchRows-1, model.LogitsLast), step(1, model.LogitsLast), step(1, model.LogitsLast)}, 2},
		{"one that is larger", []request{step(protocol.MaxStepTokens, model.LogitsLast), step(1, model.LogitsLast)}, 1},
		{"drafts", []request{step(maxBatchLogits, model.LogitsAll), step(300, model.LogitsLast), step(1, model.LogitsAll)}, 2},
	} {
		if got := s.fitting(tc.batch); got != tc.want {
			t.Errorf("%s: %d run together, want %d", tc.name, got, tc.want)
		}
	}
}
