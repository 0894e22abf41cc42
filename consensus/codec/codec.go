package codec

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Errors of [Codec.Decode] and [Encoder.Encode], wrapped with what was found and where.
var (
	ErrMalformed = errors.New("malformed encoding")
	ErrNotFinite = errors.New("value is not finite")
	ErrRange     = errors.New("range is not within the vector")
)

// MaxValues is the largest length of a vector.
const MaxValues = math.MaxInt32

// Segment is a part of a vector: a matrix, row after row. What is no matrix has one row.
type Segment struct{ Rows, Cols int }

// Layout is what a vector is made of, in its order.
type Layout []Segment

// Flat is the layout of n values that are no matrices.
func Flat(n int) Layout { return Layout{{Rows: 1, Cols: n}} }

// length returns the number of values, and an error if there are too many or a segment is not
// of positive size.
func (l Layout) length() (int, error) {
	n := 0
	for i, s := range l {
		if s.Rows < 1 || s.Cols < 1 || s.Rows > (MaxValues-n)/s.Cols {
			return 0, fmt.Errorf("segment %d of %d x %d after %d values: sizes are at least 1 and %d values at most", i, s.Rows, s.Cols, n, MaxValues)
		}
		n += s.Rows * s.Cols
	}
	return n, nil
}

// Codec encodes and decodes ranges of vectors of one layout.
type Codec struct {
	name   string
	length int
	kind   byte
	scheme scheme
	piece  int // values that are encoded at a time
}

// scheme is how values become bytes. A range goes from lo on; the encoding that it is given
// room for has the size of the range. Where the encoder cuts a range into pieces the encodings of
// these make up that of the range.
type scheme interface {
	// size returns the number of bytes of n values from lo on.
	size(lo, n int) int
	// encode writes x to dst and sets x to what a decoder gets. If it returns an error it has
	// changed no state.
	encode(dst []byte, x []float32, at place) error
	// decode reads b, which has the right size.
	decode(dst []float32, b []byte, lo int) error
	// warm returns how many values of state an encoder keeps for the scheme.
	warm() int
}

// place is where in a vector and in its encoding a scheme is at work.
type place struct {
	lo   int // first value, in the vector
	off  int // the same, in the range that is encoded
	seed uint64
	warm []float32 // state of the scheme, updated
}

// piece is the number of values that are encoded at a time where a scheme allows it: what it
// reads and writes stays in the cache. It is a multiple of the blocks of every scheme.
const piece = 16384

// New returns the codec of a name, see the package comment, for vectors of a layout.
func New(name string, layout Layout) (*Codec, error) {
	n, err := layout.length()
	if err != nil {
		return nil, fmt.Errorf("layout: %w", err)
	}
	kind, parameters, more := strings.Cut(name, ":")
	c := &Codec{name: kind, length: n, piece: piece}
	switch kind {
	case "f32":
		c.kind, c.scheme = 1, f32{}
	case "f16":
		c.kind, c.scheme = 2, f16{}
	case "int8":
		c.kind, c.scheme = 3, int8s{}
	case "sign":
		c.kind, c.scheme = 5, signs{}
	case "topk":
		var t topK
		t, err = parseTopK(parameters)
		c.kind, c.scheme, c.name = 4, t, t.String()
	case "powersgd":
		rank, bad := strconv.Atoi(parameters)
		if bad != nil || rank < 1 || rank > maxRank {
			return nil, fmt.Errorf("codec %q: the rank is a number from 1 to %d, as in powersgd:4", name, maxRank)
		}
		c.kind, c.scheme, c.name = 6, newPowerSGD(layout, rank), "powersgd:"+strconv.Itoa(rank)
		c.piece = MaxValues // matrices are not cut
	default:
		return nil, fmt.Errorf("codec %q is not one of f32, f16, int8, sign, topk:DENSITY:BITS, powersgd:RANK", name)
	}
	if err != nil {
		return nil, fmt.Errorf("codec %q: %w", name, err)
	}
	if more && c.name == kind {
		return nil, fmt.Errorf("codec %q: %s has no parameters", name, kind)
	}
	return c, nil
}

// Name returns the codec's name in its shortest form: equal codecs have equal names.
func (c *Codec) Name() string { return c.name }

// Len returns the number of values of a whole vector.
func (c *Codec) Len() int { return c.length }

// Size returns the number of bytes of an encoding of the n values from lo on. It panics if
// these are not in the vector.
func (c *Codec) Size(lo, n int) int {
	if err := c.check(lo, n); err != nil {
		panic(fmt.Sprintf("codec: size: %v", err))
	}
	return 1 + c.scheme.size(lo, n)
}

func (c *Codec) check(lo, n int) error {
	if lo < 0 || n < 0 || n > c.length || lo > c.length-n {
		return fmt.Errorf("%w: %d values from %d on, of %d", ErrRange, n, lo, c.length)
	}
	return nil
}

// Unit returns of how many values, or a multiple, a part of an encoding can be decoded alone; 0
// if none can.
func (c *Codec) Unit() int {
	if c.piece == MaxValues {
		return 0
	}
	return c.piece
}

// DecodePart reads a part of the encoding of the n values from lo on: those of dst, the first of
// which is at off within the encoded ones. off is a multiple of [Codec.Unit], and so is len(dst)
// unless the part is the last one. An encoding of which all parts decode does, and to the same.
// Errors are those of [Codec.Decode]; those that are not in this part do not count.
func (c *Codec) DecodePart(dst []float32, lo, n, off int, b []byte) error {
	err := c.checkPart(lo, n, off, len(dst))
	if err == nil {
		err = c.form(lo, n, b)
	}
	if err == nil {
		from := 1 + c.scheme.size(lo, off)
		err = c.scheme.decode(dst, b[from:from+c.scheme.size(lo+off, len(dst))], lo+off)
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", c.name, err)
	}
	return nil
}

// checkPart checks that size values from off on are a part of the n values from lo on.
func (c *Codec) checkPart(lo, n, off, size int) error {
	err := c.check(lo, n)
	if unit := c.Unit(); err == nil && (unit == 0 || off < 0 || off > n-size || off%unit != 0 || size%unit != 0 && off+size != n) {
		err = fmt.Errorf("%w: %d values from %d on are no part of %d", ErrRange, size, off, n)
	}
	return err
}

// form checks length and kind of an encoding.
func (c *Codec) form(lo, n int, b []byte) error {
	switch {
	case len(b) != c.Size(lo, n):
		return fmt.Errorf("%w: %d bytes, %d values from %d on have %d", ErrMalformed, len(b), n, lo, c.Size(lo, n))
	case b[0] != c.kind:
		return fmt.Errorf("%w: of kind %d, not %d", ErrMalformed, b[0], c.kind)
	}
	return nil
}

// Decode reads the encoding of the len(dst) values from lo on. On an error ([ErrMalformed],
// [ErrNotFinite], [ErrRange]) the content of dst is undefined.
func (c *Codec) Decode(dst []float32, lo int, b []byte) error {
	err := c.check(lo, len(dst))
	if err == nil {
		err = c.form(lo, len(dst), b)
	}
	if err == nil {
		err = c.scheme.decode(dst, b[1:], lo)
	}
	if err != nil {
		return fmt.Errorf("decode %s: %w", c.name, err)
	}
	return nil
}
