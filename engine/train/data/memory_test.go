package data_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/png"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/covey-network/covey/engine/train/data"
)

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
