package data_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/covey-network/covey/engine/train/data"
)

// TestFingerprint changes files in all ways, with all or some of their bytes read.
func TestFingerprint(t *testing.T) {
	t.Parallel()
	const size = 100_000
	files := fstest.MapFS{}
	for i := range 300 { // more than one goroutine reads
		b := make([]byte, 20)
		if i == 7 {
			b = make([]byte, size)
		}
		files[fmt.Sprintf("%c/%03d.png", 'a'+i%2, i)] = &fstest.MapFile{Data: b}
	}
	sum := func(t *testing.T, files fstest.MapFS, whole int64) string {
		t.Helper()
		f, err := data.OpenFolder(data.FolderConfig{FS: files, Pipeline: pipeline(t, data.ResizeExact{W: 6, H: 5})})
		if err != nil {
			t.Fatal(err)
		}
		out, err := data.FingerprintOf(f, whole)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	changed := func(name string, change func(b []byte) []byte) fstest.MapFS {
		out, file := maps.Clone(files), files[name]
		if file == nil {
			file = &fstest.MapFile{}
		}
		out[name] = &fstest.MapFile{Data: change(bytes.Clone(file.Data))}
		return out
	}
	flip := func(i int) func(b []byte) []byte {
		return func(b []byte) []byte { b[i]++; return b }
	}
	for name, c := range map[string]struct {
		files         fstest.MapFS
		whole, sample bool // noticed
	}{
		"nothing":          {files, false, false},
		"first byte":       {changed("b/007.png", flip(0)), true, true},
		"middle":           {changed("b/007.png", flip(size/2)), true, true},
		"last byte":        {changed("b/007.png", flip(size-1)), true, true},
		"between samples":  {changed("b/007.png", flip(size/3)), true, false},
		"a small file":     {changed("a/298.png", flip(10)), true, true},
		"a longer file":    {changed("b/007.png", func(b []byte) []byte { return make([]byte, size+1) }), true, true},
		"an emptied file":  {changed("a/000.png", func([]byte) []byte { return nil }), true, true},
		"one more file":    {changed("a/new.png", func([]byte) []byte { return make([]byte, 20) }), true, true},
		"a file too large": {changed("b/007.png", func([]byte) []byte { return make([]byte, data.DefaultMaxFileBytes+1) }), true, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := sum(t, c.files, size*2) != sum(t, files, size*2); got != c.whole {
				t.Errorf("all bytes read: noticed %v, want %v", got, c.whole)
			}
			if got := sum(t, c.files, 0) != sum(t, files, 0); got != c.sample {
				t.Errorf("samples read: noticed %v, want %v", got, c.sample)
			}
		})
	}
	f, err := data.OpenFolder(data.FolderConfig{FS: files, Pipeline: pipeline(t, data.ResizeExact{W: 6, H: 5})})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Fingerprint(ctx); err == nil {
		t.Error("ended context: want an error")
	}
}

// BenchmarkFingerprint reads samples of 10,000 files of 110 kB, as ImageNet's are.
func BenchmarkFingerprint(b *testing.B) {
	dir := b.TempDir()
	writeImages(b, dir, 10_000, 110_000)
	f, err := data.OpenFolder(data.FolderConfig{FS: os.DirFS(dir), Pipeline: pipeline(b, data.ResizeExact{W: 6, H: 5})})
	if err != nil {
		b.Fatal(err)
	}
	for _, whole := range []int64{0, 1 << 40} {
		b.Run(fmt.Sprint("whole=", whole > 0), func(b *testing.B) {
			for b.Loop() {
				if _, err := data.FingerprintOf(f, whole); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func writeImages(b *testing.B, dir string, n, size int) {
	content := make([]byte, size)
	for i := range n {
		path := filepath.Join(dir, fmt.Sprint(i%100), fmt.Sprint(i, ".jpg"))
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, content, 0o600)); err != nil {
			b.Fatal(err)
		}
	}
}
