package blackbox_test

import (
	"testing"
	"time"

	"github.com/covey-network/covey/testnet/idle"
)

// TestIdleSwarmIsQuiet has eight nodes that have nothing to do. The limits are those of a busy
// machine, several times what is measured on a quiet one; those of make idle are the real ones.
func TestIdleSwarmIsQuiet(t *testing.T) {
	const nodes = 8
	program, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	row, err := idle.Measure(t.Context(), idle.Config{
		Binary: program, Dir: t.TempDir(), Settle: 10 * time.Second, Over: 10 * time.Second, Say: t.Logf,
	}, nodes)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s\n%s", idle.Head, row)
	sum := 0.0
	for _, n := range row.Streams {
		sum += n
	}
	if sum > 1000 { // 80 to 300
		t.Errorf("each node sends %.0f bytes a second over streams: %v", sum, row.Streams)
	}
	if row.ConnsMax > nodes-1 {
		t.Errorf("%d connections to %d peers", row.ConnsMax, nodes-1)
	}
}
