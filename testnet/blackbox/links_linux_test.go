package blackbox_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/runner"
)

// TestLinkDelays puts a peer behind a slow link, and looks at the round trips that all
// measure: to it from everywhere, whoever dialled, and between the others.
func TestLinkDelays(t *testing.T) {
	t.Parallel()
	const far, pair = 40 * time.Millisecond, 150 * time.Millisecond
	between := map[[2]string]time.Duration{
		{"one", "two"}: 0, {"one", "three"}: 0, {"two", "three"}: pair,
		{"one", "far"}: far, {"two", "far"}: far, {"three", "far"}: far,
	}
	s := swarm(t, &runner.Manifest{
		Nodes: nodes("one", "far", "two", "three"),
		Links: []runner.Link{
			{Node: "far", Delay: runner.Duration{Duration: far}, Rate: 1 << 20},
			{Node: "three", To: "two", Delay: runner.Duration{Duration: pair}},
		},
	})
	names := []string{"one", "two", "three", "far"}
	for _, n := range names {
		waitFor(t, s, n+" to measure its links", func(ctx context.Context) (bool, error) {
			var peers []api.Peer
			if err := s.Node(n).API().Get(ctx, "/covey/v1/peers", nil, &peers); err != nil {
				return false, err
			}
			for _, p := range peers {
				want := max(between[[2]string{n, p.Name}], between[[2]string{p.Name, n}])
				// A round trip is never too short, and the smallest of some not far too long.
				if p.RTT < 2*want || want == 0 && p.RTT >= 2*far {
					return false, fmt.Errorf("%s measures %v to %s, want %v", n, p.RTT, p.Name, 2*want)
				}
			}
			if len(peers) < len(names)-1 {
				return false, fmt.Errorf("%s has %d peers", n, len(peers))
			}
			return true, nil
		})
	}
}
