package node

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
)

// clockProblem returns which clock seems to be wrong, by those of the connected peers, and
// what comes of it; nothing is "".
func clockProblem(peers []host.Peer) string {
	if len(peers) == 0 {
		return ""
	}
	offsets := make([]time.Duration, 0, len(peers))
	var far []string
	for _, p := range peers {
		offsets = append(offsets, p.Clock)
		if p.Clock.Abs() > api.ClockFar {
			far = append(far, fmt.Sprintf("that of peer %s is %s", p.ID, clockText(p.Clock)))
		}
	}
	slices.Sort(offsets)
	const effect = "peers do not hear each other's adverts and may refuse memberships: set it right"
	switch median := offsets[(len(offsets)-1)/2]; {
	case len(far) == 0:
		return ""
	case len(peers) > 2 && median.Abs() > api.ClockFar:
		return fmt.Sprintf("this machine's clock is %s by those of %d of %d connected peers: %s", clockText(-median), len(far), len(peers), effect)
	case len(peers) > 2:
		return fmt.Sprintf("clocks differ, this machine's is like those of most peers, %s: %s", strings.Join(far[:min(len(far), 3)], ", "), effect)
	}
	return fmt.Sprintf("clocks differ, beside this machine's %s: look which is wrong; %s", strings.Join(far, ", "), effect)
}

// clockText tells by how much a clock is fast or slow.
func clockText(by time.Duration) string {
	way := "fast"
	if by < 0 {
		way = "slow"
	}
	return fmt.Sprintf("%v %s", by.Abs().Round(time.Second), way)
}
