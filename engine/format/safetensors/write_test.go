package safetensors_test

import (
	"bytes"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/format/safetensors"
	"github.com/covey-network/covey/engine/tensor"
)

func TestWriteThenOpen(t *testing.T) {
	t.Parallel()
	want := []safetensors.Tensor{
		{Name: "z.weight", Shape: tensor.Shape{2, 3}, Data: []float32{1, -2, 3.5, float32(math.Inf(1)), 0, 1e-40}},
		{Name: `a "quoted" ü`, Shape: tensor.Shape{1}, Data: []float32{7}},
		{Name: "scalar", Data: []float32{-0.5}},
		{Name: "empty", Shape: tensor.Shape{0, 4}},
	}
	var buf bytes.Buffer
	if err := safetensors.Write(&buf, map[string]string{"format": "pt"}, want); err != nil {
		t.Fatal(err)
	}
	f, err := open(t, buf.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	if f.Metadata["format"] != "pt" || len(f.Tensors) != len(want) {
		t.Fatalf("metadata %v, %d tensors", f.Metadata, len(f.Tensors))
	}
	byName := map[string]int{}
	for i, info := range f.Tensors {
		byName[info.Name] = i
	}
	for _, w := range want {
		i, ok := byName[w.Name]
		if !ok {
			t.Errorf("tensor %q is missing", w.Name)
			continue
		}
		info := f.Tensors[i]
		data, err := io.ReadAll(f.Section(i))
		if err != nil || info.DType != tensor.F32 || len(info.Shape) != len(w.Shape) || !info.Shape.Equal(w.Shape) || len(data) != 4*len(w.Data) {
			t.Errorf("tensor %q: %+v, %d bytes, %v", w.Name, info, len(data), err)
			continue
		}
		got := make([]float32, len(w.Data))
		if err := tensor.Dequantize(got, tensor.F32, data); err != nil {
			t.Error(err)
		}
		for k := range got {
			if math.Float32bits(got[k]) != math.Float32bits(w.Data[k]) {
				t.Errorf("tensor %q: %v, want %v", w.Name, got, w.Data)
				break
			}
		}
	}
	if f.Tensors[byName["z.weight"]].Offset%8 != 0 {
		t.Error("the data is not aligned")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestWriteRefuses(t *testing.T) {
	t.Parallel()
	one := safetensors.Tensor{Name: "a", Shape: tensor.Shape{1}, Data: []float32{1}}
	for _, c := range []struct {
		name, want string
		tensors    []safetensors.Tensor
	}{
		{"twice", "twice", []safetensors.Tensor{one, one}},
		{"reserved", "twice", []safetensors.Tensor{{Name: "__metadata__", Shape: tensor.Shape{1}, Data: []float32{1}}}},
		{"not UTF-8", "UTF-8", []safetensors.Tensor{{Name: "a\xff", Shape: tensor.Shape{1}, Data: []float32{1}}}},
		{"length", "elements", []safetensors.Tensor{{Name: "a", Shape: tensor.Shape{2}, Data: []float32{1}}}},
		{"negative", "a", []safetensors.Tensor{{Name: "a", Shape: tensor.Shape{-1}}}},
		{"rank", "dimensions", []safetensors.Tensor{{Name: "a", Shape: tensor.Shape{1, 1, 1, 1, 1, 1, 1, 1, 1}, Data: []float32{1}}}},
	} {
		if err := safetensors.Write(io.Discard, nil, c.tensors); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", c.name, err, c.want)
		}
	}
	if err := safetensors.Write(full{}, nil, []safetensors.Tensor{one}); err == nil || !strings.Contains(err.Error(), "disk full") {
		t.Errorf("error %v, want that of the writer", err)
	}
}
