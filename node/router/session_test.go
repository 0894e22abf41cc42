package router_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// memStream is a stream in memory.
type memStream struct {
	net.Conn
	peer host.ID
}

// SetReadDeadline, and SetDeadline, take a deadline also after the other end has closed, as streams of a
// network do: the next read tells.
func (s *memStream) SetReadDeadline(t time.Time) error { return taken(s.Conn.SetReadDeadline(t)) }
func (s *memStream) SetDeadline(t time.Time) error     { return taken(s.Conn.SetDeadline(t)) }

func taken(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

func (s *memStream) CloseWrite() error { return nil } // the protocol ends with a message
func (s *memStream) Reset() error      { return s.Close() }
func (s *memStream) Peer() host.ID     { return s.peer }
func (s *memStream) Relayed() bool     { return false }

// chainPeer is the first peer of made-up chains: it answers as a whole chain would. Its
// model draws the sum of the history and the seed.
type chainPeer struct {
	id       host.ID
	refuse   *wire.Error                                                              // to opens
	fail     func(step int) (error, bool)                                             // before the answer to a step; true: go on after it
	lie      func(st *wire.InferStep, res *wire.InferResult, vec []float32) []float32 // changes results
	hangs    string                                                                   // where it stops to answer: "open", "step", "vector"
	stuck    host.ID                                                                  // a next hop that it cannot reach, and does not give up
	silent   host.ID                                                                  // a next hop that hangs at steps, which it reports
	opening  time.Duration                                                            // time of an open
	slow     time.Duration                                                            // time of a step
	tells    bool                                                                     // its progress, if asked to
	gone     bool                                                                     // cannot be dialled; guarded by mu
	mu       sync.Mutex
	opens    []wire.InferOpen
	steps    int
	images   int // steps with a tensor
	prompts  []uint32
	closed   []string
	streams  []net.Conn
	sessions sync.WaitGroup
}

// die ends what the peer serves, and lets nobody reach it any more.
func (p *chainPeer) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = true
	for _, c := range p.streams {
		c.Close()
	}
	p.streams = nil
}

func (p *chainPeer) live() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.gone = false
}

func (p *chainPeer) dial(h wire.Hop) (host.Stream, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return nil, errors.New("connection refused")
	}
	here, there := net.Pipe()
	p.streams = append(p.streams, there)
	p.sessions.Go(func() { p.serve(&memStream{there, "client"}) })
	return &memStream{here, h.Peer}, nil
}

// work takes the time of a step, and tells that it is at it.
func (p *chainPeer) work(every time.Duration, send func(frame.Type, wire.Message) bool) {
	if every == 0 || !p.tells {
		time.Sleep(p.slow)
		return
	}
	for left := p.slow; left > 0; left -= every {
		time.Sleep(min(every, left))
		if !send(wire.TypeProgress, &wire.InferProgress{}) {
			return
		}
	}
}

func (p *chainPeer) serve(s host.Stream) {
	defer s.Close()
	r, w := frame.NewReader(s, wire.InferServerLimits(protocol.MaxTensor)), frame.NewWriter(s)
	send := func(t frame.Type, m wire.Message) bool {
		b, err := wire.Encode(m)
		return err == nil && w.Write(t, b) == nil && w.Flush() == nil
	}
	var open wire.InferOpen
	if t, b, err := r.Next(); err != nil || t != wire.TypeInferOpen || wire.Decode(b, &open) != nil {
		return
	}
	p.mu.Lock()
	p.opens = append(p.opens, open)
	refuse := p.refuse
	p.mu.Unlock()
	if refuse != nil {
		send(wire.TypeError, refuse)
		return
	}
	time.Sleep(p.opening)
	if len(open.Route) > 0 && open.Route[0].Peer == p.stuck {
		for send(wire.TypeProgress, &wire.InferProgress{Peer: p.stuck}) {
			time.Sleep(infer.Beat)
		}
		return
	}
	if p.hangs == "open" {
		_, _, _ = r.Next() // until the stream ends
		return
	}
	if !send(wire.TypeInferOpened, &wire.InferOpened{MaxTokens: open.MaxTokens}) {
		return
	}
	var history []int32
	for {
		t, b, err := r.Next()
		if err != nil {
			return
		}
		if t == wire.TypeInferClose {
			var c wire.InferClose
			if wire.Decode(b, &c) == nil {
				p.mu.Lock()
				p.closed = append(p.closed, c.Reason)
				p.mu.Unlock()
			}
			return
		}
		var st wire.InferStep
		if t != wire.TypeInferStep || wire.Decode(b, &st) != nil || int(st.Position) > len(history) {
			return
		}
		if st.Tensor {
			if t, b, err := r.Next(); err != nil || t != wire.TypeTensor || len(b) == 0 {
				return
			}
		}
		history = append(history[:st.Position], st.Tokens...)
		p.mu.Lock()
		if st.Tensor {
			p.images++
		}
		p.steps++
		n := p.steps
		p.prompts = append(p.prompts, st.PromptLen)
		p.mu.Unlock()
		if p.fail != nil {
			err, goOn := p.fail(n)
			var e *wire.Error
			if errors.As(err, &e) {
				said := *e // sessions share what fail returns
				said.Seq = st.Seq
				send(wire.TypeError, &said)
			}
			if !goOn {
				return
			}
		}
		if len(open.Route) > 0 && open.Route[0].Peer == p.silent {
			for range infer.Silence / infer.Beat {
				time.Sleep(infer.Beat)
				send(wire.TypeProgress, &wire.InferProgress{Peer: p.silent})
			}
			send(wire.TypeError, &wire.Error{Code: wire.CodeUpstream, Peer: p.silent, Seq: st.Seq})
			return
		}
		p.work(open.Progress(), send)
		if p.hangs == "step" {
			continue
		}
		res := &wire.InferResult{Seq: st.Seq, Length: uint32(len(history)), Timings: []wire.Timing{{Peer: p.id, ComputeNs: 7}}}
		var vec []float32
		switch st.Want {
		case wire.WantToken:
			res.Tokens = []wire.Sampled{{Token: draw(history, open.Sampling.Seed)}}
		case wire.WantPooled:
			vec = []float32{float32(len(history)), -1}
		}
		if p.lie != nil {
			vec = p.lie(&st, res, vec)
		}
		res.Tensor = vec != nil
		if !send(wire.TypeInferResult, res) {
			return
		}
		if res.Tensor && p.hangs == "vector" {
			_, _ = s.Write([]byte{20, byte(wire.TypeTensor), 1}) // the client may be gone
			continue
		}
		if res.Tensor {
			if _, err := infer.WriteVector(w, nil, vec, 1); err != nil || w.Flush() != nil {
				return
			}
		}
	}
}

func draw(history []int32, seed uint64) int32 {
	sum := seed
	for i, t := range history {
		sum = sum*31 + uint64(t)*uint64(i+1)
	}
	return int32(sum % 1000)
}

// serveAll makes s dial peers in memory, and waits for their sessions at the end.
func serveAll(t *testing.T, s *swarm, peers ...*chainPeer) {
	t.Helper()
	s.dial = func(_ context.Context, h wire.Hop) (host.Stream, error) {
		for _, p := range peers {
			if p.id == h.Peer {
				return p.dial(h)
			}
		}
		return nil, errors.New("connection refused")
	}
	t.Cleanup(func() {
		for _, p := range peers {
			p.sessions.Wait()
		}
	})
}

func request() router.Request {
	return router.Request{Model: model, Blocks: blocks, Prompt: 1300, Answer: 700, Timeout: time.Minute, Sampling: wire.Sampling{Seed: 42}}
}

// generate draws n tokens after a prompt, one at a time.
func generate(t *testing.T, s *router.Session, prompt []int32, n int) []int32 {
	t.Helper()
	next, out := prompt, []int32(nil)
	for range n {
		got, err := s.Next(t.Context(), next, len(prompt))
		if err != nil {
			t.Fatalf("after %d tokens: %v", len(out), err)
		}
		out = append(out, got.Token)
		next = []int32{got.Token}
	}
	return out
}

// want is what an uninterrupted session draws.
func want(prompt []int32, n int) []int32 {
	history := slices.Clone(prompt)
	for range n {
		history = append(history, draw(history, 42))
	}
	return history[len(prompt):]
}

func longPrompt() []int32 {
	p := make([]int32, 1300) // three chunks
	for i := range p {
		p[i] = int32(i * 7 % 501)
	}
	return p
}

func TestSessionFollowsTheBestChain(t *testing.T) {
	t.Parallel()
	a, b := &chainPeer{id: peer(1)}, peer(2)
	s := newSwarm(stage(a.id, 0, 4, time.Millisecond, nil), stage(b, 4, 8, time.Millisecond, func(a *wire.Advert, _ *wire.Served) {
		a.Addrs = []wire.Addr{"/ip4/192.168.1.3/tcp/4001"}
	}))
	serveAll(t, s, a)
	ses, err := s.router(t).Open(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	if got := generate(t, ses, longPrompt(), 5); !slices.Equal(got, want(longPrompt(), 5)) {
		t.Errorf("got %v, want %v", got, want(longPrompt(), 5))
	}
	if ses.Reroutes() != 0 || len(ses.Chain().Links) != 2 {
		t.Errorf("%d reroutes, chain %s", ses.Reroutes(), ses.Chain())
	}
	ses.Close()
	ses.Close() // a second one does nothing
	a.sessions.Wait()
	o := a.opens[0]
	if len(a.opens) != 1 || o.MaxTokens != 2000 || o.Timeout() != time.Minute || o.Sampling.Seed != 42 || !o.Range.Embed {
		t.Errorf("opened with %+v", o)
	}
	if len(o.Route) != 1 || o.Route[0].Peer != b || !o.Route[0].Range.Head || len(o.Route[0].Addrs) != 1 {
		t.Errorf("route %+v", o.Route)
	}
	if a.steps != 3+4 || a.prompts[0] != 0 || a.prompts[2] != 1300 || !slices.Equal(a.closed, []string{"done"}) {
		t.Errorf("%d steps, prompts %v, closed %v", a.steps, a.prompts, a.closed)
	}
}

// TestSessionOutlivesItsPeers has peers that fail in all ways: the client sees the tokens
// of an uninterrupted session.
func TestSessionOutlivesItsPeers(t *testing.T) {
	t.Parallel()
	never := func(int) (error, bool) { return nil, true }
	gone := errors.New("stream breaks")
	for _, tt := range []struct {
		name     string
		refuse   *wire.Error
		fail     func(int) (error, bool)
		reroutes int
	}{
		{"refuses the open", wire.Errorf(wire.CodeNotHosting, "no"), never, 1},
		{"is full", wire.Errorf(wire.CodeBusy, "full"), never, 1},
		{"has no memory", wire.Errorf(wire.CodeNoMemory, "none"), never, 1},
		{"breaks in the prompt", nil, func(n int) (error, bool) { return gone, n != 2 }, 1},
		{"breaks at the first token", nil, func(n int) (error, bool) { return gone, n != 3 }, 1},
		{"breaks later", nil, func(n int) (error, bool) { return gone, n != 6 }, 1},
		{"reports an error of its own", nil, func(n int) (error, bool) { return wireErrorAt(n, 5, wire.CodeInternal) }, 1},
		{"stops serving the stage", nil, func(n int) (error, bool) { return wireErrorAt(n, 4, wire.CodeNotHosting) }, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			bad := &chainPeer{id: peer(1), refuse: tt.refuse, fail: tt.fail}
			good := &chainPeer{id: peer(2)}
			s := newSwarm(stage(bad.id, 0, 8, time.Millisecond, nil), stage(good.id, 0, 8, 5*time.Millisecond, nil))
			serveAll(t, s, bad, good)
			r := s.router(t)
			ses, err := r.Open(t.Context(), request())
			if err != nil {
				t.Fatal(err)
			}
			defer ses.Close()
			if got := generate(t, ses, longPrompt(), 8); !slices.Equal(got, want(longPrompt(), 8)) {
				t.Errorf("got %v, want %v", got, want(longPrompt(), 8))
			}
			if ses.Reroutes() != tt.reroutes || ses.Chain().Links[0].Peer != good.id {
				t.Errorf("%d reroutes, chain %s", ses.Reroutes(), ses.Chain())
			}
			if choice, err := r.Plan(asking(1, 0)); err != nil || len(choice.LeftOut) != 1 || choice.LeftOut[0].Peer != bad.id {
				t.Errorf("the peer that failed is not left out: %+v, %v", choice, err)
			}
		})
	}
}

// TestAnswersAlone has the chain of a session break, before its first token and later, with no
// other peer: this one is asked once whether it serves the whole model itself, and if it does
// the client sees the tokens of an uninterrupted session.
func TestAnswersAlone(t *testing.T) {
	t.Parallel()
	for _, at := range []int{1, 6} {
		for _, can := range []bool{true, false} {
			t.Run(fmt.Sprintf("breaks at step %d, can %t", at, can), func(t *testing.T) {
				t.Parallel()
				bad := &chainPeer{id: peer(1), fail: func(n int) (error, bool) { return errors.New("stream breaks"), n < at }}
				own := &chainPeer{id: self}
				s := newSwarm(stage(bad.id, 0, 8, time.Millisecond, nil))
				serveAll(t, s, bad, own)
				asked := 0
				s.alone = func(_ context.Context, of cid.Cid) bool {
					if asked++; can && of == model {
						s.mu.Lock()
						s.adverts = append(s.adverts, stage(self, 0, 8, time.Millisecond, nil))
						s.mu.Unlock()
					}
					return can
				}
				ses, err := s.router(t).Open(t.Context(), request())
				if err != nil {
					t.Fatal(err)
				}
				defer ses.Close()
				if can {
					if got := generate(t, ses, longPrompt(), 8); !slices.Equal(got, want(longPrompt(), 8)) {
						t.Errorf("got %v, want %v", got, want(longPrompt(), 8))
					}
				} else {
					next := longPrompt()
					for err = nil; err == nil; {
						var got wire.Sampled
						if got, err = ses.Next(t.Context(), next, 1300); err == nil {
							next = []int32{got.Token}
						}
					}
					if !errors.Is(err, router.ErrNoChain) {
						t.Errorf("it ends with %v", err)
					}
				}
				if asked != 1 {
					t.Errorf("asked %d times", asked)
				}
			})
		}
	}
}

func wireErrorAt(n, at int, code wire.Code) (error, bool) {
	if n != at {
		return nil, true
	}
	return wire.Errorf(code, "at step %d", n), false
}

// TestFailedPeerIsTriedAgainLater moves the clock.
func TestFailedPeerIsTriedAgainLater(t *testing.T) {
	t.Parallel()
	flaky, other := &chainPeer{id: peer(1)}, &chainPeer{id: peer(2)}
	s := newSwarm(stage(flaky.id, 0, 8, time.Millisecond, nil), stage(other.id, 0, 8, 5*time.Millisecond, nil))
	serveAll(t, s, flaky, other)
	r := s.router(t)
	first := func() host.ID {
		t.Helper()
		choice, err := r.Plan(asking(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		return choice.Chain.Links[0].Peer
	}
	use := func() {
		t.Helper()
		ses, err := r.Open(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		generate(t, ses, []int32{1, 2, 3}, 1)
		ses.Close()
	}
	if first() != flaky.id {
		t.Fatal("the faster peer is not the first choice")
	}
	flaky.refuse = wire.Errorf(wire.CodeBusy, "full")
	for i, wait := range []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second} {
		use()
		s.pass(wait - time.Millisecond)
		if first() != other.id {
			t.Errorf("failure %d: tried again before %v", i+1, wait)
		}
		s.pass(time.Millisecond)
		if first() != flaky.id {
			t.Errorf("failure %d: not tried again after %v", i+1, wait)
		}
	}
	flaky.mu.Lock()
	flaky.refuse = nil
	flaky.mu.Unlock()
	use() // works: its failures are forgotten
	flaky.mu.Lock()
	flaky.refuse = wire.Errorf(wire.CodeBusy, "full")
	flaky.mu.Unlock()
	use()
	s.pass(2 * time.Second)
	if first() != flaky.id {
		t.Error("failures from before a success count")
	}
}

// TestOnePeerCannotEndARequest has the best peer say that the request is at fault: another
// one is asked, and only if it says the same is that believed.
func TestOnePeerCannotEndARequest(t *testing.T) {
	t.Parallel()
	for _, code := range []wire.Code{wire.CodeBadRequest, wire.CodeDeadline, wire.CodeForbidden, wire.CodeUnsupported} {
		bad, good := &chainPeer{id: peer(1), refuse: wire.Errorf(code, "no")}, &chainPeer{id: peer(2)}
		s := newSwarm(stage(bad.id, 0, 8, time.Millisecond, nil), stage(good.id, 0, 8, 5*time.Millisecond, nil))
		serveAll(t, s, bad, good)
		r := s.router(t)
		ses, err := r.Open(t.Context(), request())
		if err != nil {
			t.Errorf("%s: %v", code, err)
			continue
		}
		ses.Close()
		if choice, err := r.Plan(asking(1, 0)); err != nil || len(choice.LeftOut) != 1 || choice.LeftOut[0].Peer != bad.id {
			t.Errorf("%s: the peer is not blamed: %+v, %v", code, choice, err)
		}
	}
}

func TestTwoPeersAreBelieved(t *testing.T) {
	t.Parallel()
	for _, code := range []wire.Code{wire.CodeBadRequest, wire.CodeForbidden, wire.CodeUnsupported} {
		var peers []*chainPeer
		s := newSwarm()
		s.patience = time.Hour // is not waited for
		for i := range byte(3) {
			p := &chainPeer{id: peer(i + 1), refuse: wire.Errorf(code, "no")}
			peers = append(peers, p)
			s.adverts = append(s.adverts, stage(p.id, 0, 8, time.Millisecond*time.Duration(i+1), nil))
		}
		serveAll(t, s, peers...)
		_, err := s.router(t).Open(t.Context(), request())
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != code {
			t.Errorf("%s: got %v", code, err)
		}
		peers[2].sessions.Wait()
		if len(peers[2].opens) != 0 {
			t.Errorf("%s: a third peer was asked", code)
		}
		s.adverts = s.adverts[:1] // there is no second opinion
		if _, err := s.router(t).Open(t.Context(), request()); !errors.As(err, &e) || e.Code != code || errors.Is(err, router.ErrNoChain) {
			t.Errorf("%s, of one peer: %v", code, err)
		}
	}
}

// TestDeadlineOfTheSessionIsBelieved moves the clock over it.
func TestDeadlineOfTheSessionIsBelieved(t *testing.T) {
	t.Parallel()
	s := newSwarm()
	p := &chainPeer{id: peer(1), fail: func(int) (error, bool) {
		s.pass(2 * time.Minute)
		return wire.Errorf(wire.CodeDeadline, "over"), false
	}}
	other := &chainPeer{id: peer(2)}
	s.adverts = []*wire.Advert{stage(p.id, 0, 8, time.Millisecond, nil), stage(other.id, 0, 8, 5*time.Millisecond, nil)}
	serveAll(t, s, p, other)
	ses, err := s.router(t).Open(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	var e *wire.Error
	if _, err := ses.Next(t.Context(), []int32{1}, 1); !errors.As(err, &e) || e.Code != wire.CodeDeadline {
		t.Errorf("got %v", err)
	}
	if other.sessions.Wait(); len(other.opens) != 0 {
		t.Error("tried elsewhere after the end")
	}
}

func TestSessionEndsWithItsContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	p := &chainPeer{id: peer(1), fail: func(int) (error, bool) { cancel(); return nil, true }}
	other := &chainPeer{id: peer(2)}
	s := newSwarm(stage(p.id, 0, 8, time.Millisecond, nil), stage(other.id, 0, 8, 5*time.Millisecond, nil))
	serveAll(t, s, p, other)
	r := s.router(t)
	ses, err := r.Open(ctx, request())
	if err != nil {
		t.Fatal(err)
	}
	_, err = ses.Next(ctx, []int32{1}, 1)
	for err == nil { // the answer may have been on its way
		_, err = ses.Next(ctx, []int32{1}, 1)
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if choice, err := r.Plan(asking(1, 0)); err != nil || len(choice.LeftOut) != 0 {
		t.Errorf("the peer is blamed: %+v, %v", choice, err)
	}
}

func TestPooled(t *testing.T) {
	t.Parallel()
	p := &chainPeer{id: peer(1)}
	s := newSwarm(stage(p.id, 0, 8, time.Millisecond, nil))
	serveAll(t, s, p)
	ses, err := s.router(t).Open(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	for _, n := range []int{3, 700, 1} { // one piece each, and no text sees the one before
		vec, err := ses.Pooled(t.Context(), make([]int32, n))
		if err != nil || !slices.Equal(vec, []float32{float32(n), -1}) {
			t.Errorf("%d tokens: got %v, %v", n, vec, err)
		}
	}
	if p.steps != 3 {
		t.Errorf("%d steps, want 3", p.steps)
	}
	if _, err := ses.Pooled(t.Context(), nil); err == nil {
		t.Error("an empty text passes")
	}
}

// TestUnsendableIsNobodysFault runs a text that no step can carry: the error comes at once, and
// the peer stays in use.
func TestUnsendableIsNobodysFault(t *testing.T) {
	t.Parallel()
	p := &chainPeer{id: peer(1)}
	s := newSwarm(stage(p.id, 0, 8, time.Millisecond, nil))
	serveAll(t, s, p)
	r := s.router(t)
	ses, err := r.Open(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	if _, err := ses.Pooled(t.Context(), make([]int32, protocol.MaxStepTokens+1)); !errors.Is(err, infer.ErrUnsendable) || errors.Is(err, router.ErrNoChain) {
		t.Errorf("a text too long for a step: %v", err)
	}
	if got := leftOut(t, r); ses.Reroutes() != 0 || len(got) != 0 {
		t.Errorf("%d reroutes, left out: %v", ses.Reroutes(), got)
	}
	if vec, err := ses.Pooled(t.Context(), make([]int32, protocol.MaxStepTokens)); err != nil || vec[0] != protocol.MaxStepTokens {
		t.Errorf("the longest text after it: %v, %v", vec, err)
	}
}
