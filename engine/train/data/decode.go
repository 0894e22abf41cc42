package data

import (
	"errors"
	"fmt"
	"image"
	"math"
)

// ErrFormat tells of a file that is not an image of a kind that is read.
var ErrFormat = errors.New("not a JPEG, PNG, WebP, GIF, BMP or TIFF image")

const (
	// DefaultMaxPixels is the largest image decoded where a limit is not set: above the 200
	// million pixels of phones. What decoding it takes is bounded too, see MaxDecodeBytes.
	DefaultMaxPixels = 1 << 28
	// DefaultMaxFileBytes is the largest file read where a limit is not set.
	DefaultMaxFileBytes = 64 << 20
	// MaxDecodeBytes is the memory that decoding one image may take, as its headers tell. That
	// is 178 million pixels of a JPEG that is not progressive, 214 million if its chroma is
	// halved in one direction, as cameras write them, and 238 million if it is in both; of a
	// progressive one 59, 82 or 102 million.
	MaxDecodeBytes = 1 << 30

	// maxScans bounds the passes over a progressive JPEG; encoders make about ten.
	maxScans = 200
)

// picture is an image file whose header has been read and found within the limits.
type picture struct {
	file  []byte
	codec codec
	w, h  int
	bytes int64 // of memory that decoding takes, the result included
	turn  turn  // to stand upright
}

// Decode makes dst the picture in a JPEG, PNG, WebP, GIF, BMP or TIFF file, turned upright
// by its EXIF orientation. The format is told by the content, and what moves is its first
// frame. An image of more than maxPixels pixels (0 stands for [DefaultMaxPixels]) or that
// takes more than [MaxDecodeBytes] is an error before memory for it is taken, and so is
// anything cut off or damaged.
//
// Other kinds of pixels become RGB as by convert("RGB") of Pillow: alpha is dropped, not
// blended; gray is repeated; 16 bits keep the upper 8; CMYK is (255-K) scaled by what the ink
// leaves. Only 16-bit gray is not as there, where all above 255 of 65535 becomes white.
// Colour profiles are not applied. The chroma of JPEG and WebP is upsampled as libjpeg and
// libwebp do by default.
func Decode(dst *Image, file []byte, maxPixels int) error {
	p, err := openPicture(file, maxPixels)
	if err != nil {
		return err
	}
	return p.decode(dst)
}

// guard makes a panic an error: a decoder's bug met by a strange file costs that file, not
// the run.
func guard(err *error) {
	if v := recover(); v != nil {
		*err = fmt.Errorf("decode image: %v", v)
	}
}

// openPicture reads the header of a file and checks what it says.
func openPicture(file []byte, maxPixels int) (p *picture, err error) {
	defer guard(&err)
	c := sniff(file)
	if c == nil && len(file) > 12 && string(file[4:8]) == "ftyp" { // ISO/IEC 14496-12
		return nil, fmt.Errorf("%w, but HEIC, AVIF or a film", ErrFormat)
	}
	if c == nil {
		return nil, ErrFormat
	}
	w, h, err := c.size(file)
	if err != nil {
		return nil, fmt.Errorf("decode image header: %w", err)
	}
	if maxPixels <= 0 {
		maxPixels = DefaultMaxPixels
	}
	if w <= 0 || h <= 0 || int64(w) > int64(maxPixels)/int64(h) {
		return nil, fmt.Errorf("image of %d x %d pixels, at most %d pixels", w, h, maxPixels)
	}
	p = &picture{file: file, codec: c, w: w, h: h, turn: orientations[orientation(c, file)]}
	if p.bytes = int64(math.Ceil(float64(w) * float64(h) * (3 + c.memory(file, w, h)))); p.bytes > MaxDecodeBytes {
		return nil, fmt.Errorf("image of %d x %d pixels takes %d MiB to decode, at most %d", w, h, p.bytes>>20, MaxDecodeBytes>>20)
	}
	return p, nil
}

// frame is what a decoder returns: pixels whose corner is at a place on the picture.
type frame struct {
	image.Image
	at   image.Point
	fill [3]byte // the colour around it
}

// decode makes dst the picture.
func (p *picture) decode(dst *Image) (err error) {
	defer guard(&err)
	f, err := p.codec.decode(p.file)
	if err != nil {
		return fmt.Errorf("decode image: %w", err)
	}
	place := image.Rectangle{f.at, f.at.Add(f.Bounds().Size())}
	all := image.Rect(0, 0, p.w, p.h)
	if place.Empty() || !place.In(all) {
		return fmt.Errorf("decode image: a frame at %v of a picture of %v", place, all.Max)
	}
	to := newCanvasRows(dst, p.w, p.h, p.turn)
	row, err := rowsOf(f.Image, p.codec)
	if err != nil {
		return err
	}
	for y := range p.h {
		line := to.row(y)
		if place != all {
			fillRow(line, f.fill)
		}
		if y >= place.Min.Y && y < place.Max.Y {
			row(line[3*place.Min.X:3*place.Max.X], y-place.Min.Y)
		}
		to.put(y)
	}
	return nil
}

// canvasRows writes the rows of a picture to the places where they are once it is turned.
type canvasRows struct {
	dst  *Image
	turn turn
	line []byte // a row before turning; empty if that changes nothing
}

func newCanvasRows(dst *Image, w, h int, t turn) *canvasRows {
	c := &canvasRows{dst: dst, turn: t}
	if t != (turn{}) {
		c.line = make([]byte, 3*w)
	}
	resizeTurned(dst, w, h, t)
	return c
}

// row returns the place of row y.
func (c *canvasRows) row(y int) []byte {
	if c.line == nil {
		return c.dst.row(y)
	}
	return c.line
}

// put takes row y, which is in its place now.
func (c *canvasRows) put(y int) {
	if c.line != nil {
		turnRow(c.dst, c.line, y, c.turn)
	}
}

func fillRow(row []byte, c [3]byte) {
	if c == ([3]byte{}) {
		clear(row)
		return
	}
	for i := 0; i < len(row); i += 3 {
		copy(row[i:], c[:])
	}
}
