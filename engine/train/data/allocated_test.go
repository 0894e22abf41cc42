//go:build !race

package data_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"image"
	"image/color"
	"image/jpeg"
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

// segment makes a JPEG segment.
func segment(marker byte, body string) string {
	return string([]byte{0xff, marker}) + string(binary.BigEndian.AppendUint16(nil, uint16(len(body)+2))) + body
}

// TestDecodeMemoryJPEG hides what makes a picture large where a reader of segments that is not
// that of the decoder does not see it.
func TestDecodeMemoryJPEG(t *testing.T) {
	progressive, err := os.ReadFile("testdata/formats/large.progressive444.jpg")
	if err != nil {
		t.Fatal(err)
	}
	rgb := image.NewRGBA(image.Rect(0, 0, 1000, 760))
	var b bytes.Buffer
	if err := jpeg.Encode(&b, rgb, nil); err != nil {
		t.Fatal(err)
	}
	split := func(file []byte, marker string) (before, after string) {
		before, after, ok := strings.Cut(string(file), marker)
		if !ok {
			t.Fatalf("no %q", marker)
		}
		return before, marker + after
	}
	gray := segment(0xc0, "\x08\x02\xf8\x03\xe8\x01\x01\x11\x00") // a frame that is not there
	pHead, pFrame := split(progressive, "\xff\xc2")
	header := pFrame[:2+17]
	// The segment that a restart marker does not begin ends within a comment.
	hidden := "\xff\xd0" + string([]byte{0, byte(2 + len(header) + 4)}) + header + "\xff\xfe\x00" + string([]byte{byte(2 + len(gray))}) + gray
	head, pixels := split(b.Bytes(), "\xff\xda")
	adobe := segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x00")
	end := strings.LastIndex(pixels, "\xff\xd9")
	narrow := image.NewRGBA(image.Rect(0, 0, 1, 40000))
	b.Reset()
	if err := jpeg.Encode(&b, narrow, nil); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{
		"restart":   pHead + hidden + pFrame[len(header):],
		"stuffed":   pHead + "\xff\x00\xff\x00" + string([]byte{0, byte(2 + len(header) + 4)}) + pFrame,
		"between":   pHead + "garbage" + pFrame,
		"late":      head + adobe + pixels,
		"fill":      head + "\xff\xff" + adobe + pixels,
		"after":     head + pixels[:end] + adobe + pixels[end:],
		"twice":     strings.Replace(head, "\xff\xdb", segment(0xee, "Adobe\x00\x64\x00\x00\x00\x00\x01")+"\xff\xdb", 1) + adobe + pixels,
		"one pixel": b.String(),
	} {
		checkMemory(t, name+".jpg", []byte(file), 1<<19)
	}
}
