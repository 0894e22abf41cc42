package trainer

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// testPeer is a node as far as training needs it, on a port of its own.
type testPeer struct {
	host     *host.Host
	trainer  *Trainer
	dir      string
	registry *prometheus.Registry
	kill     func() // ends it, and waits until it has ended
}

// testPeers starts peers of one swarm that are connected.
func testPeers(t *testing.T, n int) (list []*testPeer) {
	t.Helper()
	var token *wire.Token
	for range n {
		p := startPeer(t, token)
		if token == nil {
			var err error
			if token, err = p.host.Invite(host.Invitation{Addrs: p.host.Addrs()}); err != nil {
				t.Fatal(err)
			}
		}
		for _, o := range list {
			if err := p.host.Connect(t.Context(), o.host.Addrs()[0]); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, p)
	}
	return list
}

func startPeer(t *testing.T, token *wire.Token) *testPeer {
	t.Helper()
	dir := t.TempDir()
	creds, err := host.OpenCredentials(dir, token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return startPeerAs(t, dir, creds, time.Now)
}

// startPeerAs starts a peer of some credentials, by some clock.
func startPeerAs(t *testing.T, dir string, creds *host.Credentials, now func() time.Time) *testPeer {
	t.Helper()
	p := &testPeer{dir: dir, registry: prometheus.NewRegistry()}
	c := host.Default()
	c.Credentials, c.Version, c.Listen, c.MDNS, c.DHT, c.NAT = creds, "test", []string{"/ip4/127.0.0.1/tcp/0"}, false, false, false
	c.Registerer, c.Now = p.registry, now
	var err error
	if p.host, err = host.New(c); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Config{Dir: filepath.Join(p.dir, "store")})
	if err != nil {
		t.Fatal(err)
	}
	x, err := exchange.New(exchange.Config{Store: s, Open: p.host.Open, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	p.trainer, err = New(Config{Log: slog.New(slog.DiscardHandler), Now: now, Net: &Network{Host: p.host, Exchange: x, Store: s, Key: creds.Key, Name: p.host.Name}})
	if err != nil {
		t.Fatal(err)
	}
	p.host.Handle(protocol.Blocks, x.Serve)
	p.host.Handle(protocol.Train, p.trainer.Serve)
	p.host.Handle(protocol.Agree, p.trainer.Talk)
	ctx, cancel := context.WithCancel(context.Background())
	var parts sync.WaitGroup
	for _, run := range []func(context.Context) error{s.Run, p.host.Run, p.trainer.Run} {
		parts.Go(func() {
			if err := run(ctx); err != nil {
				t.Errorf("a peer ends: %v", err)
			}
		})
	}
	p.kill = sync.OnceFunc(func() {
		cancel()
		parts.Wait()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(p.kill)
	select {
	case <-p.host.Ready():
	case <-t.Context().Done():
		t.Fatal("the host does not begin")
	}
	return p
}

// pupil learns to be where its goal is: alone it gets there, and with others to the middle of all
// goals.
type pupil struct {
	all *sync.WaitGroup // who begins together; nil: it comes late
	*testPeer
	t     *testing.T
	goal  []float32
	lie   func(own []float32)                               // before it shows its numbers
	tell  func(p *pupil, g *gossiper)                       // after each step
	halt  func(turn uint64) bool                            // it is killed then
	came  func(g *gossiper)                                 // it is a member
	slow  func() bool                                       // its turns take long
	open  func(n int, genesis train.Hash) (*session, error) //
	busy  *atomic.Int32                                     // pupils that learn
	own   []float32                                         // its numbers before the job ended
	end   []float32                                         // those of the job
	mix   int                                               // turns after which something was mixed
	turns int
}

const goalRate = 0.1

// learn takes part in a job until it ends.
func (p *pupil) learn(ctx context.Context, set *train.Settings) error {
	m := newNumbers(make([]float32, len(p.goal)))
	g := &gossiper{learner: &learner{settings: set, wait: &polite{now: time.Now}, now: time.Now, leaving: func() bool { return false }, left: func() {}}}
	v, err := g.enter(ctx, m, 1, p.open)
	if err == nil {
		err = g.mingle()
	}
	defer func() {
		if g.s != nil {
			err = errors.Join(err, p.trainer.close(g.s))
		}
	}()
	if err != nil || v.End != "" {
		return err
	}
	if p.came != nil {
		p.came(g)
	}
	p.busy.Add(1)
	idle := sync.OnceFunc(func() { p.busy.Add(-1) })
	defer idle()
	if p.all != nil {
		p.all.Done()
		p.all.Wait()
	}
	values := m.params.Values
	for {
		if ctx.Err() != nil || p.halt != nil && p.halt(g.mixer.turn()) {
			return nil
		}
		loss := 0.0
		for i, v := range values {
			d := v - p.goal[i]
			loss += float64(d * d)
			values[i] = v - goalRate*d
		}
		p.own = slices.Clone(values)
		if p.lie != nil {
			p.lie(values)
		}
		if err := g.Gradient(ctx, job.Step{}); err != nil {
			return err
		}
		turn := g.mixer.turn()
		if turn+1 >= set.Rounds {
			idle() // it is about to be done
		}
		v, err := g.Stepped(ctx, job.Step{Samples: 1, Loss: loss})
		if err != nil {
			return err
		}
		if v.End != "" {
			p.end = slices.Clone(values)
			return nil
		}
		if p.lie != nil {
			copy(values, p.own)
		}
		if p.tell != nil {
			p.tell(p, g)
		}
		if g.mixer.turn() != turn {
			p.turns++
			p.pace(ctx, g.mixer)
		}
	}
}

// pace lets learning take about as long as vectors are on their way: it waits for some, but never
// long.
func (p *pupil) pace(ctx context.Context, x *mixer) {
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	late := time.NewTimer(500 * time.Millisecond)
	defer late.Stop()
	for p.busy.Load() > 1 {
		x.mu.Lock()
		n := len(x.waiting)
		x.mu.Unlock()
		if n >= min(3, int(p.busy.Load())-1) && (p.slow == nil || !p.slow()) {
			p.mix++
			return
		}
		select {
		case <-look.C:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// class is pupils that learn one job.
type class struct {
	t      *testing.T
	set    train.Settings
	pupils []*pupil
	known  chan train.Hash
	busy   atomic.Int32
	begin  sync.WaitGroup
}

func newClass(t *testing.T, n, first, values int, set train.Settings) *class {
	t.Helper()
	set.Mode, set.Quorum, set.MinPeers, set.Group = train.Gossip, train.Majority, uint64(first), 16
	if set.Rule == "" {
		set.Rule = "gossip"
	}
	c := &class{t: t, set: set, known: make(chan train.Hash, n)}
	peers := testPeers(t, n)
	middle := normal(values, 99)
	for i, peer := range peers {
		p := &pupil{testPeer: peer, t: t, goal: normal(values, uint64(i)), busy: &c.busy}
		for k := range p.goal {
			p.goal[k] += 3 * middle[k]
		}
		a := &Averaging{Dir: filepath.Join(peer.dir, "job"), Threads: 1}
		if i == 0 {
			a.Known = func(h train.Hash) {
				for range n - 1 {
					c.known <- h
				}
			}
		}
		p.open = func(values int, genesis train.Hash) (*session, error) {
			if i > 0 {
				a.Job, a.Initiator = <-c.known, peers[0].host.ID()
			}
			return peer.trainer.openAveraging(t.Context(), a, &c.set, values, genesis)
		}
		if i < first {
			p.all = &c.begin
		}
		c.pupils = append(c.pupils, p)
	}
	c.begin.Add(first)
	return c
}

// run lets all learn to the end.
func (c *class) run(list ...*pupil) {
	var all sync.WaitGroup
	for _, p := range list {
		all.Go(func() {
			if err := p.learn(c.t.Context(), &c.set); err != nil {
				c.t.Errorf("a pupil fails: %v", err)
			}
		})
	}
	all.Wait()
}

// away is the root of the mean squared distance.
func away(x, y []float32) float64 {
	sum := 0.0
	for i, v := range x {
		sum += float64(v-y[i]) * float64(v-y[i])
	}
	return math.Sqrt(sum / float64(len(x)))
}

// check looks at where honest pupils are: near the middle of their goals, and all with one model.
func (c *class) check(honest ...*pupil) {
	c.t.Helper()
	middle := make([]float32, len(honest[0].goal))
	for _, p := range honest {
		for i, v := range p.goal {
			middle[i] += v / float32(len(honest))
		}
	}
	for i, p := range honest {
		if p.end == nil || !slices.Equal(p.end, honest[0].end) {
			c.t.Errorf("pupil %d does not have the model of the others at the end", i)
			continue
		}
		// One alone ends 0.9 away from the middle, and all began 3 away.
		if d, e := away(p.own, middle), away(p.end, middle); !(d < 0.6) || !(e < 0.6) {
			c.t.Errorf("pupil %d is %.2f away from the middle, the model %.2f; it mixed %d times", i, d, e, p.mix)
		}
		for _, o := range honest[:i] {
			if d := away(p.own, o.own); !(d < 0.6) { // 1.4 are their goals apart
				c.t.Errorf("two pupils are %.2f apart", d)
			}
		}
	}
}

// TestGossip has members that mix with each other over real connections: they come near to each
// other and to where one would be that learned from all, and end with one model. A member that lies
// does not spoil it.
func TestGossip(t *testing.T) { // alone: many peers are work enough for a small machine
	scale := func(by float32) func([]float32) {
		return func(own []float32) {
			for i := range own {
				own[i] *= by
			}
		}
	}
	for _, c := range []struct {
		name string
		lie  func([]float32)
		tell func(*pupil, *gossiper)
	}{
		{name: "honest"}, {name: "sign flip", lie: scale(-1)}, {name: "scaled", lie: scale(100)}, {name: "not a number", tell: tellNaN},
	} {
		t.Run(c.name, func(t *testing.T) {
			class := newClass(t, 6, 6, 500, train.Settings{Rounds: 60, InnerSteps: 2, Codec: "f32"})
			liar := class.pupils[5]
			liar.lie, liar.tell = c.lie, c.tell
			class.run(class.pupils...)
			if class.check(class.pupils[:5]...); c.lie == nil && c.tell == nil {
				class.check(class.pupils...)
			}
		})
	}
}

// tellNaN sends all members a vector with a value that is no number.
func tellNaN(p *pupil, g *gossiper) {
	n := len(p.goal)
	data, err := g.mixer.codec.Encoder(false).Encode(nil, 0, make([]float32, n), 1)
	if err != nil {
		p.t.Error(err)
	}
	binary.LittleEndian.PutUint32(data[len(data)-4:], math.Float32bits(float32(math.NaN())))
	v := &train.Vector{Job: g.s.id, Turn: g.mixer.turn(), Peer: g.s.me, Base: g.root, Data: data}
	b := &train.Bundle{Messages: []train.Sealed{*g.s.sign(v)}}
	view := g.s.now()
	for _, to := range view.others(g.s.me) {
		_ = g.s.net.client.Tell(p.t.Context(), to, b) // one that has ended does not take it
	}
}

// TestGossipLarge has vectors that do not fit a message: they are fetched.
func TestGossipLarge(t *testing.T) {
	t.Parallel()
	c := newClass(t, 3, 3, protocol.MaxTrainInline/4+1000, train.Settings{Rounds: 40, InnerSteps: 2, Codec: "f32"})
	c.run(c.pupils...)
	c.check(c.pupils...)
}

// TestGossipGoesOn kills a member, and has another one come late, which begins with a certified
// state.
func TestGossipGoesOn(t *testing.T) {
	t.Parallel()
	c := newClass(t, 5, 4, 500, train.Settings{Rounds: 48, InnerSteps: 2, Codec: "int8", SilentRounds: 1})
	killed, late := c.pupils[3], c.pupils[4]
	var in atomic.Bool // the job goes slowly until all are there
	for _, p := range c.pupils[:3] {
		p.slow = func() bool { return !in.Load() && p.turns > 6 }
	}
	killed.halt = func(turn uint64) bool { return turn >= 6 }
	late.came = func(g *gossiper) {
		in.Store(true)
		if v := g.s.now(); v.status.Round < 2 || g.mixer.turn() < snapshotTurns || away(g.own.base, make([]float32, 500)) == 0 {
			t.Errorf("the late one begins in round %d, turn %d", v.status.Round, g.mixer.turn())
		}
	}
	var all sync.WaitGroup
	all.Go(func() {
		c.run(killed)
		killed.kill()
		c.run(late)
	})
	c.run(c.pupils[:3]...)
	all.Wait()
	for i, p := range []*pupil{c.pupils[0], c.pupils[1], c.pupils[2], late} {
		if p.end == nil || !slices.Equal(p.end, c.pupils[0].end) {
			t.Errorf("pupil %d does not have the model of the others at the end", i)
		}
	}
}
