package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// digests makes up the identifiers of size bytes; seed keeps them apart.
func digests(seed string, size int64) wire.Digests {
	var cids []cid.Cid
	for i := range wire.BlocksOf(size) {
		cids = append(cids, wire.CIDOf(binary.LittleEndian.AppendUint64([]byte(seed), uint64(i))))
	}
	return wire.DigestsOf(cids...)
}

func tensorOf(tb testing.TB, name, dtype string, shape ...uint64) wire.Tensor {
	tb.Helper()
	n, err := wire.TensorBytes(dtype, shape)
	if err != nil {
		tb.Fatal(err)
	}
	return wire.Tensor{Name: name, DType: dtype, Shape: shape, Bytes: n, Blocks: digests(name, n)}
}

// llama makes up a manifest with the tensors of a Llama model in Q8_0.
func llama(tb testing.TB, blocks, dim, kv, hidden, vocab uint64) *wire.Manifest {
	tb.Helper()
	m := small(tb)
	m.Quantization = "Q8_0"
	m.Parts = []wire.Part{{Kind: wire.PartEmbedding, Tensors: []wire.Tensor{tensorOf(tb, "embedding.weight", "Q8_0", vocab, dim)}}}
	for i := range blocks {
		name := func(s string) string { return fmt.Sprintf("%s.%d", s, i) }
		m.Parts = append(m.Parts, wire.Part{Kind: wire.PartBlock, Index: uint32(i), Tensors: []wire.Tensor{
			tensorOf(tb, name("attn_norm"), "F32", dim), tensorOf(tb, name("q"), "Q8_0", dim, dim),
			tensorOf(tb, name("k"), "Q8_0", kv, dim), tensorOf(tb, name("v"), "Q8_0", kv, dim), tensorOf(tb, name("o"), "Q8_0", dim, dim),
			tensorOf(tb, name("ffn_norm"), "F32", dim), tensorOf(tb, name("gate"), "Q8_0", hidden, dim),
			tensorOf(tb, name("up"), "Q8_0", hidden, dim), tensorOf(tb, name("down"), "Q8_0", dim, hidden),
		}})
	}
	m.Parts = append(m.Parts, wire.Part{Kind: wire.PartHead, Tensors: []wire.Tensor{
		tensorOf(tb, "norm.weight", "F32", dim), tensorOf(tb, "output.weight", "Q8_0", vocab, dim),
	}})
	m.Bytes = 0
	for _, p := range m.Parts {
		for _, t := range p.Tensors {
			m.Bytes += t.Bytes
		}
	}
	return m
}

// small is a manifest of two blocks with tiny tensors.
func small(tb testing.TB) *wire.Manifest {
	tb.Helper()
	m := &wire.Manifest{
		Kind: wire.KindManifest, Version: wire.ManifestVersion, Name: "tiny", Task: "generate", Arch: "llama", Config: []byte(`{"arch":"llama"}`),
		Tokenizer:    wire.Blob{Kind: "hf", Bytes: 1<<20 + 1, Blocks: digests("tokenizer", 1<<20+1)},
		ChatTemplate: "{{ messages }}", BOS: "<s>", EOS: "</s>", EOSIDs: []int32{2, 7}, License: "apache-2.0",
		Parent: digests("parent", 1), Created: 1795521600,
		Parts: []wire.Part{
			{Kind: wire.PartEmbedding, Tensors: []wire.Tensor{tensorOf(tb, "embedding.weight", "F16", 3, 32)}},
			{Kind: wire.PartBlock, Tensors: []wire.Tensor{tensorOf(tb, "q.weight", "Q8_0", 32, 32)}},
			{Kind: wire.PartBlock, Index: 1, Tensors: []wire.Tensor{tensorOf(tb, "q.weight", "Q4_K", 4, 256)}},
			{Kind: wire.PartHead},
		},
		Bytes: 3*32*2 + 32*34 + 4*144,
	}
	return m
}

func TestManifestRoundTrip(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name        string
		made        *wire.Manifest
		most, lists int
		blocks      int
	}{
		{"small", small(t), 1 << 10, 0, 2},
		{"1.1B Q8_0 is inline", llama(t, 22, 2048, 256, 5632, 32000), 70 << 10, 0, 22},
		{"70B Q8_0 has lists", llama(t, 80, 8192, 1024, 28672, 128256), 4 << 10, 3, 80},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			packed, err := tt.made.Pack()
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d bytes, %d lists", len(packed.Root), len(packed.Lists))
			if len(packed.Root) > tt.most || len(packed.Lists) != tt.lists {
				t.Errorf("got %d bytes and %d lists, want at most %d and %d", len(packed.Root), len(packed.Lists), tt.most, tt.lists)
			}
			blocks := map[cid.Cid][]byte{}
			for _, l := range packed.Lists {
				blocks[wire.CIDOf(l)] = l
			}
			got, err := wire.Unpack(packed.Root, func(c cid.Cid) ([]byte, error) { return blocks[c], nil })
			if err != nil {
				t.Fatal(err)
			}
			if got.Blocks() != tt.blocks {
				t.Errorf("got %d blocks, want %d", got.Blocks(), tt.blocks)
			}
			again, err := got.Pack()
			if err != nil || again.CID() != packed.CID() {
				t.Errorf("packs to %v, %v, want %v", again, err, packed.CID())
			}
			nodes, leaves, err := wire.Links(packed.Root)
			if err != nil || len(nodes) != tt.lists {
				t.Fatalf("links are %d nodes, %v, want %d", len(nodes), err, tt.lists)
			}
			for _, l := range packed.Lists {
				_, more, err := wire.Links(l)
				if err != nil {
					t.Fatal(err)
				}
				leaves = append(leaves, more...)
			}
			want := got.Tokenizer.Blocks.Len()
			for _, p := range got.PartsOf(got.Whole()) {
				for _, x := range p.Tensors {
					want += x.Blocks.Len()
				}
			}
			if len(leaves) != want {
				t.Errorf("got %d leaves, want %d", len(leaves), want)
			}
		})
	}
}

func TestManifestRefuses(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, want string
		edit       func(*wire.Manifest)
	}{
		{"kind", "kind", func(m *wire.Manifest) { m.Kind = wire.KindParts }},
		{"version", "version", func(m *wire.Manifest) { m.Version = 2 }},
		{"no name", "no name", func(m *wire.Manifest) { m.Name = "" }},
		{"name", "name of", func(m *wire.Manifest) { m.Name = strings.Repeat("x", 200) }},
		{"config", "configuration", func(m *wire.Manifest) { m.Config = nil }},
		{"template", "chat template", func(m *wire.Manifest) { m.ChatTemplate = strings.Repeat("x", protocol.MaxChatTemplate+1) }},
		{"parent", "parent", func(m *wire.Manifest) { m.Parent = m.Parent[:31] }},
		{"tokenizer kind", "tokenizer", func(m *wire.Manifest) { m.Tokenizer.Kind = "" }},
		{"tokenizer size", "tokenizer", func(m *wire.Manifest) { m.Tokenizer.Bytes = protocol.MaxTokenizer + 1 }},
		{"tokenizer blocks", "digests", func(m *wire.Manifest) { m.Tokenizer.Blocks = m.Tokenizer.Blocks[:32] }},
		{"no bytes", "bytes", func(m *wire.Manifest) { m.Bytes = -1 }},
		{"sum", "the manifest says", func(m *wire.Manifest) { m.Bytes++ }},
		{"no parts", "0 parts", func(m *wire.Manifest) { m.Parts = nil }},
		{"both forms", "part lists beside", func(m *wire.Manifest) { m.Lists = digests("list", 1) }},
		{"gap", "follows", func(m *wire.Manifest) { m.Parts[2].Index = 2 }},
		{"first block", "begin at", func(m *wire.Manifest) { m.Parts = m.Parts[1:]; m.Parts[0], m.Parts[1] = m.Parts[1], m.Parts[0] }},
		{"twice", "follows", func(m *wire.Manifest) { m.Parts[1] = m.Parts[0] }},
		{"kind of part", "part kind", func(m *wire.Manifest) { m.Parts[3].Kind = 4 }},
		{"dtype", "tensor type", func(m *wire.Manifest) { m.Parts[0].Tensors[0].DType = "F8" }},
		{"shape", "multiple", func(m *wire.Manifest) { m.Parts[1].Tensors[0].Shape = []uint64{32, 33} }},
		{"zero dimension", "zero", func(m *wire.Manifest) { m.Parts[1].Tensors[0].Shape = []uint64{0, 32} }},
		{"overflow", "too large", func(m *wire.Manifest) {
			m.Parts[0].Tensors[0].Shape = []uint64{1<<31 - 1, 1<<31 - 1, 1<<31 - 1, 32}
		}},
		{"bytes of a tensor", "the manifest says", func(m *wire.Manifest) { m.Parts[0].Tensors[0].Bytes-- }},
		{"blocks of a tensor", "digests", func(m *wire.Manifest) { m.Parts[0].Tensors[0].Blocks = nil }},
		{"name of a tensor", "without a name", func(m *wire.Manifest) { m.Parts[0].Tensors[0].Name = "" }},
		{"tensor twice", "twice", func(m *wire.Manifest) {
			m.Parts[0].Tensors = append(m.Parts[0].Tensors, m.Parts[0].Tensors[0])
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			m := small(t)
			tt.edit(m)
			if err := m.Validate(); !errors.Is(err, wire.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want invalid: …%s…", err, tt.want)
			}
			if _, err := m.Pack(); err == nil {
				t.Error("packs")
			}
		})
	}
}

func TestUnpackRefusesForeignLists(t *testing.T) {
	t.Parallel()
	m := llama(t, 80, 8192, 1024, 28672, 128256)
	packed, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	gone := errors.New("gone")
	tests := []struct {
		name string
		get  func(cid.Cid) ([]byte, error)
		want error
	}{
		{"absent", func(cid.Cid) ([]byte, error) { return nil, gone }, gone},
		{"swapped", func(cid.Cid) ([]byte, error) { return packed.Lists[1], nil }, wire.ErrInvalid},
		{"empty", func(cid.Cid) ([]byte, error) { return nil, nil }, wire.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := wire.Unpack(packed.Root, tt.get); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
	t.Run("order", func(t *testing.T) {
		t.Parallel()
		root := new(wire.Manifest)
		if err := wire.Decode(packed.Root, root); err != nil {
			t.Fatal(err)
		}
		swapped := wire.DigestsOf(root.Lists.At(1), root.Lists.At(0), root.Lists.At(2))
		root.Lists = swapped
		b, err := wire.Encode(root)
		if err != nil {
			t.Fatal(err)
		}
		get := func(c cid.Cid) ([]byte, error) {
			for _, l := range packed.Lists {
				if wire.CIDOf(l) == c {
					return l, nil
				}
			}
			return nil, gone
		}
		if _, err := wire.Unpack(b, get); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("got %v", err)
		}
	})
}

// TestManifestVector holds the bytes in the spec page to the code.
func TestManifestVector(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../spec/manifest.md")
	if err != nil {
		t.Fatal(err)
	}
	packed, err := vector().Pack()
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(string(page)), "")
	if h := hex.EncodeToString(packed.Root); !strings.Contains(text, h) {
		t.Errorf("the spec lacks the vector %s", h)
	}
	if c := packed.CID().String(); !strings.Contains(text, c) {
		t.Errorf("the spec lacks the identifier %s", c)
	}
}

// vector is the manifest whose bytes are in the spec: one tensor of four floats.
func vector() *wire.Manifest {
	return &wire.Manifest{
		Kind: wire.KindManifest, Version: 1, Name: "m", Task: "embed", Arch: "bert", Config: []byte("{}"), Bytes: 16,
		Parts: []wire.Part{{Kind: wire.PartBlock, Tensors: []wire.Tensor{
			{Name: "w", DType: "F32", Shape: []uint64{2, 2}, Bytes: 16, Blocks: wire.DigestsOf(wire.CIDOf(make([]byte, 16)))},
		}}},
	}
}

// FuzzUnpack checks that what unpacks is valid, packs again to the same identity, and has
// links.
func FuzzUnpack(f *testing.F) {
	for _, m := range []*wire.Manifest{small(f), vector()} {
		packed, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(packed.Root)
	}
	list, err := wire.Encode(&wire.PartList{Kind: wire.KindParts, Version: 1, Parts: small(f).Parts[1:]})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(list)
	absent := errors.New("absent")
	f.Fuzz(func(t *testing.T, data []byte) {
		_, _, linksErr := wire.Links(data)
		m, err := wire.Unpack(data, func(cid.Cid) ([]byte, error) { return nil, absent })
		if err != nil {
			if !errors.Is(err, wire.ErrInvalid) && !errors.Is(err, absent) {
				t.Fatalf("untyped error %v", err)
			}
			return
		}
		if linksErr != nil {
			t.Fatalf("unpacks but has no links: %v", linksErr)
		}
		packed, err := m.Pack()
		if err != nil {
			t.Fatalf("unpacks but does not pack: %v", err)
		}
		again, err := wire.Unpack(packed.Root, nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := again.Pack(); err != nil || !bytes.Equal(p.Root, packed.Root) {
			t.Fatalf("%x becomes %x: %v", packed.Root, p.Root, err)
		}
	})
}
