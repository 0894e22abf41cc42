package model_test

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/model"
)

// TestImportSplit imports a model that gguf-py split into three files, by any of them, and
// compares with the model in one file.
func TestImportSplit(t *testing.T) {
	t.Parallel()
	want, dir := importModel(t, unpack(t, "llama3-f16"), 0), filepath.Dir(unpack(t, "split"))
	for _, name := range []string{"tiny-00001-of-00003.gguf", "tiny-00002-of-00003.gguf", "tiny-00003-of-00003.gguf"} {
		got := importModel(t, filepath.Join(dir, name), 0)
		if !reflect.DeepEqual(got.Config, want.Config) || !bytes.Equal(got.Tokenizer.Data, want.Tokenizer.Data) || got.Name != want.Name || len(got.Tensors) != len(want.Tensors) {
			t.Fatalf("%s: name %q, %d tensors, configuration %+v", name, got.Name, len(got.Tensors), got.Config)
		}
		for i, s := range got.Tensors {
			a, b := make([]byte, s.Bytes), make([]byte, want.Tensors[i].Bytes)
			if err := s.Read(a); err != nil {
				t.Fatal(err)
			}
			if err := want.Tensors[i].Read(b); err != nil {
				t.Fatal(err)
			}
			if s.Name != want.Tensors[i].Name || !bytes.Equal(a, b) {
				t.Errorf("%s: tensor %q differs", name, s.Name)
			}
		}
	}
}

// TestImportSplitRefuses damages what people damage: files are missing, renamed, of another
// model, or stand-ins.
func TestImportSplitRefuses(t *testing.T) {
	t.Parallel()
	const first, second, third = "tiny-00001-of-00003.gguf", "tiny-00002-of-00003.gguf", "tiny-00003-of-00003.gguf"
	edit := func(t *testing.T, path, old, text string) {
		t.Helper()
		data, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, bytes.Replace(data, []byte(old), []byte(text), 1), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	must := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	cases := []struct {
		name, open, want string
		damage           func(t *testing.T, dir string)
	}{
		{"one is missing", first, `"` + second + `", one of the 3 files of the model, is missing: download it`, func(t *testing.T, dir string) { must(t, os.Remove(filepath.Join(dir, second))) }},
		{"the others are missing", third, "2 of the 3 files of the model are missing, the first is \"" + first + `"`, func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, first)))
			must(t, os.Remove(filepath.Join(dir, second)))
		}},
		{"other name", "a.gguf", "one of the 3 files of a split model, which are called NAME-00001-of-00003.gguf", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, first), filepath.Join(dir, "a.gguf")))
		}},
		{"other count in the name", "tiny-00001-of-00002.gguf", "its name says that the model has 00002 files, its metadata that it has 3", func(t *testing.T, dir string) {
			must(t, os.Rename(filepath.Join(dir, first), filepath.Join(dir, "tiny-00001-of-00002.gguf")))
		}},
		{"the same twice", first, "its metadata says part 2 of 3, want part 3 of 3", func(t *testing.T, dir string) {
			data, err := os.ReadFile(filepath.Join(dir, second))
			must(t, err)
			must(t, os.WriteFile(filepath.Join(dir, third), data, 0o600))
		}},
		{"number in no way", first, "split.no", func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, second), "split.no\x02\x00\x00\x00\x01\x00", "split.no\x02\x00\x00\x00\xff\xff")
		}},
		{"another number of tensors", first, "tensors together, split.tensors.count is", func(t *testing.T, dir string) {
			path := filepath.Join(dir, first)
			data, err := os.ReadFile(path)
			must(t, err)
			const key = "split.tensors.count\x05\x00\x00\x00"
			data[bytes.Index(data, []byte(key))+len(key)]++
			must(t, os.WriteFile(path, data, 0o600))
		}},
		{"tensor twice", first, `is in a file before it too`, func(t *testing.T, dir string) {
			edit(t, filepath.Join(dir, third), "blk.2.ffn_norm.weight", "blk.0.ffn_norm.weight")
		}},
		{"pointer", first, "run git lfs pull", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, third), []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"), 0o600))
		}},
		{"pointer alone", "p.gguf", "run git lfs pull", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "p.gguf"), []byte("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n"), 0o600))
		}},
		{"cut off", first, "truncated", func(t *testing.T, dir string) { must(t, os.Truncate(filepath.Join(dir, third), 80_000)) }},
		{"PyTorch", "m.bin", "can hold code and is not read", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "m.bin"), []byte("PK"), 0o600))
		}},
		{"ONNX", "m.onnx", "is of ONNX", func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "m.onnx"), []byte("x"), 0o600))
		}},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Dir(unpack(t, "split"))
			k.damage(t, dir)
			c, err := model.Import(filepath.Join(dir, k.open), model.ImportOptions{})
			if err == nil {
				c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), k.want) {
				t.Errorf("got error %v, want one with %q", err, k.want)
			}
		})
	}
}

// TestImportByContent opens a GGUF file whatever its name says.
func TestImportByContent(t *testing.T) {
	t.Parallel()
	path := unpack(t, "llama256-Q2_K")
	for _, name := range []string{"model.bin", "model.pt", "model.safetensors", "model"} {
		other := filepath.Join(filepath.Dir(path), name)
		if err := os.Rename(path, other); err != nil {
			t.Fatal(err)
		}
		path = other
		c, err := model.Import(path, model.ImportOptions{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}
