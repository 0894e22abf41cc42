package catalog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

func tinyBert(tb testing.TB) model.Config {
	tb.Helper()
	var c model.Config
	if err := json.Unmarshal([]byte(`{"arch":"bert","bert":{"dim":32,"blocks":2,"heads":2,"ffn":64,"vocab":100,"types":2,"context":64,
		"max_tokens":64,"eps":1e-12,"activation":"gelu","pooling":"mean","normalize":true}}`), &c); err != nil {
		tb.Fatal(err)
	}
	if err := c.Validate(); err != nil {
		tb.Fatal(err)
	}
	return c
}

// hostile is a catalog that fetches from a store that a stranger filled.
func hostile(t *testing.T) (*catalog.Catalog, *store.Store, *store.Store) {
	t.Helper()
	f := &copier{from: openStore(t), to: openStore(t)}
	c := newCatalog(t, catalog.Config{
		Store: f.to, Fetcher: f,
		Providers: func(context.Context, cid.Cid) []host.ID { return []host.ID{peer} },
	})
	return c, f.from, f.to
}

// allocated returns how many bytes f takes from the heap.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestHostileManifests(t *testing.T) {
	// Not parallel: what the process allocates is measured.
	c, theirs, ours := hostile(t)
	parsed := func(m *wire.Manifest) (cfg model.Config) {
		if err := json.Unmarshal(m.Config, &cfg); err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	edited := func(m *wire.Manifest, edit func(*model.Config)) {
		cfg := parsed(m)
		edit(&cfg)
		var err error
		if m.Config, err = json.Marshal(cfg); err != nil {
			t.Fatal(err)
		}
	}
	drop := func(m *wire.Manifest, part int) {
		for _, x := range m.Parts[part].Tensors {
			m.Bytes -= x.Bytes
		}
		m.Parts = append(m.Parts[:part:part], m.Parts[part+1:]...)
	}
	tests := []struct {
		name, want string
		edit       func(*wire.Manifest)
	}{
		{"config is no JSON", "configuration", func(m *wire.Manifest) { m.Config = []byte("{") }},
		{"config with another field", "unknown field", func(m *wire.Manifest) { m.Config = bytes.Replace(m.Config, []byte("{"), []byte(`{"x":1,`), 1) }},
		{"config out of range", "dim", func(m *wire.Manifest) { edited(m, func(c *model.Config) { c.Llama.Dim = 1 << 30 }) }},
		{"config of nothing", "architecture", func(m *wire.Manifest) { m.Config = []byte("{}") }},
		{"architecture", "architecture", func(m *wire.Manifest) { m.Arch = "bert" }},
		{"task", "it is for", func(m *wire.Manifest) { m.Task = "embed" }},
		{"end token", "end token", func(m *wire.Manifest) { m.EOSIDs = []int32{-1} }},
		{"end token beyond", "end token", func(m *wire.Manifest) { m.EOSIDs = []int32{100} }},
		{"more blocks in config", "parts", func(m *wire.Manifest) { edited(m, func(c *model.Config) { c.Llama.Blocks = 1000 }) }},
		{"no head", "parts", func(m *wire.Manifest) { drop(m, 3) }},
		{"no embedding", "parts", func(m *wire.Manifest) { drop(m, 0) }},
		{"tensor lacks", "tensors, want", func(m *wire.Manifest) {
			p := &m.Parts[1]
			m.Bytes -= p.Tensors[0].Bytes
			p.Tensors = p.Tensors[1:]
		}},
		{"tensor of another name", "lacks tensor", func(m *wire.Manifest) { m.Parts[1].Tensors[0].Name = "x" }},
		{"vocabulary", "shape", func(m *wire.Manifest) { edited(m, func(c *model.Config) { c.Llama.Vocab = 1 << 20 }) }},
		{"shape", "shape", func(m *wire.Manifest) {
			x := &m.Parts[1].Tensors[1]
			x.Shape = []uint64{x.Shape[1] * x.Shape[0], 1}
		}},
		{"rank", "shape", func(m *wire.Manifest) {
			x := &m.Parts[1].Tensors[1]
			x.Shape = append([]uint64{1}, x.Shape...)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := bare(t, tiny(t, nil))
			tt.edit(m)
			id := put(t, theirs, m)
			if took := allocated(func() {
				got, err := c.Get(t.Context(), id, nil)
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, %v, want …%s…", got, err, tt.want)
				}
			}); took > 16<<20 {
				t.Errorf("took %d bytes", took)
			}
			if _, ok := c.Find(id.String()); ok || c.Pinned(id) || len(c.List()) != 0 || len(ours.Names()) != 0 {
				t.Error("it is here")
			}
		})
	}
	for _, b := range [][]byte{{0}, []byte("GGUF"), bytes.Repeat([]byte{0x81}, protocol.MaxBlock)} {
		id, err := theirs.Put(t.Context(), b)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.Get(t.Context(), id, nil); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	}
	if _, err := ours.GC(t.Context()); err != nil || ours.Stat().Blocks != 0 {
		t.Errorf("%d blocks are kept, %v", ours.Stat().Blocks, err)
	}
}

// TestHostileSizes checks that memory for a tensor is taken only when its blocks are here
// and long enough.
func TestHostileSizes(t *testing.T) {
	// Not parallel: what the process allocates is measured.
	c, theirs, _ := hostile(t)
	huge := func() *wire.Manifest {
		return bare(t, tiny(t, func(c *model.Config) { c.Llama.Dim, c.Llama.Vocab, c.Llama.Blocks, c.Llama.FFN = 2048, 1<<20, 1, 64 }))
	}
	short, err := theirs.Put(t.Context(), []byte("short"))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, want string
		block      cid.Cid
	}{
		{"absent", "could not be fetched", wire.CIDOf([]byte("absent"))},
		{"short", "the manifest needs", short},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := huge()
			x := &m.Parts[0].Tensors[0]
			x.Blocks = bytes.Repeat(wire.DigestsOf(tt.block), wire.BlocksOf(x.Bytes))
			cfg, w, err := c.Model(t.Context(), put(t, theirs, m))
			if err != nil {
				t.Fatal(err)
			}
			if took := allocated(func() {
				_, err = w.Tensor(t.Context(), cfg.Parts()[0], x.Name)
			}); took > 16<<20 {
				t.Errorf("took %d bytes for a tensor of %d", took, x.Bytes)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
		})
	}
}

func TestHostileTokenizers(t *testing.T) {
	// Not parallel: what the process allocates is measured.
	c, theirs, _ := hostile(t)
	commas := append([]byte(`{"tokens":["",`), bytes.Repeat([]byte(`"",`), 1<<20)...)
	tests := []struct {
		name, want string
		edit       func(*wire.Manifest)
	}{
		{"none", "it has none", func(m *wire.Manifest) {}},
		{"kind", "its kind", func(m *wire.Manifest) { tokenizer(t, theirs, m, "other", []byte("{}")) }},
		{"no JSON", "tokenizer", func(m *wire.Manifest) { tokenizer(t, theirs, m, "hf", []byte("{")) }},
		{"no JSON for GGUF", "tokenizer", func(m *wire.Manifest) { tokenizer(t, theirs, m, "gguf", []byte("[1]")) }},
		{"no vocabulary", "tokenizer", func(m *wire.Manifest) { tokenizer(t, theirs, m, "gguf", []byte("{}")) }},
		{"entries", "entries for", func(m *wire.Manifest) { tokenizer(t, theirs, m, "gguf", commas) }},
		{"block of another length", "the manifest needs", func(m *wire.Manifest) {
			tokenizer(t, theirs, m, "hf", []byte("{}"))
			m.Tokenizer.Bytes++
		}},
		{"absent", "could not be fetched", func(m *wire.Manifest) {
			m.Tokenizer = wire.Blob{Kind: "hf", Bytes: protocol.MaxTokenizer, Blocks: madeUp(protocol.MaxTokenizer, "tokenizer")}
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := bare(t, tiny(t, nil))
			tt.edit(m)
			got, err := c.Get(t.Context(), put(t, theirs, m), nil)
			if err != nil {
				t.Fatal(err)
			}
			var text *catalog.Text
			if took := allocated(func() { text, err = c.Text(t.Context(), got) }); took > 64<<20 {
				t.Errorf("took %d bytes", took)
			}
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want …%s…", text, err, tt.want)
			}
		})
	}
}

// tokenizer stores the blocks of a tokenizer and puts it into a manifest.
func tokenizer(t *testing.T, s *store.Store, m *wire.Manifest, kind string, data []byte) {
	t.Helper()
	m.Tokenizer = wire.Blob{Kind: kind, Bytes: int64(len(data))}
	for len(data) > 0 {
		n := min(len(data), protocol.MaxBlock)
		id, err := s.Put(t.Context(), data[:n])
		if err != nil {
			t.Fatal(err)
		}
		m.Tokenizer.Blocks = append(m.Tokenizer.Blocks, wire.DigestsOf(id)...)
		data = data[n:]
	}
}

// TestHostileNames checks that a model from a peer gets no local name that misleads.
func TestHostileNames(t *testing.T) {
	t.Parallel()
	c, theirs, ours := hostile(t)
	for _, name := range []string{wire.CIDOf([]byte("other")).String(), "demo\u202e", " demo", "de\u200bmo"} {
		m := bare(t, tiny(t, nil))
		m.Name = name
		id := put(t, theirs, m)
		if _, err := c.Get(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
		if _, named := ours.Name(name); named || !c.Pinned(id) {
			t.Errorf("%q is a local name now", name)
		}
	}
}

// TestDamagedDisk changes a byte of a block on disk behind the store's back.
func TestDamagedDisk(t *testing.T) {
	t.Parallel()
	f := &copier{from: openStore(t)}
	m := imported(t, newCatalog(t, catalog.Config{Store: f.from}))
	dir := t.TempDir()
	f.to = openStoreIn(t, dir)
	imported(t, newCatalog(t, catalog.Config{Store: f.to}))
	block := m.Manifest.Part(wire.PartEmbedding, 0).Tensor("tokens.weight").Blocks.At(0)
	data, err := f.to.Get(t.Context(), block)
	if err != nil {
		t.Fatal(err)
	}
	damage(t, dir, data)
	c := newCatalog(t, catalog.Config{Store: f.to, Fetcher: f, Providers: func(context.Context, cid.Cid) []host.ID { return []host.ID{peer} }})
	sameTensors(t, demoCheckpoint(t), c.Weights(m))
	if f.calls != 1 || !slices.Equal(f.asked, []cid.Cid{block}) {
		t.Errorf("%d fetches of %v", f.calls, f.asked)
	}
	if n := f.to.Stat().Quarantined; n != 0 { // it was put again
		t.Errorf("%d blocks quarantined", n)
	}
}

// damage changes a byte in the middle of data, wherever it is below dir.
func damage(t *testing.T, dir string, data []byte) {
	t.Helper()
	found := 0
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		all, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		at := bytes.Index(all, data)
		if at < 0 {
			return nil
		}
		found++
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		if err != nil {
			return err
		}
		at += len(data) / 2
		_, err = file.WriteAt([]byte{all[at] ^ 0x40}, int64(at))
		return errors.Join(err, file.Close())
	})
	if err != nil || found != 1 {
		t.Fatalf("found the block in %d files: %v", found, err)
	}
}

// FuzzManifest checks that whatever a peer sends for a manifest, it is refused, or the
// tensors of the configuration are all in it and as large as it says.
func FuzzManifest(f *testing.F) {
	for _, m := range []*wire.Manifest{bare(f, tiny(f, nil)), bare(f, tinyBert(f))} {
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed.Root)
	}
	absent := errors.New("absent")
	f.Fuzz(func(t *testing.T, root []byte) {
		m, cfg, err := catalog.Parse(root, func(cid.Cid) ([]byte, error) { return nil, absent })
		if err != nil {
			return
		}
		sum := int64(0)
		for _, p := range cfg.Parts() {
			for _, spec := range cfg.Specs(p) {
				x := m.Part(wire.PartKind(p.Kind), uint32(p.Index)).Tensor(spec.Name)
				if x == nil {
					t.Fatalf("no %q of %v", spec.Name, p)
				}
				d, err := tensor.Parse(x.DType)
				if err != nil {
					t.Fatal(err)
				}
				if n, err := d.Bytes(spec.Shape); err != nil || n != x.Bytes || x.Blocks.Len() != wire.BlocksOf(n) {
					t.Fatalf("%q of %v has %d bytes, want %d, %v", spec.Name, p, x.Bytes, n, err)
				}
				sum += x.Bytes
			}
		}
		if n := catalog.RangeBytes(m, m.Whole()); n <= 0 || n > sum+m.Tokenizer.Bytes || sum != m.Bytes {
			t.Fatalf("%d bytes to fetch, %d of tensors, the manifest says %d", n, sum, m.Bytes)
		}
	})
}
