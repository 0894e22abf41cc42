package data

import "math"

// Step internals that tests compare with other implementations.

// Apply runs a step on a copy of m.
func Apply(s Step, m *Image, r *Rand) (*Image, error) {
	c := &canvas{image: &Image{W: m.W, H: m.H, Pix: append([]byte(nil), m.Pix...)}, spare: new(Image), maxPixels: DefaultMaxPixels}
	err := s.run(c, r)
	return c.image, err
}

// Crop cuts a window that may lie outside.
func Crop(m *Image, left, top, w, h int) *Image {
	dst := new(Image)
	cropTo(dst, m, left, top, w, h, [3]byte{})
	return dst
}

// Move is an Affine with nothing drawn and a translation in pixels.
func Move(m *Image, degrees, tx, ty, zoom, shearX, shearY float64, f Filter, fill [3]byte) *Image {
	dst := new(Image)
	transformTo(dst, m, affineMatrix(degrees, tx, ty, zoom, shearX, shearY, m.W, m.H), f, fill)
	return dst
}

// Window draws what a random resized crop keeps.
func Window(s RandomResizedCrop, w, h int, r *Rand) (left, top, cw, ch int) { return s.window(w, h, r) }

// Place draws where a random crop begins.
func Place(r *Rand, have, n, padding int) int { return place(r, have, n, padding) }

// Functions written for their bits.
var (
	ExpOf       = expOf
	LogOf       = logOf
	SinCosOf    = sinCosOf
	Permutation = permutation
	FindFiles   = findFiles
)

// Cell returns a value of a table as it was read, and IsMissing whether it is missing.
func (t *Table) Cell(row, column int) float64 { return t.cells[row*len(t.columns)+column] }

// IsMissing reports whether a value is missing.
func (t *Table) IsMissing(row, column int) bool { return math.IsNaN(t.Cell(row, column)) }
