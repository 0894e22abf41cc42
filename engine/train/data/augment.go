package data

import (
	"errors"
	"fmt"
	"math"
)

// RandomCrop is a [Step] that keeps a window at a random place, as torchvision's
// RandomCrop with pad_if_needed: the image is padded by Padding on all sides, and a side
// still too short by what it lacks on both ends.
type RandomCrop struct {
	W, H    int
	Padding int
	Fill    [3]byte // colour of the padding, red, green, blue
}

// Check implements [Step].
func (s RandomCrop) Check() error {
	err := checkSides("random crop", s.W, s.H)
	if s.Padding < 0 || s.Padding > maxSide {
		err = errors.Join(err, fmt.Errorf("random crop: padding of %d pixels, want 0 to %d", s.Padding, maxSide))
	}
	return err
}

func (s RandomCrop) size(int, int) (int, int) { return s.W, s.H }

func (s RandomCrop) run(c *canvas, r *Rand) error {
	left := place(r, c.image.W, s.W, s.Padding)
	top := place(r, c.image.H, s.H, s.Padding)
	c.crop(left, top, s.W, s.H, s.Fill)
	return nil
}

// place draws where a window of n pixels begins in a side of have pixels and its padding.
func place(r *Rand, have, n, padding int) int {
	padded := have + 2*padding
	if padded < n {
		padding += n - padded
		padded = have + 2*padding
	}
	return r.IntN(padded-n+1) - padding
}

// RandomResizedCrop is a [Step] that takes a window of random area and proportions and
// resizes it, as torchvision's RandomResizedCrop: ten tries, then the largest central
// window within the proportions.
type RandomResizedCrop struct {
	W, H   int
	Scale  [2]float64 // part of the image's area; zero stands for 0.08 to 1
	Ratio  [2]float64 // width / height, drawn evenly in its logarithm; zero stands for 3/4 to 4/3
	Filter Filter
}

func (s RandomResizedCrop) ranges() (scale, ratio [2]float64) {
	scale, ratio = s.Scale, s.Ratio
	if scale == [2]float64{} {
		scale = [2]float64{0.08, 1}
	}
	if ratio == [2]float64{} {
		ratio = [2]float64{3.0 / 4, 4.0 / 3}
	}
	return scale, ratio
}

// Check implements [Step].
func (s RandomResizedCrop) Check() error {
	scale, ratio := s.ranges()
	return errors.Join(checkSides("random resized crop", s.W, s.H),
		checkRange("random resized crop: scale", scale, 1e-6, 1),
		checkRange("random resized crop: ratio", ratio, 1e-3, 1e3),
		checkFilter("random resized crop", s.Filter, Nearest, Bilinear, Bicubic))
}

func (s RandomResizedCrop) size(int, int) (int, int) { return s.W, s.H }

func (s RandomResizedCrop) run(c *canvas, r *Rand) error {
	left, top, w, h := s.window(c.image.W, c.image.H, r)
	c.crop(left, top, w, h, [3]byte{})
	return c.resize(s.W, s.H, s.Filter)
}

// window draws the part of a width x height image that is kept.
func (s RandomResizedCrop) window(width, height int, r *Rand) (left, top, w, h int) {
	scale, ratio := s.ranges()
	lo, hi := logOf(ratio[0]), logOf(ratio[1])
	for range 10 {
		area := float64(float64(width*height) * r.Uniform(scale[0], scale[1]))
		aspect := expOf(r.Uniform(lo, hi))
		w = int(math.RoundToEven(math.Sqrt(float64(area * aspect))))
		h = int(math.RoundToEven(math.Sqrt(area / aspect)))
		if 0 < w && w <= width && 0 < h && h <= height {
			top = r.IntN(height - h + 1)
			return r.IntN(width - w + 1), top, w, h
		}
	}
	w, h = width, height
	if in := float64(width) / float64(height); in < ratio[0] {
		h = int(math.RoundToEven(float64(w) / ratio[0]))
	} else if in > ratio[1] {
		w = int(math.RoundToEven(float64(float64(h) * ratio[1])))
	}
	w, h = max(w, 1), max(h, 1)
	return (width - w) / 2, (height - h) / 2, w, h
}

// HorizontalFlip is a [Step] that swaps left and right with a probability.
type HorizontalFlip struct{ P float64 }

// Check implements [Step].
func (s HorizontalFlip) Check() error {
	return checkRange("horizontal flip: probability", [2]float64{s.P, s.P}, 0, 1)
}

func (s HorizontalFlip) size(w, h int) (int, int) { return w, h }

func (s HorizontalFlip) run(c *canvas, r *Rand) error {
	if r.Float64() < s.P {
		c.image.mirror()
	}
	return nil
}

// Rotation is a [Step] that turns the image about its centre, counter-clockwise by an
// angle drawn evenly from Degrees, as torchvision's RandomRotation without expand. Filter
// is Bilinear (the zero value, which torchvision has to be asked for) or Nearest.
type Rotation struct {
	Degrees [2]float64
	Filter  Filter
	Fill    [3]byte // colour of what comes from outside
}

// Check implements [Step].
func (s Rotation) Check() error {
	return errors.Join(checkRange("rotation: degrees", s.Degrees, -360, 360), checkFilter("rotation", s.Filter, Nearest, Bilinear))
}

func (s Rotation) size(w, h int) (int, int) { return w, h }

func (s Rotation) run(c *canvas, r *Rand) error {
	c.rotate(r.Uniform(s.Degrees[0], s.Degrees[1]), s.Filter, s.Fill)
	return nil
}

// rotate turns the image by Pillow's Image.rotate, which has exact ways for right angles.
func (c *canvas) rotate(degrees float64, f Filter, fill [3]byte) {
	degrees = math.Mod(math.Mod(degrees, 360)+360, 360)
	w, h := c.image.W, c.image.H
	switch {
	case degrees == 0:
		return
	case degrees == 180:
		turnTo(c.spare, c.image, orientations[3])
	case degrees == 90 && w == h:
		turnTo(c.spare, c.image, orientations[8])
	case degrees == 270 && w == h:
		turnTo(c.spare, c.image, orientations[6])
	default:
		transformTo(c.spare, c.image, rotationMatrix(degrees, w, h), f, fill)
	}
	c.put()
}

// Affine is a [Step] that rotates (clockwise), moves, zooms and shears about the centre,
// each by a number drawn evenly from its range, as torchvision's RandomAffine. Filter is
// Bilinear (the zero value, which torchvision has to be asked for) or Nearest.
type Affine struct {
	Degrees   [2]float64
	Translate [2]float64 // largest move in x and y as parts of width and height
	Zoom      [2]float64 // zero stands for 1, no zoom; 2 makes things twice as large
	ShearX    [2]float64 // degrees, between -89 and 89
	ShearY    [2]float64
	Filter    Filter
	Fill      [3]byte // colour of what comes from outside
}

func (s Affine) zoom() [2]float64 {
	if s.Zoom == [2]float64{} {
		return [2]float64{1, 1}
	}
	return s.Zoom
}

// Check implements [Step].
func (s Affine) Check() error {
	err := errors.Join(checkRange("affine: degrees", s.Degrees, -360, 360), checkRange("affine: zoom", s.zoom(), 0.01, 100),
		checkRange("affine: shear in x", s.ShearX, -89, 89), checkRange("affine: shear in y", s.ShearY, -89, 89),
		checkFilter("affine", s.Filter, Nearest, Bilinear))
	for _, t := range s.Translate {
		err = errors.Join(err, checkRange("affine: translation", [2]float64{t, t}, 0, 1))
	}
	return err
}

func (s Affine) size(w, h int) (int, int) { return w, h }

func (s Affine) run(c *canvas, r *Rand) error {
	w, h := c.image.W, c.image.H
	degrees := r.Uniform(s.Degrees[0], s.Degrees[1])
	dx, dy := float64(s.Translate[0]*float64(w)), float64(s.Translate[1]*float64(h))
	tx, ty := math.RoundToEven(r.Uniform(-dx, dx)), math.RoundToEven(r.Uniform(-dy, dy))
	zoom := s.zoom()
	scale := r.Uniform(zoom[0], zoom[1])
	shearX, shearY := r.Uniform(s.ShearX[0], s.ShearX[1]), r.Uniform(s.ShearY[0], s.ShearY[1])
	m := affineMatrix(degrees, tx, ty, scale, shearX, shearY, w, h)
	if m == (matrix{1, 0, 0, 0, 1, 0}) {
		return nil
	}
	transformTo(c.spare, c.image, m, s.Filter, s.Fill)
	c.put()
	return nil
}
