package data

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"math"

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

// tiffSizes are the bytes of the kinds of whole numbers: bytes, and those of two and four.
var tiffSizes = [...]uint64{1: 1, 3: 2, 4: 4}

// tiffTag returns the first number of a tag in the first directory of a TIFF header, 0 if it
// is not there. It reads numbers as the decoder does: of any size, in the directory where all
// of them fit into four bytes, else elsewhere.
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
		if order.Uint16(list) == tag {
			return tiffNumber(b, list[:12], order)
		}
	}
	return 0
}

// tiffNumber returns the first number of an entry of a directory.
func tiffNumber(b, entry []byte, order binary.ByteOrder) uint32 {
	kind, n := int(order.Uint16(entry[2:])), uint64(order.Uint32(entry[4:]))
	if kind >= len(tiffSizes) || tiffSizes[kind] == 0 || n == 0 {
		return 0
	}
	size, value := tiffSizes[kind], entry[8:]
	if size*n > 4 {
		at := uint64(order.Uint32(value))
		if at+size > uint64(len(b)) {
			return 0 // it cannot be decoded
		}
		value = b[at:]
	}
	switch size {
	case 1:
		return uint32(value[0])
	case 2:
		return uint32(order.Uint16(value))
	}
	return order.Uint32(value)
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
// times its size are there for a moment; a strange one may have 8 bytes for each pixel. Where
// strips and tiles are and how long is in two lists of numbers of 8 bytes, which are in the
// file in at most 4.
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
	width, height := float64(w), float64(h)
	if rows := tiffTag(b, tagRowsPerStrip); rows != 0 {
		height = min(height, float64(rows))
	}
	if tile := tiffTag(b, tagTileWidth); tile != 0 {
		width, height = float64(tile), float64(tiffTag(b, tagTileLength))
	}
	file := float64(len(b))
	unpacked := 8 * width * height
	if c := tiffTag(b, tagCompression); c <= 1 { // none: as it is in the file
		unpacked = min(unpacked, file)
	}
	blocks := math.Ceil(float64(w)/width) * math.Ceil(float64(h)/max(height, 1))
	lists := 2 * (8*min(blocks, file) + 3*min(4*blocks, file))
	return pixel + (3*unpacked+lists)/float64(w)/float64(h)
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
