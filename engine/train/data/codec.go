package data

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/bmp"
)

// codec reads files of one format. What it is given begins as its files do; all else may be
// anything.
type codec interface {
	// size returns the width and height of the picture as the header says.
	size(file []byte) (w, h int, err error)
	// memory returns at least how many bytes for each pixel decode takes at once.
	memory(file []byte, w, h int) float64
	decode(file []byte) (frame, error)
	// exif returns the EXIF data of the file, if any.
	exif(file []byte) []byte
}

// sniff returns the codec of a file, nil if there is none.
func sniff(b []byte) codec {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return jpegCodec{}
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return pngCodec{}
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return webpCodec{}
	case bytes.HasPrefix(b, []byte("GIF87a")), bytes.HasPrefix(b, []byte("GIF89a")):
		return gifCodec{}
	case bytes.HasPrefix(b, []byte("II*\x00")), bytes.HasPrefix(b, []byte("MM\x00*")):
		return tiffCodec{}
	case len(b) >= 18 && string(b[:2]) == "BM" && b[15] == 0 && b[16] == 0 && b[17] == 0: // length of the next header
		return bmpCodec{}
	}
	return nil
}

// sizeOf makes a size of what a decoder of a header returns.
func sizeOf(c image.Config, err error) (w, h int, _ error) { return c.Width, c.Height, err }

// whole makes a frame of a picture without anything around it.
func whole(m image.Image, err error) (frame, error) { return frame{Image: m}, err }

type jpegCodec struct{}

func (jpegCodec) size(b []byte) (w, h int, err error) {
	return sizeOf(jpeg.DecodeConfig(bytes.NewReader(b)))
}

func (jpegCodec) decode(b []byte) (frame, error) {
	if err := checkScans(b); err != nil {
		return frame{}, err
	}
	return whole(jpeg.Decode(bytes.NewReader(b)))
}

type pngCodec struct{}

func (pngCodec) size(b []byte) (w, h int, err error) {
	return sizeOf(png.DecodeConfig(bytes.NewReader(b)))
}
func (pngCodec) decode(b []byte) (frame, error) { return whole(png.Decode(bytes.NewReader(b))) }
func (pngCodec) exif(b []byte) []byte           { return pngChunk(b, "eXIf") }

// memory: gray of 8 bits takes 1 byte, of 16 bits 2, colours of a table 1, all else four
// samples.
func (pngCodec) memory(b []byte, _, _ int) float64 {
	if len(b) < 29 {
		return 0 // it cannot be decoded
	}
	const gray, table = 0, 3
	depth, kind, interlaced := b[24], b[25], b[28] != 0
	samples := 4.0
	if kind == table || kind == gray && pngChunk(b, "tRNS") == nil {
		samples = 1
	}
	if depth == 16 {
		samples *= 2
	}
	if interlaced { // the last pass has half of the picture
		samples *= 1.5
	}
	return samples
}

type bmpCodec struct{}

func (bmpCodec) size(b []byte) (w, h int, err error) {
	return sizeOf(bmp.DecodeConfig(bytes.NewReader(b)))
}
func (bmpCodec) decode(b []byte) (frame, error)    { return whole(bmp.Decode(bytes.NewReader(b))) }
func (bmpCodec) memory(_ []byte, _, _ int) float64 { return 4 }
func (bmpCodec) exif([]byte) []byte                { return nil }
