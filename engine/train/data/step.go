package data

import (
	"errors"
	"fmt"
	"math"
)

// Step is one change of an image in a [Pipeline]: one of the types of this package whose
// comments say so. The zero value of a field is a default where its comment names one.
type Step interface {
	// Check reports what is wrong with the fields.
	Check() error
	// size returns the size of the result for that of the source; 0 stands for unknown.
	size(w, h int) (int, int)
	// run changes c.image, by draws from r.
	run(c *canvas, r *Rand) error
}

var _ = []Step{
	Resize{},
	ResizeExact{},
	CenterCrop{},
	RandomCrop{},
	RandomResizedCrop{},
	HorizontalFlip{},
	Rotation{},
	Affine{},
}

// canvas is the image at work and the memory of one worker.
type canvas struct {
	image, spare *Image
	resampler    resampler
	maxPixels    int
}

// put makes the spare image the one at work.
func (c *canvas) put() { c.image, c.spare = c.spare, c.image }

func (c *canvas) resize(w, h int, f Filter) error {
	w, h = max(w, 1), max(h, 1)
	wide, tall := max(w, c.image.W), max(h, c.image.H) // of what is between the passes
	if max(int64(w)*int64(tall), int64(wide)*int64(h)) > int64(c.maxPixels) {
		return fmt.Errorf("resize %d x %d pixels to %d x %d: more than %d pixels", c.image.W, c.image.H, w, h, c.maxPixels)
	}
	if w != c.image.W || h != c.image.H {
		c.resampler.resize(c.spare, c.image, w, h, f)
		c.put()
	}
	return nil
}

func (c *canvas) crop(left, top, w, h int, fill [3]byte) {
	if left == 0 && top == 0 && w == c.image.W && h == c.image.H {
		return
	}
	cropTo(c.spare, c.image, left, top, w, h, fill)
	c.put()
}

// maxSide bounds the sides that steps ask for.
const maxSide = 1 << 14

func checkSides(what string, sides ...int) error {
	for _, s := range sides {
		if s < 1 || s > maxSide {
			return fmt.Errorf("%s: side of %d pixels, want 1 to %d", what, s, maxSide)
		}
	}
	return nil
}

func checkRange(what string, v [2]float64, lo, hi float64) error {
	if !(v[0] >= lo && v[0] <= v[1] && v[1] <= hi) {
		return fmt.Errorf("%s from %g to %g: want an ascending range within %g to %g", what, v[0], v[1], lo, hi)
	}
	return nil
}

func checkFilter(what string, f Filter, allowed ...Filter) error {
	for _, a := range allowed {
		if f == a {
			return nil
		}
	}
	return fmt.Errorf("%s: filter %v, want one of %v", what, f, allowed)
}

// Resize is a [Step] that gives the shorter side a length and keeps the proportions, as
// torchvision's Resize(size) does: the longer side is cut to whole pixels.
type Resize struct {
	Shorter int // pixels of the shorter side
	Filter  Filter
}

// Check implements [Step].
func (s Resize) Check() error {
	return errors.Join(checkSides("resize", s.Shorter), checkFilter("resize", s.Filter, Nearest, Bilinear, Bicubic))
}

func (s Resize) size(w, h int) (int, int) {
	switch {
	case w == 0 || h == 0:
		return 0, 0
	case w <= h:
		return s.Shorter, int(float64(s.Shorter*h) / float64(w))
	}
	return int(float64(s.Shorter*w) / float64(h)), s.Shorter
}

func (s Resize) run(c *canvas, _ *Rand) error {
	w, h := s.size(c.image.W, c.image.H)
	return c.resize(w, h, s.Filter)
}

// ResizeExact is a [Step] that resizes to a size, whatever the proportions become.
type ResizeExact struct {
	W, H   int
	Filter Filter
}

// Check implements [Step].
func (s ResizeExact) Check() error {
	return errors.Join(checkSides("resize", s.W, s.H), checkFilter("resize", s.Filter, Nearest, Bilinear, Bicubic))
}

func (s ResizeExact) size(int, int) (int, int) { return s.W, s.H }

func (s ResizeExact) run(c *canvas, _ *Rand) error { return c.resize(s.W, s.H, s.Filter) }

// CenterCrop is a [Step] that keeps the middle, as torchvision's CenterCrop: a side that
// is too short is first padded with black on both ends, and halves round to even.
type CenterCrop struct{ W, H int }

// Check implements [Step].
func (s CenterCrop) Check() error { return checkSides("center crop", s.W, s.H) }

func (s CenterCrop) size(int, int) (int, int) { return s.W, s.H }

func (s CenterCrop) run(c *canvas, _ *Rand) error {
	c.crop(middle(c.image.W, s.W), middle(c.image.H, s.H), s.W, s.H, [3]byte{})
	return nil
}

// middle returns where a window of n pixels begins in a side of have.
func middle(have, n int) int {
	if have < n {
		return -((n - have) / 2)
	}
	return int(math.RoundToEven(float64(have-n) / 2))
}
