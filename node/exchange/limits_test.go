package exchange_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// TestUploadLimit fetches more than what the owner lets go at once: it takes its time.
func TestUploadLimit(t *testing.T) {
	t.Parallel()
	const perSecond = 4 << 20
	s := newSwarm(t)
	a := s.add(func(c *exchange.Config) { c.UploadBytesPerSec = perSecond })
	b := s.add(nil)
	blocks := randomBlocks(t, 1, 6, 1<<20)
	a.put(t, blocks)
	start := time.Now()
	if _, err := b.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{a.ID()}, exchange.Options{}); err != nil {
		t.Fatal(err)
	}
	b.holds(t, blocks)
	if took, least := time.Since(start), time.Second*(6<<20-perSecond/10)/perSecond; took < least {
		t.Errorf("6 MiB came in %v, at least %v at 4 MiB/s", took, least)
	}
}

// TestCancelAndResume stops a fetch in its middle, closes the store and opens it again: the
// next fetch gets what is missing and no more.
func TestCancelAndResume(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b := s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 2, 200, 100_000)
	a.put(t, blocks)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	dir := t.TempDir()
	fetch := func(ctx context.Context, progress func(exchange.Stats)) (exchange.Stats, error) {
		st, err := store.Open(store.Config{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		ex, err := exchange.New(exchange.Config{Store: st, Open: b.Open})
		if err != nil {
			t.Fatal(err)
		}
		return ex.Fetch(ctx, cidsOf(blocks), []host.ID{a.ID()}, exchange.Options{Progress: progress})
	}
	first, err := fetch(ctx, func(s exchange.Stats) {
		if s.Blocks >= 20 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || first.Blocks < 20 || first.Blocks == len(blocks) {
		t.Fatalf("cancelled: %+v, %v", first, err)
	}
	second, err := fetch(t.Context(), nil)
	if err != nil || second.Skipped != first.Bytes || first.Blocks+second.Blocks != len(blocks) {
		t.Errorf("after %+v: %+v, %v", first, second, err)
	}
}

// TestNoRoom fetches more than the owner lends.
func TestNoRoom(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b := s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 3, 64, 1<<20)
	a.put(t, blocks)
	small, err := store.Open(store.Config{Dir: t.TempDir(), Limit: 48 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer small.Close()
	ex, err := exchange.New(exchange.Config{Store: small, Open: b.Open})
	if err != nil {
		t.Fatal(err)
	}
	var full *store.SpaceError
	if st, err := ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{a.ID()}, exchange.Options{}); !errors.As(err, &full) || st.Blocks == 0 || st.Bytes > 48<<20 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// TestDamagedBlock has a peer with a block damaged on disk: it does not serve it, another
// does, and heals the first.
func TestDamagedBlock(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b, c := s.add(nil), s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 4, 10, 50_000)
	dir := t.TempDir()
	damaged := openStore(t, dir)
	if _, err := damaged.PutMany(t.Context(), blocks); err != nil {
		t.Fatal(err)
	}
	if err := damaged.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, dir, blocks[3].Data())
	damaged = openStore(t, dir)
	ex, err := exchange.New(exchange.Config{Store: damaged, Open: a.Open})
	if err != nil {
		t.Fatal(err)
	}
	a.Handle(protocol.Blocks, ex.Serve)
	var missing *exchange.MissingError
	_, err = c.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{a.ID()}, exchange.Options{})
	if !errors.As(err, &missing) || !slices.Contains(missing.CIDs, blocks[3].CID()) {
		t.Fatalf("from the damaged store: %v", err)
	}
	lost := len(missing.CIDs) // the database cuts its last file off at the damage
	b.put(t, blocks)
	from := []host.ID{a.ID(), b.ID()}
	if st, err := c.ex.Fetch(t.Context(), cidsOf(blocks), from, exchange.Options{}); err != nil || st.From[b.ID()] != int64(lost)*50_000 {
		t.Errorf("with another: %+v, %v", st, err)
	}
	if st, err := ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{b.ID()}, exchange.Options{}); err != nil || st.Blocks != lost {
		t.Errorf("healing: %+v, %v", st, err)
	}
	for _, x := range blocks {
		if got, err := damaged.Get(t.Context(), x.CID()); err != nil || !bytes.Equal(got, x.Data()) {
			t.Errorf("healed block %s: %v", x.CID(), err)
		}
	}
	if n := damaged.Stat().Quarantined; n != 0 {
		t.Errorf("%d blocks quarantined after healing", n)
	}
}

// flip changes a byte of content in the files of a closed store.
func flip(t *testing.T, dir string, content []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "blocks", "*.vlog"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, content); at >= 0 {
			b[at+len(content)/2] ^= 1
			if err := os.WriteFile(name, b, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("content not found")
}

// TestFetchesAtOnce has several peers and several fetches of one peer at the same time.
func TestFetchesAtOnce(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b, c, d := s.add(nil), s.add(nil), s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 5, 120, 20_000)
	a.put(t, blocks[:80])
	b.put(t, blocks[40:])
	var all sync.WaitGroup
	for i := range 8 {
		to := []*peer{c, d}[i%2]
		all.Go(func() {
			from := []host.ID{a.ID(), b.ID()}
			if i >= 4 {
				slices.Reverse(from)
			}
			if _, err := to.ex.Fetch(t.Context(), cidsOf(blocks), from, exchange.Options{Priority: wire.Priority(i % 3)}); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	c.holds(t, blocks)
	d.holds(t, blocks)
}

// TestPeerLimits asks for too much at once: the rest is refused as busy, and so are
// streams too many.
func TestPeerLimits(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b := s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 6, 1, 1<<20)
	a.put(t, blocks)
	first, err := b.Open(t.Context(), a.ID(), protocol.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Reset()
	w := frame.NewWriter(first)
	for i := range 3 { // more bytes than the buffers on the way take
		ask := slices.Repeat(cidsOf(blocks), protocol.MaxBlockCIDs)
		body, err := wire.Encode(&wire.BlocksRequest{ID: uint64(i), CIDs: ask})
		if err := errors.Join(err, w.Write(wire.TypeBlocksRequest, body), w.Flush()); err != nil {
			t.Fatal(err)
		}
	}
	r := frame.NewReader(first, wire.BlocksClientLimits())
	for refused, n := false, 0; !refused; n++ {
		typ, body, err := r.Next()
		if err != nil || n > 2*protocol.MaxBlockCIDs {
			t.Fatalf("after %d answers none is a refusal: %v", n, err)
		}
		if refused = typ == wire.TypeBlocksMissing; refused {
			var m wire.BlocksMissing
			if err := wire.Decode(body, &m); err != nil || m.ID != 2 || m.Code != wire.CodeBusy {
				t.Errorf("got %+v, %v", m, err)
			}
		}
	}
	answers := make(chan error, 9)
	for range 9 {
		more, err := b.Open(t.Context(), a.ID(), protocol.Blocks)
		if err != nil {
			t.Fatal(err)
		}
		defer more.Reset()
		go func() { answers <- refusal(more) }()
	}
	for range 2 { // ten streams, of which eight are served
		var said *wire.Error
		if err := <-answers; !errors.As(err, &said) || said.Code != wire.CodeBusy || said.RetryAfter() <= 0 {
			t.Errorf("a stream too many: %v", err)
		}
	}
}

// TestClientThatTakesNothing asks on and on and reads no answer: the stream ends before it
// costs memory without bound, and others are served.
func TestClientThatTakesNothing(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b, c := s.add(nil), s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 6, 1, 1<<20)
	a.put(t, blocks)
	greedy, err := b.Open(t.Context(), a.ID(), protocol.Blocks)
	if err != nil {
		t.Fatal(err)
	}
	defer greedy.Reset()
	body, err := wire.Encode(&wire.BlocksRequest{ID: 1, CIDs: slices.Repeat(cidsOf(blocks), protocol.MaxBlockCIDs)})
	if err != nil {
		t.Fatal(err)
	}
	const requests = 4000 // a million refusals, if they were all queued
	w, n := frame.NewWriter(greedy), 0
	for err == nil && n < requests {
		err = errors.Join(w.Write(wire.TypeBlocksRequest, body), w.Flush())
		n++
	}
	if err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d requests went through, then %v: want the stream reset", n, err)
	}
	if _, err := c.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{a.ID()}, exchange.Options{}); err != nil {
		t.Error(err)
	}
}

// refusal reads the error that a stream is refused with.
func refusal(s host.Stream) error {
	t, body, err := frame.NewReader(s, wire.BlocksClientLimits()).Next()
	if err != nil {
		return err
	}
	if t != wire.TypeError {
		return fmt.Errorf("frame of type %d", t)
	}
	var said wire.Error
	if err := wire.Decode(body, &said); err != nil {
		return err
	}
	return &said
}

// TestBadRequests breaks the protocol as a client: what was asked for before is answered,
// then an error says what was wrong.
func TestBadRequests(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	a, b := s.add(nil), s.add(nil)
	blocks := randomBlocks(t, 7, 2, 1000)
	a.put(t, blocks)
	good, err := wire.Encode(&wire.BlocksRequest{ID: 1, CIDs: cidsOf(blocks)})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		typ  frame.Type
		body []byte
		want wire.Code
	}{
		{"unknown type", 200, nil, wire.CodeUnsupported},
		{"oversize", wire.TypeBlocksRequest, make([]byte, protocol.MaxBlocksRequest+1), wire.CodeBadRequest},
		{"malformed", wire.TypeBlocksRequest, []byte{0xff}, wire.CodeBadRequest},
		{"nothing asked for", wire.TypeBlocksRequest, []byte{0xa0}, wire.CodeBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			st, err := b.Open(t.Context(), a.ID(), protocol.Blocks)
			if err != nil {
				t.Fatal(err)
			}
			defer st.Reset()
			w, r := frame.NewWriter(st), frame.NewReader(st, wire.BlocksClientLimits())
			if err := errors.Join(w.Write(wire.TypeBlocksRequest, good), w.Write(c.typ, c.body), w.Flush()); err != nil {
				t.Fatal(err)
			}
			for _, want := range blocks {
				typ, body, err := r.Next()
				if err != nil || typ != wire.TypeBlock || !bytes.Equal(body[wire.BlockHeadSize:], want.Data()) {
					t.Fatalf("got type %d, %d bytes, %v", typ, len(body), err)
				}
			}
			var said wire.Error
			typ, body, err := r.Next()
			if err := errors.Join(err, wire.Decode(body, &said)); err != nil || typ != wire.TypeError || said.Code != c.want {
				t.Errorf("got type %d, %v, %v", typ, &said, err)
			}
			if _, _, err := r.Next(); !errors.Is(err, io.EOF) {
				t.Errorf("after the error: %v", err)
			}
		})
	}
}

// TestTurns lets others send within the owner's limit: a burst at once, more only later. Without a
// limit nobody waits.
func TestTurns(t *testing.T) {
	t.Parallel()
	c := exchange.Config{Store: openStore(t, t.TempDir()), Open: func(context.Context, host.ID, string) (host.Stream, error) { return nil, errQuit }}
	free, err := exchange.New(c)
	if err != nil {
		t.Fatal(err)
	}
	if free.Turns() != nil {
		t.Error("there are turns without a limit")
	}
	c.UploadBytesPerSec = 1000
	e, err := exchange.New(c)
	if err != nil {
		t.Fatal(err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Turns()(over, 64<<10); err != nil {
		t.Errorf("a burst waits: %v", err)
	}
	if err := e.Turns()(over, 200<<10); err == nil {
		t.Error("three minutes' worth of bytes may go at once")
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	st := openStore(t, t.TempDir())
	open := func(context.Context, host.ID, string) (host.Stream, error) { return nil, errQuit }
	reg := prometheus.NewRegistry()
	if _, err := exchange.New(exchange.Config{Store: st, Open: open, Registerer: reg}); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]exchange.Config{
		"no store":       {Open: open},
		"no opener":      {Store: st},
		"negative limit": {Store: st, Open: open, UploadBytesPerSec: -1},
		"metrics twice":  {Store: st, Open: open, Registerer: reg},
	} {
		if _, err := exchange.New(c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
