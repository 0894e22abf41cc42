package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

func TestImport(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	ck := demoCheckpoint(t)
	var done, total int64
	m, err := c.Import(t.Context(), ck, "", func(d, all int64) {
		if d < done || d > all {
			t.Errorf("progress goes from %d to %d of %d", done, d, all)
		}
		done, total = d, all
	})
	if err != nil {
		t.Fatal(err)
	}
	if want := ck.Bytes() + int64(len(ck.Tokenizer.Data)); done != want || total != want {
		t.Errorf("progress ends at %d of %d, want %d", done, total, want)
	}
	f := m.Manifest
	if m.Name != "demo" || f.Name != "demo" || f.Task != "generate" || f.Arch != "llama" || f.Quantization != "F16" || f.Created != 0 {
		t.Errorf("got %q: %+v", m.Name, f)
	}
	if !slices.Equal(f.EOSIDs, ck.EOSIDs) || f.BOS != ck.BOS || f.EOS != ck.EOS || f.ChatTemplate != ck.ChatTemplate || f.License != ck.License {
		t.Error("text differs from the checkpoint's")
	}
	embedding, output := f.Part(wire.PartEmbedding, 0).Tensor("tokens.weight"), f.Part(wire.PartHead, 0).Tensor("output.weight")
	if !bytes.Equal(embedding.Blocks, output.Blocks) || f.Bytes != ck.Bytes()+output.Bytes {
		t.Error("tied matrices are two")
	}
	packed, err := f.Pack()
	if err != nil || packed.CID() != m.CID {
		t.Errorf("packs to %v, %v", packed, err)
	}
	if got, want := s.Stat().Bytes, total+int64(len(packed.Root)); got > want {
		t.Errorf("%d bytes stored, want %d at most", got, want)
	}
	if st, err := s.GC(t.Context()); err != nil || st.Removed != 0 {
		t.Errorf("GC removed %d blocks of an imported model: %v", st.Removed, err)
	}
}

func TestImportTwice(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	first := imported(t, c)
	before := s.Stat()
	second := imported(t, c)
	if after := s.Stat(); first.CID != second.CID || before.Blocks != after.Blocks || before.Bytes != after.Bytes {
		t.Errorf("%v and %v, %d blocks became %d", first.CID, second.CID, before.Blocks, after.Blocks)
	}
	elsewhere := imported(t, newCatalog(t, catalog.Config{Store: openStore(t)}))
	if elsewhere.CID != first.CID {
		t.Errorf("another store gives %v, want %v", elsewhere.CID, first.CID)
	}
}

// TestImportNameTaken refuses a second model of a name, whether it can be told before its
// tensors are read or not, and tells what to do; a tag tells the two apart.
func TestImportNameTaken(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	dir := t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	float, err := c.ImportFiles(t.Context(), dir, "my model", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	blocks := s.Stat().Blocks
	ck := *demoCheckpoint(t)
	ck.Tensors = slices.Clone(ck.Tensors)
	ck.Tensors[0].Read = func(dst []byte) error {
		clear(dst)
		return nil
	}
	_, quantized := c.ImportFiles(t.Context(), dir, "my model", "q8_0", nil)
	_, other := c.Import(t.Context(), &ck, "my model:latest", nil)
	for _, err := range []error{quantized, other} {
		if !errors.Is(err, catalog.ErrNameTaken) || !strings.Contains(err.Error(), "--name 'my model:2'") || !strings.Contains(err.Error(), "covey model rm 'my model'") {
			t.Errorf("got %v", err)
		}
	}
	if got := s.Stat().Blocks; got != blocks {
		t.Errorf("%d blocks became %d", blocks, got)
	}
	again, err := c.ImportFiles(t.Context(), dir, "my model:latest", "", nil)
	if err != nil || again.CID != float.CID {
		t.Errorf("the same model again: %v, %v", again, err)
	}
	tagged, err := c.ImportFiles(t.Context(), dir, "my model:q8", "q8_0", nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]*catalog.Model{"my model": float, "my model:latest": float, "my model:q8": tagged} {
		if m, ok := c.Find(name); !ok || m.CID != want.CID {
			t.Errorf("%s is %v", name, m)
		}
	}
	if err := s.SetName("old:latest", tagged.CID); err != nil { // as older versions kept it
		t.Fatal(err)
	}
	for _, name := range []string{"old", "old:latest"} {
		if m, ok := c.Find(name); !ok || m.CID != tagged.CID {
			t.Errorf("%s is %v", name, m)
		}
		if err := c.Rename(float.CID, name); !errors.Is(err, catalog.ErrNameTaken) {
			t.Errorf("renamed to %s, which is taken: %v", name, err)
		}
	}
	if err := s.SetName("old:latest", cid.Undef); err != nil {
		t.Fatal(err)
	}
	if m, ok := c.Find("my model:q4"); ok {
		t.Errorf("a tag that nothing has finds %v", m)
	}
	if err := c.Rename(tagged.CID, "my model:latest"); !errors.Is(err, catalog.ErrNameTaken) {
		t.Errorf("got %v", err)
	}
}

func TestImportRefuses(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("disk on fire")
	tests := []struct {
		name, want string
		ctx        context.Context
		as         string
		edit       func(*model.Checkpoint)
	}{
		{"name", "identifier", t.Context(), "bafkreiabc", func(*model.Checkpoint) {}},
		{"context", "canceled", gone, "", func(*model.Checkpoint) {}},
		{"tokenizer", "tokenizer", t.Context(), "", func(c *model.Checkpoint) { c.Tokenizer.Data = []byte("{") }},
		{"no tokenizer", "kind", t.Context(), "", func(c *model.Checkpoint) { c.Tokenizer = model.TokenizerSpec{} }},
		{"end token", "end token", t.Context(), "", func(c *model.Checkpoint) { c.EOSIDs = []int32{1 << 20} }},
		{"read", "on fire", t.Context(), "", func(c *model.Checkpoint) {
			c.Tensors = slices.Clone(c.Tensors)
			c.Tensors[7].Read = func([]byte) error { return broken }
		}},
		{"tensor lacks", "tensors, want", t.Context(), "", func(c *model.Checkpoint) { c.Tensors = c.Tensors[1:] }},
		{"foreign part", "does not have", t.Context(), "", func(c *model.Checkpoint) {
			c.Tensors = append(slices.Clone(c.Tensors), model.TensorSource{Part: model.Part{Kind: model.Block, Index: 99}})
		}},
		{"size", "the manifest says", t.Context(), "", func(c *model.Checkpoint) {
			c.Tensors = slices.Clone(c.Tensors)
			c.Tensors[1].Bytes += 4
			c.Tensors[1].Read = func([]byte) error { return nil }
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ck := *demoCheckpoint(t)
			tt.edit(&ck)
			m, err := c.Import(tt.ctx, &ck, tt.as, nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, %v, want …%s…", m, err, tt.want)
			}
			if len(c.List()) != 0 || len(s.Pins()) != 0 {
				t.Error("it is listed")
			}
			if n := s.Stat().Blocks; n != 0 {
				t.Errorf("%d blocks are left", n)
			}
		})
	}
}

// TestImportWithoutRoom refuses a model that does not fit before it reads a byte of it.
func TestImportWithoutRoom(t *testing.T) {
	t.Parallel()
	s, err := store.Open(store.Config{Dir: t.TempDir(), Links: wire.Links, Limit: 4 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ck := *demoCheckpoint(t)
	ck.Tensors = slices.Clone(ck.Tensors)
	for i := range ck.Tensors {
		ck.Tensors[i].Read = func([]byte) error {
			t.Error("a tensor is read")
			return nil
		}
	}
	_, err = newCatalog(t, catalog.Config{Store: s}).Import(t.Context(), &ck, "", nil)
	var full *store.SpaceError
	if !errors.As(err, &full) || full.Need < ck.Bytes() || !strings.Contains(err.Error(), "covey up --disk") || strings.Contains(err.Error(), "covey model rm") /* there is none */ {
		t.Errorf("got %v", err)
	}
	if n := s.Stat().Blocks; n != 0 {
		t.Errorf("%d blocks are left", n)
	}
}

// TestImportAgainWithoutRoom has a disk that fills up after an import: what is here already
// needs no room, and what is not is what is asked for.
func TestImportAgainWithoutRoom(t *testing.T) {
	t.Parallel()
	var full atomic.Bool
	s, err := store.Open(store.Config{Dir: t.TempDir(), Links: wire.Links, Space: func(string) (int64, int64, error) {
		if full.Load() {
			return 1 << 20, 1 << 40, nil
		}
		return 1 << 40, 1 << 40, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := newCatalog(t, catalog.Config{Store: s})
	m := imported(t, c)
	full.Store(true)
	again, err := c.Import(t.Context(), demoCheckpoint(t), "", nil)
	if err != nil || again.CID != m.CID {
		t.Errorf("the same model again: %v, %v", again, err)
	}
	other, err := c.Import(t.Context(), demoCheckpoint(t), "other", nil)
	if err != nil || other.CID == m.CID { // its manifest comes out of the reserve
		t.Fatalf("under another name: %v, %v", other, err)
	}
	if _, err := c.Text(t.Context(), other); err != nil {
		t.Error(err)
	}
	changed := *demoCheckpoint(t)
	changed.Tensors = slices.Clone(changed.Tensors)
	read := changed.Tensors[0].Read
	changed.Tensors[0].Read = func(dst []byte) error {
		err := read(dst)
		dst[0]++
		return err
	}
	var none *store.SpaceError
	if _, err := c.Import(t.Context(), &changed, "changed", nil); !errors.As(err, &none) || none.Need == 0 || none.Need > 1<<20 || !strings.Contains(err.Error(), "covey model rm") {
		t.Errorf("with another block: %v", err)
	}
}

func TestImportFilesRefuses(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	dir := t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	for _, quantize := range []string{"q9", "q4_k"} {
		if _, err := c.ImportFiles(t.Context(), dir, "m", quantize, nil); err == nil {
			t.Errorf("quantised to %s", quantize)
		}
	}
	if _, err := c.ImportFiles(t.Context(), filepath.Join(dir, "absent"), "m", "", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
}

// TestImportName checks that whatever a file is called, a name can be made of it.
func TestImportName(t *testing.T) {
	t.Parallel()
	tests := []struct{ file, want string }{
		{"tiny llama", "tiny llama"},
		{" a\nb ", "ab"},
		{"", "model"},
		{"bafkreiabcdef", "model"},
		{strings.Repeat("é", 100), strings.Repeat("é", 64)},
		{"x\xff", "x"},
		{"last:latest", "last"},
		{"padded :latest ", "padded"},
		{"twice:latest:latest", "twice"},
		{"..:latest", "model"},
		{"./a", "model"},
		{".", "model"},
	}
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	for _, tt := range tests {
		ck := *demoCheckpoint(t)
		ck.Name = tt.file
		m, err := c.Import(t.Context(), &ck, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if m.Name != tt.want {
			t.Errorf("%q becomes %q, want %q", tt.file, m.Name, tt.want)
		}
	}
}

// TestImportRounds imports tensors smaller than a block and larger than a round, in several rounds.
func TestImportRounds(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	c := newCatalog(t, catalog.Config{Store: s})
	ck := synthetic(t, 1<<16, 700, 4)
	m, err := c.Import(t.Context(), ck, "big", nil)
	if err != nil {
		t.Fatal(err)
	}
	sameTensors(t, ck, c.Weights(m))
}

// synthetic is a checkpoint of made-up tensors with the tokenizer of the demo model.
func synthetic(tb testing.TB, vocab, dim, blocks int) *model.Checkpoint {
	tb.Helper()
	cfg := tiny(tb, func(c *model.Config) {
		c.Llama.Vocab, c.Llama.Dim, c.Llama.Blocks, c.Llama.FFN = vocab, dim, blocks, 4*dim
	})
	ck := &model.Checkpoint{Name: "synthetic", Config: cfg, Tokenizer: demoCheckpoint(tb).Tokenizer}
	for _, part := range cfg.Parts() {
		for _, spec := range cfg.Specs(part) {
			n, err := tensor.F16.Bytes(spec.Shape)
			if err != nil {
				tb.Fatal(err)
			}
			seed := uint64(len(ck.Tensors))
			ck.Tensors = append(ck.Tensors, model.TensorSource{
				Part: part, Name: spec.Name, DType: tensor.F16, Shape: spec.Shape, Bytes: n,
				Read: func(dst []byte) error {
					clear(dst)
					x := seed
					for i := 0; i < len(dst); i += 64 { // all blocks differ
						x = x*6364136223846793005 + 1442695040888963407
						dst[i] = byte(x >> 56)
					}
					return nil
				},
			})
		}
	}
	return ck
}
