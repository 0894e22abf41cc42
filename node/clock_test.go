package node

import (
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
)

func TestClockProblem(t *testing.T) {
	t.Parallel()
	const five = 5 * time.Minute
	for _, c := range []struct {
		name    string
		offsets []time.Duration
		want    string // "" is no problem
	}{
		{"alone", nil, ""},
		{"all right", []time.Duration{time.Second, -3 * time.Second, 0}, ""},
		{"one peer", []time.Duration{five}, "beside this machine's that of peer p0 is 5m0s fast: look which is wrong"},
		{"this one is fast", []time.Duration{-five, -five - time.Second, -five}, "this machine's clock is 5m0s fast by those of 3 of 3 connected peers"},
		{"this one is slow, as most say", []time.Duration{five, 0, five, five}, "this machine's clock is 5m0s slow by those of 3 of 4 connected peers"},
		{"a peer is slow", []time.Duration{0, -five, time.Second}, "like those of most peers, that of peer p1 is 5m0s slow"},
	} {
		var peers []host.Peer
		for i, o := range c.offsets {
			peers = append(peers, host.Peer{ID: host.ID([]string{"p0", "p1", "p2", "p3"}[i]), Clock: o})
		}
		got := clockProblem(peers)
		for i := range peers { // identities are shown in base58
			got = strings.ReplaceAll(got, peers[i].ID.String(), string(peers[i].ID))
		}
		if (got == "") != (c.want == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
