package catalog_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

var _ worker.Models = (*catalog.Catalog)(nil)

// peer is the peer that fakes fetch from.
const peer = host.ID("peer")

func openStore(tb testing.TB) *store.Store {
	tb.Helper()
	return openStoreIn(tb, tb.TempDir())
}

func openStoreIn(tb testing.TB, dir string) *store.Store {
	tb.Helper()
	s, err := store.Open(store.Config{
		Dir: dir, Links: wire.Links,
		Space: func(string) (int64, int64, error) { return 1 << 40, 1 << 40, nil },
	})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func newCatalog(tb testing.TB, cfg catalog.Config) *catalog.Catalog {
	tb.Helper()
	c, err := catalog.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// demoCheckpoint is the demo model, whose output matrix is its embedding.
func demoCheckpoint(tb testing.TB) *model.Checkpoint {
	tb.Helper()
	dir := filepath.Join(tb.TempDir(), demo.Name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		tb.Fatal(err)
	}
	if err := demo.Write(dir); err != nil {
		tb.Fatal(err)
	}
	ck, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ck.Close() })
	return ck
}

func imported(tb testing.TB, c *catalog.Catalog) *catalog.Model {
	tb.Helper()
	m, err := c.Import(tb.Context(), demoCheckpoint(tb), "", nil)
	if err != nil {
		tb.Fatal(err)
	}
	return m
}

// copier is a Fetcher that copies from another store.
type copier struct {
	from, to *store.Store

	mu    sync.Mutex
	calls int
	asked []cid.Cid
	peers []host.ID
}

func (f *copier) Fetch(ctx context.Context, want []cid.Cid, from []host.ID, o exchange.Options) (exchange.Stats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls++
	f.asked, f.peers = append(f.asked, want...), from
	st := exchange.Stats{From: map[host.ID]int64{}}
	var missing []cid.Cid
	for _, id := range want {
		if n, ok := f.to.Size(id); ok {
			st.Skipped += int64(n)
			continue
		}
		data, err := f.from.Get(ctx, id)
		if err != nil {
			missing = append(missing, id)
			continue
		}
		if _, err := f.to.Put(ctx, data); err != nil {
			return st, err
		}
		st.Blocks++
		st.Bytes += int64(len(data))
		st.From[from[0]] += int64(len(data))
		if o.Progress != nil {
			o.Progress(st)
		}
	}
	if len(missing) > 0 {
		return st, &exchange.MissingError{CIDs: missing}
	}
	return st, nil
}

// pair is a catalog with the demo model, and an empty one that fetches from it.
func pair(t *testing.T) (full *catalog.Catalog, m *catalog.Model, empty *catalog.Catalog, f *copier) {
	t.Helper()
	f = &copier{from: openStore(t), to: openStore(t)}
	full = newCatalog(t, catalog.Config{Store: f.from})
	m = imported(t, full)
	empty = newCatalog(t, catalog.Config{
		Store: f.to, Fetcher: f,
		Providers: func(_ context.Context, id cid.Cid) []host.ID {
			if id != m.CID {
				return nil
			}
			return []host.ID{peer}
		},
	})
	return full, m, empty, f
}

func TestNew(t *testing.T) {
	t.Parallel()
	if _, err := catalog.New(catalog.Config{}); err == nil {
		t.Error("a catalog without a store")
	}
}

// TestTensorTypes holds the sizes of tensor types in protocol/wire to engine/tensor.
func TestTensorTypes(t *testing.T) {
	t.Parallel()
	for _, d := range tensor.Types() {
		want, err := d.Bytes(tensor.Shape{3, 512})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := wire.TensorBytes(d.String(), []uint64{3, 512}); err != nil || got != want {
			t.Errorf("%v: wire has %d, %v, the engine %d", d, got, err, want)
		}
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	m := imported(t, c)
	if err := s.SetName("gone", wire.CIDOf([]byte("gone"))); err != nil {
		t.Fatal(err)
	}
	text := m.CID.String()
	tests := []struct {
		name, look string
		found      bool
	}{
		{"name", "demo", true},
		{"identifier", text, true},
		{"prefix", text[:20], true},
		{"shortest prefix", text[:8], true},
		{"too short", text[:7], false},
		{"case", "Demo", false},
		{"other", "nothing", false},
		{"other identifier", wire.CIDOf([]byte("x")).String(), false},
		{"name without blocks", "gone", false},
		{"empty", "", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, ok := c.Find(tt.look)
			if ok != tt.found || ok && (got.CID != m.CID || got.Name != "demo") {
				t.Errorf("got %v, %v", got, ok)
			}
		})
	}
}

func TestListRemove(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	a := imported(t, c)
	b, err := c.Import(t.Context(), demoCheckpoint(t), "another", nil)
	if err != nil {
		t.Fatal(err)
	}
	if a.CID == b.CID {
		t.Error("a model of another name is the same")
	}
	if got := names(c); !slices.Equal(got, []string{"another", "demo"}) {
		t.Fatalf("got %q", got)
	}
	if err := c.Remove(b.CID); err != nil {
		t.Fatal(err)
	}
	if got := names(c); !slices.Equal(got, []string{"demo"}) || c.Pinned(b.CID) {
		t.Errorf("got %q after removal", got)
	}
	st, err := s.GC(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if st.Removed != 1 { // the manifest; the models share the rest
		t.Errorf("GC removed %d blocks", st.Removed)
	}
	if held := c.Held(a); !slices.Contains(held, a.Manifest.Whole()) {
		t.Errorf("%v is left", held)
	}
	if err := c.Remove(a.CID); err != nil {
		t.Fatal(err)
	}
	if _, err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := c.Find(a.CID.String()); ok || s.Stat().Blocks != 0 {
		t.Errorf("%d blocks left", s.Stat().Blocks)
	}
}

func names(c *catalog.Catalog) []string {
	var out []string
	for _, m := range c.List() {
		out = append(out, m.Name)
	}
	return out
}

func TestPin(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	m := imported(t, c)
	if !c.Pinned(m.CID) {
		t.Error("import does not pin")
	}
	if err := c.Unpin(m.CID); err != nil || c.Pinned(m.CID) {
		t.Errorf("unpin: %v", err)
	}
	if got := names(c); !slices.Equal(got, []string{"demo"}) {
		t.Errorf("got %q", got)
	}
	if err := c.Pin(m.CID); err != nil || !c.Pinned(m.CID) {
		t.Errorf("pin: %v", err)
	}
	if err := c.Pin(wire.CIDOf([]byte("absent"))); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("pin of an absent model: %v", err)
	}
}

func TestRename(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	m := imported(t, c)
	other, err := c.Import(t.Context(), demoCheckpoint(t), "other", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Rename(m.CID, "other"); !errors.Is(err, catalog.ErrNameTaken) {
		t.Errorf("taken: %v", err)
	}
	for _, bad := range []string{"", " x", "x\n", ".", "..", "../x", "a/../b", "./x", "a/./b", "..:latest", ".:latest", "a\x00", string([]byte{0xff}), strings.Repeat("x", protocol.MaxTextName+1), other.CID.String()} {
		if err := c.Rename(m.CID, bad); err == nil {
			t.Errorf("renamed to %q", bad)
		}
	}
	if err := c.Rename(m.CID, "new name"); err != nil {
		t.Fatal(err)
	}
	if got := names(c); !slices.Equal(got, []string{"new name", "other"}) {
		t.Errorf("got %q", got)
	}
	if _, ok := c.Find("demo"); ok {
		t.Error("the old name is left")
	}
	if err := c.Rename(wire.CIDOf([]byte("absent")), "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("absent: %v", err)
	}
}

func TestGet(t *testing.T) {
	t.Parallel()
	_, m, empty, f := pair(t)
	if _, err := newCatalog(t, catalog.Config{Store: f.to}).Get(t.Context(), m.CID, nil); !errors.Is(err, catalog.ErrNotHere) {
		t.Errorf("offline: %v", err)
	}
	if _, err := empty.Get(t.Context(), wire.CIDOf([]byte("unknown")), nil); !errors.Is(err, catalog.ErrNotHere) {
		t.Errorf("no provider: %v", err)
	}
	var missing *exchange.MissingError
	if _, err := empty.Get(t.Context(), wire.CIDOf([]byte("unknown")), []host.ID{peer}); !errors.As(err, &missing) {
		t.Errorf("provider without it: %v", err)
	}
	if _, err := empty.Get(t.Context(), cid.Undef, nil); err == nil {
		t.Error("no identifier")
	}
	got, err := empty.Get(t.Context(), m.CID, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got.CID != m.CID || got.Name != "demo" || !empty.Pinned(m.CID) {
		t.Errorf("got %v %q, pinned %v", got.CID, got.Name, empty.Pinned(m.CID))
	}
	if s := f.to.Stat(); s.Blocks != 1 {
		t.Errorf("%d blocks fetched", s.Blocks)
	}
	calls := f.calls
	if _, err := empty.Get(t.Context(), m.CID, nil); err != nil || f.calls != calls {
		t.Errorf("again: %v, %d calls", err, f.calls-calls)
	}
	if err := f.to.Delete(t.Context(), m.CID); err != nil {
		t.Fatal(err)
	}
	if _, ok := empty.Find("demo"); ok {
		t.Error("found without its manifest")
	}
	if _, err := empty.Get(t.Context(), m.CID, nil); err != nil {
		t.Errorf("after its manifest was lost: %v", err)
	}
}

// TestGetKeepsNames checks that a stranger's model does not take a name that is in use: it
// gets one with a tag, by which it is found.
func TestGetKeepsNames(t *testing.T) {
	t.Parallel()
	_, m, empty, f := pair(t)
	mine := wire.CIDOf([]byte("mine"))
	if err := f.to.SetName("demo", mine); err != nil {
		t.Fatal(err)
	}
	got, err := empty.Get(t.Context(), m.CID, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := catalog.Tagged("demo", m.CID)
	if id, _ := f.to.Name("demo"); id != mine || got.Name != want || !empty.Pinned(m.CID) {
		t.Errorf("the name is %v now, the new one is %s", id, got.Name)
	}
	if found, ok := empty.Find(want); !ok || found.CID != m.CID {
		t.Errorf("%s is %v", want, found)
	}
}

// TestLists gets a model whose manifest does not fit into a block.
func TestLists(t *testing.T) {
	t.Parallel()
	f := &copier{from: openStore(t), to: openStore(t)}
	m := put(t, f.from, bare(t, tiny(t, func(c *model.Config) { c.Llama.Blocks, c.Llama.Dim, c.Llama.FFN = 32, 8192, 28672 })))
	providers := func(context.Context, cid.Cid) []host.ID { return []host.ID{peer} }
	c := newCatalog(t, catalog.Config{Store: f.to, Fetcher: f, Providers: providers})
	got, err := c.Get(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.to.Stat(); s.Blocks < 3 || f.calls != 2 {
		t.Errorf("%d blocks in %d fetches", s.Blocks, f.calls)
	}
	if held := c.Held(got); len(held) != 0 {
		t.Errorf("holds %v", held)
	}
	// A list that is lost comes back.
	nodes, _, err := linksOf(t, f.to, m)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.to.Delete(t.Context(), nodes[1]); err != nil {
		t.Fatal(err)
	}
	fresh := newCatalog(t, catalog.Config{Store: f.to, Fetcher: f, Providers: providers})
	if _, err := fresh.Get(t.Context(), m, nil); err != nil {
		t.Error(err)
	}
	if !f.to.Has(nodes[1]) {
		t.Error("the list is not back")
	}
}

func linksOf(t *testing.T, s *store.Store, id cid.Cid) (nodes, leaves []cid.Cid, err error) {
	t.Helper()
	data, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Links(data)
}

// tiny is a valid configuration, edited.
func tiny(tb testing.TB, edit func(*model.Config)) model.Config {
	tb.Helper()
	var c model.Config
	if err := json.Unmarshal([]byte(`{"arch":"llama","llama":{"dim":32,"blocks":2,"heads":2,"kv_heads":1,"head_dim":16,"ffn":64,"vocab":100,
		"context":128,"eps":1e-5,"rope":{"theta":10000}}}`), &c); err != nil {
		tb.Fatal(err)
	}
	if edit != nil {
		edit(&c)
	}
	if err := c.Validate(); err != nil {
		tb.Fatal(err)
	}
	return c
}

// bare is the manifest of a model of F16 whose blocks nobody has.
func bare(tb testing.TB, cfg model.Config) *wire.Manifest {
	tb.Helper()
	config, err := json.Marshal(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	m := &wire.Manifest{Kind: wire.KindManifest, Version: wire.ManifestVersion, Name: "bare", Task: cfg.Task(), Arch: cfg.Arch, Config: config}
	for _, part := range cfg.Parts() {
		p := wire.Part{Kind: wire.PartKind(part.Kind), Index: uint32(part.Index)}
		for _, s := range cfg.Specs(part) {
			t := wire.Tensor{Name: s.Name, DType: "F16"}
			for _, d := range s.Shape {
				t.Shape = append(t.Shape, uint64(d))
			}
			if t.Bytes, err = wire.TensorBytes(t.DType, t.Shape); err != nil {
				tb.Fatal(err)
			}
			t.Blocks = madeUp(t.Bytes, part.String()+s.Name)
			p.Tensors = append(p.Tensors, t)
			m.Bytes += t.Bytes
		}
		m.Parts = append(m.Parts, p)
	}
	return m
}

// madeUp is the digests of size bytes that nobody has.
func madeUp(size int64, seed string) wire.Digests {
	var ids []cid.Cid
	for i := range wire.BlocksOf(size) {
		ids = append(ids, wire.CIDOf([]byte(seed+" "+string(rune('0'+i)))))
	}
	return wire.DigestsOf(ids...)
}

// put stores a manifest and returns its identifier.
func put(tb testing.TB, s *store.Store, m *wire.Manifest) cid.Cid {
	tb.Helper()
	packed, err := m.Pack()
	if err != nil {
		tb.Fatal(err)
	}
	for _, b := range append(packed.Lists, packed.Root) {
		if _, err := s.Put(tb.Context(), b); err != nil {
			tb.Fatal(err)
		}
	}
	return packed.CID()
}

func TestTagged(t *testing.T) {
	t.Parallel()
	id := wire.CIDOf([]byte("model"))
	short := strings.TrimPrefix(id.String(), "bafkrei")[:8]
	for name, want := range map[string]string{"demo": "demo:" + short, "demo:q8": "demo:q8-" + short} {
		if got := catalog.Tagged(name, id); got != want || catalog.CheckName(got) != nil {
			t.Errorf("%s is told apart as %s, want %s", name, got, want)
		}
	}
}
