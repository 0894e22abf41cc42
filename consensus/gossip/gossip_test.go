package gossip_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/gossip"
	"github.com/covey-network/covey/consensus/group"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

var job = train.HashOf([]byte("job"))

func peers(n int) []wire.PeerID {
	list := make([]wire.PeerID, n)
	for i := range list {
		list[i] = wire.PeerID(fmt.Sprintf("peer %04d", i))
	}
	return list
}

func rule(t *testing.T, name string) robust.Rule {
	t.Helper()
	r, err := robust.Parse(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func machine(t *testing.T, cfg gossip.Config, turn uint64, members []wire.PeerID) *gossip.Machine {
	t.Helper()
	if cfg.Job.IsZero() {
		cfg.Job = job
	}
	m, err := gossip.New(cfg, turn)
	if err != nil {
		t.Fatal(err)
	}
	m.Members(members)
	return m
}

// TestMeets lets members mix that learn nothing: they come together, near the mean.
func TestMeets(t *testing.T) {
	t.Parallel()
	for _, n := range []int{2, 3, 9, 60} {
		members := peers(n)
		var ms []*gossip.Machine
		var values [][]float32
		mean := 0.0
		for i, p := range members {
			ms = append(ms, machine(t, gossip.Config{Me: p, Values: 1, Rule: rule(t, "gossip:1000")}, 0, members))
			values = append(values, []float32{float32(i * i % 17)})
			mean += float64(values[i][0]) / float64(n)
		}
		for range 60 {
			for i, m := range ms {
				for _, to := range m.To() {
					k, _ := slices.BinarySearch(members, to)
					u := gossip.Update{Peer: members[i], Turn: m.Turn(), Values: slices.Clone(values[i])}
					if err := ms[k].Step(u); err != nil && !errors.Is(err, gossip.ErrFull) {
						t.Fatalf("%d members: %v", n, err)
					}
				}
			}
			for i, m := range ms {
				dst := make([]float32, 1)
				if _, err := m.Mix(dst, values[i]); err != nil {
					t.Fatal(err)
				}
				values[i] = dst
			}
		}
		for i := range values {
			if math.Abs(float64(values[i][0]-values[0][0])) > 1e-3 || math.Abs(float64(values[i][0])-mean) > 1.5 {
				t.Errorf("%d members: member %d has %v, the first one %v, the mean was %v", n, i, values[i][0], values[0][0], mean)
			}
		}
	}
}

// sender finds a member that sends to another one in a turn, and one that does not.
func sender(to wire.PeerID, members []wire.PeerID, turn uint64, degree float64, want bool) wire.PeerID {
	for _, p := range members {
		if p != to && group.Drawn(job, turn, p, to, len(members), degree) == want {
			return p
		}
	}
	return ""
}

// TestIgnores names what is not used, and why.
func TestIgnores(t *testing.T) {
	t.Parallel()
	members := peers(40)
	me := members[7]
	cfg := gossip.Config{Me: me, Values: 2, Rule: rule(t, "gossip:9"), Degree: 4, Window: 3}
	ok := []float32{1, 2}
	near := sender(me, members, 10, 4, true)
	for _, c := range []struct {
		name string
		u    gossip.Update
		want error
	}{
		{"good", gossip.Update{Peer: near, Turn: 10, Values: ok}, nil},
		{"own", gossip.Update{Peer: me, Turn: 10, Values: ok}, gossip.ErrStranger},
		{"stranger", gossip.Update{Peer: "stranger", Turn: 10, Values: ok}, gossip.ErrStranger},
		{"old", gossip.Update{Peer: near, Turn: 6, Values: ok}, gossip.ErrStale},
		{"far ahead", gossip.Update{Peer: sender(me, members, 14, 4, true), Turn: 14, Values: ok}, gossip.ErrStale},
		{"no edge", gossip.Update{Peer: sender(me, members, 10, 5, false), Turn: 10, Values: ok}, gossip.ErrEdge},
		{"short", gossip.Update{Peer: near, Turn: 10, Values: ok[:1]}, gossip.ErrMalformed},
		{"not a number", gossip.Update{Peer: near, Turn: 10, Values: []float32{1, float32(math.NaN())}}, gossip.ErrMalformed},
		{"turn without end", gossip.Update{Peer: near, Turn: math.MaxUint64, Values: ok}, gossip.ErrMalformed},
	} {
		m := machine(t, cfg, 10, members)
		if err := m.Step(c.u); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	m := machine(t, cfg, 10, members)
	u := gossip.Update{Peer: near, Turn: 10, Values: ok}
	if err := m.Step(u); err != nil {
		t.Fatal(err)
	}
	if err := m.Step(u); !errors.Is(err, gossip.ErrRepeated) {
		t.Errorf("the same again: %v", err)
	}
	dst := make([]float32, 2)
	if used, err := m.Mix(dst, []float32{0, 0}); err != nil || !slices.Equal(used, []wire.PeerID{near}) || dst[0] == 0 {
		t.Errorf("mixed %v of %v: %v", dst, used, err)
	}
	if err := m.Step(u); !errors.Is(err, gossip.ErrRepeated) {
		t.Errorf("the same after it was mixed: %v", err)
	}
	if used, err := m.Mix(dst, []float32{5, 5}); err != nil || len(used) > 0 || dst[0] != 5 {
		t.Errorf("nothing came, but %v of %v: %v", dst, used, err)
	}
}

// TestBounded floods a member: what waits is bounded, and mixing moves it no farther than the
// radius.
func TestBounded(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 1))
	members := peers(500)
	me := members[3]
	m := machine(t, gossip.Config{Me: me, Values: 2, Rule: rule(t, "gossip:0.5"), Degree: 4}, 0, members)
	own := []float32{1, -1}
	for range 50 {
		taken := map[wire.PeerID]bool{}
		for range 5000 {
			u := gossip.Update{Peer: members[rng.IntN(len(members))], Turn: m.Turn() + rng.Uint64N(30), Values: []float32{1e30, float32(rng.NormFloat64())}}
			if m.Step(u) == nil {
				taken[u.Peer] = true
			}
		}
		if len(taken) > 8 {
			t.Fatalf("%d vectors wait, at most 8", len(taken))
		}
		dst := make([]float32, 2)
		used, err := m.Mix(dst, own)
		if err != nil || len(used) > 8 {
			t.Fatalf("%d used: %v", len(used), err)
		}
		if d := math.Hypot(float64(dst[0]-own[0]), float64(dst[1]-own[1])); !(d <= 0.5+1e-6) {
			t.Fatalf("moved by %v, the radius is 0.5", d)
		}
		own = dst
	}
}

// TestFirstToCome has a liar far away that is heard first: it does not move a member before others
// were heard, and then no farther than they do. Of two members each trusts the other one.
func TestFirstToCome(t *testing.T) {
	t.Parallel()
	members := peers(5)
	m := machine(t, gossip.Config{Me: members[0], Values: 1, Rule: rule(t, "gossip")}, 0, members)
	own := float32(0)
	mix := func(values map[int]float32) float64 {
		t.Helper()
		for i, v := range values {
			if err := m.Step(gossip.Update{Peer: members[i], Turn: m.Turn(), Values: []float32{v}}); err != nil {
				t.Fatal(err)
			}
		}
		dst := make([]float32, 1)
		if _, err := m.Mix(dst, []float32{own}); err != nil {
			t.Fatal(err)
		}
		moved := math.Abs(float64(dst[0] - own))
		own = dst[0]
		return moved
	}
	for turn, c := range []struct {
		values map[int]float32
		least  float64
		most   float64
	}{{map[int]float32{1: 1e6}, 0, 0}, {map[int]float32{1: 1e6, 2: 1}, 0, 0}, {map[int]float32{1: 1e6, 3: 1}, 0.1, 1}, {map[int]float32{1: -1e6}, 0.1, 1}} {
		if moved := mix(c.values); moved < c.least || moved > c.most {
			t.Errorf("turn %d: moved by %v, want %v to %v", turn, moved, c.least, c.most)
		}
	}
	pair := machine(t, gossip.Config{Me: members[0], Values: 1, Rule: rule(t, "gossip")}, 0, members[:2])
	if err := pair.Step(gossip.Update{Peer: members[1], Values: []float32{8}}); err != nil {
		t.Fatal(err)
	}
	dst := make([]float32, 1)
	if _, err := pair.Mix(dst, []float32{0}); err != nil || dst[0] != 4 {
		t.Errorf("of two, one is moved to %v: %v", dst[0], err)
	}
}

// TestNewcomer takes the middle of what the first neighbours have, sends nothing before, and
// comes to their turn.
func TestNewcomer(t *testing.T) {
	t.Parallel()
	members := peers(6)
	m := machine(t, gossip.Config{Me: members[0], Values: 1, Rule: rule(t, "gossip"), Fresh: true}, 0, members)
	mix := func(own float32) float32 {
		t.Helper()
		dst := make([]float32, 1)
		if _, err := m.Mix(dst, []float32{own}); err != nil {
			t.Fatal(err)
		}
		return dst[0]
	}
	tell := func(values ...float32) {
		for i, v := range values {
			_ = m.Step(gossip.Update{Peer: members[i+1], Turn: 500, Values: []float32{v}})
		}
	}
	tell(7, 8, 1e9)
	if got := mix(1); got != 1 || !m.Fresh() || m.Turn() != 500 || len(m.To()) != 0 {
		t.Errorf("after the first look: %v, fresh %v, turn %d", got, m.Fresh(), m.Turn())
	}
	tell(7, 8, 1e9)
	if got := mix(1); got != 8 || m.Fresh() || m.Turn() != 501 {
		t.Errorf("among the others: %v, fresh %v, turn %d", got, m.Fresh(), m.Turn())
	}
	if len(m.To()) != 5 {
		t.Errorf("it sends to %v", m.To())
	}
	// One liar far ahead does not make a member begin anew.
	_ = m.Step(gossip.Update{Peer: members[1], Turn: 1 << 20, Values: []float32{0}})
	if mix(8); m.Fresh() || m.Turn() != 502 {
		t.Errorf("one far ahead: fresh %v, turn %d", m.Fresh(), m.Turn())
	}
}

// TestMembersChange checks that nothing of a peer that has gone is kept.
func TestMembersChange(t *testing.T) {
	t.Parallel()
	members := peers(4)
	m := machine(t, gossip.Config{Me: members[0], Values: 1, Rule: rule(t, "gossip:10")}, 0, members)
	if err := m.Step(gossip.Update{Peer: members[1], Values: []float32{3}}); err != nil {
		t.Fatal(err)
	}
	m.Members(members[2:])
	dst := make([]float32, 1)
	if used, err := m.Mix(dst, []float32{1}); err != nil || len(used) > 0 || dst[0] != 1 {
		t.Errorf("mixed %v of %v: %v", dst, used, err)
	}
	m.Members(nil)
	if len(m.To()) > 0 {
		t.Errorf("alone, it sends to %v", m.To())
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	good := gossip.Config{Job: job, Me: "me", Values: 1, Rule: rule(t, "gossip")}
	if _, err := gossip.New(good, 1); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*gossip.Config){
		"no job":     func(c *gossip.Config) { c.Job = train.Hash{} },
		"no peer":    func(c *gossip.Config) { c.Me = "" },
		"no values":  func(c *gossip.Config) { c.Values = 0 },
		"degree":     func(c *gossip.Config) { c.Degree = gossip.MaxDegree + 1 },
		"other rule": func(c *gossip.Config) { c.Rule = rule(t, "mean") },
	} {
		c := good
		change(&c)
		if _, err := gossip.New(c, 0); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := gossip.New(good, math.MaxUint64); err == nil {
		t.Error("a turn without end is taken")
	}
	m := machine(t, good, 0, nil)
	if _, err := m.Mix(make([]float32, 1), []float32{float32(math.Inf(1))}); !errors.Is(err, gossip.ErrMalformed) {
		t.Errorf("own vector that is not finite: %v", err)
	}
}
