package router_test

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const ms = time.Millisecond

// shaped is a request to a model of which it is known what comes out.
func shaped() router.Request {
	r := request()
	r.Shape = router.Shape{Vocab: 1000, Dim: 4}
	return r
}

// current makes an advert that of a peer which tells its progress.
func current(a *wire.Advert, s *wire.Served) {
	a.Capability, a.Seq, s.PrefillNs = protocol.ProgressCapability, 1, 1000
}

// renew replaces a peer's adverts by newer ones.
func (s *swarm) renew(p host.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.adverts = slices.Clone(s.adverts)
	for i, a := range s.adverts {
		if a.Peer == p {
			next := *a
			next.Seq++
			s.adverts[i] = &next
		}
	}
}

// virtual makes the swarm's clock that of the bubble.
func (s *swarm) virtual() *swarm {
	start, real := s.now, time.Now()
	s.running = func() time.Time { return start.Add(time.Since(real)) }
	return s
}

// leftOut names the peers that a plan for one token leaves out.
func leftOut(t *testing.T, r *router.Router) (out []host.ID) {
	t.Helper()
	choice, err := r.Plan(asking(1, 1))
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range choice.LeftOut {
		out = append(out, l.Peer)
	}
	return out
}

// ask opens a session, draws three tokens and returns how often that had to go on elsewhere.
func ask(t *testing.T, r *router.Router) int {
	t.Helper()
	ses, err := r.Open(t.Context(), shaped())
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	if got := generate(t, ses, longPrompt(), 3); !slices.Equal(got, want(longPrompt(), 3)) {
		t.Errorf("got %v, want %v", got, want(longPrompt(), 3))
	}
	return ses.Reroutes()
}

// TestOneDeathIsOneIncident has eight streams on a peer that dies, and another peer: the one
// that died is left out for two seconds, or until it is heard of again.
func TestOneDeathIsOneIncident(t *testing.T) {
	t.Parallel()
	for name, back := range map[string]func(*swarm, *router.Router, host.ID){
		"time":   func(s *swarm, _ *router.Router, _ host.ID) { s.pass(2 * time.Second) },
		"advert": func(s *swarm, _ *router.Router, p host.ID) { s.renew(p) },
		"hello":  func(_ *swarm, r *router.Router, p host.ID) { r.Joined(p) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, other := &chainPeer{id: peer(1)}, &chainPeer{id: peer(2)}
			s := newSwarm(stage(p.id, 0, 8, ms, nil), stage(other.id, 0, 8, 5*ms, nil))
			serveAll(t, s, p, other)
			r := s.router(t)
			var streams sync.WaitGroup
			opened, died := make(chan struct{}, 8), make(chan struct{})
			for range 8 {
				streams.Go(func() {
					ses, err := r.Open(t.Context(), shaped())
					opened <- struct{}{}
					if err != nil {
						t.Error(err)
						return
					}
					defer ses.Close()
					<-died
					for i, next := range want([]int32{1, 2, 3}, 3) {
						feed := []int32{1, 2, 3}
						if i > 0 {
							feed = want([]int32{1, 2, 3}, 3)[i-1 : i]
						}
						if got, err := ses.Next(t.Context(), feed, 3); err != nil || got.Token != next {
							t.Errorf("token %d: %v, %v, want %d", i, got, err, next)
							return
						}
					}
				})
			}
			for range 8 {
				<-opened
			}
			p.die()
			close(died)
			streams.Wait()
			if got := leftOut(t, r); !slices.Equal(got, []host.ID{p.id}) {
				t.Errorf("left out: %v", got)
			}
			p.live()
			back(s, r, p.id)
			if got := leftOut(t, r); len(got) != 0 {
				t.Errorf("left out afterwards: %v", got)
			}
			if ask(t, r) != 0 {
				t.Error("the peer does not answer at once")
			}
		})
	}
}

// TestPeerThatComesAndGoes has the best peer break each stream, or say that it is at fault, at
// once or in the middle of an answer, and then say hello and tell a new advert: that is believed
// twice.
func TestPeerThatComesAndGoes(t *testing.T) {
	t.Parallel()
	broken, fault := errors.New("stream breaks"), &wire.Error{Code: wire.CodeInternal, Message: "oh"}
	for name, tc := range map[string]struct {
		err   error
		every int // step
	}{"breaks": {broken, 1}, "breaks later": {broken, 4}, "errs": {fault, 1}, "errs later": {fault, 4}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := &chainPeer{id: peer(1)}, &chainPeer{id: peer(2)}
			bad.fail = func(step int) (error, bool) {
				if step%tc.every != 0 {
					return nil, true
				}
				return tc.err, false
			}
			s := newSwarm(stage(bad.id, 0, 8, ms, nil), stage(good.id, 0, 8, 5*ms, nil))
			serveAll(t, s, bad, good)
			r := s.router(t)
			for i, want := range []int{1, 1, 1, 0, 0} {
				if n := ask(t, r); n != want {
					t.Errorf("request %d: %d reroutes, want %d", i, n, want)
				}
				s.renew(bad.id)
				r.Joined(bad.id)
			}
			if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
				t.Errorf("left out: %v", got)
			}
		})
	}
}

// TestOnlyHolderRestarts kills the only peer of eight streams, which is back after 2.3 s with
// a new advert: they go on, and so does a request in between.
func TestOnlyHolderRestarts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &chainPeer{id: peer(1)}
		s := newSwarm(stage(p.id, 0, 8, ms, current)).virtual()
		s.patience = 5 * time.Second
		serveAll(t, s, p)
		r := s.router(t)
		var streams sync.WaitGroup
		for range 8 {
			ses, err := r.Open(t.Context(), shaped())
			if err != nil {
				t.Fatal(err)
			}
			got := generate(t, ses, longPrompt(), 2)
			streams.Go(func() {
				defer ses.Close()
				time.Sleep(time.Second)
				if next, err := ses.Next(t.Context(), got[1:], len(longPrompt())); err != nil || next.Token != want(longPrompt(), 3)[2] {
					t.Errorf("got %v, %v", next, err)
				}
			})
		}
		streams.Go(func() {
			time.Sleep(2 * time.Second)
			ask(t, r)
		})
		p.die()
		time.Sleep(2300 * ms)
		p.live()
		s.renew(p.id)
		start := time.Now()
		streams.Wait()
		if d := time.Since(start); d > 300*ms {
			t.Errorf("went on %v after the restart", d)
		}
		if got := leftOut(t, r); len(got) != 0 {
			t.Errorf("left out: %v", got)
		}
	})
}

// TestAvoidedPeersAreTheLastResort has the only peer be at fault: it is asked nonetheless.
func TestAvoidedPeersAreTheLastResort(t *testing.T) {
	t.Parallel()
	p := &chainPeer{id: peer(1), fail: func(n int) (error, bool) { return errors.New("stream breaks"), n != 1 }}
	s := newSwarm(stage(p.id, 0, 8, ms, nil))
	serveAll(t, s, p)
	r := s.router(t)
	ses, err := r.Open(t.Context(), shaped())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ses.Next(t.Context(), []int32{1}, 1); !errors.Is(err, router.ErrNoChain) || !strings.HasSuffix(err.Error(), ", after: peer "+p.id.String()+": the connection was lost") {
		t.Errorf("got %v, want no chain, and what failed before without the words of the transport", err)
	}
	if choice, err := r.Plan(asking(1, 1)); err != nil || !choice.Doubtful {
		t.Errorf("planned %+v, %v", choice, err)
	}
	if ask(t, r) != 0 {
		t.Error("rerouted")
	}
	if choice, err := r.Plan(asking(1, 1)); err != nil || choice.Doubtful {
		t.Errorf("planned %+v, %v, after it worked", choice, err)
	}
}

// liar is a peer that answers steps with what cannot be.
func liar(id host.ID, lie func(st *wire.InferStep, res *wire.InferResult, vec []float32) []float32) *chainPeer {
	return &chainPeer{id: id, lie: lie, tells: true}
}

// drawn replaces the tokens of a result.
func drawn(tokens ...wire.Sampled) func(*wire.InferStep, *wire.InferResult, []float32) []float32 {
	return func(st *wire.InferStep, res *wire.InferResult, vec []float32) []float32 {
		if st.Want == wire.WantToken {
			res.Tokens = tokens
		}
		return vec
	}
}

// TestImpossibleTokens has the best peer give what no model draws: it costs one retry once,
// and the peer is left out for long.
func TestImpossibleTokens(t *testing.T) {
	t.Parallel()
	for name, lie := range map[string]func(*wire.InferStep, *wire.InferResult, []float32) []float32{
		"none":                drawn(),
		"ten":                 drawn(make([]wire.Sampled, 10)...),
		"over the vocabulary": drawn(wire.Sampled{Token: 1000}),
		"the largest":         drawn(wire.Sampled{Token: math.MaxInt32}),
		"of -Inf":             drawn(wire.Sampled{Logprob: float32(math.Inf(-1))}),
		"with a vector":       func(*wire.InferStep, *wire.InferResult, []float32) []float32 { return []float32{1} },
		"of another length": func(_ *wire.InferStep, res *wire.InferResult, vec []float32) []float32 {
			res.Length++
			return vec
		},
		"of another step": func(_ *wire.InferStep, res *wire.InferResult, vec []float32) []float32 {
			res.Seq++
			return vec
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := liar(peer(1), lie), &chainPeer{id: peer(2)}
			s := newSwarm(stage(bad.id, 0, 8, ms, nil), stage(good.id, 0, 8, 5*ms, nil))
			serveAll(t, s, bad, good)
			r := s.router(t)
			for i, most := range []int{1, 0, 0} {
				if n := ask(t, r); n != most {
					t.Errorf("request %d: %d reroutes, want %d", i, n, most)
				}
			}
			s.pass(59 * time.Second)
			s.renew(bad.id) // an advert does not mend it
			r.Joined(bad.id)
			if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
				t.Errorf("left out: %v", got)
			}
		})
	}
}

// TestGraverFaultOfAnIncident has a peer that breaks one of two streams, for which it is
// forgiven once it is back, and lies on the other.
func TestGraverFaultOfAnIncident(t *testing.T) {
	t.Parallel()
	bad, good := liar(peer(1), drawn()), &chainPeer{id: peer(2)}
	bad.fail = func(n int) (error, bool) { return nil, n > 1 }
	s := newSwarm(stage(bad.id, 0, 8, ms, nil), stage(good.id, 0, 8, 5*ms, nil))
	serveAll(t, s, bad, good)
	r := s.router(t)
	var streams [2]*router.Session
	for i := range streams {
		ses, err := r.Open(t.Context(), shaped())
		if err != nil {
			t.Fatal(err)
		}
		defer ses.Close()
		streams[i] = ses
	}
	for i, ses := range streams {
		if got := generate(t, ses, longPrompt(), 3); !slices.Equal(got, want(longPrompt(), 3)) || ses.Reroutes() != 1 {
			t.Errorf("stream %d: %v with %d reroutes", i, got, ses.Reroutes())
		}
	}
	s.renew(bad.id)
	if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
		t.Errorf("left out: %v", got)
	}
}

// TestImpossibleVectors does the same as TestImpossibleTokens for an encoder.
func TestImpossibleVectors(t *testing.T) {
	t.Parallel()
	gives := func(x ...float32) func(*wire.InferStep, *wire.InferResult, []float32) []float32 {
		return func(*wire.InferStep, *wire.InferResult, []float32) []float32 { return x }
	}
	for name, lie := range map[string]func(*wire.InferStep, *wire.InferResult, []float32) []float32{
		"none": gives(), "short": gives(1), "long": gives(1, 2, 3), "huge": gives(make([]float32, 1<<20)...),
		"NaN": gives(1, float32(math.NaN())), "Inf": gives(float32(math.Inf(1)), 1),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			bad, good := liar(peer(1), lie), &chainPeer{id: peer(2)}
			s := newSwarm(stage(bad.id, 0, 8, ms, nil), stage(good.id, 0, 8, 5*ms, nil))
			serveAll(t, s, bad, good)
			r := s.router(t)
			ses, err := r.Open(t.Context(), router.Request{Model: model, Blocks: blocks, Prompt: 512, Timeout: time.Minute, Shape: router.Shape{Vocab: 1000, Width: 2, Dim: 2}})
			if err != nil {
				t.Fatal(err)
			}
			defer ses.Close()
			for range 3 {
				if vec, err := ses.Pooled(t.Context(), make([]int32, 7)); err != nil || !slices.Equal(vec, []float32{7, -1}) {
					t.Errorf("got %v, %v", vec, err)
				}
			}
			if got := leftOut(t, r); ses.Reroutes() != 1 || !slices.Equal(got, []host.ID{bad.id}) {
				t.Errorf("%d reroutes, left out: %v", ses.Reroutes(), got)
			}
		})
	}
}

// TestWhoIsAtFault has one peer of a chain of two or three at fault, and says what the first
// hop then reports. There is a second, slower chain of other peers.
func TestWhoIsAtFault(t *testing.T) {
	t.Parallel()
	a, b, c := peer(1), peer(2), peer(3)
	stranger := peer(77)
	says := func(code wire.Code, of host.ID) func(int) (error, bool) {
		return func(int) (error, bool) { return &wire.Error{Code: code, Message: "no", Peer: of}, false }
	}
	ten := drawn(make([]wire.Sampled, 10)...)
	for name, tc := range map[string]struct {
		hops   map[host.ID]*chainPeer // those that are not honest
		gone   host.ID
		guilty host.ID
	}{
		"the last is dead":                      {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, c)}}, c, c},
		"the middle is dead":                    {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, b)}}, b, b},
		"the first names the last, which works": {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, c)}}, "", a},
		"the first says that the last is busy":  {map[host.ID]*chainPeer{a: {fail: says(wire.CodeBusy, c)}}, "", a},
		"the first says the last has no time":   {map[host.ID]*chainPeer{a: {fail: says(wire.CodeDeadline, c)}}, "", a},
		"the first says the model is bad there": {map[host.ID]*chainPeer{a: {fail: says(wire.CodeModel, c)}}, "", a},
		"the first says the last objects":       {map[host.ID]*chainPeer{a: {fail: says(wire.CodeBadRequest, c)}}, "", a},
		"the first names a stranger":            {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, stranger)}}, "", a},
		"the first names us":                    {map[host.ID]*chainPeer{a: {fail: says(wire.CodeBadInput, self)}}, "", a},
		"the middle names the last":             {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, c)}, b: {fail: says(wire.CodeUpstream, c)}}, "", b},
		"the middle names the first":            {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, b)}, b: {fail: says(wire.CodeBadInput, a)}}, "", b},
		"the last gives ten tokens":             {map[host.ID]*chainPeer{a: {lie: ten}, b: {lie: ten}, c: {lie: ten}}, "", c},
		"the first gives ten tokens":            {map[host.ID]*chainPeer{a: {lie: ten}}, "", a},
		"the last hangs":                        {map[host.ID]*chainPeer{a: {fail: says(wire.CodeUpstream, c)}, b: {fail: says(wire.CodeUpstream, c)}, c: {hangs: "step"}}, "", c},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newSwarm().virtual()
				s.patience = 5 * time.Second
				var peers []*chainPeer
				for i, ids := range [][]host.ID{{a, b, c}, {peer(11), peer(12), peer(13)}} {
					for k, id := range ids {
						p := tc.hops[id]
						if p == nil {
							p = new(chainPeer)
						}
						p.id, p.gone = id, id == tc.gone
						peers = append(peers, p)
						first := []uint32{0, 2, 5, 8}[k:]
						s.adverts = append(s.adverts, stage(id, first[0], first[1], ms*time.Duration(1+9*i), current))
					}
				}
				serveAll(t, s, peers...)
				r := s.router(t)
				if n := ask(t, r); n > 1 {
					t.Errorf("%d reroutes", n)
				}
				r.Idle()
				if got := leftOut(t, r); !slices.Equal(got, []host.ID{tc.guilty}) {
					t.Errorf("left out %v, want %s", got, tc.guilty)
				}
				if tc.guilty != a { // who would be asked again, and say the same
					return
				}
				if n := ask(t, r); n > 0 {
					t.Errorf("%d reroutes of the next request", n)
				}
			})
		})
	}
}

// TestLiarBeforeTheOnlyHolder has one of two fronts say that the only back half is gone: the
// other front is asked at once.
func TestLiarBeforeTheOnlyHolder(t *testing.T) {
	t.Parallel()
	for _, code := range []wire.Code{wire.CodeUpstream, wire.CodeBusy, wire.CodeNotHosting, wire.CodeDeadline} {
		synctest.Test(t, func(t *testing.T) {
			back := &chainPeer{id: peer(3)}
			bad := &chainPeer{id: peer(1), refuse: &wire.Error{Code: code, Peer: back.id}}
			good := &chainPeer{id: peer(2)}
			s := newSwarm(stage(bad.id, 0, 4, ms, current), stage(good.id, 0, 4, 5*ms, current), stage(back.id, 4, 8, ms, current)).virtual()
			s.patience = 5 * time.Second
			serveAll(t, s, bad, good, back)
			r := s.router(t)
			start := time.Now()
			for range 3 {
				ask(t, r)
				r.Idle()
			}
			if d := time.Since(start); d > 0 {
				t.Errorf("%s: took %v", code, d)
			}
			if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) || len(bad.opens) != 1 {
				t.Errorf("%s: left out %v, %d opens of the liar", code, got, len(bad.opens))
			}
		})
	}
}

// TestRestartBehindTheOnlyFront has the only back half restart, which the only front reports.
func TestRestartBehindTheOnlyFront(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		back := &chainPeer{id: peer(2)}
		front := &chainPeer{id: peer(1), fail: func(n int) (error, bool) {
			if n != 4 {
				return nil, true
			}
			return &wire.Error{Code: wire.CodeUpstream, Peer: back.id}, false
		}}
		s := newSwarm(stage(front.id, 0, 4, ms, current), stage(back.id, 4, 8, ms, current)).virtual()
		s.patience = 5 * time.Second
		serveAll(t, s, front, back)
		r := s.router(t)
		back.die()
		time.AfterFunc(2300*ms, func() {
			back.live()
			front.mu.Lock()
			front.refuse = nil
			front.mu.Unlock()
			s.renew(back.id)
		})
		ses, err := r.Open(t.Context(), shaped())
		if err != nil {
			t.Fatal(err)
		}
		defer ses.Close()
		got := generate(t, ses, longPrompt(), 1)
		front.mu.Lock()
		front.refuse = &wire.Error{Code: wire.CodeUpstream, Peer: back.id} // until it is back
		front.mu.Unlock()
		start := time.Now()
		if next, err := ses.Next(t.Context(), got, len(longPrompt())); err != nil || next.Token != want(longPrompt(), 2)[1] {
			t.Errorf("got %v, %v", next, err)
		}
		if d := time.Since(start); d > 2500*ms {
			t.Errorf("took %v", d)
		}
		r.Idle()
		if got := leftOut(t, r); len(got) != 0 {
			t.Errorf("left out %v", got)
		}
	})
}

// TestHangingPeer has the best peer hang at some point: the first request past it takes no
// more than three seconds, and the next ones are not delayed.
func TestHangingPeer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		hangs string
		tells bool
		after time.Duration
	}{
		"at the open":         {"open", true, 700 * ms},
		"at the open, old":    {"open", false, 700 * ms},
		"at a step":           {"step", true, infer.Silence + 50*ms},
		"at a step, old":      {"step", false, 3 * time.Second},
		"in a vector":         {"vector", true, infer.Stall},
		"in a vector, old":    {"vector", false, infer.Stall},
		"works for ever":      {"work", true, 3 * time.Second},
		"works for ever, old": {"work", false, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bad, good := &chainPeer{id: peer(1), hangs: tc.hangs, tells: tc.tells}, &chainPeer{id: peer(2)}
				if tc.hangs == "work" {
					bad.slow = time.Hour
				}
				edit := current
				if !tc.tells {
					edit = func(a *wire.Advert, s *wire.Served) { current(a, s); a.Capability = 2 }
				}
				s := newSwarm(stage(bad.id, 0, 8, ms, edit), stage(good.id, 0, 8, 5*ms, current)).virtual()
				serveAll(t, s, bad, good)
				r := s.router(t)
				req := router.Request{Model: model, Blocks: blocks, Prompt: 512, Timeout: time.Minute, Shape: router.Shape{Vocab: 1000, Width: 2, Dim: 2}}
				for i := range 3 {
					start := time.Now()
					ses, err := r.Open(t.Context(), req)
					if err != nil {
						t.Fatal(err)
					}
					if vec, err := ses.Pooled(t.Context(), make([]int32, 3)); err != nil || !slices.Equal(vec, []float32{3, -1}) {
						t.Errorf("got %v, %v", vec, err)
					}
					most := tc.after
					if i > 0 {
						most = 0
					}
					if d := time.Since(start); d > most {
						t.Errorf("request %d took %v, want %v at most", i, d, most)
					}
					ses.Close()
					r.Idle()
				}
				if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
					t.Errorf("left out %v", got)
				}
			})
		})
	}
}

// TestLastHopHangs has the best of two back halves hang at every step, and advertise all the
// time: one request is delayed by it and goes on elsewhere once. The others keep away from it,
// also while it is not known yet who is at fault.
func TestLastHopHangs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front := &chainPeer{id: peer(1), silent: peer(2)}
		bad, good := &chainPeer{id: peer(2), hangs: "step"}, &chainPeer{id: peer(3)}
		s := newSwarm(stage(front.id, 0, 4, ms, current), stage(bad.id, 4, 8, ms, current), stage(good.id, 4, 8, 5*ms, current)).virtual()
		serveAll(t, s, front, bad, good)
		r := s.router(t)
		for i, most := range []struct {
			reroutes int
			took     time.Duration
		}{{1, infer.Silence}, {}, {}} {
			start := time.Now()
			if n := ask(t, r); n != most.reroutes || time.Since(start) > most.took {
				t.Errorf("request %d: %d reroutes, took %v", i, n, time.Since(start))
			}
			s.renew(bad.id)
		}
		r.Idle()
		for range 2 {
			s.renew(bad.id)
			if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
				t.Errorf("left out %v", got)
			}
		}
	})
}

// TestHangsAgain has a peer hang, work, and hang again: it is left out for longer.
func TestHangsAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var honest atomic.Bool
		bad := &chainPeer{id: peer(1), tells: true, fail: func(int) (error, bool) {
			if !honest.Load() {
				time.Sleep(time.Minute)
			}
			return nil, true
		}}
		s := newSwarm(stage(bad.id, 0, 8, ms, current), stage(peer(2), 0, 8, 5*ms, current)).virtual()
		serveAll(t, s, bad, &chainPeer{id: peer(2)})
		r := s.router(t)
		for _, out := range []time.Duration{2 * time.Second, 4 * time.Second} {
			honest.Store(false)
			if n := ask(t, r); n != 1 {
				t.Errorf("%d reroutes", n)
			}
			time.Sleep(out - ms)
			if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
				t.Errorf("left out %v after %v", got, out-ms)
			}
			time.Sleep(ms)
			honest.Store(true)
			if n := ask(t, r); n != 0 {
				t.Errorf("%d reroutes of a peer that works again", n)
			}
		}
	})
}

// TestNextHopThatCannotBeReached has the only holder of the front half wait for one of the
// back half, and say so: another one is tried over the same front.
func TestNextHopThatCannotBeReached(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		front := &chainPeer{id: peer(1), stuck: peer(2)}
		gone, back := &chainPeer{id: peer(2), gone: true}, &chainPeer{id: peer(3)}
		s := newSwarm(stage(front.id, 0, 4, ms, current), stage(gone.id, 4, 8, ms, current), stage(back.id, 4, 8, 5*ms, current)).virtual()
		serveAll(t, s, front, gone, back)
		r := s.router(t)
		start := time.Now()
		if n := ask(t, r); n != 0 || time.Since(start) > 800*ms {
			t.Errorf("%d reroutes, took %v", n, time.Since(start))
		}
		r.Idle()
		if got := leftOut(t, r); !slices.Equal(got, []host.ID{gone.id}) {
			t.Errorf("left out %v", got)
		}
	})
}

// TestSlowOpenIsNoFault has the best peer take a second to open: another one is taken, and
// the first is let go in good order.
func TestSlowOpenIsNoFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		slow, other := &chainPeer{id: peer(1), opening: time.Second}, &chainPeer{id: peer(2)}
		s := newSwarm(stage(slow.id, 0, 8, ms, current), stage(other.id, 0, 8, 5*ms, current)).virtual()
		serveAll(t, s, slow, other)
		r := s.router(t)
		ask(t, r)
		r.Idle()
		if got := leftOut(t, r); len(got) != 0 {
			t.Errorf("left out %v", got)
		}
		slow.sessions.Wait()
		if len(slow.closed) != 1 || slow.steps != 0 {
			t.Errorf("closed %v after %d steps", slow.closed, slow.steps)
		}
	})
}

// TestFaultyModel has the holders of a model say that it is faulty: that ends the request at
// once, and no other model of theirs is left out.
func TestFaultyModel(t *testing.T) {
	t.Parallel()
	for holders := range byte(4) {
		synctest.Test(t, func(t *testing.T) {
			s := newSwarm().virtual()
			s.patience = 5 * time.Second
			var peers []*chainPeer
			for i := range holders + 1 {
				p := &chainPeer{id: peer(i + 1), fail: func(int) (error, bool) { return wire.Errorf(wire.CodeModel, "NaN"), false }}
				peers = append(peers, p)
				s.adverts = append(s.adverts, stage(p.id, 0, 8, ms*time.Duration(i+1), current))
			}
			serveAll(t, s, peers...)
			r := s.router(t)
			for range 3 {
				req := shaped()
				req.Name = "poor"
				start := time.Now()
				ses, err := r.Open(t.Context(), req)
				if err != nil {
					t.Fatal(err)
				}
				_, err = ses.Next(t.Context(), []int32{1}, 1)
				var e *wire.Error
				if !errors.As(err, &e) || e.Code != wire.CodeModel || errors.Is(err, router.ErrNoChain) || !strings.Contains(err.Error(), `"poor"`) {
					t.Errorf("%d holders: got %v", holders+1, err)
				}
				if d := time.Since(start); d > 100*ms {
					t.Errorf("%d holders: took %v", holders+1, d)
				}
			}
			r.Idle()
			if got := leftOut(t, r); len(got) != 0 {
				t.Errorf("%d holders: left out %v", holders+1, got)
			}
			for i, p := range peers {
				p.sessions.Wait()
				if i >= 2 && p.steps > 0 {
					t.Errorf("holder %d was asked %d times", i, p.steps)
				}
			}
		})
	}
}

// TestFaultyCopy has one of two holders say that the model is faulty, which the other one
// answers with: it is left out for this model alone.
func TestFaultyCopy(t *testing.T) {
	t.Parallel()
	bad := &chainPeer{id: peer(1), fail: func(int) (error, bool) { return wire.Errorf(wire.CodeModel, "NaN"), false }}
	good := &chainPeer{id: peer(2)}
	s := newSwarm(stage(bad.id, 0, 8, ms, nil), stage(good.id, 0, 8, 5*ms, nil))
	second := wire.CIDOf([]byte("another model"))
	s.adverts[0].Models = append(s.adverts[0].Models, wire.ModelAdvert{Model: second, Served: s.adverts[0].Models[0].Served})
	serveAll(t, s, bad, good)
	r := s.router(t)
	if n := ask(t, r); n != 1 {
		t.Errorf("%d reroutes", n)
	}
	if got := leftOut(t, r); !slices.Equal(got, []host.ID{bad.id}) {
		t.Errorf("left out %v", got)
	}
	req := asking(1, 1)
	req.Model = second
	if choice, err := r.Plan(req); err != nil || len(choice.LeftOut) != 0 || choice.Chain.Links[0].Peer != bad.id {
		t.Errorf("another model: %+v, %v", choice, err)
	}
}

// TestRunEndsWhatGoesOn ends a router while it opens a session.
func TestRunEndsWhatGoesOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &chainPeer{id: peer(1), hangs: "open"}
		s := newSwarm(stage(p.id, 0, 8, ms, nil)).virtual()
		serveAll(t, s, p)
		r := s.router(t)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		go time.AfterFunc(ms, cancel)
		start := time.Now()
		if _, err := r.Open(t.Context(), shaped()); err == nil {
			t.Error("opened")
		}
		if err := <-ended; err != nil || time.Since(start) > 10*ms {
			t.Errorf("ended with %v after %v", err, time.Since(start))
		}
	})
}
