package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// TestProblemTellsNextTry has a renewal that failed: it is told when it is tried again.
func TestProblemTellsNextTry(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local)
	m := host.Membership{
		Grant: wire.Grant{Expires: now.Add(time.Hour).Unix()}, Reached: now, Err: errors.New("stream reset"), Next: now.Add(time.Minute),
	}
	if got := membershipTrouble(&m, now); !got.Is(api.TroubleNotRenewed) || !strings.Contains(got.String(), "stream reset, tried again at 12:01:00") {
		t.Errorf("says %q", got)
	}
	if got := membershipTrouble(&m, m.Next); strings.Contains(got.String(), "tried again") {
		t.Errorf("at that time it says %q", got)
	}
}
