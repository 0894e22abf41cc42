package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
)

func TestMain(m *testing.M) {
	childOfCrashTest()
	childOfDiskTest()
	// Badger leaves these behind when it fails to open a damaged database.
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/dgraph-io/badger/v4.(*DB).monitorCache"),
		goleak.IgnoreTopFunction("github.com/dgraph-io/ristretto/v2/z.(*AllocatorPool).freeupAllocators"))
}

// open opens a store that is closed with the test, if not before.
func open(tb testing.TB, cfg store.Config) *store.Store {
	tb.Helper()
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	s, err := store.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closed(tb, s) })
	return s
}

func closed(tb testing.TB, s *store.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

// randomBlocks makes n blocks of the sizes, in turn, from a seed.
func randomBlocks(tb testing.TB, seed byte, n int, sizes ...int) []store.Block {
	tb.Helper()
	rng := rand.NewChaCha8([32]byte{seed})
	out := make([]store.Block, n)
	for i := range out {
		data := make([]byte, sizes[i%len(sizes)])
		rng.Read(data)
		b, err := store.NewBlock(data)
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = b
	}
	return out
}

func put(tb testing.TB, s *store.Store, blocks ...store.Block) {
	tb.Helper()
	if _, err := s.PutMany(tb.Context(), blocks); err != nil {
		tb.Fatal(err)
	}
}

// node makes a block that refers to others; links reads it.
func node(tb testing.TB, nodes, leaves []store.Block) store.Block {
	tb.Helper()
	data, err := json.Marshal(map[string][]cid.Cid{"nodes": cidsOf(nodes), "leaves": cidsOf(leaves)})
	if err != nil {
		tb.Fatal(err)
	}
	b, err := store.NewBlock(data)
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func links(data []byte) (nodes, leaves []cid.Cid, err error) {
	var l map[string][]cid.Cid
	err = json.Unmarshal(data, &l)
	return l["nodes"], l["leaves"], err
}

func cidsOf(blocks []store.Block) []cid.Cid {
	out := make([]cid.Cid, len(blocks))
	for i, b := range blocks {
		out[i] = b.CID()
	}
	return out
}

// holds fails the test unless all blocks are there with the right bytes.
func holds(tb testing.TB, s *store.Store, blocks ...store.Block) {
	tb.Helper()
	for _, b := range blocks {
		if got, err := s.Get(tb.Context(), b.CID()); err != nil || !bytes.Equal(got, b.Data()) {
			tb.Fatalf("block %s: %d bytes, %v", b.CID(), len(got), err)
		}
	}
}

func TestPutGetDelete(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir, Registry: prometheus.NewRegistry()})
	blocks := randomBlocks(t, 1, 60, 7, 100, 4<<10, 4<<10-1, 300_000, protocol.MaxBlock)
	size := int64(0)
	for _, b := range blocks {
		size += int64(len(b.Data()))
	}
	if n, err := s.PutMany(t.Context(), append(blocks, blocks[0])); err != nil || n < size {
		t.Fatalf("put %d of %d bytes: %v", n, size, err)
	}
	if n, err := s.PutMany(t.Context(), blocks); err != nil || n != 0 {
		t.Errorf("put again: %d bytes written, %v", n, err)
	}
	holds(t, s, blocks...)
	if st := s.Stat(); st.Blocks != len(blocks) || st.Bytes != size || st.DiskBytes < size || st.Free <= 0 || st.Quarantined != 0 {
		t.Errorf("got %+v", st)
	}
	if c, err := s.Put(t.Context(), []byte("x")); err != nil || !s.Has(c) {
		t.Errorf("put: %v", err)
	}
	buf := make([]byte, 0, protocol.MaxBlock)
	got, err := s.GetTo(t.Context(), buf, blocks[4].CID())
	if err != nil || &got[0] != &buf[:1][0] || !bytes.Equal(got, blocks[4].Data()) {
		t.Errorf("into memory of ours: %v", err)
	}
	gone := blocks[:7]
	if err := s.Delete(t.Context(), append(cidsOf(gone), cidsOf(gone)...)...); err != nil {
		t.Fatal(err)
	}
	check := func(s *store.Store) {
		t.Helper()
		for _, b := range gone {
			var bad *store.CorruptError
			if _, err := s.Get(t.Context(), b.CID()); !errors.Is(err, store.ErrNotFound) || errors.As(err, &bad) || s.Has(b.CID()) {
				t.Errorf("deleted block: %v", err)
			}
		}
		holds(t, s, blocks[7:]...)
		if n, ok := s.Size(blocks[11].CID()); !ok || n != protocol.MaxBlock {
			t.Errorf("size %d, %v", n, ok)
		}
	}
	check(s)
	closed(t, s)
	check(open(t, store.Config{Dir: dir}))
}

func TestUnsupported(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	hash := func(code uint64, data string) multihash.Multihash {
		h, err := multihash.Sum([]byte(data), code, -1)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	sha := hash(multihash.SHA2_256, "x")
	for name, c := range map[string]cid.Cid{
		"undefined": cid.Undef, "version 0": cid.NewCidV0(sha), "other codec": cid.NewCidV1(cid.DagCBOR, sha),
		"identity": cid.NewCidV1(cid.Raw, hash(multihash.IDENTITY, "0123456789abcdef0123456789abcdef")), "sha-512": cid.NewCidV1(cid.Raw, hash(multihash.SHA2_512, "x")),
	} {
		_, getErr := s.Get(t.Context(), c)
		_, checkErr := store.Check(c, []byte("x"))
		for verb, err := range map[string]error{"get": getErr, "check": checkErr, "delete": s.Delete(t.Context(), c), "pin": s.Pin(c), "hold": s.Hold().Add(c)} {
			if !errors.Is(err, store.ErrUnsupported) {
				t.Errorf("%s of %s: %v", verb, name, err)
			}
		}
		if s.Has(c) {
			t.Errorf("has %s", name)
		}
	}
	for _, n := range []int{0, protocol.MaxBlock + 1} {
		if _, err := s.Put(t.Context(), make([]byte, n)); !errors.Is(err, store.ErrUnsupported) {
			t.Errorf("put of %d bytes: %v", n, err)
		}
	}
	if _, err := s.PutMany(t.Context(), []store.Block{{}}); !errors.Is(err, store.ErrUnsupported) {
		t.Errorf("put of no block: %v", err)
	}
	b := randomBlocks(t, 1, 2, 10)
	if _, err := store.Check(b[0].CID(), b[1].Data()); err == nil || errors.Is(err, store.ErrUnsupported) {
		t.Errorf("check of other bytes: %v", err)
	}
}

func TestClosedAndCancelled(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{})
	b := randomBlocks(t, 1, 1, 10)[0]
	put(t, s, b)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 {
		_, getErr := s.Get(ctx, b.CID())
		_, putErr := s.Put(ctx, []byte("new"))
		_, gcErr := s.GC(ctx)
		for verb, err := range map[string]error{"get": getErr, "put": putErr, "gc": gcErr} {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("%s after cancel: %v", verb, err)
			}
		}
	}
	closed(t, s)
	closed(t, s)
	_, getErr := s.Get(t.Context(), b.CID())
	_, putErr := s.Put(t.Context(), []byte("new"))
	_, gcErr := s.GC(t.Context())
	_, listErr := s.Quarantined()
	for verb, err := range map[string]error{"get": getErr, "put": putErr, "gc": gcErr, "delete": s.Delete(t.Context(), b.CID()), "pin": s.Pin(b.CID()), "sync": s.Sync(), "quarantined": listErr} {
		if !errors.Is(err, store.ErrClosed) {
			t.Errorf("%s after close: %v", verb, err)
		}
	}
}

func TestOpenTwice(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := open(t, store.Config{Dir: dir})
	b := randomBlocks(t, 1, 1, 10)[0]
	put(t, s, b)
	for range 5 { // more than the failures that count as damage
		if _, err := store.Open(store.Config{Dir: dir}); !errors.Is(err, store.ErrInUse) {
			t.Fatalf("a store that is open opens: %v", err)
		}
	}
	holds(t, s, b)
	closed(t, s)
	s = open(t, store.Config{Dir: dir})
	holds(t, s, b)
	if s.Moved() != "" {
		t.Error("a store in use was moved aside")
	}
}

// TestOpenAtOnce opens a store over and over from several sides: each finds it well or in
// use, and nothing is left of the attempts.
func TestOpenAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var tasks sync.WaitGroup
	for range 4 {
		tasks.Go(func() {
			for opened := 0; opened < 5; {
				s, err := store.Open(store.Config{Dir: dir})
				if errors.Is(err, store.ErrInUse) {
					runtime.Gosched()
					continue
				}
				if err != nil {
					t.Error(err)
					return
				}
				opened++
				if s.Moved() != "" {
					t.Errorf("moved to %q", s.Moved())
				}
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	tasks.Wait()
	if left, err := filepath.Glob(filepath.Join(dir, "blocks.*")); err != nil || len(left) > 0 {
		t.Errorf("files left: %v, %v", left, err)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	reg := prometheus.NewRegistry()
	open(t, store.Config{Registry: reg})
	for name, c := range map[string]store.Config{
		"no directory": {}, "limit": {Dir: "x", Limit: -1}, "margin": {Dir: "x", MarginBytes: -1},
		"percent": {Dir: "x", MarginPercent: 100}, "interval": {Dir: "x", Every: -1}, "metrics twice": {Dir: t.TempDir(), Registry: reg},
	} {
		if _, err := store.Open(c); err == nil {
			t.Errorf("%s: opens", name)
		}
	}
}

// TestPinsAndNames checks that pins and names survive a restart, and the loss of one or
// both copies of their file.
func TestPinsAndNames(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	blocks := randomBlocks(t, 1, 3, 100)
	names := map[string]cid.Cid{"tiny": blocks[0].CID(), "other name": blocks[2].CID()}
	for _, damage := range []struct {
		name  string
		files []string
		edit  func([]byte) []byte
	}{
		{"nothing", nil, nil},
		{"first copy changed", []string{"roots.json"}, func(b []byte) []byte { b[len(b)/2] ^= 4; return b }},
		{"first copy empty", []string{"roots.json"}, func([]byte) []byte { return nil }},
		{"second copy cut", []string{"roots.bak.json"}, func(b []byte) []byte { return b[:len(b)/2] }},
		{"both copies zeroed", []string{"roots.json", "roots.bak.json"}, func(b []byte) []byte { return make([]byte, len(b)) }},
	} {
		t.Run(damage.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := open(t, store.Config{Dir: dir, Now: func() time.Time { return now }})
			put(t, s, blocks...)
			for _, err := range []error{
				s.Pin(blocks[0].CID()), s.Pin(blocks[1].CID()), s.Unpin(blocks[1].CID()), s.Unpin(blocks[2].CID()),
				s.SetName("tiny", blocks[1].CID()), s.SetName("tiny", blocks[0].CID()), s.SetName("other name", blocks[2].CID()),
				s.SetName("gone", blocks[2].CID()), s.SetName("gone", cid.Undef),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if s.SetName("", blocks[0].CID()) == nil || s.SetName(string(make([]byte, 1000)), blocks[0].CID()) == nil {
				t.Error("a bad name passes")
			}
			closed(t, s)
			for _, f := range damage.files {
				rewrite(t, dir, f, damage.edit)
			}
			s = open(t, store.Config{Dir: dir})
			holds(t, s, blocks...)
			if len(damage.files) == 2 {
				if _, err := s.GC(t.Context()); !s.PinsLost() || !errors.Is(err, store.ErrPinsLost) {
					t.Fatalf("GC without pins: %v", err)
				}
				holds(t, s, blocks...)
				if err := errors.Join(s.Pin(blocks[1].CID()), s.AcceptLostPins()); err != nil {
					t.Fatal(err)
				}
				if st, err := s.GC(t.Context()); err != nil || st.Removed != 2 || s.PinsLost() {
					t.Errorf("GC after that: %+v, %v", st, err)
				}
				return
			}
			if got := s.Pins(); len(got) != 1 || got[0].CID != blocks[0].CID() || !got[0].At.Equal(now) || !s.Pinned(blocks[0].CID()) || s.Pinned(blocks[1].CID()) {
				t.Errorf("pins %v", got)
			}
			if got := s.Names(); !maps.Equal(got, names) {
				t.Errorf("names %v", got)
			}
			if c, ok := s.Name("tiny"); !ok || c != blocks[0].CID() {
				t.Errorf("name stands for %v, %v", c, ok)
			}
			if c, ok := s.Name("gone"); ok {
				t.Errorf("removed name stands for %v", c)
			}
		})
	}
}

// TestAtOnce puts, reads and deletes from many goroutines while GC runs: what is pinned is
// there at every moment.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Links: links})
	kept, loose := randomBlocks(t, 1, 40, 5000), randomBlocks(t, 2, 200, 5000)
	root := node(t, nil, kept)
	put(t, s, append(kept, root)...)
	if err := s.Pin(root.CID()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var rest, collector sync.WaitGroup
	collector.Go(func() {
		for ctx.Err() == nil {
			if _, err := s.GC(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	})
	for w := range 4 {
		rest.Go(func() {
			for i := w; i < len(loose); i += 4 {
				hold := s.Hold()
				err := hold.Add(loose[i].CID())
				if _, putErr := s.PutMany(t.Context(), loose[i:i+1]); errors.Join(err, putErr) != nil {
					t.Error(err, putErr)
				}
				if _, err := s.Get(t.Context(), loose[i].CID()); err != nil {
					t.Errorf("a block that is held: %v", err)
				}
				hold.Release()
				hold.Release()
				if _, err := s.Get(t.Context(), kept[i%len(kept)].CID()); err != nil {
					t.Errorf("a block that is pinned: %v", err)
				}
			}
		})
	}
	rest.Wait()
	cancel()
	collector.Wait()
	if _, err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, s, kept...)
	if i := slices.IndexFunc(loose, func(b store.Block) bool { return s.Has(b.CID()) }); i >= 0 {
		t.Errorf("loose block %d is still there", i)
	}
}

// TestRun reclaims in the background and ends with its context.
func TestRun(t *testing.T) {
	t.Parallel()
	s := open(t, store.Config{Every: time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	for i := range 20 {
		put(t, s, randomBlocks(t, byte(i), 4, 100_000)...)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

func ExampleStore() {
	fmt.Println(errors.Is(&store.CorruptError{Reason: store.Mismatch}, store.ErrNotFound))
	// Output: true
}
