package data_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	scans := bytes.Repeat([]byte("\xff\xda"), 300)
	for name, file := range map[string][]byte{
		"empty":     nil,
		"gif":       []byte("GIF89a..."),
		"cut gif":   fixture(t, "../formats/whole.gif")[:60],
		"cut bmp":   fixture(t, "../formats/colour.bmp")[:100],
		"cut tiff":  fixture(t, "../formats/tiff_lzw.tif")[:200],
		"no frame":  fixture(t, "../formats/animated.webp")[:44],
		"cut frame": fixture(t, "../formats/animated.webp")[:100],
		"planes":    tag(t, 284, 2),
		"floats":    tag(t, 258, 32),
		"lab":       tag(t, 262, 8),
		"tiff jpeg": tag(t, 259, 7),
		"heic":      []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic"),
		// A frame that is larger than its picture, and one that lies beyond it.
		"large frame":    placed(t, "\x03\x00\x00\x03\x00\x00", ""),
		"frame far away": placed(t, "", "\xff\xff\xff\xff\xff\xff"),
		"huge":           hugePNG(t),
		"cut jpeg":       fixture(t, "420.jpg")[:500],
		"cut png":        fixture(t, "a.png")[:500],
		"cut webp":       fixture(t, "lossy.webp")[:200],
		"many scans":     append(append([]byte{}, fixture(t, "progressive.jpg")...), scans...),
		"jpeg head":      []byte("\xff\xd8\xff\xe1"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := data.Decode(new(data.Image), file, 0); err == nil {
				t.Error("want an error")
			}
		})
	}
	if err := data.Decode(new(data.Image), []byte("text"), 0); !errors.Is(err, data.ErrFormat) {
		t.Errorf("got %v, want %v", err, data.ErrFormat)
	}
	if err := data.Decode(new(data.Image), fixture(t, "a.png"), 37*29-1); err == nil {
		t.Error("more pixels than allowed: want an error")
	}
	if err := data.Decode(new(data.Image), fixture(t, "a.png"), 37*29); err != nil {
		t.Error(err)
	}
}

// tag returns a TIFF whose tag has another value.
func tag(t *testing.T, tag, value uint16) []byte {
	t.Helper()
	b := bytes.Clone(fixture(t, "../formats/raw.tif"))
	at := binary.LittleEndian.Uint32(b[4:])
	for i := range int(binary.LittleEndian.Uint16(b[at:])) {
		if e := b[int(at)+2+12*i:]; binary.LittleEndian.Uint16(e) == tag {
			binary.LittleEndian.PutUint32(e[4:], 1)
			binary.LittleEndian.PutUint32(e[8:], uint32(value))
			return b
		}
	}
	t.Fatalf("no tag %d", tag)
	return nil
}

// placed returns an animated WebP with another size of the picture or place of the frame.
func placed(t *testing.T, canvas, corner string) []byte {
	t.Helper()
	b := bytes.Clone(fixture(t, "../formats/animatedlossless.webp"))
	copy(b[24:], canvas)
	copy(b[bytes.Index(b, []byte("ANMF"))+8:], corner)
	return b
}

// TestDecodeStrangeOrientation checks that damaged EXIF data is passed over.
func TestDecodeStrangeOrientation(t *testing.T) {
	t.Parallel()
	upright, file := new(data.Image), fixture(t, "turn.jpg")
	at := bytes.Index(file, []byte("Exif\x00\x00")) + 6
	for name, change := range map[string]func(b []byte){
		"byte order": func(b []byte) { b[at] = 'X' },
		"offset":     func(b []byte) { copy(b[at+4:], "\xff\xff\xff\xff") },
		"tag":        func(b []byte) { copy(b[at+10:], "\x00\x00") },
		"count":      func(b []byte) { copy(b[at+8:], "\x00\x00") },
		"value":      func(b []byte) { copy(b[at+18:], "\x09\x09") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := bytes.Clone(file)
			change(b)
			m := new(data.Image)
			if err := data.Decode(m, b, 0); err != nil || m.W != 9 || m.H != 6 {
				t.Errorf("got %d x %d pixels, %v", m.W, m.H, err)
			}
		})
	}
	if err := data.Decode(upright, file, 0); err != nil || upright.W != 6 || upright.H != 9 {
		t.Errorf("got %d x %d pixels, %v", upright.W, upright.H, err)
	}
}
