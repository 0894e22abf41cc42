//go:build !race

package data_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/covey-network/covey/engine/train/data"
)

// The race detector allocates itself, so that what these tests count means nothing with it.

// TestDecodeMemory compares what decoding allocates with what it was expected to take. It is
// not parallel: allocations are counted over the whole process.
func TestDecodeMemory(t *testing.T) {
	files := map[string][]byte{}
	names, err := filepath.Glob("testdata/formats/large.*")
	if err != nil || len(names) < 9 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = b
	}
	r := image.Rect(0, 0, 1000, 760)
	for name, m := range map[string]image.Image{
		"gray": image.NewGray(r), "gray16": image.NewGray16(r), "rgb": opaque(image.NewRGBA(r)), "alpha": image.NewNRGBA(r), "alpha16": image.NewNRGBA64(r),
		"table": image.NewPaletted(r, color.Palette{color.Black, color.White}),
	} {
		var p, b, f bytes.Buffer
		if err := png.Encode(&p, m); err != nil {
			t.Fatal(err)
		}
		files[name+".png"] = p.Bytes()
		if err := tiff.Encode(&f, m, &tiff.Options{Compression: tiff.Deflate}); err != nil {
			t.Fatal(err)
		}
		files[name+".tif"] = f.Bytes()
		var raw bytes.Buffer
		if err := tiff.Encode(&raw, m, nil); err != nil {
			t.Fatal(err)
		}
		files[name+".raw.tif"] = raw.Bytes()
		if strings.HasSuffix(name, "16") {
			continue
		}
		if err := bmp.Encode(&b, m); err != nil {
			t.Fatal(err)
		}
		files[name+".bmp"] = b.Bytes()
	}
	for name, file := range files {
		slack := int64(1 << 19)
		if strings.Contains(name, "strips") {
			slack = 1 << 22 // each strip has a decompressor, which goes
		}
		checkMemory(t, name, file, slack)
	}
}

// checkMemory decodes a file and compares what that allocates with what was expected.
func checkMemory(t *testing.T, name string, file []byte, slack int64) {
	t.Helper()
	want, err := data.MemoryOf(file)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	err = data.Decode(new(data.Image), file, 0)
	runtime.ReadMemStats(&after)
	got := int64(after.TotalAlloc - before.TotalAlloc)
	t.Logf("%s: %.1f bytes a pixel, expected %.1f", name, float64(got)/760000, float64(want)/760000)
	if err != nil || got > want+slack {
		t.Errorf("%s: allocated %d bytes, expected %d; %v", name, got, want, err)
	}
}

// TestDecodeMemoryStrange unpacks a strip of many more bytes than its pixels have.
func TestDecodeMemoryStrange(t *testing.T) {
	var z, f bytes.Buffer
	w := zlib.NewWriter(&z)
	if _, err := w.Write(make([]byte, 8*1000*760)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if err := tiff.Encode(&f, image.NewGray(image.Rect(0, 0, 1000, 760)), &tiff.Options{Compression: tiff.Deflate}); err != nil {
		t.Fatal(err)
	}
	file := f.Bytes()
	dir := binary.LittleEndian.Uint32(file[4:])
	for i := range int(binary.LittleEndian.Uint16(file[dir:])) {
		switch e := file[int(dir)+2+12*i:]; binary.LittleEndian.Uint16(e) {
		case 273: // StripOffsets
			binary.LittleEndian.PutUint32(e[8:], uint32(len(file)))
		case 279: // StripByteCounts
			binary.LittleEndian.PutUint32(e[8:], uint32(z.Len()))
		}
	}
	checkMemory(t, "strange.tif", append(file, z.Bytes()...), 1<<19)
}
