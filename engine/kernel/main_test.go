package kernel_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

// TestMain stops tests that would run on another instruction set than they were told to.
func TestMain(m *testing.M) {
	if err := kernel.CheckCPU(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	os.Exit(m.Run())
}
