package data_test

import (
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/covey-network/covey/engine/train/data"
)

func pipeline(t testing.TB, steps ...data.Step) *data.Pipeline {
	t.Helper()
	p, err := data.NewPipeline(data.PipelineConfig{Steps: steps, MaxPixels: 5000})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// images is a folder of three classes with all that may lie about in one.
func images(t testing.TB) fstest.MapFS {
	file := func(name string) *fstest.MapFile { return &fstest.MapFile{Data: fixture(t, name)} }
	text := func(s string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(s)} }
	return fstest.MapFS{
		"dog/b.jpg":          file("444.jpg"),
		"dog/a.PNG":          file("a.png"),
		"dog/deep/er/c.webp": file("lossy.webp"),
		"dog/.hidden.png":    file("a.png"),
		"dog/.cache/x.png":   file("a.png"),
		"dog/notes.txt":      text("not an image"),
		"dog/cut.jpg":        {Data: fixture(t, "444.jpg")[:700]},
		"dog/named.png":      file("420.jpg"), // a JPEG: the content tells
		"Cat/a.png":          file("tall.png"),
		"Cat/empty.png":      text(""),
		"Cat/text.png":       text("not an image"),
		"Cat/pipe.png":       {Mode: fs.ModeNamedPipe},
		"ape/huge.png":       {Data: hugePNG(t)},
		"ape/a.png":          file("tiny.png"),
		"nothing/here.txt":   text("no image"),
		".git/a.png":         file("a.png"),
		"stray.png":          file("a.png"),
		"ape/phone.HEIC":     text("not read"),
	}
}

// hugePNG is a PNG whose header claims 60000 x 60000 pixels.
func hugePNG(t testing.TB) []byte {
	b := slices.Clone(fixture(t, "tiny.png"))
	copy(b[16:], []byte{0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60})
	copy(b[29:], []byte{0x7a, 0x21, 0x92, 0x7d}) // the wrong checksum does not matter
	return b
}

func TestFolder(t *testing.T) {
	t.Parallel()
	f, err := data.OpenFolder(data.FolderConfig{FS: images(t), Pipeline: pipeline(t, data.ResizeExact{W: 6, H: 5})})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := f.Shape().Classes, []string{"Cat", "ape", "dog"}; !slices.Equal(got, want) {
		t.Errorf("got classes %q, want %q", got, want)
	}
	if n, list := f.Bad(); n != 6 || len(list) != 2 || list[0].Name != "nothing" || list[1].Name != "2 .png, 2 .txt, 1 .heic" {
		t.Errorf("left out %v, want the folder without images and files by extension", list)
	}
	if got, want := f.Shape().Dims, []int{3, 5, 6}; !slices.Equal(got, want) {
		t.Errorf("got dims %v, want %v", got, want)
	}
	var keys []string
	for i := range f.Len() {
		keys = append(keys, f.Path(i))
	}
	want := []string{
		"Cat/a.png", "Cat/empty.png", "Cat/text.png", "ape/a.png", "ape/huge.png",
		"dog/a.PNG", "dog/b.jpg", "dog/cut.jpg", "dog/deep/er/c.webp", "dog/named.png",
	}
	if !slices.Equal(keys, want) {
		t.Errorf("got files %q, want %q", keys, want)
	}
	if f.Label(0) != 0 || f.Label(4) != 1 || f.Label(9) != 2 {
		t.Errorf("got labels %d, %d, %d", f.Label(0), f.Label(4), f.Label(9))
	}
}

func TestFolderSkipsWhatIsCorrupt(t *testing.T) {
	t.Parallel()
	f, err := data.OpenFolder(data.FolderConfig{FS: images(t), Pipeline: pipeline(t, data.ResizeExact{W: 6, H: 5}), MaxFileBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	it := iterate(t, f, data.LoaderConfig{Batch: 100, Workers: 2, OnBad: func(b data.Bad) { bad = append(bad, b.Error()) }}, data.Cursor{})
	b, err := it.Next()
	if err != nil {
		t.Fatal(err)
	}
	if want := []int32{0, 1, 2, 2, 2, 2}; !slices.Equal(b.Labels, want) {
		t.Errorf("got labels %v, want %v", b.Labels, want)
	}
	for i, want := range []string{"Cat/empty.png: empty file", "Cat/text.png: not a JPEG, PNG, WebP, GIF, BMP or TIFF image", "ape/huge.png: ", "dog/cut.jpg: decode image: "} {
		if i >= len(bad) || !strings.HasPrefix(bad[i], want) {
			t.Fatalf("got reports %q, want %q as number %d", bad, want, i)
		}
	}
	if _, err := it.Next(); err != io.EOF || it.Skipped() != 4 {
		t.Errorf("got %v, %d skipped", err, it.Skipped())
	}
}

func TestFolderWithClasses(t *testing.T) {
	t.Parallel()
	p := pipeline(t, data.ResizeExact{W: 6, H: 5})
	f, err := data.OpenFolder(data.FolderConfig{FS: images(t), Pipeline: p, Classes: []string{"wolf", "dog"}})
	if err != nil {
		t.Fatal(err)
	}
	if f.Len() != 5 || f.Label(0) != 1 {
		t.Errorf("got %d files, the first of class %d", f.Len(), f.Label(0))
	}
	g := f.With(pipeline(t, data.CenterCrop{W: 4, H: 2}))
	if g.Shape().Values != 24 || f.Shape().Values != 90 {
		t.Errorf("got %d and %d values", g.Shape().Values, f.Shape().Values)
	}
	strict := data.FolderConfig{FS: images(t), Pipeline: p, Classes: []string{"wolf", "dog", "ape"}, Strict: true}
	if _, err := data.OpenFolder(strict); err == nil || !strings.Contains(err.Error(), `Cat/a.png: "Cat" is no class, of which there are "wolf" "dog" "ape": rename the folder`) {
		t.Errorf("an image of no class: %v", err)
	}
	strict.Classes = []string{"wolf", "dog", "ape", "Cat"} // the folder nothing has no image
	if f, err := data.OpenFolder(strict); err != nil || f.Len() != 10 {
		t.Errorf("all classes and one more: %v", err)
	}
	for name, cfg := range map[string]data.FolderConfig{
		"nothing":     {},
		"no image":    {FS: fstest.MapFS{"a/b.txt": {}}, Pipeline: p},
		"class twice": {FS: images(t), Pipeline: p, Classes: []string{"dog", "dog"}},
		"class above": {FS: images(t), Pipeline: p, Classes: []string{"../dog"}},
	} {
		if _, err := data.OpenFolder(cfg); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
}

func TestFolderFileLimit(t *testing.T) {
	t.Parallel()
	f, err := data.OpenFolder(data.FolderConfig{FS: images(t), Pipeline: pipeline(t, data.ResizeExact{W: 6, H: 5}), MaxFileBytes: 100})
	if err != nil {
		t.Fatal(err)
	}
	dst := f.Shape().NewSample()
	if err := f.Sample(&dst, 0, nil); err == nil || !strings.Contains(err.Error(), "at most 100") {
		t.Errorf("got %v", err)
	}
}
