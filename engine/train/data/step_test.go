package data_test

import (
	"bytes"
	"math"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

func TestPipelineConfig(t *testing.T) {
	t.Parallel()
	nan := math.NaN()
	for name, cfg := range map[string]data.PipelineConfig{
		"no step":         {},
		"no size":         {Steps: []data.Step{data.Resize{Shorter: 256}, data.HorizontalFlip{P: 1}}},
		"nil step":        {Steps: []data.Step{nil}},
		"side":            {Steps: []data.Step{data.CenterCrop{W: 0, H: 5}}},
		"huge side":       {Steps: []data.Step{data.ResizeExact{W: 1 << 20, H: 5}}},
		"area":            {Steps: []data.Step{data.CenterCrop{W: 1 << 13, H: 1 << 13}, data.CenterCrop{W: 5, H: 5}}},
		"filter":          {Steps: []data.Step{data.ResizeExact{W: 5, H: 5, Filter: 9}}},
		"rotation filter": {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}, data.Rotation{Filter: data.Bicubic}}},
		"probability":     {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}, data.HorizontalFlip{P: nan}}},
		"scale":           {Steps: []data.Step{data.RandomResizedCrop{W: 5, H: 5, Scale: [2]float64{0.5, 2}}}},
		"ratio":           {Steps: []data.Step{data.RandomResizedCrop{W: 5, H: 5, Ratio: [2]float64{2, 1}}}},
		"padding":         {Steps: []data.Step{data.RandomCrop{W: 5, H: 5, Padding: -1}}},
		"zoom":            {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}, data.Affine{Zoom: [2]float64{0, 1}}}},
		"shear":           {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}, data.Affine{ShearX: [2]float64{0, 90}}}},
		"translation":     {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}, data.Affine{Translate: [2]float64{2, 0}}}},
		"means":           {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}}, Mean: []float32{1, 2}},
		"std":             {Steps: []data.Step{data.ResizeExact{W: 5, H: 5}}, Std: []float32{0}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := data.NewPipeline(cfg); err == nil {
				t.Error("want an error")
			}
		})
	}
}

func TestPipelineNumbers(t *testing.T) {
	t.Parallel()
	m := &data.Image{W: 2, H: 1, Pix: []byte{0, 100, 255, 10, 20, 30}}
	for name, c := range map[string]struct {
		cfg  data.PipelineConfig
		want []float32
	}{
		"scale":         {data.PipelineConfig{Scale: 1}, []float32{0, 10, 100, 20, 255, 30}},
		"mean and std":  {data.PipelineConfig{Scale: 1, Mean: []float32{1, 2, 3}, Std: []float32{2}}, []float32{-0.5, 4.5, 49, 9, 126, 13.5}},
		"gray":          {data.PipelineConfig{Scale: 1, Gray: true}, []float32{88, 18}},
		"divide by 255": {data.PipelineConfig{}, []float32{0, 10.0 / 255, 100.0 / 255, 20.0 / 255, 1, 30.0 / 255}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.cfg.Steps = []data.Step{data.CenterCrop{W: 2, H: 1}}
			p, err := data.NewPipeline(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			ch, h, w := p.Dims()
			got := make([]float32, ch*h*w)
			if err := p.RunImage(got, m, nil); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
			if err := p.RunImage(got[1:], m, nil); err == nil {
				t.Error("short destination: want an error")
			}
		})
	}
}

// TestRandomResizedCropWindow checks that windows keep area and proportions, and what
// happens if none fits.
func TestRandomResizedCropWindow(t *testing.T) {
	t.Parallel()
	s := data.RandomResizedCrop{W: 8, H: 8, Scale: [2]float64{0.2, 0.5}}
	for i := range 2000 {
		r := data.NewRand(3, 0, i)
		left, top, w, h := data.Window(s, 300, 200, &r)
		if left < 0 || top < 0 || left+w > 300 || top+h > 200 {
			t.Fatalf("window %d, %d, %d x %d is not inside", left, top, w, h)
		}
		area, ratio := float64(w*h)/60000, float64(w)/float64(h)
		if area < 0.19 || area > 0.51 || ratio < 0.73 || ratio > 1.36 {
			t.Fatalf("window %d x %d: area %g, ratio %g", w, h, area, ratio)
		}
	}
	for name, c := range map[string]struct{ w, h, left, top, cw, ch int }{
		"too wide": {1000, 30, 480, 0, 40, 30},
		"too tall": {30, 1000, 0, 480, 30, 40},
		"one line": {1, 9, 0, 4, 1, 1},
	} {
		r := data.NewRand(3, 0, 0)
		left, top, w, h := data.Window(data.RandomResizedCrop{Scale: [2]float64{1, 1}}, c.w, c.h, &r)
		if got, want := [4]int{left, top, w, h}, [4]int{c.left, c.top, c.cw, c.ch}; got != want {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
}

func TestRandomCropPlaces(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ have, n, padding, first, last int }{
		"inside":             {10, 8, 0, 0, 2},
		"padded":             {10, 8, 3, -3, 5},
		"too small":          {5, 8, 0, -3, 0},
		"padding not enough": {5, 8, 1, -2, -1},
		"exact":              {8, 8, 0, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[int]bool{}
			for i := range 500 {
				r := data.NewRand(1, 0, i)
				seen[data.Place(&r, c.have, c.n, c.padding)] = true
			}
			for at := range seen {
				if at < c.first || at > c.last {
					t.Errorf("begins at %d, want %d to %d", at, c.first, c.last)
				}
			}
			if len(seen) != c.last-c.first+1 {
				t.Errorf("got %d places, want %d", len(seen), c.last-c.first+1)
			}
		})
	}
}

// TestRandomStepsRepeat runs every random step twice with the same draws and once with
// others.
func TestRandomStepsRepeat(t *testing.T) {
	t.Parallel()
	m := picture(t, "a.png")
	for name, s := range map[string]data.Step{
		"crop":         data.RandomCrop{W: 20, H: 20, Padding: 4, Fill: [3]byte{9, 9, 9}},
		"resized crop": data.RandomResizedCrop{W: 20, H: 20, Filter: data.Bicubic},
		"rotation":     data.Rotation{Degrees: [2]float64{-30, 30}},
		"affine": data.Affine{
			Degrees: [2]float64{-9, 9}, Translate: [2]float64{0.2, 0.2}, Zoom: [2]float64{0.5, 1.5},
			ShearX: [2]float64{-20, 20}, ShearY: [2]float64{-20, 20},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := s.Check(); err != nil {
				t.Fatal(err)
			}
			run := func(sample int) []byte {
				r := data.NewRand(5, 1, sample)
				got, err := data.Apply(s, m, &r)
				if err != nil {
					t.Fatal(err)
				}
				return got.Pix
			}
			if !bytes.Equal(run(1), run(1)) {
				t.Error("the same draws give another picture")
			}
			if bytes.Equal(run(1), run(2)) {
				t.Error("other draws give the same picture")
			}
		})
	}
}

func TestFlipProbability(t *testing.T) {
	t.Parallel()
	m, flips := picture(t, "tiny.png"), 0
	for i := range 2000 {
		r := data.NewRand(5, 1, i)
		got, err := data.Apply(data.HorizontalFlip{P: 0.25}, m, &r)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.Pix, m.Pix) {
			flips++
		}
	}
	if flips < 430 || flips > 570 { // standard deviation 19
		t.Errorf("got %d flips of 2000, want about 500", flips)
	}
}

func TestExtremeProportionsAreAnError(t *testing.T) {
	t.Parallel()
	p, err := data.NewPipeline(data.PipelineConfig{Steps: []data.Step{data.Resize{Shorter: 1000}, data.CenterCrop{W: 8, H: 8}}})
	if err != nil {
		t.Fatal(err)
	}
	m := new(data.Image)
	m.Resize(1, 100000)
	if err := p.RunImage(make([]float32, 3*8*8), m, nil); err == nil {
		t.Error("a picture of 10^11 pixels between two steps: want an error")
	}
}

func TestParseFilter(t *testing.T) {
	t.Parallel()
	for _, f := range []data.Filter{data.Nearest, data.Bilinear, data.Bicubic} {
		if got, err := data.ParseFilter(f.String()); got != f || err != nil {
			t.Errorf("%v: got %v, %v", f, got, err)
		}
	}
	if _, err := data.ParseFilter("lanczos"); err == nil {
		t.Error("lanczos: want an error")
	}
}
