package router_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
)

// tells returns what a peer tells of its ways to others: a negative round trip is relayed.
func tells(rtts map[host.ID]time.Duration, unreached ...host.ID) func(*wire.Advert, *wire.Served) {
	return func(a *wire.Advert, _ *wire.Served) {
		for to, d := range rtts {
			a.RTTs = append(a.RTTs, wire.PeerRTT{Peer: to, Micros: uint32(d.Abs().Microseconds()), Relayed: d < 0})
		}
		a.Unreached = unreached
	}
}

type ways = map[host.ID]time.Duration

// pathCase is a swarm whose peers this one reaches within a millisecond, but for those away.
type pathCase struct {
	name    string
	adverts []*wire.Advert
	away    map[host.ID]string
	want    []host.ID        // nil: no chain
	path    []host.PathState // of its links
	rtt     time.Duration    // of the last one
	says    string           // about what is left out
}

func (tt *pathCase) check(t *testing.T) {
	t.Parallel()
	s := newSwarm(tt.adverts...)
	s.rtts, s.away = ways{peer(1): ms, peer(2): ms, peer(3): ms, peer(4): ms}, tt.away
	choice, err := s.router(t).Plan(asking(1, 99))
	if tt.want == nil {
		if !errors.Is(err, router.ErrNoChain) || !strings.Contains(err.Error(), tt.says) {
			t.Fatalf("got %v, %v, want no chain as %s", choice.Chain, err, tt.says)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	var got []host.ID
	var path []host.PathState
	for _, l := range choice.Chain.Links {
		got, path = append(got, l.Peer), append(path, l.Path)
	}
	if !slices.Equal(got, tt.want) || !slices.Equal(path, tt.path) {
		t.Errorf("got %s by %v, want %v by %v", choice.Chain, path, tt.want, tt.path)
	}
	if rtt := choice.Chain.Links[len(got)-1].RTT; rtt != tt.rtt {
		t.Errorf("round trip of the last link: %v, want %v", rtt, tt.rtt)
	}
	if tt.says != "" && (len(choice.LeftOut) != 1 || !strings.Contains(choice.LeftOut[0].Reason, tt.says)) {
		t.Errorf("left out: %+v", choice.LeftOut)
	}
}

// TestPlanKnowsPaths plans chains of two halves with peers that do not all reach each other.
func TestPlanKnowsPaths(t *testing.T) {
	t.Parallel()
	a, b, c, d := peer(1), peer(2), peer(3), peer(4)
	const off = "its machine refuses the connection"
	for _, tt := range []pathCase{
		{
			"a peer that is unreachable from here",
			[]*wire.Advert{stage(a, 0, 8, ms, nil), stage(b, 0, 8, 9*ms, nil)},
			map[host.ID]string{a: off},
			[]host.ID{b},
			[]host.PathState{host.PathDirect},
			ms, off,
		},
		{"only one that is unreachable from here", []*wire.Advert{stage(a, 0, 8, ms, nil)}, map[host.ID]string{a: off}, nil, nil, 0, off},
		{
			"two homes that do not reach each other, and a slow way round",
			[]*wire.Advert{stage(a, 0, 4, ms, tells(nil, b)), stage(b, 4, 8, ms, tells(nil, a)), stage(c, 4, 8, 50*ms, tells(ways{a: 9 * ms}))},
			nil,
			[]host.ID{a, c},
			[]host.PathState{host.PathDirect, host.PathDirect},
			9 * ms, "",
		},
		{
			"two homes that do not reach each other, as the second one tells",
			[]*wire.Advert{stage(a, 0, 4, ms, nil), stage(b, 4, 8, ms, tells(nil, a))},
			nil,
			nil, nil, 0, a.String() + " does not reach it",
		},
		{
			"two homes of which the second one has got through meanwhile",
			[]*wire.Advert{stage(a, 0, 4, ms, tells(nil, b)), stage(b, 4, 8, ms, tells(ways{a: 30 * ms}))},
			nil,
			[]host.ID{a, b},
			[]host.PathState{host.PathDirect, host.PathDirect},
			30 * ms, "",
		},
		{
			"two homes with a relay between them, at its round trip",
			[]*wire.Advert{stage(a, 0, 4, ms, tells(ways{b: -80 * ms})), stage(b, 4, 8, ms, nil)},
			nil,
			[]host.ID{a, b},
			[]host.PathState{host.PathDirect, host.PathRelayed},
			80 * ms, "",
		},
		{
			"a relay, or another peer that is somewhat slower",
			[]*wire.Advert{stage(a, 0, 4, ms, tells(ways{b: -9 * ms, c: 9 * ms})), stage(b, 4, 8, ms, nil), stage(c, 4, 8, 50*ms, nil)},
			nil,
			[]host.ID{a, c},
			[]host.PathState{host.PathDirect, host.PathDirect},
			9 * ms, "",
		},
		{
			"a relay, or another peer that is far slower",
			[]*wire.Advert{stage(a, 0, 4, ms, tells(ways{b: -9 * ms, c: 9 * ms})), stage(b, 4, 8, ms, nil), stage(c, 4, 8, 100*ms, nil)},
			nil,
			[]host.ID{a, b},
			[]host.PathState{host.PathDirect, host.PathRelayed},
			9 * ms, "",
		},
		{
			"a way that is measured and far, or one that nobody has tried",
			[]*wire.Advert{stage(a, 0, 4, ms, tells(ways{c: 150 * ms})), stage(b, 4, 8, ms, nil), stage(c, 4, 8, ms, nil)},
			nil,
			[]host.ID{a, c},
			[]host.PathState{host.PathDirect, host.PathDirect},
			150 * ms, "",
		},
		{
			"a way that nobody has tried, if there is no other",
			[]*wire.Advert{stage(a, 0, 4, ms, nil), stage(b, 4, 8, ms, nil)},
			nil,
			[]host.ID{a, b},
			[]host.PathState{host.PathDirect, host.PathUntried},
			50 * ms, "",
		},
		{
			"one peer's two stages, which need no way",
			[]*wire.Advert{twoStages(d, ms)},
			nil,
			[]host.ID{d, d},
			[]host.PathState{host.PathDirect, ""},
			0, "",
		},
	} {
		t.Run(tt.name, tt.check)
	}
}

// TestPlanWaitsNotForRelays checks that a relay's toll is no expected time.
func TestPlanWaitsNotForRelays(t *testing.T) {
	t.Parallel()
	s := newSwarm(stage(peer(1), 0, 8, ms, nil))
	s.rtts = map[host.ID]time.Duration{peer(1): -2 * ms}
	choice, err := s.router(t).Plan(asking(1, 11))
	if err != nil {
		t.Fatal(err)
	}
	if c, l := choice.Chain, choice.Chain.Links[0]; c.First != 10*ms || c.Token != 10*ms || c.Total != 110*ms || l.Via != peer(99) {
		t.Errorf("got %+v", c)
	}
}
