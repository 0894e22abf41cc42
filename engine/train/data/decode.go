package data

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/webp"
)

// ErrFormat tells of a file that is not a JPEG, PNG or WebP image.
var ErrFormat = errors.New("not a JPEG, PNG or WebP image")

const (
	// DefaultMaxPixels is the largest image decoded where a limit is not set. Decoding
	// takes up to 20 bytes a pixel (progressive JPEG), so 640 MiB.
	DefaultMaxPixels = 32 << 20
	// DefaultMaxFileBytes is the largest file read where a limit is not set.
	DefaultMaxFileBytes = 64 << 20

	// maxScans bounds the passes over a progressive JPEG; encoders make about ten.
	maxScans = 200
)

type format int

const (
	formatJPEG format = iota
	formatPNG
	formatWebP
)

// codec is what this package uses of a decoder.
type codec struct {
	config func([]byte) (image.Config, error)
	decode func([]byte) (image.Image, error)
}

func codecOf(f format) codec {
	switch f {
	case formatJPEG:
		return codec{
			func(b []byte) (image.Config, error) { return jpeg.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
		}
	case formatPNG:
		return codec{
			func(b []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(b)) },
			func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
		}
	}
	return codec{
		func(b []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) },
	}
}

func sniff(b []byte) (format, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		return formatJPEG, nil
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return formatPNG, nil
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return formatWebP, nil
	}
	return 0, ErrFormat
}

// Decode makes dst the picture in a JPEG, PNG or WebP file, turned upright by its EXIF
// orientation. The format is told by the content. An image of more than maxPixels pixels
// (0 stands for [DefaultMaxPixels]) is an error before memory for it is taken, and so is
// anything cut off or damaged.
//
// Other kinds of pixels become RGB as by convert("RGB") of Pillow: alpha is dropped, not
// blended; gray is repeated; 16 bits keep the upper 8, except that 16-bit gray without
// alpha is cut off at 255; CMYK is (255-K) scaled by what the ink leaves. Colour profiles
// are not applied. Of WebP only still images are read. The chroma of JPEG and WebP is
// upsampled as libjpeg and libwebp do by default.
func Decode(dst *Image, file []byte, maxPixels int) (err error) {
	defer func() { // a decoder's bug met by a strange file costs that file, not the run
		if v := recover(); v != nil {
			err = fmt.Errorf("decode image: %v", v)
		}
	}()
	f, err := sniff(file)
	if err != nil {
		return err
	}
	c := codecOf(f)
	if err := checkSize(c, f, file, maxPixels); err != nil {
		return err
	}
	m, err := c.decode(file)
	if err != nil {
		return fmt.Errorf("decode image: %w", err)
	}
	o := orientation(f, file)
	if o == 1 {
		return toRGB(dst, m, f, file)
	}
	var flat Image
	if err := toRGB(&flat, m, f, file); err != nil {
		return err
	}
	turnTo(dst, &flat, orientations[o])
	return nil
}

func checkSize(c codec, f format, file []byte, maxPixels int) error {
	cfg, err := c.config(file)
	if err != nil {
		return fmt.Errorf("decode image header: %w", err)
	}
	if maxPixels <= 0 {
		maxPixels = DefaultMaxPixels
	}
	if cfg.Width <= 0 || cfg.Height <= 0 || int64(cfg.Width)*int64(cfg.Height) > int64(maxPixels) {
		return fmt.Errorf("image of %d x %d pixels, at most %d pixels", cfg.Width, cfg.Height, maxPixels)
	}
	if f == formatJPEG {
		if n := bytes.Count(file, []byte("\xff\xda")); n > maxScans {
			return fmt.Errorf("JPEG of %d scans, at most %d", n, maxScans)
		}
	}
	return nil
}

// toRGB converts what a decoder returned.
func toRGB(dst *Image, m image.Image, f format, file []byte) error {
	b := m.Bounds()
	dst.Resize(b.Dx(), b.Dy())
	switch m := m.(type) {
	case *image.YCbCr:
		fromYCbCr(dst, m, f)
	case *image.NYCbCrA:
		fromYCbCr(dst, &m.YCbCr, f)
	case *image.Gray:
		each(dst, m.Pix, m.Stride, 1, func(d, s []byte) { d[0], d[1], d[2] = s[0], s[0], s[0] })
	case *image.Gray16:
		each(dst, m.Pix, m.Stride, 2, clipGray16)
	case *image.RGBA:
		each(dst, m.Pix, m.Stride, 4, func(d, s []byte) { copy(d, s[:3]) })
	case *image.NRGBA:
		each(dst, m.Pix, m.Stride, 4, func(d, s []byte) { copy(d, s[:3]) })
	case *image.RGBA64:
		each(dst, m.Pix, m.Stride, 8, upperBytes)
	case *image.NRGBA64:
		if isGrayPNG(f, file) { // 16-bit gray with one colour declared transparent
			each(dst, m.Pix, m.Stride, 8, clipGray16)
		} else {
			each(dst, m.Pix, m.Stride, 8, upperBytes)
		}
	case *image.CMYK:
		each(dst, m.Pix, m.Stride, 4, fromCMYK)
	case *image.Paletted:
		fromPaletted(dst, m)
	default:
		return fmt.Errorf("image of unknown kind %T", m)
	}
	return nil
}

// each calls f for every pixel of dst and the n bytes of its source.
func each(dst *Image, pix []byte, stride, n int, f func(d, s []byte)) {
	for y := range dst.H {
		row, from := dst.row(y), pix[y*stride:]
		for x := range dst.W {
			f(row[3*x:3*x+3], from[n*x:n*x+n])
		}
	}
}

func clipGray16(d, s []byte) {
	v := s[1]
	if s[0] != 0 {
		v = 255
	}
	d[0], d[1], d[2] = v, v, v
}

func upperBytes(d, s []byte) { d[0], d[1], d[2] = s[0], s[2], s[4] }

// fromCMYK is Pillow's cmyk2rgb (libImaging/Convert.c) with its rounded division by 255.
func fromCMYK(d, s []byte) {
	rest := 255 - int(s[3])
	for i := range 3 {
		t := int(s[i])*rest + 128
		d[i] = byte(rest - (t>>8+t)>>8)
	}
}

// isGrayPNG reports whether the header of a PNG says gray without alpha.
func isGrayPNG(f format, file []byte) bool {
	return f == formatPNG && len(file) > 25 && file[25] == 0
}

func fromPaletted(dst *Image, m *image.Paletted) {
	var table [256][3]byte
	for i, c := range m.Palette {
		switch c := c.(type) {
		case color.NRGBA:
			table[i] = [3]byte{c.R, c.G, c.B}
		case color.RGBA: // opaque
			table[i] = [3]byte{c.R, c.G, c.B}
		}
	}
	each(dst, m.Pix, m.Stride, 1, func(d, s []byte) { *(*[3]byte)(d) = table[s[0]] })
}
