package protocol_test

import (
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol"
)

func TestHistoryEndsAtTheCapability(t *testing.T) {
	t.Parallel()
	last, day := uint32(0), time.Time{}
	for _, c := range protocol.History() {
		d, err := time.Parse(time.DateOnly, c.Date)
		if err != nil || d.Before(day) {
			t.Errorf("capability %d: date %q out of order: %v", c.Capability, c.Date, err)
		}
		if c.Capability <= last {
			t.Errorf("capability %d follows %d", c.Capability, last)
		}
		last, day = c.Capability, d
	}
	if last != protocol.Capability {
		t.Errorf("history ends at %d, Capability is %d", last, protocol.Capability)
	}
	if protocol.MinCapability > protocol.Capability {
		t.Error("MinCapability is above Capability")
	}
}

func TestIDs(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, id := range []string{protocol.Hello, protocol.Blocks, protocol.Infer, protocol.Adverts, protocol.Renew, protocol.Revoke, protocol.Train, protocol.Agree, protocol.AdvertTopic("x"), protocol.JobsTopic("x"), protocol.JobTopic("x", "y")} {
		if seen[id] || !protocol.IsOurs(id) || !strings.HasSuffix(id, "/1.0.0") {
			t.Errorf("bad or repeated identifier %q", id)
		}
		seen[id] = true
	}
	if protocol.IsOurs("/ipfs/ping/1.0.0") {
		t.Error("a foreign identifier passes as ours")
	}
}
