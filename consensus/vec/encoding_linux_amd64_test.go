//go:build !noasm

package vec

import (
	"testing"

	"github.com/covey-network/covey/engine/kernel/encoding"
)

// TestEncodings reads the machine code of every assembly function: none has an instruction
// that its instruction set does not promise.
func TestEncodings(t *testing.T) {
	t.Parallel()
	found, err := encoding.Check(".", "github.com/covey-network/covey/consensus/vec")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}
