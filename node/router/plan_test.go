package router_test

import (
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
)

// peer returns the id of a made-up peer; self is the one that plans.
func peer(n byte) host.ID {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = n
	return wire.PeerIDOf(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
}

var ( // constants in all but name
	self  = peer(0)
	model = wire.CIDOf([]byte("model"))
)

const blocks = 8

// swarm is what a router knows in a test.
type swarm struct {
	mu       sync.Mutex
	now      time.Time
	adverts  []*wire.Advert
	rtts     map[host.ID]time.Duration
	away     map[host.ID]string // why a peer is unreachable
	lost     map[host.ID]time.Time
	dial     func(ctx context.Context, h wire.Hop) (host.Stream, error)
	patience time.Duration
	alone    func(context.Context, cid.Cid) bool
	running  func() time.Time // instead of now, if set
}

func newSwarm(adverts ...*wire.Advert) *swarm {
	return &swarm{
		now: time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC), adverts: adverts, rtts: map[host.ID]time.Duration{},
		dial: func(context.Context, wire.Hop) (host.Stream, error) { return nil, errors.New("nobody there") },
	}
}

func (s *swarm) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.running != nil {
		return s.running()
	}
	return s.now
}

func (s *swarm) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = s.now.Add(d)
}

func (s *swarm) router(t testing.TB) *router.Router {
	t.Helper()
	r, err := router.New(router.Config{
		Self:    self,
		Adverts: func() []*wire.Advert { s.mu.Lock(); defer s.mu.Unlock(); return s.adverts },
		Path:    s.path,
		Dial:    func(ctx context.Context, h wire.Hop) (host.Stream, error) { return s.dial(ctx, h) },
		Log:     slog.New(slog.DiscardHandler), Now: s.clock, Patience: s.patience, Alone: s.alone,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// path is unreachable if there is a reason, and direct if a round trip is known, or relayed if
// that is negative.
func (s *swarm) path(id host.ID) host.Path {
	s.mu.Lock()
	since, lost := s.lost[id]
	s.mu.Unlock()
	if lost {
		return host.Path{State: host.PathLost, Since: since}
	}
	if why := s.away[id]; why != "" {
		return host.Path{State: host.PathUnreachable, Reason: why}
	}
	if d, ok := s.rtts[id]; ok && d < 0 {
		return host.Path{State: host.PathRelayed, RTT: -d, Via: peer(99)}
	} else if ok {
		return host.Path{State: host.PathDirect, RTT: d}
	}
	return host.Path{State: host.PathUntried}
}

// stage is the advert of a peer that serves one range; edit may be nil.
func stage(id host.ID, first, last uint32, step time.Duration, edit func(*wire.Advert, *wire.Served)) *wire.Advert {
	s := wire.Served{
		Range:  wire.Range{First: first, Last: last, Embed: first == 0, Head: last == blocks},
		StepNs: uint64(step), FreeSessions: 4, FreeTokens: 4096,
	}
	a := &wire.Advert{Peer: id}
	if edit != nil {
		edit(a, &s)
	}
	a.Models = []wire.ModelAdvert{{Model: model, Served: []wire.Served{s}}}
	return a
}

// asking is a request for an answer to a prompt.
func asking(prompt, answer int) router.Request {
	return router.Request{Model: model, Blocks: blocks, Prompt: prompt, Answer: answer}
}

// TestHostileAdvertsHideNothing has a peer that says absurd things of its stage, with ids
// that sort before and behind those of the others.
func TestHostileAdvertsHideNothing(t *testing.T) {
	t.Parallel()
	good, tail := peer(1), peer(2)
	for n := range 200 {
		hostile := stage(peer(byte(n+3)), 0, 8, 0, func(_ *wire.Advert, s *wire.Served) {
			s.StepNs = math.MaxUint64 >> (n % 64)
			s.Queue = math.MaxUint32
		})
		opening := stage(peer(byte(n+3)), 0, 4, 0, func(_ *wire.Advert, s *wire.Served) {
			s.StepNs, s.Queue = math.MaxInt64/4-uint64(n), uint32(n)
		})
		for name, adverts := range map[string][]*wire.Advert{
			"whole": {hostile, stage(good, 0, 8, time.Second, nil)},
			"chain": {opening, stage(good, 0, 4, time.Second, nil), stage(tail, 4, 8, time.Second, nil)},
		} {
			choice, err := newSwarm(adverts...).router(t).Plan(asking(1, 0))
			if err != nil || choice.Chain.Links[0].Peer != good || choice.Chain.Token <= 0 {
				t.Fatalf("%s, %d: %+v, %v", name, n, choice, err)
			}
		}
	}
}

func near(to host.ID, d time.Duration) func(*wire.Advert, *wire.Served) {
	return func(a *wire.Advert, _ *wire.Served) {
		a.RTTs = append(a.RTTs, wire.PeerRTT{Peer: to, Micros: uint32(d.Microseconds())})
	}
}

func TestPlanTakesTheLeastExpectedTime(t *testing.T) {
	t.Parallel()
	a, b, c, d := peer(1), peer(2), peer(3), peer(4)
	const ms = time.Millisecond
	for _, tt := range []struct {
		name    string
		adverts []*wire.Advert
		rtts    map[host.ID]time.Duration
		want    []host.ID
		token   time.Duration
	}{
		{
			"the faster of two whole models",
			[]*wire.Advert{stage(a, 0, 8, 2*ms, nil), stage(b, 0, 8, ms, nil)},
			map[host.ID]time.Duration{a: ms, b: ms},
			[]host.ID{b},
			9 * ms,
		},
		{
			"a near slow one instead of a far fast one",
			[]*wire.Advert{stage(a, 0, 8, 2*ms, nil), stage(b, 0, 8, ms, nil)},
			map[host.ID]time.Duration{a: ms, b: 30 * ms},
			[]host.ID{a},
			17 * ms,
		},
		{
			"whoever has no queue",
			[]*wire.Advert{stage(a, 0, 8, 2*ms, nil), stage(b, 0, 8, ms, func(_ *wire.Advert, s *wire.Served) { s.Queue = 3 })},
			map[host.ID]time.Duration{a: ms, b: ms},
			[]host.ID{a},
			17 * ms,
		},
		{
			"itself, at no distance",
			[]*wire.Advert{stage(self, 0, 8, 2*ms, nil), stage(b, 0, 8, ms, nil)},
			map[host.ID]time.Duration{b: 10 * ms},
			[]host.ID{self},
			16 * ms,
		},
		{
			"two near halves instead of a slow whole",
			[]*wire.Advert{stage(a, 0, 8, 10*ms, nil), stage(b, 0, 4, ms, near(c, ms)), stage(c, 4, 8, ms, nil)},
			map[host.ID]time.Duration{a: ms, b: ms, c: ms},
			[]host.ID{b, c},
			10 * ms,
		},
		{
			"the second half that is near the first, not near us",
			[]*wire.Advert{stage(b, 0, 4, ms, nil), stage(c, 4, 8, ms, near(b, 40*ms)), stage(d, 4, 8, ms, near(b, 2*ms))},
			map[host.ID]time.Duration{b: ms, c: ms, d: 90 * ms},
			[]host.ID{b, d},
			11 * ms,
		},
		{
			"the measured link instead of an unknown one",
			[]*wire.Advert{stage(b, 0, 4, ms, near(d, 2*ms)), stage(c, 4, 8, ms, nil), stage(d, 4, 8, 2*ms, nil)},
			map[host.ID]time.Duration{b: ms},
			[]host.ID{b, d},
			15 * ms,
		},
		{
			"no relay if there is another way",
			[]*wire.Advert{stage(a, 0, 8, 20*ms, nil), stage(b, 0, 8, ms, nil)},
			map[host.ID]time.Duration{a: ms, b: -ms}, // relayed
			[]host.ID{a},
			161 * ms,
		},
		{
			"both halves on one peer, with no way between them",
			[]*wire.Advert{twoStages(a, ms), stage(b, 4, 8, ms, nil)},
			map[host.ID]time.Duration{a: ms, b: ms},
			[]host.ID{a, a},
			9 * ms,
		},
		{
			"overlapping ranges do not make a chain",
			[]*wire.Advert{stage(a, 0, 5, ms, nil), stage(b, 3, 8, ms, nil), stage(c, 0, 8, 50*ms, nil)},
			map[host.ID]time.Duration{a: ms, b: ms, c: ms},
			[]host.ID{c},
			401 * ms,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSwarm(tt.adverts...)
			s.rtts = tt.rtts
			choice, err := s.router(t).Plan(asking(1, 99))
			if err != nil {
				t.Fatal(err)
			}
			var got []host.ID
			next := uint32(0)
			for _, l := range choice.Chain.Links {
				got = append(got, l.Peer)
				if l.Range.First != next {
					t.Errorf("a gap before block %d", l.Range.First)
				}
				next = l.Range.Last
			}
			if len(got) != len(tt.want) || next != blocks {
				t.Fatalf("got %s", choice.Chain)
			}
			for i := range got {
				if got[i] != tt.want[i] {
					t.Errorf("link %d: got %s, want %s", i, got[i], tt.want[i])
				}
			}
			if choice.Chain.Token != tt.token {
				t.Errorf("expected time: got %v, want %v", choice.Chain.Token, tt.token)
			}
			if choice.Stages != len(tt.adverts) && tt.name != "both halves on one peer, with no way between them" {
				t.Errorf("%d stages considered, want %d", choice.Stages, len(tt.adverts))
			}
		})
	}
}

func twoStages(id host.ID, step time.Duration) *wire.Advert {
	a := stage(id, 0, 4, step, nil)
	a.Models[0].Served = append(a.Models[0].Served, stage(id, 4, 8, step, nil).Models[0].Served[0])
	return a
}

// TestPlanIsTheSameForAnyOrder has many equal chains: the order of adverts must not decide.
func TestPlanIsTheSameForAnyOrder(t *testing.T) {
	t.Parallel()
	var adverts []*wire.Advert
	for i := byte(1); i <= 6; i++ {
		adverts = append(adverts, stage(peer(i), uint32(i%2)*4, uint32(i%2)*4+4, time.Millisecond, nil))
	}
	var first string
	for range len(adverts) {
		adverts = append(adverts[1:len(adverts):len(adverts)], adverts[0])
		choice, err := newSwarm(adverts...).router(t).Plan(asking(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		if first == "" {
			first = choice.Chain.String()
		}
		if got := choice.Chain.String(); got != first {
			t.Errorf("got %s, before it was %s", got, first)
		}
	}
}

func TestPlanNamesWhatIsMissing(t *testing.T) {
	t.Parallel()
	a, b := peer(1), peer(2)
	full := func(_ *wire.Advert, s *wire.Served) { s.FreeSessions = 0 }
	small := func(_ *wire.Advert, s *wire.Served) { s.FreeTokens = 10 }
	for _, tt := range []struct {
		name    string
		adverts []*wire.Advert
		want    []string // parts of the text
		left    int
	}{
		{"nobody", nil, []string{"no peer serves any of it"}, 0},
		{"another model", []*wire.Advert{{Peer: a, Models: []wire.ModelAdvert{{Model: wire.CIDOf([]byte("x"))}}}}, []string{"no peer serves any of it"}, 0},
		{"the second half", []*wire.Advert{stage(a, 0, 4, 1, nil)}, []string{"blocks 4-7", "the head"}, 0},
		{"the first half", []*wire.Advert{stage(a, 4, 8, 1, nil)}, []string{"the embedding", "blocks 0-3"}, 0},
		{"the middle", []*wire.Advert{stage(a, 0, 2, 1, nil), stage(b, 5, 8, 1, nil)}, []string{"nobody serves blocks 2-4"}, 0},
		{"nothing, but they do not fit", []*wire.Advert{stage(a, 0, 5, 1, nil), stage(b, 3, 8, 1, nil)}, []string{"do not fit together"}, 0},
		{"busy peers", []*wire.Advert{stage(a, 0, 8, 1, full)}, []string{"no peer serves any of it", a.String(), "no session free"}, 1},
		{"peers with little memory", []*wire.Advert{stage(a, 0, 4, 1, nil), stage(b, 4, 8, 1, small)}, []string{"blocks 4-7", "memory for 10 tokens, the request needs 100"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			choice, err := newSwarm(tt.adverts...).router(t).Plan(asking(1, 99))
			if !errors.Is(err, router.ErrNoChain) || choice.Chain != nil {
				t.Fatalf("got %v, %v", choice.Chain, err)
			}
			for _, part := range tt.want {
				if !strings.Contains(choice.Missing, part) || !strings.Contains(err.Error(), part) {
					t.Errorf("got %q and %q, want %q in both", choice.Missing, err, part)
				}
			}
			if len(choice.LeftOut) != tt.left {
				t.Errorf("left out: %+v", choice.LeftOut)
			}
		})
	}
}

// TestNewRefuses leaves out what is required.
func TestNewRefuses(t *testing.T) {
	t.Parallel()
	if _, err := router.New(router.Config{Self: self}); err == nil {
		t.Error("a router of nothing is made")
	}
}

// BenchmarkPlanOfManyStages plans among what the peers of one token may advertise: as many as a
// swarm bears, each with as many stages as an advert may have, and all its ways.
func BenchmarkPlanOfManyStages(b *testing.B) {
	adverts := manyStages(512)
	r := newSwarm(adverts...).router(b)
	for b.Loop() {
		if _, err := r.Plan(asking(8, 8)); err != nil {
			b.Fatal(err)
		}
	}
}

// manyStages returns adverts of n peers with both halves of the model eight times over, and ways to others.
func manyStages(n int) []*wire.Advert {
	ids := make([]host.ID, n)
	for i := range ids {
		seed := make([]byte, ed25519.SeedSize)
		binary.BigEndian.PutUint32(seed, uint32(i)+1000)
		ids[i] = wire.PeerIDOf(ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey))
	}
	var out []*wire.Advert
	for i, id := range ids {
		a := stage(id, 0, 4, time.Second, nil)
		first := a.Models[0].Served[0]
		second := stage(id, 4, blocks, time.Second, nil).Models[0].Served[0]
		a.Models[0].Served = slices.Concat(slices.Repeat([]wire.Served{first}, 8), slices.Repeat([]wire.Served{second}, 8))
		for k := range 64 {
			a.RTTs = append(a.RTTs, wire.PeerRTT{Peer: ids[(i+k+1)%n], Micros: 1000})
		}
		out = append(out, a)
	}
	return out
}

// TestRepeatedStagesCountOnce has peers that advertise the same stages over and over.
func TestRepeatedStagesCountOnce(t *testing.T) {
	t.Parallel()
	choice, err := newSwarm(manyStages(5)...).router(t).Plan(asking(8, 8))
	if err != nil || choice.Stages != 10 {
		t.Errorf("%d stages are considered, %v", choice.Stages, err)
	}
}
