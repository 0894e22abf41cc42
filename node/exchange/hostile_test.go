package exchange_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// script is a provider's way of answering: it is called for every block asked for, in
// order, with the number of blocks before it. An error ends the stream.
type script func(ctx context.Context, n int, c cid.Cid, w *frame.Writer) error

var errQuit = errors.New("quit")

// play makes a peer answer by a script.
func (p *peer) play(f script) {
	var mu sync.Mutex
	n := 0
	p.Handle(protocol.Blocks, func(ctx context.Context, s host.Stream) {
		defer s.Reset()
		r, w := frame.NewReader(s, wire.BlocksServerLimits()), frame.NewWriter(s)
		for {
			_, body, err := r.Next()
			var q wire.BlocksRequest
			if err != nil || wire.Decode(body, &q) != nil {
				return
			}
			for _, c := range q.CIDs {
				mu.Lock()
				at := n
				n++
				mu.Unlock()
				if err := errors.Join(f(ctx, at, c, w), w.Flush()); err != nil {
					return
				}
			}
		}
	})
}

// honest answers from blocks.
func honest(blocks []store.Block) script {
	data := map[cid.Cid][]byte{}
	for _, b := range blocks {
		data[b.CID()] = b.Data()
	}
	return func(_ context.Context, _ int, c cid.Cid, w *frame.Writer) error {
		return w.Write(wire.TypeBlock, wire.BlockHead(c), data[c])
	}
}

func after(n int, first, then script) script {
	return func(ctx context.Context, at int, c cid.Cid, w *frame.Writer) error {
		if at < n {
			return first(ctx, at, c, w)
		}
		return then(ctx, at, c, w)
	}
}

func stall(ctx context.Context, _ int, _ cid.Cid, _ *frame.Writer) error {
	<-ctx.Done()
	return ctx.Err()
}

func lie(_ context.Context, _ int, c cid.Cid, w *frame.Writer) error {
	return w.Write(wire.TypeBlock, wire.BlockHead(c), []byte("these are not the bytes you are looking for"))
}

// TestBadProviders has a liar, one that stalls, and one that dies after some blocks: what
// is stored is right, and with an honest one everything comes.
func TestBadProviders(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	me, liar, stalls, dies, good := s.add(nil), s.add(nil), s.add(nil), s.add(nil), s.add(nil)
	me.ex.SetTimes(time.Second, 20*time.Millisecond, 50*time.Millisecond)
	blocks := randomBlocks(t, 4, 60, 64<<10)
	good.put(t, blocks)
	liar.play(after(3, honest(blocks), lie))
	stalls.play(after(5, honest(blocks), stall))
	var once sync.Once
	died := make(chan struct{})
	dies.play(after(7, honest(blocks), func(context.Context, int, cid.Cid, *frame.Writer) error {
		once.Do(func() { close(died) })
		return errQuit
	}))
	go func() {
		<-died
		dies.stop()
	}()
	bad := []host.ID{liar.ID(), stalls.ID(), dies.ID()}
	st, err := me.ex.Fetch(t.Context(), cidsOf(blocks), bad, exchange.Options{})
	var missing *exchange.MissingError
	if !errors.As(err, &missing) || len(missing.CIDs)+st.Blocks != len(blocks) || st.Blocks == 0 {
		t.Fatalf("got %+v, %v", st, err)
	}
	for _, why := range []string{"other bytes", "is silent"} {
		if !strings.Contains(err.Error(), why) {
			t.Errorf("error does not tell %q: %v", why, err)
		}
	}
	got := slices.DeleteFunc(slices.Clone(blocks), func(b store.Block) bool { return slices.Contains(missing.CIDs, b.CID()) })
	me.holds(t, got)
	if n := me.store.Stat().Blocks; n != len(got) {
		t.Errorf("store has %d blocks, want %d", n, len(got))
	}
	st, err = me.ex.Fetch(t.Context(), cidsOf(blocks), append(bad, good.ID()), exchange.Options{})
	if err != nil || st.Skipped != int64(len(got))<<16 || st.From[liar.ID()] != 0 {
		t.Fatalf("with an honest one: %+v, %v", st, err)
	}
	me.holds(t, blocks)
}

// TestBrokenAnswers has providers that break the protocol in one way each; an honest one
// delivers in the end, and nothing else is in the store.
func TestBrokenAnswers(t *testing.T) {
	t.Parallel()
	blocks := randomBlocks(t, 5, 12, 5000)
	other := randomBlocks(t, 6, 1, 5000)[0]
	send := func(parts ...any) script { // a frame type, then payloads
		return func(_ context.Context, _ int, _ cid.Cid, w *frame.Writer) error {
			var bytes [][]byte
			for _, p := range parts[1:] {
				bytes = append(bytes, p.([]byte))
			}
			return w.Write(parts[0].(frame.Type), bytes...)
		}
	}
	missing := func(code wire.Code, cids ...cid.Cid) []byte {
		b, err := wire.Encode(&wire.BlocksMissing{ID: 1, CIDs: cids, Code: code})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	failure, err := wire.Encode(wire.Errorf(wire.CodeInternal, "no"))
	if err != nil {
		t.Fatal(err)
	}
	right := honest(blocks)
	for _, c := range []struct {
		name string
		f    script
	}{
		{"wrong bytes", lie},
		{"another block's bytes", func(_ context.Context, _ int, c cid.Cid, w *frame.Writer) error {
			return w.Write(wire.TypeBlock, wire.BlockHead(c), other.Data())
		}},
		{"one byte less", func(_ context.Context, _ int, c cid.Cid, w *frame.Writer) error {
			return w.Write(wire.TypeBlock, wire.BlockHead(c), blocks[0].Data()[1:])
		}},
		{"empty", func(_ context.Context, _ int, c cid.Cid, w *frame.Writer) error {
			return w.Write(wire.TypeBlock, wire.BlockHead(c))
		}},
		{"short head", send(wire.TypeBlock, []byte("head"))},
		{"block not asked for", send(wire.TypeBlock, wire.BlockHead(other.CID()), other.Data())},
		{"twice", func(ctx context.Context, n int, c cid.Cid, w *frame.Writer) error {
			return errors.Join(right(ctx, n, c, w), right(ctx, n, c, w))
		}},
		{"oversize", send(wire.TypeBlock, make([]byte, wire.BlockHeadSize+protocol.MaxBlock+1))},
		{"unknown type", send(frame.Type(200), []byte("?"))},
		{"request in answer", send(wire.TypeBlocksRequest, []byte{0xa0})},
		{"malformed refusal", send(wire.TypeBlocksMissing, []byte("no"))},
		{"refuses what was not asked", send(wire.TypeBlocksMissing, missing(wire.CodeNotHosting, other.CID()))},
		{"refuses without a reason", send(wire.TypeBlocksMissing, []byte{0xa0})},
		{"error", send(wire.TypeError, failure)},
		{"malformed error", send(wire.TypeError, []byte{1})},
		{"hangs up", func(context.Context, int, cid.Cid, *frame.Writer) error { return errQuit }},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newSwarm(t)
			me, bad, good := s.add(nil), s.add(nil), s.add(nil)
			me.ex.SetTimes(patience, time.Millisecond, patience)
			bad.play(c.f)
			var gone *exchange.MissingError
			_, err := me.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{bad.ID()}, exchange.Options{})
			if !errors.As(err, &gone) || gone.Err == nil {
				t.Fatalf("from the bad one alone: %v", err)
			}
			good.put(t, blocks)
			if _, err := me.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{bad.ID(), good.ID()}, exchange.Options{}); err != nil {
				t.Fatal(err)
			}
			me.holds(t, blocks)
			if n := me.store.Stat().Blocks; n != len(blocks) {
				t.Errorf("store has %d blocks, want %d", n, len(blocks))
			}
		})
	}
}

// TestBusyProviderIsAskedAgain has a provider that has no time at first.
func TestBusyProviderIsAskedAgain(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	me, a := s.add(nil), s.add(nil)
	me.ex.SetTimes(patience, time.Millisecond, patience)
	blocks := randomBlocks(t, 7, 20, 1000)
	right := honest(blocks)
	a.play(func(ctx context.Context, n int, c cid.Cid, w *frame.Writer) error {
		switch {
		case n < 2:
			body, err := wire.Encode(&wire.BlocksMissing{ID: 1, CIDs: []cid.Cid{c}, Code: wire.CodeBusy})
			return errors.Join(err, w.Write(wire.TypeBlocksMissing, body))
		case n < 4:
			body, err := wire.Encode(wire.Errorf(wire.CodeBusy, "wait"))
			return errors.Join(err, w.Write(wire.TypeError, body))
		}
		return right(ctx, n, c, w)
	})
	if st, err := me.ex.Fetch(t.Context(), cidsOf(blocks), []host.ID{a.ID()}, exchange.Options{}); err != nil || st.Blocks != 20 {
		t.Errorf("got %+v, %v", st, err)
	}
}

// TestFastProviderTakesOver has one provider that stops after a few blocks and keeps its
// stream, and one that is slow: the third gets the work, long before a deadline.
func TestFastProviderTakesOver(t *testing.T) {
	t.Parallel()
	s := newSwarm(t)
	slow := s.add(func(c *exchange.Config) { c.UploadBytesPerSec = 1 << 20 })
	me, hangs, fast := s.add(nil), s.add(nil), s.add(nil)
	me.ex.SetTimes(10*patience, time.Millisecond, 20*time.Millisecond)
	blocks := randomBlocks(t, 8, 48, 1<<20)
	slow.put(t, blocks)
	fast.put(t, blocks)
	hangs.play(after(1, honest(blocks), stall))
	ctx, cancel := context.WithTimeout(t.Context(), patience) // slow alone takes 48 s
	defer cancel()
	st, err := me.ex.Fetch(ctx, cidsOf(blocks), []host.ID{slow.ID(), hangs.ID(), fast.ID()}, exchange.Options{})
	if err != nil {
		t.Fatal(err)
	}
	me.holds(t, blocks)
	if st.Blocks != 48 || st.From[fast.ID()] < 32<<20 {
		t.Errorf("got %+v", st)
	}
}
