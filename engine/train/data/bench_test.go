package data_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/covey-network/covey/engine/train/data"
)

// photo is a JPEG of smooth colours and some texture, about as large as a photograph's.
func photo(b *testing.B, w, h int) []byte {
	b.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	r := data.NewRand(1, 0, 0)
	for y := range h {
		for x := range w {
			v := 110*math.Sin(float64(x)/37)*math.Cos(float64(y)/23) + 128 + 12*r.Float64()
			m.Set(x, y, color.RGBA{uint8(min(v, 255)), uint8(x * 255 / w), uint8(y * 255 / h), 255})
		}
	}
	var out bytes.Buffer
	if err := jpeg.Encode(&out, m, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	return out.Bytes()
}

func benchPipelines() map[string][]data.Step {
	return map[string][]data.Step{
		"validation": {data.Resize{Shorter: 256}, data.CenterCrop{W: 224, H: 224}},
		"training":   {data.RandomResizedCrop{W: 224, H: 224}, data.HorizontalFlip{P: 0.5}},
		"affine":     {data.Resize{Shorter: 224}, data.Affine{Degrees: [2]float64{-10, 10}, ShearX: [2]float64{-5, 5}}, data.CenterCrop{W: 224, H: 224}},
	}
}

// BenchmarkImage takes a 500 x 400 JPEG to 224 x 224 numbers on one core.
func BenchmarkImage(b *testing.B) {
	file := photo(b, 500, 400)
	b.Logf("JPEG of %d bytes", len(file))
	for name, steps := range benchPipelines() {
		b.Run(name, func(b *testing.B) {
			p, err := data.NewPipeline(data.PipelineConfig{Steps: steps, Mean: []float32{0.5}, Std: []float32{0.25}})
			if err != nil {
				b.Fatal(err)
			}
			dst := make([]float32, 3*224*224)
			for i := 0; b.Loop(); i++ {
				r := data.NewRand(1, 0, i)
				if err := p.Run(dst, file, &r); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "images/s")
		})
	}
}

// BenchmarkDecode and BenchmarkResize are the two parts that take the time.
func BenchmarkDecode(b *testing.B) {
	file, m := photo(b, 500, 400), new(data.Image)
	for b.Loop() {
		if err := data.Decode(m, file, 0); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResize(b *testing.B) {
	m, dst := new(data.Image), new(data.Image)
	if err := data.Decode(m, photo(b, 500, 400), 0); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if err := data.ResizeTo(dst, m, 320, 256, data.Bilinear); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLoader reads batches of 32 images by one and by two workers.
func BenchmarkLoader(b *testing.B) {
	files := fstest.MapFS{}
	for i := range 64 {
		files[fmt.Sprintf("%d/%d.jpg", i%4, i)] = &fstest.MapFile{Data: photo(b, 500, 400)}
	}
	p, err := data.NewPipeline(data.PipelineConfig{Steps: benchPipelines()["training"]})
	if err != nil {
		b.Fatal(err)
	}
	f, err := data.OpenFolder(data.FolderConfig{FS: files, Pipeline: p})
	if err != nil {
		b.Fatal(err)
	}
	for workers := 1; workers <= 2; workers++ {
		b.Run(fmt.Sprint(workers), func(b *testing.B) {
			benchLoader(b, f, data.LoaderConfig{Batch: 32, Shuffle: true, Workers: workers}, 32, "images/s")
		})
	}
}

// BenchmarkText gives batches of 8 sequences of 1,024 tokens.
func BenchmarkText(b *testing.B) {
	d, err := data.OpenText(b.Context(), data.TextConfig{
		FS: texts("a", strings.Repeat("hello world\n", 1<<17)), Files: []string{"a"}, Encoder: bytesEncoder{}, Length: 1024,
	})
	if err != nil {
		b.Fatal(err)
	}
	benchLoader(b, d, data.LoaderConfig{Batch: 8, Shuffle: true, Workers: 1}, 8*1024, "tokens/s")
}

func benchLoader(b *testing.B, d data.Dataset, cfg data.LoaderConfig, perBatch int, unit string) {
	it := iterate(b, d, cfg, data.Cursor{})
	defer it.Close()
	batches := 0
	for b.Loop() {
		_, err := it.Next()
		if err == io.EOF {
			_, err = it.Next()
		}
		if err != nil {
			b.Fatal(err)
		}
		batches++
	}
	b.ReportMetric(float64(batches*perBatch)/b.Elapsed().Seconds(), unit)
}
