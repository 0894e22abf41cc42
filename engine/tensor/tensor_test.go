package tensor_test

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"encoding/json"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/tensor"
)

// unzip reads a fixture.
func unzip(t *testing.T, name string) []byte {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "quant", name+".gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// reference reads a fixture: blocks of a type and the values that gguf-py makes of them.
func reference(t *testing.T, name string) (blocks []byte, values []float32) {
	t.Helper()
	data := unzip(t, name+".safetensors")
	var header map[string]struct {
		Offsets [2]int `json:"data_offsets"`
	}
	n := 8 + int(binary.LittleEndian.Uint64(data))
	if err := json.Unmarshal(data[8:n], &header); err != nil {
		t.Fatal(err)
	}
	part := func(key string) []byte { o := header[key].Offsets; return data[n+o[0] : n+o[1]] }
	raw := part("values")
	for i := 0; i < len(raw); i += 4 {
		values = append(values, math.Float32frombits(binary.LittleEndian.Uint32(raw[i:])))
	}
	return part("blocks"), values
}

func TestDequantizeHasTheReferenceBits(t *testing.T) {
	t.Parallel()
	covered := 0
	for _, d := range tensor.Types() {
		if !d.Quantized() {
			continue
		}
		covered++
		t.Run(d.String(), func(t *testing.T) {
			t.Parallel()
			blocks, want := reference(t, d.String())
			got := make([]float32, len(want))
			if err := tensor.Dequantize(got, d, blocks); err != nil {
				t.Fatal(err)
			}
			for i := range got {
				if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
					t.Fatalf("value %d is %v, want %v", i, got[i], want[i])
				}
			}
		})
	}
	if covered != 15 {
		t.Errorf("%d block types, want 15", covered)
	}
}

func TestHalvesRoundTrip(t *testing.T) {
	t.Parallel()
	for h := range 1 << 16 {
		h := uint16(h)
		if f := tensor.F16ToF32(h); f == f && tensor.F32ToF16(f) != h {
			t.Fatalf("F16 %04x becomes %v and %04x", h, f, tensor.F32ToF16(f))
		}
		if f := tensor.BF16ToF32(h); f == f && tensor.F32ToBF16(f) != h {
			t.Fatalf("BF16 %04x becomes %v and %04x", h, f, tensor.F32ToBF16(f))
		}
	}
	for _, c := range []struct {
		f float32
		h uint16
	}{{65519, 0x7bff}, {65520, 0x7c00}, {1 + 0x1p-11, 0x3c00}, {1 + 3*0x1p-11, 0x3c02}, {0x1p-25, 0}, {0x1.8p-25, 1}, {float32(math.Inf(-1)), 0xfc00}} {
		if got := tensor.F32ToF16(c.f); got != c.h {
			t.Errorf("F32ToF16(%v) = %04x, want %04x", c.f, got, c.h)
		}
	}
}

// TestQuantizeHasTheReferenceBits compares with the blocks that llama.cpp made of a real
// matrix, and gguf-py of ties, zeros and extremes.
func TestQuantizeHasTheReferenceBits(t *testing.T) {
	t.Parallel()
	source := unzip(t, "source.bf16")
	matrix := make([]float32, len(source)/2)
	if err := tensor.Dequantize(matrix, tensor.BF16, source); err != nil {
		t.Fatal(err)
	}
	const blocks = 48
	packed := unzip(t, "edges")
	edges := make([]float32, 32*blocks)
	if err := tensor.Dequantize(edges, tensor.F32, packed[:4*len(edges)]); err != nil {
		t.Fatal(err)
	}
	packed = packed[4*len(edges):]
	for _, d := range []tensor.DType{tensor.Q8_0, tensor.Q4_0} {
		want, _ := reference(t, d.String())
		sameBlocks(t, "llama.cpp", d, matrix, want)
		n := blocks * d.BlockBytes()
		sameBlocks(t, "gguf-py", d, edges, packed[:n])
		packed = packed[n:]
	}
}

func sameBlocks(t *testing.T, from string, d tensor.DType, src []float32, want []byte) {
	t.Helper()
	got := make([]byte, len(want))
	if err := tensor.Quantize(got, d, src); err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(got); i += d.BlockBytes() {
		if a, b := got[i:i+d.BlockBytes()], want[i:i+d.BlockBytes()]; !bytes.Equal(a, b) {
			k := i / d.BlockBytes() * 32
			t.Errorf("%v block %d: %x, want %x as %s makes of %v", d, k/32, a, b, from, src[k:k+32])
		}
	}
}

func TestQuantizeTakesTinyValues(t *testing.T) {
	t.Parallel()
	src := make([]float32, 32)
	src[3], src[4] = 0x1p-140, -0x1p-149
	for _, d := range []tensor.DType{tensor.Q8_0, tensor.Q4_0} {
		buf := make([]byte, d.BlockBytes())
		if err := tensor.Quantize(buf, d, src); err != nil {
			t.Errorf("%v: %v", d, err)
		}
		got := make([]float32, 32)
		if err := tensor.Dequantize(got, d, buf); err != nil {
			t.Fatal(err)
		}
		for i, v := range got {
			if v != 0 {
				t.Errorf("%v: value %d reads back as %v", d, i, v)
			}
		}
	}
}

// FuzzBlocks decodes any bytes as blocks of each type, and encodes what comes out.
func FuzzBlocks(f *testing.F) {
	f.Add(bytes.Repeat([]byte{0x3c, 0x80, 0x7f}, 70))
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, d := range tensor.Types() {
			src := data[:len(data)/d.BlockBytes()*d.BlockBytes()]
			dst := make([]float32, len(src)/d.BlockBytes()*d.BlockLen())
			if err := tensor.Dequantize(dst, d, src); err != nil {
				t.Fatal(err)
			}
			for i := 0; i+32 <= len(dst); i += 32 {
				finite := true
				for _, v := range dst[i : i+32] {
					finite = finite && math.Abs(float64(v)) < 5e5 // 8 times the largest F16
				}
				for _, to := range []tensor.DType{tensor.Q8_0, tensor.Q4_0} {
					if err := tensor.Quantize(make([]byte, to.BlockBytes()), to, dst[i:i+32]); finite && err != nil {
						t.Fatalf("%v to %v: %v", d, to, err)
					}
				}
			}
		}
	})
}

// TestQuantizeIsWithinHalfAStep checks each value against the step of its block.
func TestQuantizeIsWithinHalfAStep(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		d     tensor.DType
		steps float64 // of the largest magnitude of a block
		slack float64 // in steps: Q4_0 cannot hold the opposite of its extreme
	}{{tensor.Q8_0, 127, 0.6}, {tensor.Q4_0, 8, 1.1}} {
		src := make([]float32, 32*64)
		for i := range src {
			src[i] = float32(rng.NormFloat64())
		}
		buf := make([]byte, 64*c.d.BlockBytes())
		if err := tensor.Quantize(buf, c.d, src); err != nil {
			t.Fatal(err)
		}
		got := make([]float32, len(src))
		if err := tensor.Dequantize(got, c.d, buf); err != nil {
			t.Fatal(err)
		}
		for b := 0; b < len(src); b += 32 {
			var most float64
			for _, v := range src[b : b+32] {
				most = max(most, math.Abs(float64(v)))
			}
			for i := b; i < b+32; i++ {
				if diff := math.Abs(float64(got[i] - src[i])); diff > most/c.steps*c.slack {
					t.Fatalf("%v: value %d is %v, want %v", c.d, i, got[i], src[i])
				}
			}
		}
	}
}

func TestQuantizeRefuses(t *testing.T) {
	t.Parallel()
	for _, v := range []float32{float32(math.NaN()), float32(math.Inf(1)), math.MaxFloat32} {
		src := make([]float32, 32)
		src[7] = v
		for _, d := range []tensor.DType{tensor.Q8_0, tensor.Q4_0} {
			if err := tensor.Quantize(make([]byte, d.BlockBytes()), d, src); err == nil {
				t.Errorf("%v took %v", d, v)
			}
		}
	}
	if err := tensor.Quantize(make([]byte, 256), tensor.Q6_K, make([]float32, 256)); err == nil {
		t.Error("Q6_K was accepted")
	}
	if err := tensor.Dequantize(make([]float32, 31), tensor.Q8_0, make([]byte, 34)); err == nil {
		t.Error("31 elements of a block were accepted")
	}
}

func TestBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		d     tensor.DType
		shape tensor.Shape
		want  int64 // -1 is an error
	}{
		{"matrix", tensor.Q4_0, tensor.Shape{3, 64}, 108},
		{"vector", tensor.F32, tensor.Shape{5}, 20},
		{"scalar", tensor.F16, nil, 2},
		{"half a block", tensor.Q4_0, tensor.Shape{3, 48}, -1},
		{"no rows", tensor.F32, tensor.Shape{0, 4}, -1},
		{"negative", tensor.F32, tensor.Shape{-1, 4}, -1},
		{"overflow", tensor.F32, tensor.Shape{1 << 40, 1 << 40}, -1},
		{"size overflow", tensor.F32, tensor.Shape{1 << 62}, -1},
		{"no type", 0, tensor.Shape{1}, -1},
	} {
		got, err := c.d.Bytes(c.shape)
		if (err != nil) != (c.want < 0) || err == nil && got != c.want {
			t.Errorf("%s: %d, %v; want %d", c.name, got, err, c.want)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for _, d := range tensor.Types() {
		if got, err := tensor.Parse(d.String()); err != nil || got != d {
			t.Errorf("Parse(%q) = %v, %v", d, got, err)
		}
	}
	if _, err := tensor.Parse("Q9"); err == nil {
		t.Error("Q9 was accepted")
	}
}
