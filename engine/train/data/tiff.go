package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"

	"golang.org/x/image/tiff"
)

// tiffCodec reads the first picture of TIFF files.
type tiffCodec struct{}

// Tags of a directory (TIFF 6.0, section 8).
const (
	tagCompression  = 0x0103
	tagPhotometric  = 0x0106
	tagOrientation  = 0x0112
	tagRowsPerStrip = 0x0116
	tagPlanes       = 0x011c
	tagTileWidth    = 0x0142
	tagTileLength   = 0x0143
	tagSampleFormat = 0x0153
)

// tiffTag returns the first number of a tag in the first directory of a TIFF header, 0 if it
// is not there. Only numbers of two and four bytes that lie in the directory are read.
func tiffTag(b []byte, tag uint16) uint32 {
	if len(b) < 8 {
		return 0
	}
	var order binary.ByteOrder = binary.LittleEndian
	switch string(b[:2]) {
	case "II":
	case "MM":
		order = binary.BigEndian
	default:
		return 0
	}
	at := int64(order.Uint32(b[4:]))
	if at+2 > int64(len(b)) {
		return 0
	}
	entries := int(order.Uint16(b[at:]))
	for list := b[at+2:]; entries > 0 && len(list) >= 12; entries, list = entries-1, list[12:] {
		if order.Uint16(list) != tag {
			continue
		}
		switch n := order.Uint32(list[4:]); {
		case order.Uint16(list[2:]) == 4 && n == 1:
			return order.Uint32(list[8:])
		case order.Uint16(list[2:]) == 3 && n <= 2:
			return uint32(order.Uint16(list[8:]))
		case order.Uint16(list[2:]) == 3 && int64(order.Uint32(list[8:]))+2 <= int64(len(b)): // elsewhere
			return uint32(order.Uint16(b[order.Uint32(list[8:]):]))
		}
	}
	return 0
}

func (tiffCodec) exif(b []byte) []byte { return b }

func (tiffCodec) size(b []byte) (w, h int, err error) {
	if tiffTag(b, tagPlanes) == 2 {
		return 0, 0, fmt.Errorf("tiff: colours in planes of their own are not read")
	}
	if f := tiffTag(b, tagSampleFormat); f > 1 {
		return 0, 0, fmt.Errorf("tiff: samples of format %d are not read, want 1, whole numbers", f)
	}
	return sizeOf(tiff.DecodeConfig(bytes.NewReader(b)))
}

// memory: the pixels, and the strip or tile that is unpacked. It is appended to, so that three
// times its size are there for a moment; a strange one may have 8 bytes for each pixel.
func (tiffCodec) memory(b []byte, w, h int) float64 {
	c, err := tiff.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return 0 // it cannot be decoded
	}
	pixel := 1.0
	switch c.ColorModel {
	case color.Gray16Model:
		pixel = 2
	case color.RGBAModel, color.NRGBAModel:
		pixel = 4
	case color.RGBA64Model, color.NRGBA64Model:
		pixel = 8
	}
	rows := min(float64(h), float64(tiffTag(b, tagRowsPerStrip)))
	if rows == 0 {
		rows = float64(h)
	}
	if tile := tiffTag(b, tagTileWidth); tile != 0 {
		rows = float64(tile) * float64(tiffTag(b, tagTileLength)) / float64(w)
	}
	unpacked := 8 * rows / float64(h)
	if c := tiffTag(b, tagCompression); c <= 1 { // none: as it is in the file
		unpacked = min(unpacked, float64(len(b))/float64(w)/float64(h))
	}
	return pixel + 3*unpacked
}

func (tiffCodec) decode(b []byte) (frame, error) {
	m, err := tiff.Decode(bytes.NewReader(b))
	if err != nil {
		return frame{}, err
	}
	// Faxes have 0 for white, whatever the picture means by it (section 11); the decoder takes
	// 1 if the picture does.
	c, gray := tiffTag(b, tagCompression), (*image.Gray)(nil)
	if c == 3 || c == 4 {
		gray, _ = m.(*image.Gray)
	}
	if gray != nil && tiffTag(b, tagPhotometric) == 1 {
		for i, v := range gray.Pix {
			gray.Pix[i] = 255 - v
		}
	}
	return frame{Image: m}, nil
}
