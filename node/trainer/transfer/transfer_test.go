package transfer_test

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"io"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/trainer/transfer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// start runs a host until the test ends.
func start(t *testing.T, c *host.Credentials) *host.Host {
	t.Helper()
	cfg := host.Default()
	cfg.Credentials, cfg.Version, cfg.Listen = c, "test", []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.MDNS, cfg.DHT, cfg.NAT = false, false, false
	h, err := host.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
	})
	select {
	case <-h.Ready():
	case err := <-done:
		t.Fatalf("run ended early: %v", err)
	}
	return h
}

// pair returns two connected hosts, the second of which answers from src, and a client of
// the first.
func pair(t *testing.T, src transfer.Source, turn transfer.Turn) (client *transfer.Client, asks, answers *host.Host) {
	t.Helper()
	owner, err := host.OpenCredentials(t.TempDir(), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	answers = start(t, owner)
	token, err := owner.Invite(host.Invitation{Addrs: answers.Addrs()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	guest, err := host.OpenCredentials(t.TempDir(), token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	asks = start(t, guest)
	answers.Handle(protocol.Train, func(ctx context.Context, s host.Stream) {
		if err := transfer.Serve(ctx, s, src, turn); err != nil && ctx.Err() == nil {
			t.Logf("stream ended: %v", err)
		}
	})
	if err := asks.Connect(t.Context(), answers.Addrs()[0]); err != nil {
		t.Fatal(err)
	}
	client = transfer.NewClient(asks.Open, turn)
	t.Cleanup(client.Close)
	return client, asks, answers
}

// shelf is a Source of given things.
type shelf struct {
	limit  uint64 // of slices
	result []byte
	chain  []*train.Sealed
	job    *train.Sealed
	leaves []train.Hash

	reading atomic.Int32 // who has a result

	mu    sync.Mutex
	taken map[train.Put][]byte
	told  []*train.Bundle
}

func (s *shelf) Accept(_ context.Context, _ host.ID, p *train.Put) ([]byte, func(train.Hash) error, error) {
	if p.Bytes > s.limit {
		return nil, nil, wire.Errorf(wire.CodeBadRequest, "slice of %d bytes", p.Bytes)
	}
	data := make([]byte, p.Bytes)
	return data, func(hash train.Hash) error {
		if hash != digest.Root(data) {
			return errors.New("the hash is of something else")
		}
		if data[0] == 0xff {
			return errors.New("nobody committed to this")
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.taken[*p] = data
		return nil
	}, nil
}

func (s *shelf) Result(ctx context.Context, _ host.ID, g *train.Get) ([]byte, func(), error) {
	if g.Round == 9 { // never there
		<-ctx.Done()
		return nil, nil, ctx.Err()
	}
	if g.Slice > 0 {
		return nil, nil, wire.Errorf(wire.CodeNotHosting, "no slice %d", g.Slice)
	}
	s.reading.Add(1)
	return s.result, func() { s.reading.Add(-1) }, nil
}

func (s *shelf) Chain(host.ID, *train.Chain) ([]*train.Sealed, error) { return s.chain, nil }

func (s *shelf) Job(host.ID, train.Hash) (*train.Sealed, error) { return s.job, nil }

func (s *shelf) Board(host.ID) []*train.Sealed { return []*train.Sealed{s.job} }

func (s *shelf) Tell(_ host.ID, b *train.Bundle) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told = append(s.told, b)
	return nil
}

func (s *shelf) State(context.Context, host.ID, *train.State) ([]train.Hash, error) {
	return s.leaves, nil
}

func hash(n byte) train.Hash { return train.HashOf([]byte{n}) }

func wantCode(t *testing.T, what string, err error, code wire.Code) {
	t.Helper()
	var e *wire.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("%s: %v, want %v", what, err, code)
	}
}

// TestSlices moves slices and results of several sizes, with refusals in between that leave
// the stream as it is.
func TestSlices(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte{1, 2, 3}, protocol.MaxTrainData)
	src := &shelf{limit: uint64(len(large)), result: large, taken: map[train.Put][]byte{}}
	c, _, to := pair(t, src, nil)
	ctx := t.Context()
	for i, data := range [][]byte{{7}, large, large[:protocol.MaxTrainData], bytes.Repeat(large, 2)} {
		p := train.Put{Job: hash(1), Round: 1, Slice: uint64(i)}
		err := c.Put(ctx, to.ID(), p, data)
		if uint64(len(data)) > src.limit {
			wantCode(t, "too large", err, wire.CodeBadRequest)
			continue
		}
		p.Bytes = uint64(len(data))
		if err != nil || !bytes.Equal(src.taken[p], data) {
			t.Errorf("slice of %d bytes: %v", len(data), err)
		}
	}
	wantCode(t, "not what was committed to", c.Put(ctx, to.ID(), train.Put{Job: hash(1), Round: 1}, []byte{0xff}), wire.CodeInternal)
	g := train.Get{Job: hash(1), Round: 1, Result: digest.Root(large)}
	got := make([]byte, len(large))
	if err := c.Get(ctx, to.ID(), g, got); err != nil || !bytes.Equal(got, large) {
		t.Errorf("result: %v", err)
	}
	g.Slice = 1
	wantCode(t, "no such result", c.Get(ctx, to.ID(), g, got), wire.CodeNotHosting)
	g.Slice, g.Result = 0, hash(3)
	if err := c.Get(ctx, to.ID(), g, got); !errors.Is(err, transfer.ErrHash) {
		t.Errorf("another result than was asked for: %v", err)
	}
	g.Result = digest.Root(large)
	if err := c.Get(ctx, to.ID(), g, got[1:]); err == nil {
		t.Error("more bytes than were told are taken")
	}
	for src.reading.Load() > 0 { // the server ends its reading when all has been sent
		runtime.Gosched()
	}
}

// TestTurns holds up slices and results until they may be sent: each byte of them waits for its turn,
// and none of it goes before.
func TestTurns(t *testing.T) {
	t.Parallel()
	large := bytes.Repeat([]byte{1, 2, 3}, protocol.MaxTrainData/2)
	src := &shelf{limit: uint64(len(large)), result: large, taken: map[train.Put][]byte{}}
	waits, may := make(chan int), make(chan struct{})
	c, _, to := pair(t, src, func(ctx context.Context, n int) error {
		for _, err := range []error{send(ctx, waits, n), send(ctx, may, struct{}{})} {
			if err != nil {
				return err
			}
		}
		return nil
	})
	ctx := t.Context()
	p := train.Put{Job: hash(1), Round: 1}
	for what, ask := range map[string]func() error{
		"slice": func() error { return c.Put(ctx, to.ID(), p, large) },
		"result": func() error {
			got := make([]byte, len(large))
			err := c.Get(ctx, to.ID(), train.Get{Job: hash(1), Round: 1, Result: digest.Root(large)}, got)
			return errors.Join(err, wrong(!bytes.Equal(got, large)))
		},
	} {
		done := make(chan error, 1) // 1: the only one
		go func() { done <- ask() }()
		for left := len(large); left > 0; {
			select {
			case n := <-waits:
				left -= n
				src.mu.Lock()
				if len(src.taken) > 0 && what == "slice" {
					t.Errorf("%s: there before its turn", what)
				}
				src.mu.Unlock()
				<-may
			case err := <-done:
				t.Fatalf("%s: over with %d bytes that have not waited: %v", what, left, err)
			}
		}
		if err := <-done; err != nil {
			t.Errorf("%s: %v", what, err)
		}
		clear(src.taken)
	}
}

// wrong is an error if what was got is.
func wrong(it bool) error {
	if it {
		return errors.New("something else came")
	}
	return nil
}

// send sends on a channel unless ctx ends.
func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// TestLists asks for certificates, jobs and leaves.
func TestLists(t *testing.T) {
	t.Parallel()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	me := wire.PeerIDOf(key.Public().(ed25519.PublicKey))
	src := &shelf{}
	seal := func(b train.Body) *train.Sealed {
		s, err := train.Seal(key, b)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	job := &train.Job{
		Initiator: me, Name: "x", Spec: []byte("a"), Schema: []byte("{}"), Values: 1, Genesis: hash(1),
		Settings: train.Settings{Mode: train.DiLoCo, Rounds: 1, InnerSteps: 1, Codec: "f32", Rule: "mean", Group: 16, Quorum: train.Majority, MinPeers: 1},
	}
	src.job = seal(job)
	id, err := job.ID()
	if err != nil {
		t.Fatal(err)
	}
	for range protocol.MaxTrainChain + 3 {
		src.chain = append(src.chain, seal(&train.Certificate{Peer: me, Outcome: train.Outcome{Job: id, State: hash(1), Members: []wire.PeerID{me}}}))
	}
	for i := range protocol.MaxTrainData/32 + 5 {
		src.leaves = append(src.leaves, train.HashOf([]byte{byte(i), byte(i >> 8)}))
	}
	c, _, to := pair(t, src, nil)
	ctx := t.Context()
	if sealed, list, err := c.Chain(ctx, to.ID(), train.Chain{Job: id}); err != nil || len(list) != protocol.MaxTrainChain || len(sealed) != len(list) {
		t.Errorf("%d certificates: %v", len(list), err)
	}
	if _, _, err := c.Chain(ctx, to.ID(), train.Chain{Job: hash(9)}); err == nil {
		t.Error("certificates of another job are taken")
	}
	if s, got, err := c.Job(ctx, to.ID(), id); err != nil || got.Name != "x" || !bytes.Equal(s.Payload, src.job.Payload) {
		t.Errorf("job: %v", err)
	}
	if _, _, err := c.Job(ctx, to.ID(), hash(9)); !errors.Is(err, transfer.ErrHash) {
		t.Errorf("another job than was asked for: %v", err)
	}
	b := &train.Bundle{Messages: []train.Sealed{*src.job}, Seq: 3}
	if err := c.Tell(ctx, to.ID(), b); err != nil || len(src.told) != 1 || src.told[0].Seq != 3 {
		t.Errorf("messages: %v", err)
	}
	if list, err := c.Board(ctx, to.ID()); err != nil || len(list) != 1 || !bytes.Equal(list[0].Payload, src.job.Payload) {
		t.Errorf("%d announcements: %v", len(list), err)
	}
	q := train.State{Job: id, Root: hash(1)}
	if leaves, err := c.Leaves(ctx, to.ID(), q, len(src.leaves)); err != nil || len(leaves) != len(src.leaves) || leaves[len(leaves)-1] != src.leaves[len(leaves)-1] {
		t.Errorf("%d leaves: %v", len(leaves), err)
	}
	if _, err := c.Leaves(ctx, to.ID(), q, len(src.leaves)-1); err == nil {
		t.Error("more leaves than the state has are taken")
	}
}

// TestEndedStream checks that a stream that the other side has ended meanwhile costs nothing,
// and that a canceled request returns.
func TestEndedStream(t *testing.T) {
	t.Parallel()
	src := &shelf{result: []byte{1}, taken: map[train.Put][]byte{}, limit: 9}
	c, asks, to := pair(t, src, nil)
	var streams []host.Stream
	var mu sync.Mutex
	to.Handle(protocol.Train, func(ctx context.Context, s host.Stream) {
		mu.Lock()
		streams = append(streams, s)
		mu.Unlock()
		_ = transfer.Serve(ctx, s, src, nil)
	})
	p := train.Put{Job: hash(1), Round: 1}
	if err := c.Put(t.Context(), to.ID(), p, []byte{1}); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	if err := streams[0].Reset(); err != nil {
		t.Fatal(err)
	}
	mu.Unlock()
	if err := c.Put(t.Context(), to.ID(), p, []byte{1}); err != nil {
		t.Errorf("after the stream had ended: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- c.Get(ctx, to.ID(), train.Get{Job: hash(1), Round: 9, Result: hash(1)}, make([]byte, 1))
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	hostile(t, asks, to)
}

// hostile sends what no client sends: each stream ends, and the server lives.
func hostile(t *testing.T, asks, to *host.Host) {
	t.Helper()
	put, err := wire.Encode(&train.Put{Job: hash(1), Round: 1, Bytes: 5})
	if err != nil {
		t.Fatal(err)
	}
	for name, play := range map[string]func(w *frame.Writer) error{
		"no request":       func(w *frame.Writer) error { return w.Write(train.TypeData, []byte{1}) },
		"unknown type":     func(w *frame.Writer) error { return w.Write(200, []byte{1}) },
		"not a message":    func(w *frame.Writer) error { return w.Write(train.TypePut, []byte{0xa0}) },
		"data of no bytes": func(w *frame.Writer) error { return errors.Join(w.Write(train.TypePut, put), w.Write(train.TypeData)) },
		"too much data": func(w *frame.Writer) error {
			return errors.Join(w.Write(train.TypePut, put), w.Write(train.TypeData, make([]byte, 6)))
		},
		"a request in a data": func(w *frame.Writer) error {
			return errors.Join(w.Write(train.TypePut, put), w.Write(train.TypePut, put))
		},
	} {
		s, err := asks.Open(t.Context(), to.ID(), protocol.Train)
		if err != nil {
			t.Fatal(err)
		}
		w := frame.NewWriter(s)
		if err := errors.Join(play(w), w.Flush()); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := io.ReadAll(s); err == nil {
			t.Errorf("%s: the stream ends in good order", name)
		}
		_ = s.Reset()
	}
}
