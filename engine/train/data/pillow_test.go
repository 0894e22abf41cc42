package data_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// pillowCase is one line of testdata/images/cases.json, made by testdata/make/images.py.
type pillowCase struct {
	Op, Source, Result string
	W, H, Left, Top    int
	Filter             string
	Degrees, Zoom      float64
	Move, Shear        [2]float64
	Fill               [3]byte
	Tolerance          int
}

func (c pillowCase) filter(t *testing.T) data.Filter {
	t.Helper()
	f, err := data.ParseFilter(c.Filter)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", "images", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// picture reads an RGB PNG by the standard library alone.
func picture(t testing.TB, name string) *data.Image {
	t.Helper()
	src, err := png.Decode(bytes.NewReader(fixture(t, name)))
	if err != nil {
		t.Fatal(err)
	}
	m := new(data.Image)
	m.Resize(src.Bounds().Dx(), src.Bounds().Dy())
	for i := range m.W * m.H {
		r, g, b, _ := src.At(i%m.W, i/m.W).RGBA()
		m.Pix[3*i], m.Pix[3*i+1], m.Pix[3*i+2] = byte(r>>8), byte(g>>8), byte(b>>8)
	}
	return m
}

// TestPillow compares every operation with what Pillow or torchvision made of it: the same
// bits, but for affine transforms (1 of 255) and JPEG (2 of 255).
func TestPillow(t *testing.T) {
	t.Parallel()
	var file struct {
		Versions map[string]string
		Cases    []pillowCase
	}
	if err := json.Unmarshal(fixture(t, "cases.json"), &file); err != nil {
		t.Fatal(err)
	}
	for i, c := range file.Cases {
		t.Run(fmt.Sprintf("%d %s %s %dx%d %s", i, c.Op, c.Source, c.W, c.H, c.Filter), func(t *testing.T) {
			t.Parallel()
			got, tolerance := runPillowCase(t, c)
			compare(t, got, picture(t, c.Result), tolerance)
		})
	}
}

// TestFormats decodes files of all kinds that are read to the pixels that Pillow finds.
func TestFormats(t *testing.T) {
	t.Parallel()
	var file struct{ Cases []pillowCase }
	if err := json.Unmarshal(fixture(t, "../formats/cases.json"), &file); err != nil {
		t.Fatal(err)
	}
	for _, c := range file.Cases {
		t.Run(c.Source, func(t *testing.T) {
			t.Parallel()
			got := new(data.Image)
			if err := data.Decode(got, fixture(t, "../formats/"+c.Source), 0); err != nil {
				t.Fatal(err)
			}
			compare(t, got, picture(t, "../formats/"+c.Result), c.Tolerance)
		})
	}
}

func runPillowCase(t *testing.T, c pillowCase) (got *data.Image, tolerance int) {
	t.Helper()
	got = new(data.Image)
	var err error
	step := func(s data.Step) {
		if err = s.Check(); err == nil {
			got, err = data.Apply(s, picture(t, c.Source), new(data.Rand))
		}
	}
	switch c.Op {
	case "resize":
		err = data.ResizeTo(got, picture(t, c.Source), c.W, c.H, c.filter(t))
	case "shorter":
		step(data.Resize{Shorter: c.W, Filter: c.filter(t)})
	case "centercrop":
		step(data.CenterCrop{W: c.W, H: c.H})
	case "flip":
		step(data.HorizontalFlip{P: 1})
	case "crop":
		got = data.Crop(picture(t, c.Source), c.Left, c.Top, c.W, c.H)
	case "rotate":
		step(data.Rotation{Degrees: [2]float64{c.Degrees, c.Degrees}, Filter: c.filter(t), Fill: c.Fill})
		tolerance = 1
	case "affine":
		got = data.Move(picture(t, c.Source), c.Degrees, c.Move[0], c.Move[1], c.Zoom, c.Shear[0], c.Shear[1], c.filter(t), c.Fill)
		tolerance = 1
	case "decode":
		err, tolerance = data.Decode(got, fixture(t, c.Source), 0), c.Tolerance
	default:
		t.Fatalf("operation %q", c.Op)
	}
	if err != nil {
		t.Fatal(err)
	}
	return got, tolerance
}

func compare(t *testing.T, got, want *data.Image, tolerance int) {
	t.Helper()
	if got.W != want.W || got.H != want.H {
		t.Fatalf("got %d x %d pixels, want %d x %d", got.W, got.H, want.W, want.H)
	}
	differ, worst, at := 0, 0, 0
	for i := range want.Pix {
		d := int(got.Pix[i]) - int(want.Pix[i])
		if d != 0 {
			differ++
		}
		if d = max(d, -d); d > worst {
			worst, at = d, i
		}
	}
	t.Logf("%d of %d values differ, by at most %d", differ, len(want.Pix), worst)
	if worst > tolerance {
		t.Errorf("value %d of pixel (%d, %d): got %d, want %d", at%3, at/3%want.W, at/3/want.W, got.Pix[at], want.Pix[at])
	}
}

func floats(t *testing.T, name string) []float32 {
	t.Helper()
	b := fixture(t, name)
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

// TestPipelineTorchvision compares the numbers that reach the network bit by bit.
func TestPipelineTorchvision(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		cfg data.PipelineConfig
		out string
	}{
		"resize, crop, normalise": {data.PipelineConfig{
			Steps: []data.Step{data.Resize{Shorter: 20}, data.CenterCrop{W: 18, H: 16}},
			Mean:  []float32{0.485, 0.456, 0.406}, Std: []float32{0.229, 0.224, 0.225},
		}, "pipeline.f32"},
		"gray": {data.PipelineConfig{Steps: []data.Step{data.ResizeExact{W: 37, H: 29}}, Gray: true}, "gray.f32"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p, err := data.NewPipeline(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			want := floats(t, c.out)
			got := make([]float32, len(want))
			if err := p.Run(got, fixture(t, "a.png"), nil); err != nil {
				t.Fatal(err)
			}
			for i := range want {
				if got[i] != want[i] {
					t.Fatalf("number %d: got %g, want %g", i, got[i], want[i])
				}
			}
		})
	}
}
