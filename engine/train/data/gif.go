package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/gif"
	"slices"
)

// gifCodec reads the first frame of GIF files as Pillow does: what it does not cover has the
// colour that is declared transparent, or else the first one.
type gifCodec struct{}

// gifFrame is what a GIF file (GIF89a specification, W3C) says about its first frame.
type gifFrame struct {
	w, h        int // the screen, as large as the frame at least
	control     int // where the flags of the graphic control extension are, 0: none
	transparent int // index of the colour that is declared transparent, -1 if none
}

var errGIFCut = errors.New("gif: no frame before its end")

// readGIF finds the first frame.
func readGIF(b []byte) (gifFrame, error) {
	f := gifFrame{transparent: -1}
	if len(b) < 13 {
		return f, errGIFCut
	}
	f.w, f.h = int(binary.LittleEndian.Uint16(b[6:])), int(binary.LittleEndian.Uint16(b[8:]))
	at := 13
	if b[10]&0x80 != 0 {
		at += 3 << (b[10]&7 + 1)
	}
	for at+10 <= len(b) {
		switch {
		case b[at] == 0x2c: // image descriptor
			side := func(i int) int { return int(binary.LittleEndian.Uint16(b[at+i:])) }
			f.w, f.h = max(f.w, side(1)+side(5)), max(f.h, side(3)+side(7))
			return f, nil
		case b[at] != 0x21: // extension
			return f, errGIFCut
		case b[at+1] == 0xf9 && b[at+2] == 4: // graphic control
			f.control, f.transparent = at+3, -1
			if b[at+3]&1 != 0 {
				f.transparent = int(b[at+6])
			}
		}
		for at += 2; at < len(b) && b[at] != 0; at += int(b[at]) + 1 { // blocks
		}
		at++
	}
	return f, errGIFCut
}

func (gifCodec) size(b []byte) (w, h int, err error) {
	f, err := readGIF(b)
	return f.w, f.h, err
}

func (gifCodec) memory([]byte, int, int) float64 { return 2 } // twice if interlaced
func (gifCodec) exif([]byte) []byte              { return nil }

func (gifCodec) decode(b []byte) (frame, error) {
	f, err := readGIF(b)
	if err != nil {
		return frame{}, err
	}
	if f.transparent >= 0 || f.w > int(binary.LittleEndian.Uint16(b[6:])) || f.h > int(binary.LittleEndian.Uint16(b[8:])) {
		b = slices.Clone(b)
		binary.LittleEndian.PutUint16(b[6:], uint16(min(f.w, 1<<16-1)))
		binary.LittleEndian.PutUint16(b[8:], uint16(min(f.h, 1<<16-1)))
		if f.transparent >= 0 { // the decoder would forget which colour it is
			b[f.control] &^= 1
		}
	}
	m, err := gif.Decode(bytes.NewReader(b))
	if err != nil {
		return frame{}, err
	}
	out := frame{Image: m, at: m.Bounds().Min}
	if p, ok := m.(*image.Paletted); ok && max(f.transparent, 0) < len(p.Palette) {
		out.fill = colourOf(p.Palette[max(f.transparent, 0)])
	}
	return out, nil
}
