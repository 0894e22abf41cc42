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

// entry is one of a TIFF directory.
type entry struct {
	tag, kind uint16
	count     uint32
	value     []byte
}

// short and long are entries of one number.
func short(name, v uint16) entry { return entry{name, 3, 1, binary.LittleEndian.AppendUint16(nil, v)} }

func long(name uint16, v uint32) entry {
	return entry{name, 4, 1, binary.LittleEndian.AppendUint32(nil, v)}
}

// tiffOf makes a TIFF file of pixels, which are 8 bytes from its beginning, and tags.
func tiffOf(pixels []byte, tags ...entry) []byte {
	out := append([]byte("II*\x00\x00\x00\x00\x00"), pixels...)
	dir := binary.LittleEndian.AppendUint16(nil, uint16(len(tags)))
	for _, e := range tags {
		dir = binary.LittleEndian.AppendUint16(dir, e.tag)
		dir = binary.LittleEndian.AppendUint16(dir, e.kind)
		dir = binary.LittleEndian.AppendUint32(dir, e.count)
		if len(e.value) > 4 {
			dir = binary.LittleEndian.AppendUint32(dir, uint32(len(out)))
			out = append(out, e.value...)
		} else {
			dir = append(append(dir, e.value...), make([]byte, 4-len(e.value))...)
		}
	}
	binary.LittleEndian.PutUint32(out[4:], uint32(len(out)))
	return append(out, dir...)
}

// TestDecodeMemoryTIFF writes numbers in ways that only a reader as the decoder's sees, and
// strips of two pixels each.
func TestDecodeMemoryTIFF(t *testing.T) {
	deflated := func(n int) []byte {
		var z bytes.Buffer
		w := zlib.NewWriter(&z)
		if _, err := w.Write(make([]byte, n)); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return z.Bytes()
	}
	strange, plain := deflated(8*1000*760), deflated(8*1008*768)
	longs := func(v ...uint32) (out []byte) {
		for _, x := range v {
			out = binary.LittleEndian.AppendUint32(out, x)
		}
		return out
	}
	gray := []entry{short(256, 1000), short(257, 760), short(258, 8)}
	strip := []entry{short(262, 1), long(273, 8), long(278, 760), long(279, uint32(len(strange)))}
	tile := func(width, height entry) []entry {
		return append(append([]entry{}, gray...), short(259, 8), short(262, 1), short(278, 1), width, height, long(324, 8), long(325, uint32(len(plain))))
	}
	const strips = 300000
	for name, file := range map[string][]byte{
		"compression in a byte":     tiffOf(strange, append(append(append([]entry{}, gray...), entry{259, 1, 1, []byte{8}}), strip...)...),
		"compression of four bytes": tiffOf(strange, append(append(append([]entry{}, gray...), entry{259, 1, 4, []byte{8, 1, 1, 1}}), strip...)...),
		"compression elsewhere":     tiffOf(strange, append(append(append([]entry{}, gray...), entry{259, 4, 2, longs(8, 1)}), strip...)...),
		"tile of two numbers":       tiffOf(plain, tile(entry{322, 4, 2, longs(1008, 1)}, entry{323, 4, 2, longs(768, 1)})...),
		"tile of five bytes":        tiffOf(plain, tile(entry{322, 1, 5, []byte{250, 1, 1, 1, 1}}, long(323, 768))...),
		"many strips": tiffOf(make([]byte, 2), short(256, 2), long(257, strips), short(258, 8), short(259, 1), short(262, 1),
			entry{273, 1, strips, bytes.Repeat([]byte{8}, strips)}, short(278, 1), entry{279, 1, strips, bytes.Repeat([]byte{2}, strips)}),
	} {
		if name == "tile of five bytes" { // four tiles at one place
			file = tiffOf(plain, append(tile(entry{322, 1, 5, []byte{250, 1, 1, 1, 1}}, long(323, 768))[:8],
				entry{324, 4, 4, longs(8, 8, 8, 8)}, entry{325, 4, 4, longs(uint32(len(plain)), uint32(len(plain)), uint32(len(plain)), uint32(len(plain)))})...)
		}
		checkMemory(t, name+".tif", file, 1<<20)
	}
}
