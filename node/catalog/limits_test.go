package catalog_test

import (
	"testing"

	"github.com/covey-network/covey/engine/format/hf"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/protocol"
)

// TestOneLimitOfTokenizers compares the limits of packages that may not import each other:
// what is imported can be published, and what is fetched can be opened.
func TestOneLimitOfTokenizers(t *testing.T) {
	t.Parallel()
	if token.MaxFileBytes != protocol.MaxTokenizer || hf.MaxTokenizer != protocol.MaxTokenizer {
		t.Errorf("a tokenizer may have %d bytes to be opened, %d to be imported, %d in a manifest: want the same", token.MaxFileBytes, hf.MaxTokenizer, protocol.MaxTokenizer)
	}
}
