package data_test

import (
	"bytes"
	"context"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/covey-network/covey/engine/train/data"
)

// FuzzImage decodes any bytes and runs every step on what comes out: an error, or twice
// the same finite numbers.
func FuzzImage(f *testing.F) {
	for _, name := range []string{
		"tiny.png", "palettealpha.png", "gray16trns.png", "rgba16.png", "bits.png", "turn6.png", "turn.webp",
		"lossyalpha.webp", "thin.webp", "progressive.jpg", "422.jpg", "cmyk.jpg", "gray.jpg", "5x6.jpg", "turn.jpg",
		"../formats/parttransparent.gif", "../formats/partlocal.gif", "../formats/beyond.gif", "../formats/interlaced.gif",
		"../formats/table.bmp", "../formats/topdown.bmp", "../formats/strips.tif", "../formats/group4.tif", "../formats/rgb16b.tif",
		"../formats/premultiplied.tif", "../formats/turn6.tif", "../formats/table.tif", "../formats/placed.webp", "../formats/animatedalpha.webp",
	} {
		f.Add(fixture(f, name), uint64(1))
	}
	p, err := data.NewPipeline(data.PipelineConfig{MaxPixels: 1 << 14, Steps: []data.Step{
		data.Affine{Degrees: [2]float64{-20, 20}, Zoom: [2]float64{0.5, 2}, ShearX: [2]float64{-9, 9}, Translate: [2]float64{0.1, 0.1}},
		data.Resize{Shorter: 9, Filter: data.Bicubic},
		data.RandomResizedCrop{W: 11, H: 8},
		data.Rotation{Degrees: [2]float64{-45, 45}, Filter: data.Nearest},
		data.RandomCrop{W: 7, H: 12, Padding: 1},
		data.HorizontalFlip{P: 0.5},
	}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte, seed uint64) {
		got, again := make([]float32, 3*7*12), make([]float32, 3*7*12)
		r, s := data.NewRand(seed, 0, 0), data.NewRand(seed, 0, 0)
		err := p.Run(got, file, &r)
		if err2 := p.Run(again, file, &s); (err == nil) != (err2 == nil) || err == nil && !slices.Equal(got, again) {
			t.Fatalf("got %v and then %v", err, err2)
		}
		if err != nil && strings.Contains(err.Error(), "runtime error") {
			t.Logf("a decoder panicked: %v", err)
		}
		for _, v := range got {
			if math.IsNaN(float64(v)) || v < 0 || v > 1 {
				t.Fatalf("got %g", v)
			}
		}
	})
}

// FuzzTable reads any bytes as a table: an error, or samples of finite numbers with labels
// that exist, and the same ones from the rows that a model reads.
func FuzzTable(f *testing.F) {
	f.Add([]byte(flowers), "kind", true)
	f.Add([]byte("a,y\n1,2\n"), "y", false)
	f.Add([]byte("\ufeffy,a\n\"1\n\",2\n3,\"4\n"), "y", false)
	for name, label := range map[string]string{"european.csv": "Zustand", "unicode.txt": "class", "american.csv": "class", "missing.csv": "class"} {
		b, err := os.ReadFile("testdata/tables/" + name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b, label, true)
	}
	f.Add([]byte("sep=;\ra;y\r1.234,5 €;k\r-€ 7;l\r1'000;k\r"), "y", true)
	f.Fuzz(func(t *testing.T, text []byte, label string, fill bool) {
		d, err := data.ReadTable(bytes.NewReader(text), "f", data.TableConfig{Label: label, FillMissing: fill, MaxBytes: 1 << 16})
		if err != nil {
			return
		}
		all := make([]int, d.Len())
		for i := range all {
			all[i] = i
		}
		if d, err = d.Standardise(all); err != nil {
			t.Fatal(err)
		}
		sameRows(t, text, d, fill)
		shape := d.Shape()
		dst := shape.NewSample()
		for i := range d.Len() {
			if err := d.Sample(&dst, i, nil); err != nil {
				t.Fatal(err)
			}
			if shape.Classes != nil && (dst.Label < 0 || int(dst.Label) >= len(shape.Classes)) {
				t.Fatalf("row %d: label %d of %d", i, dst.Label, len(shape.Classes))
			}
			for _, v := range dst.Values {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Fatalf("row %d: %v", i, dst.Values)
				}
			}
		}
	})
}

// sameRows compares samples with what a model makes of the rows of the file.
func sameRows(t *testing.T, text []byte, d *data.Table, fill bool) {
	t.Helper()
	label, _ := d.Label()
	inputs := slices.DeleteFunc(slices.Clone(d.Columns()), func(c data.Column) bool { return c.Kind == data.Ignore || c.Name == label.Name })
	rows, err := data.NewRows(inputs, fill, d.Format())
	if err != nil {
		t.Fatalf("columns that a table found: %v", err)
	}
	sheet, err := data.ReadSheet(bytes.NewReader(text), data.SheetConfig{Format: d.Format(), Want: rows.Names()})
	if err != nil {
		t.Fatalf("the file once more: %v", err)
	}
	at, err := sheet.Columns(rows.Names())
	if err != nil {
		t.Fatal(err)
	}
	got, want := make([]float32, rows.Width()), d.Shape().NewSample()
	place := slices.Index(sheet.Header, label.Name)
	next := 0 // sample
	for _, r := range sheet.Rows {
		if r.Err != nil || next == d.Len() {
			continue
		}
		fields := make([]string, len(at))
		for k, from := range at {
			fields[k] = r.Fields[from]
		}
		if rows.Inputs(got, fields, nil, "", "") != nil || r.Fields[place] == "" {
			continue
		}
		if err := d.Sample(&want, next, nil); err != nil {
			t.Fatal(err)
		}
		if slices.Equal(got, want.Values) {
			next++
		}
	}
	if next != d.Len() { // rows without a label come between
		t.Fatalf("%d of %d samples are among the rows that a model reads", next, d.Len())
	}
}

// FuzzDocuments cuts any text into documents of any size: what comes out is the text
// without its separators.
func FuzzDocuments(f *testing.F) {
	f.Add("one\n\ntwo\nthree", "\n", 5)
	f.Add("<s>one<s><stwo<s>", "<s>", 4)
	f.Add("aééé", "", 2)
	f.Fuzz(func(t *testing.T, text, separator string, limit int) {
		text, separator = strings.ToValidUTF8(text, ""), strings.ToValidUTF8(separator, "")
		text = strings.ReplaceAll(strings.ReplaceAll(text, "!", ""), "\ufeff", "")
		if limit < 4 || limit > 1<<20 || len(separator) > limit {
			return
		}
		d, err := data.OpenText(context.Background(), data.TextConfig{
			FS: fstest.MapFS{"a": {Data: []byte(text)}}, Files: []string{"a"}, Separator: separator,
			Encoding: data.EncodingUTF8, Encoder: bytesEncoder{}, EOS: -1, Length: 1, MaxDocumentBytes: limit, Workers: 2,
		})
		want := text
		if separator != "" {
			want = strings.ReplaceAll(text, separator, "")
		}
		if len(want) < 2 {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if d.Tokens() != len(want) {
			t.Fatalf("got %d tokens, want %d", d.Tokens(), len(want))
		}
	})
}
