package safetensors_test

import (
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/tensor"
)

func file(header string, data int) []byte {
	b := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	for i := range data {
		b = append(b, byte(i))
	}
	return b
}

const good = `{"__metadata__":{"format":"pt"},"b":{"dtype":"I64","shape":[1],"data_offsets":[8,16]},"a":{"dtype":"BF16","shape":[2,2],"data_offsets":[0,8]}}`

func open(t *testing.T, data []byte) (*safetensors.File, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.safetensors")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := safetensors.Open(path)
	if err == nil {
		t.Cleanup(func() { f.Close() })
	}
	return f, err
}

func TestOpen(t *testing.T) {
	t.Parallel()
	f, err := open(t, file(good, 16))
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata["format"] != "pt" || len(f.Tensors) != 2 {
		t.Fatalf("metadata %v, tensors %v", f.Metadata, f.Tensors)
	}
	a, b := f.Tensors[0], f.Tensors[1]
	if a.Name != "a" || a.DType != tensor.BF16 || !a.Shape.Equal(tensor.Shape{2, 2}) || a.Bytes != 8 {
		t.Errorf("first tensor %+v", a)
	}
	if b.DType != 0 || b.Type != "I64" {
		t.Errorf("second tensor %+v", b)
	}
	if got, err := io.ReadAll(f.Section(1)); err != nil || len(got) != 8 || got[0] != 8 {
		t.Errorf("data of the second tensor: %v, %v", got, err)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		data       []byte
	}{
		{"empty", "too short", nil},
		{"long header", "header of", binary.LittleEndian.AppendUint64(nil, 1<<60)},
		{"no object", "JSON object", file(`[]`, 0)},
		{"two values", "more than one", file(`{}{}`, 0)},
		{"truncated", "truncated", file(good, 15)},
		{"trailing bytes", "damaged", file(good, 17)},
		{"twice", "twice", file(`{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}`, 0)},
		{"gap", "gap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,4]}}`, 4)},
		{"overlap", "overlap", file(`{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}`, 3)},
		{"wrong size", "does not hold", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}`, 4)},
		{"overflow", "a", file(`{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}}`, 0)},
		{"negative", "negative", file(`{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}}`, 0)},
		{"unknown type", "unknown", file(`{"a":{"dtype":"F33","shape":[1],"data_offsets":[0,4]}}`, 4)},
		{"backwards", "does not hold", file(`{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}`, 1)},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if _, err := open(t, c.data); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

func TestIndexStaysInItsFolder(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inside := filepath.Join(dir, "model")
	if err := os.Mkdir(inside, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "secret.safetensors"), filepath.Join(inside, "one.safetensors")} {
		if err := os.WriteFile(path, file(good, 16), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(inside)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for _, c := range []struct{ index, want string }{
		{`{"weight_map":{"a":"one.safetensors","b":"one.safetensors"}}`, ""},
		{`{"weight_map":{"a":"../secret.safetensors"}}`, "escapes"},
		{`{"weight_map":{"z":"one.safetensors"}}`, "does not have tensor"},
		{`{"weight_map":{}}`, "empty"},
		{`{"weight_map":`, "index"},
	} {
		s, err := safetensors.OpenIndex(root, []byte(c.index))
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("index %s: error %v, want %q", c.index, err, c.want)
		}
		if err == nil {
			s.Close()
		}
	}
}

// TestIndexNamesTheFileOfEachTensor has an index that gives two tensors each other's file.
func TestIndexNamesTheFileOfEachTensor(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, tensor := range map[string]string{"one.safetensors": "a", "two.safetensors": "b"} {
		if err := os.WriteFile(filepath.Join(dir, name), file(`{"`+tensor+`":{"dtype":"F16","shape":[1],"data_offsets":[0,2]}}`, 2), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	s, err := safetensors.OpenIndex(root, []byte(`{"weight_map":{"a":"one.safetensors","b":"two.safetensors"}}`))
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	_, err = safetensors.OpenIndex(root, []byte(`{"weight_map":{"a":"two.safetensors","b":"one.safetensors"}}`))
	if err == nil || !strings.Contains(err.Error(), `"two.safetensors" does not have tensor "a"`) {
		t.Errorf("swapped: got %v, want an error", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(file(good, 16))
	f.Add(file(`{}`, 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := open(t, data)
		if err != nil {
			return
		}
		for i, info := range s.Tensors {
			if n, err := io.Copy(io.Discard, s.Section(i)); err != nil || n != info.Bytes {
				t.Errorf("tensor %d: read %d of %d bytes: %v", i, n, info.Bytes, err)
			}
		}
	})
}
