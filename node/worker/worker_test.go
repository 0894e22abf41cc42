package worker_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// TestLoadsOfOneStageAreOne starts several loads at once, and ends the first in the middle.
func TestLoadsOfOneStageAreOne(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.src.gate = make(chan struct{})
		first, cancel := context.WithCancel(t.Context())
		var loads sync.WaitGroup
		loads.Go(func() {
			if err := b.Load(first, b.src.id, whole, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("the load that was ended: %v", err)
			}
		})
		synctest.Wait()
		for range 6 {
			loads.Go(func() {
				if err := b.Load(t.Context(), b.src.id, whole, nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		if n := b.src.calls.Load(); n != 1 {
			t.Errorf("%d loads at once, want 1", n)
		}
		cancel()
		synctest.Wait()
		if n := b.src.calls.Load(); n != 2 {
			t.Errorf("%d loads begun after the first was ended, want 2", n)
		}
		close(b.src.gate)
		loads.Wait()
		if n := len(b.Served()[b.src.id]); n != 1 || b.src.calls.Load() != 2 {
			t.Errorf("%d stages, %d loads", n, b.src.calls.Load())
		}
	})
}

// TestMemory follows the bytes in use through loads and sessions that fit or do not.
func TestMemory(t *testing.T) {
	t.Parallel()
	probe := newBench(t, nil)
	needs, err := probe.Needs(t.Context(), probe.src.id)
	if err != nil {
		t.Fatal(err)
	}
	need := needs(whole)
	b := newBench(t, func(c *worker.Config) { c.MemoryBytes = need })
	half := wire.Range{Last: 2, Embed: true}
	used := func(want int64, when string) {
		t.Helper()
		if _, got := b.Memory(); got != want {
			t.Errorf("%s: %d bytes in use, want %d", when, got, want)
		}
	}
	b.load(t, whole)
	_, loaded := b.Memory()
	if loaded <= 0 || loaded >= need {
		t.Fatalf("a stage takes %d bytes, with a session %d were told", loaded, need)
	}
	if err := b.Load(t.Context(), b.src.id, half, nil); !errors.Is(err, worker.ErrNoMemory) || !strings.Contains(err.Error(), "are free") {
		t.Errorf("a second stage: %v", err)
	}
	used(loaded, "after a load that does not fit")
	most := uint32(b.src.c.Config.ContextLen())
	first, err := b.open(t, peer(2), most)
	if err != nil {
		t.Fatalf("the session that must fit: %v", err)
	}
	var opened []*infer.Client
	for {
		c, err := b.open(t, peer(2), most)
		if err != nil {
			if code(err) != wire.CodeNoMemory {
				t.Errorf("a session too many: %v", err)
			}
			break
		}
		opened = append(opened, c)
	}
	for _, c := range append(opened, first) {
		if err := c.Close("done"); err != nil {
			t.Error(err)
		}
	}
	b.idle(t)
	used(loaded, "after the sessions")
	if _, err := b.open(t, peer(2), most+1); code(err) != wire.CodeBadRequest {
		t.Errorf("a session over the context: %v", err)
	}
	b.idle(t)
	used(loaded, "after a session that was refused")
	b.Unload(b.src.id, nil)
	used(0, "after the stage")
	small := newBench(t, func(c *worker.Config) { c.MemoryBytes = loaded - 1 })
	if err := small.Load(t.Context(), small.src.id, whole, nil); !errors.Is(err, worker.ErrNoMemory) {
		t.Errorf("a stage that does not fit: %v", err)
	}
	if _, got := small.Memory(); got != 0 {
		t.Errorf("%d bytes in use by nothing", got)
	}
}

// TestWhatIsToldFits loads every range into just the memory that is told for it.
func TestWhatIsToldFits(t *testing.T) {
	t.Parallel()
	needs, err := newBench(t, nil).Needs(t.Context(), newSource(t).id)
	if err != nil {
		t.Fatal(err)
	}
	for first := range uint32(4) {
		for last := first + 1; last <= 4; last++ {
			r := wire.Range{First: first, Last: last, Embed: first == 0, Head: last == 4}
			b := newBench(t, func(c *worker.Config) { c.MemoryBytes = needs(r) })
			b.load(t, r)
			if v := b.Served()[b.src.id][0]; v.FreeTokens < uint64(b.src.c.Config.ContextLen()) {
				t.Errorf("%s: room for %d tokens in %d bytes", worker.Describe(r), v.FreeTokens, needs(r))
			}
		}
	}
}

// TestUnloadEndsSessions unloads a stage under an idle session.
func TestUnloadEndsSessions(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.load(t, whole)
	c, err := b.open(t, peer(2), 64)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1, 2}, Want: wire.WantToken}, nil); err != nil {
		t.Fatal(err)
	}
	b.Unload(b.src.id, &whole)
	if _, _, err := c.Step(t.Context(), &wire.InferStep{Position: 2, Tokens: []int32{3}, Want: wire.WantToken}, nil); code(err) != wire.CodeNotHosting {
		t.Errorf("a step after the end: %v", err)
	}
	b.idle(t)
	if _, used := b.Memory(); used != 0 {
		t.Errorf("%d bytes in use", used)
	}
	if _, err := b.open(t, peer(2), 64); code(err) != wire.CodeNotHosting {
		t.Errorf("a new session: %v", err)
	}
}

// TestStageOfARequestIsNotEvicted evicts all while a request is about to open its session on a
// stage, and after it.
func TestStageOfARequestIsNotEvicted(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	none := func(cid.Cid, wire.Range) bool { return false }
	if b.Keep(t.Context(), b.src.id, whole) {
		t.Error("a stage that is not served is kept")
	}
	b.load(t, whole)
	request, end := context.WithCancel(t.Context())
	if !b.Keep(request, b.src.id, whole) {
		t.Fatal("a stage that is served is not kept")
	}
	b.Evict(none)
	c, err := b.open(t, peer(2), 64)
	if err != nil {
		t.Fatalf("evicted before the session opened: %v", err)
	}
	if err := c.Close("done"); err != nil {
		t.Error(err)
	}
	b.idle(t)
	end()
	for len(b.Served()) > 0 && t.Context().Err() == nil { // its end is told on its own
		b.Evict(none)
		runtime.Gosched()
	}
}

// TestQueueIsBounded has a stage that does not run, with room for one step.
func TestQueueIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := &bench{src: newSource(t)}
		b.ended.L = &b.mu
		var err error
		b.Worker, err = worker.New(worker.Config{
			Self: peer(1), Models: b.src, Dialer: dialer(nil), Draw: worker.SampleDraw, Log: discard, Now: time.Now, Threads: 1, MaxQueue: 1,
		})
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		b.load(t, whole)
		step := func() error {
			c, err := b.open(t, peer(2), 8)
			if err != nil {
				return err
			}
			_, _, err = c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1}, Want: wire.WantToken}, nil)
			return err
		}
		first := make(chan error, 1)
		go func() { first <- step() }()
		synctest.Wait()
		if err := step(); code(err) != wire.CodeBusy {
			t.Errorf("a step too many: %v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		b.tasks.Go(func() { _ = b.Run(ctx) })
		if err := <-first; err != nil {
			t.Errorf("the step that waited: %v", err)
		}
		cancel()
	})
}

// TestIdleSessionsEnd is about peers that open streams and sessions and say nothing.
func TestIdleSessionsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.load(t, whole)
		start := time.Now()
		silent := b.serve(t.Context(), peer(2))
		if e, err := readError(silent); err != nil || e.Code != wire.CodeDeadline {
			t.Errorf("a stream without an open ends with %v, %v", e, err)
		}
		if d := time.Since(start); d != protocol.StreamIdleTimeout {
			t.Errorf("a stream without an open ends after %v", d)
		}
		s := b.serve(t.Context(), peer(2))
		if _, err := infer.Open(t.Context(), s, b.request(whole, 8)); err != nil {
			t.Fatal(err)
		}
		start = time.Now()
		e, err := readError(s)
		if err != nil || e.Code != wire.CodeDeadline {
			t.Errorf("an idle session ends with %v, %v", e, err)
		}
		if d := time.Since(start); d != protocol.InferIdleTimeout {
			t.Errorf("an idle session ends after %v", d)
		}
		synctest.Wait()
		if n := b.Sessions(); n != 0 {
			t.Errorf("%d sessions open", n)
		}
	})
}

// TestSessionsOfOnePeer has one peer take all it may: others find room.
func TestSessionsOfOnePeer(t *testing.T) {
	t.Parallel()
	b := newBench(t, func(c *worker.Config) { c.MaxSessions = 4 })
	b.load(t, whole)
	for _, tc := range []struct {
		from host.ID
		want wire.Code
	}{{peer(2), 0}, {peer(2), 0}, {peer(2), 0}, {peer(2), wire.CodeBusy}, {peer(3), 0}, {peer(1), wire.CodeBusy}} {
		if _, err := b.open(t, tc.from, 8); code(err) != tc.want || (err == nil) != (tc.want == 0) {
			t.Errorf("session of %s: %v, want %v", tc.from, err, tc.want)
		}
	}
}

// TestMemoryOfOnePeer has one peer, and then all of one invitation, reserve what they may:
// others find room, and the owner of the machine has the last.
func TestMemoryOfOnePeer(t *testing.T) {
	t.Parallel()
	probe := newBench(t, nil)
	probe.load(t, whole)
	_, weights := probe.Memory()
	if _, err := probe.open(t, peer(2), 8); err != nil {
		t.Fatal(err)
	}
	_, used := probe.Memory()
	session := used - weights // of 8 tokens
	b := newBench(t, func(c *worker.Config) {
		c.MemoryBytes, c.MaxSessions = weights+64*session, 1000
		c.Grant = func(id host.ID) string {
			if id == peer(2) || id == peer(3) || id == peer(4) {
				return "one invitation"
			}
			return ""
		}
	})
	b.load(t, whole)
	fill := func(from host.ID) (n int) {
		for ; ; n++ {
			_, err := b.open(t, from, 8)
			if code(err) == wire.CodeNoMemory {
				return n
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	// Of 64: 8 are the owner's. Of the other 56, 14 are kept for other peers, 7 for other
	// invitations.
	for _, tc := range []struct {
		from host.ID
		want int
	}{{peer(2), 42}, {peer(3), 7}, {peer(4), 0}, {peer(5), 7}, {peer(6), 0}} {
		if n := fill(tc.from); n != tc.want {
			t.Errorf("%s opens %d sessions, want %d", tc.from, n, tc.want)
		}
		if offered := b.Offered()[b.src.id][0].FreeTokens; tc.from == peer(6) && offered != 0 {
			t.Errorf("room for %d tokens of others is offered", offered)
		}
	}
	if room := b.Served()[b.src.id][0].FreeTokens; room < 8*8 {
		t.Errorf("the owner's requests see room for %d tokens", room)
	}
	if n := fill(peer(1)); n != 8 {
		t.Errorf("the owner opens %d sessions, want 8", n)
	}
}

// TestWhatIsOfferedIsGiven opens a session of all the tokens that are offered to other peers.
func TestWhatIsOfferedIsGiven(t *testing.T) {
	t.Parallel()
	probe := newBench(t, nil)
	probe.load(t, whole)
	if _, err := probe.open(t, peer(2), 200); err != nil {
		t.Fatal(err)
	}
	_, used := probe.Memory()
	b := newBench(t, func(c *worker.Config) { c.MemoryBytes = used })
	b.load(t, whole)
	tokens := b.Offered()[b.src.id][0].FreeTokens
	if tokens < 50 || tokens > 200 {
		t.Errorf("%d tokens offered where there is room for 200", tokens)
	}
	if _, err := b.open(t, peer(2), uint32(tokens)); err != nil {
		t.Errorf("a session of the %d tokens that are offered: %v", tokens, err)
	}
}

// TestMalformedSteps breaks the protocol in one way each.
func TestMalformedSteps(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.load(t, whole)
	tokens := func(n int) []int32 { return make([]int32, n) }
	for name, tc := range map[string]struct {
		typ  frame.Type
		step *wire.InferStep // nil: body
		body []byte
		want wire.Code
	}{
		"no step":               {wire.TypeInferStep, nil, []byte{0xff}, wire.CodeBadRequest},
		"unknown type":          {200, nil, nil, wire.CodeInternal},
		"a second open":         {wire.TypeInferOpen, nil, []byte{0xa0}, wire.CodeUnsupported},
		"past the session":      {wire.TypeInferStep, &wire.InferStep{Tokens: tokens(9)}, nil, wire.CodeBadRequest},
		"with a gap":            {wire.TypeInferStep, &wire.InferStep{Position: 1, Tokens: tokens(1)}, nil, wire.CodeBadRequest},
		"long prompt":           {wire.TypeInferStep, &wire.InferStep{Tokens: tokens(1), PromptLen: 2}, nil, wire.CodeBadRequest},
		"vector of a generator": {wire.TypeInferStep, &wire.InferStep{Tokens: tokens(1), Want: wire.WantPooled}, nil, wire.CodeBadRequest},
		"token out of range":    {wire.TypeInferStep, &wire.InferStep{Tokens: []int32{1 << 30}, Want: wire.WantToken}, nil, wire.CodeBadRequest},
		"no tensor follows":     {wire.TypeInferStep, &wire.InferStep{Tokens: tokens(1), Tensor: true}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := b.serve(t.Context(), peer(2))
			if _, err := infer.Open(t.Context(), s, b.request(whole, 8)); err != nil {
				t.Fatal(err)
			}
			w := frame.NewWriter(s)
			body := tc.body
			if tc.step != nil {
				tc.step.Seq = 1
				var err error
				if body, err = wire.Encode(tc.step); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(w.Write(tc.typ, body), w.Flush()); err != nil {
				t.Fatal(err)
			}
			if tc.want == 0 { // the stream ends where the tensor should be
				s.Close()
				return
			}
			if e, err := readError(s); err != nil || e.Code != tc.want {
				t.Errorf("answered %v, %v; want %v", e, err, tc.want)
			}
		})
	}
}

// TestHopThatHangsIsBlamed has a second hop that stops at some point.
func TestHopThatHangsIsBlamed(t *testing.T) {
	t.Parallel()
	for name, opens := range map[string]bool{"at the open": false, "at a step": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				far := peer(9)
				var hung sync.WaitGroup
				defer hung.Wait()
				b := newBench(t, func(c *worker.Config) {
					c.Dialer = dialer(func(h wire.Hop) (host.Stream, error) {
						here, there := net.Pipe()
						hung.Go(func() { hang(there, opens) })
						return &pipe{here, h.Peer}, nil
					})
				})
				half := wire.Range{Last: 2, Embed: true}
				b.load(t, half)
				open := b.request(half, 8)
				open.Route = []wire.Hop{{Peer: far, Range: wire.Range{First: 2, Last: 4, Head: true}}}
				ctx, cancel := context.WithTimeout(t.Context(), infer.OpenTimeout(2))
				defer cancel()
				c, err := infer.Open(ctx, b.serve(t.Context(), peer(2)), open)
				if opens && err == nil {
					ctx, cancel := context.WithTimeout(t.Context(), infer.StepTimeout(1, 2))
					defer cancel()
					_, _, err = c.Step(ctx, &wire.InferStep{Tokens: []int32{1}, Want: wire.WantToken}, nil)
				}
				var e *wire.Error
				if !errors.As(err, &e) || e.Code != wire.CodeUpstream || e.Peer != far {
					t.Errorf("got %v, want the second hop blamed", err)
				}
			})
		})
	}
}

// hang serves a stream up to a point, then takes what comes and says nothing.
func hang(s net.Conn, opens bool) {
	defer s.Close()
	r, w := frame.NewReader(s, wire.InferServerLimits(protocol.MaxTensor)), frame.NewWriter(s)
	for {
		typ, _, err := r.Next()
		if err != nil {
			return
		}
		if typ == wire.TypeInferOpen && opens {
			body, err := wire.Encode(&wire.InferOpened{MaxTokens: 8})
			if errors.Join(err, w.Write(wire.TypeInferOpened, body), w.Flush()) != nil {
				return
			}
		}
	}
}

// readError reads the error that ends a stream.
func readError(s host.Stream) (*wire.Error, error) {
	typ, body, err := frame.NewReader(s, wire.InferClientLimits(protocol.MaxTensor)).Next()
	if err != nil {
		return nil, err
	}
	if typ != wire.TypeError {
		return nil, errors.New("no error")
	}
	e := new(wire.Error)
	return e, wire.Decode(body, e)
}

// TestLoadTells checks that a load tells how far it is, up to all of the range's weights.
func TestLoadTells(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	var want, last int64
	for _, x := range b.src.c.Tensors {
		want += x.Bytes
	}
	calls := 0
	err := b.Load(t.Context(), b.src.id, whole, func(bytes int64) {
		if bytes <= last {
			t.Errorf("%d bytes after %d", bytes, last)
		}
		last = bytes
		calls++
	})
	if err != nil || last != want || calls < 2 {
		t.Errorf("told %d times, up to %d of %d bytes, %v", calls, last, want, err)
	}
}
