package gguf_test

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/gguf"
	"github.com/covey-network/covey/engine/tensor"
)

// writer builds files by the format's description, byte by byte.
type writer struct{ bytes.Buffer }

func (w *writer) u32(n uint32) *writer { binary.Write(w, binary.LittleEndian, n); return w }
func (w *writer) u64(n uint64) *writer { binary.Write(w, binary.LittleEndian, n); return w }
func (w *writer) text(s string) *writer {
	w.u64(uint64(len(s)))
	w.WriteString(s)
	return w
}

func head(tensors, keys uint64) *writer {
	w := &writer{}
	w.WriteString("GGUF")
	return w.u32(3).u64(tensors).u64(keys)
}

// small is a file of one matrix of 2 x 32 in Q8_0 and some metadata.
func small() []byte {
	w := head(2, 5)
	w.text("general.architecture").u32(8).text("llama")
	w.text("a.count").u32(4).u32(7)
	w.text("a.eps").u32(6).u32(math.Float32bits(0.5))
	w.text("a.names").u32(9).u32(8).u64(2).text("one").text("two")
	w.text("a.kinds").u32(9).u32(5).u64(2).u32(1).u32(0xffffffff)
	w.text("m.weight").u32(2).u64(32).u64(2).u32(8).u64(0)
	w.text("n.weight").u32(1).u64(4).u32(0).u64(96)
	for w.Len()%32 != 0 {
		w.WriteByte(0)
	}
	data := make([]byte, 96+16)
	for i := range data {
		data[i] = byte(i)
	}
	w.Write(data)
	return w.Bytes()
}

func open(t *testing.T, data []byte) (*gguf.File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.gguf")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := gguf.Open(path)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

func TestOpen(t *testing.T) {
	t.Parallel()
	f, err := open(t, small())
	if err != nil {
		t.Fatal(err)
	}
	if got := f.Meta["general.architecture"].V; got != "llama" {
		t.Errorf("architecture %v", got)
	}
	if got := f.Meta["a.count"].V; got != uint64(7) {
		t.Errorf("count %v", got)
	}
	if got := f.Meta["a.eps"].V; got != 0.5 {
		t.Errorf("eps %v", got)
	}
	if got, ok := f.Meta["a.names"].Strings(); !ok || !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("names %v", got)
	}
	if got, ok := f.Meta["a.kinds"].Ints(); !ok || !slices.Equal(got, []int64{1, -1}) {
		t.Errorf("kinds %v", got)
	}
	m := f.Tensors[0]
	if m.Name != "m.weight" || m.DType != tensor.Q8_0 || !m.Shape.Equal(tensor.Shape{2, 32}) || m.Bytes != 68 {
		t.Errorf("tensor %+v", m)
	}
	got, err := io.ReadAll(f.Section(1))
	if err != nil || len(got) != 16 || got[0] != 96 {
		t.Errorf("data of the second tensor: %v, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	good := small()
	damage := func(f func(b []byte) []byte) []byte { return f(slices.Clone(good)) }
	at := func(text string) int { return bytes.Index(good, []byte(text)) + len(text) }
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "ends within", nil},
		{"other magic", "begins with", damage(func(b []byte) []byte { b[0] = 'X'; return b })},
		{"version 1", "version 1", damage(func(b []byte) []byte { b[4] = 1; return b })},
		{"big-endian", "little-endian", damage(func(b []byte) []byte { b[4], b[7] = 0, 3; return b })},
		{"truncated header", "ends within", good[:100]},
		{"truncated data", "truncated", good[:len(good)-1]},
		{"many tensors", "tensors", head(1<<40, 0).Bytes()},
		{"long text", "text of", head(0, 1).u64(1 << 50).Bytes()},
		{"long array", "array of", head(0, 1).text("k").u32(9).u32(4).u64(1 << 40).Bytes()},
		{"nested arrays", "nested", head(0, 1).text("k").u32(9).u32(9).u64(1).u32(9).u64(1).u32(9).u64(1).u32(9).u64(0).u64(0).Bytes()},
		{"same key twice", "twice", head(0, 2).text("k").u32(4).u32(1).text("k").u32(4).u32(1).Bytes()},
		{"alignment of 3", "alignment", head(0, 1).text("general.alignment").u32(4).u32(3).Bytes()},
		{"unknown tensor type", "type 99", damage(func(b []byte) []byte { b[at("m.weight")+4+16] = 99; return b })},
		{"no elements", "dimension", damage(func(b []byte) []byte { b[at("m.weight")+4] = 0; return b })},
		{"half a block", "multiple", damage(func(b []byte) []byte { b[at("m.weight")+4] = 33; return b })},
		{"overflow", "m.weight", damage(func(b []byte) []byte { copy(b[at("m.weight")+4:], "\xff\xff\xff\xff\xff\xff\xff\xff"); return b })},
		{"overlap", "overlap", damage(func(b []byte) []byte { b[at("n.weight")+4+8+4] = 32; return b })},
		{"same tensor twice", "twice", damage(func(b []byte) []byte { b[at("n.weight")-8] = 'm'; return b })},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := open(t, c.data)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(small())
	f.Add(head(0, 0).Bytes())
	f.Add(head(0, 1).text("k").u32(9).u32(9).u64(1).u32(4).u64(1).u32(7).Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := open(t, data)
		if err != nil {
			return
		}
		for i, info := range file.Tensors {
			if n, err := io.Copy(io.Discard, file.Section(i)); err != nil || n != info.Bytes {
				t.Errorf("tensor %d: read %d of %d bytes: %v", i, n, info.Bytes, err)
			}
		}
	})
}
