package data_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

func TestDecodeErrors(t *testing.T) {
	t.Parallel()
	scans := bytes.Repeat([]byte("\xff\xda"), 300)
	for name, file := range map[string][]byte{
		"empty":      nil,
		"gif":        []byte("GIF89a..."),
		"huge":       hugePNG(t),
		"cut jpeg":   fixture(t, "420.jpg")[:500],
		"cut png":    fixture(t, "a.png")[:500],
		"cut webp":   fixture(t, "lossy.webp")[:200],
		"many scans": append(append([]byte{}, fixture(t, "progressive.jpg")...), scans...),
		"jpeg head":  []byte("\xff\xd8\xff\xe1"),
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
