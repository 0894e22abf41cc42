package data

import (
	"fmt"
	"image"
	"image/color"
)

// rowsOf returns a function that writes row y of what a decoder returned, as RGB.
func rowsOf(m image.Image, c codec) (func(dst []byte, y int), error) {
	switch m := m.(type) {
	case *image.YCbCr:
		return rowsOfYCbCr(m, c), nil
	case *image.NYCbCrA:
		return rowsOfYCbCr(&m.YCbCr, c), nil
	case *image.Gray:
		return each(m.Pix, m.Stride, 1, func(d, s []byte) { d[0], d[1], d[2] = s[0], s[0], s[0] }), nil
	case *image.Gray16:
		return each(m.Pix, m.Stride, 2, func(d, s []byte) { d[0], d[1], d[2] = s[0], s[0], s[0] }), nil
	case *image.RGBA:
		return each(m.Pix, m.Stride, 4, undoAlpha), nil
	case *image.NRGBA:
		return each(m.Pix, m.Stride, 4, func(d, s []byte) { copy(d, s[:3]) }), nil
	case *image.RGBA64:
		return each(m.Pix, m.Stride, 8, func(d, s []byte) { undoAlpha(d, []byte{s[0], s[2], s[4], s[6]}) }), nil
	case *image.NRGBA64:
		return each(m.Pix, m.Stride, 8, func(d, s []byte) { d[0], d[1], d[2] = s[0], s[2], s[4] }), nil
	case *image.CMYK:
		return each(m.Pix, m.Stride, 4, fromCMYK), nil
	case *image.Paletted:
		return rowsOfPaletted(m), nil
	}
	return nil, fmt.Errorf("decode image: pixels of unknown kind %T", m)
}

// each returns a function that calls f for every pixel of a row and the n bytes of its source.
func each(pix []byte, stride, n int, f func(d, s []byte)) func(dst []byte, y int) {
	return func(dst []byte, y int) {
		from := pix[y*stride:]
		for x := range len(dst) / 3 {
			f(dst[3*x:3*x+3], from[n*x:n*x+n])
		}
	}
}

// undoAlpha is Pillow's rgba2rgbA (libImaging/Convert.c): colours that were multiplied by
// alpha are divided by it.
func undoAlpha(d, s []byte) {
	copy(d, s[:3])
	if a := int(s[3]); a != 0 && a != 255 {
		for i := range d {
			d[i] = byte(min(255*int(s[i])/a, 255))
		}
	}
}

// fromCMYK is Pillow's cmyk2rgb (libImaging/Convert.c) with its rounded division by 255.
func fromCMYK(d, s []byte) {
	rest := 255 - int(s[3])
	for i := range 3 {
		t := int(s[i])*rest + 128
		d[i] = byte(rest - (t>>8+t)>>8)
	}
}

func rowsOfPaletted(m *image.Paletted) func(dst []byte, y int) {
	var table [256][3]byte
	for i, c := range m.Palette[:min(256, len(m.Palette))] {
		table[i] = colourOf(c)
	}
	return each(m.Pix, m.Stride, 1, func(d, s []byte) { *(*[3]byte)(d) = table[s[0]] })
}

// colourOf returns a colour of a palette.
func colourOf(c color.Color) [3]byte {
	switch c := c.(type) {
	case color.NRGBA:
		return [3]byte{c.R, c.G, c.B}
	case color.RGBA: // opaque
		return [3]byte{c.R, c.G, c.B}
	}
	r, g, b, _ := c.RGBA() // of TIFF: 16 bits, opaque
	return [3]byte{byte(r >> 8), byte(g >> 8), byte(b >> 8)}
}
