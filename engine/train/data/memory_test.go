package data_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"

	"golang.org/x/image/bmp"
	"golang.org/x/image/tiff"

	"github.com/covey-network/covey/engine/train/data"
)

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

// opaque makes a picture one without alpha.
func opaque(m *image.RGBA) *image.RGBA {
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m
}

// TestPhonePictures reads a picture of 50 million pixels, and refuses by their headers ones
// that would take too much.
func TestPhonePictures(t *testing.T) {
	t.Parallel()
	p, err := data.NewPipeline(data.PipelineConfig{Steps: []data.Step{data.ResizeExact{W: 4, H: 3}}})
	if err != nil {
		t.Fatal(err)
	}
	m := image.NewPaletted(image.Rect(0, 0, 8192, 6144), color.Palette{color.Gray{Y: 51}, color.White})
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	out := make([]float32, 36)
	if err := p.Run(out, b.Bytes(), nil); err != nil || out[0] != 0.2 || out[35] != 0.2 {
		t.Errorf("50 million pixels: %v, %v", out, err)
	}
	for _, c := range []struct {
		w, h        uint32
		depth, kind byte
		want        string // empty: not refused by the header
	}{
		{16384, 12288, 8, 2, "takes 1344 MiB to decode, at most 1024"},
		{12288, 9216, 8, 2, ""},
		{16384, 12288, 8, 0, ""},
		{8192, 6144, 16, 6, ""},
		{12288, 9216, 16, 6, "takes 1188 MiB"},
		{65536, 4097, 8, 0, "268435456"},
	} {
		file := header(t, c.w, c.h, c.depth, c.kind)
		if _, err := data.MemoryOf(file); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// header returns a PNG without pixels.
func header(t *testing.T, w, h uint32, depth, kind byte) []byte {
	t.Helper()
	b := append([]byte(nil), fixture(t, "tiny.png")...)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	b[24], b[25] = depth, kind
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// TestBudget lets one wait until another gives back.
func TestBudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := data.NewBudget(100)
		first, second := data.TakeFrom(b, 30), data.TakeFrom(b, 60)
		got := false
		go func() {
			give := data.TakeFrom(b, 1<<40) // as much as there is
			got = true
			give()
		}()
		synctest.Wait()
		first()
		synctest.Wait()
		if got {
			t.Fatal("took what another has")
		}
		second()
		synctest.Wait()
		if !got {
			t.Fatal("did not take what was given back")
		}
	})
}
