package codec

import (
	"fmt"
	"slices"

	"github.com/covey-network/covey/consensus/vec"
)

// Encoder encodes the vectors of one sender, one after the other. Its state is what it carries
// from one vector to the next: what was lost, if it has feedback, and for powersgd the
// directions it found. Ranges of one vector may be encoded in any order, but powersgd gives
// other bytes in another one.
type Encoder struct {
	codec *Codec
	lost  []float32 // (length) or nil; a part of state
	warm  []float32 // a part of state
	state []float32
}

// Encoder returns an encoder with empty state: without feedback what is lost stays lost.
func (c *Codec) Encoder(feedback bool) *Encoder {
	n := 0
	if _, exact := c.scheme.(f32); feedback && !exact {
		n = c.length
	}
	state := make([]float32, n+c.scheme.warm())
	e := &Encoder{codec: c, state: state, warm: state[n:]}
	if n > 0 {
		e.lost = state[:n]
	}
	return e
}

// Codec returns the codec of the encodings.
func (e *Encoder) Codec() *Codec { return e.codec }

// State returns the state for reading; its length depends on the codec and on feedback alone.
// It is the encoder's own memory, which changes with the next [Encoder.Encode].
func (e *Encoder) State() []float32 { return e.state }

// Restore sets the state to a copy of what [Encoder.State] returned once: the encoder goes on
// from there with the same bytes.
func (e *Encoder) Restore(state []float32) error {
	if len(state) != len(e.state) {
		return fmt.Errorf("restore encoder of %s: %d values of state, want %d", e.codec.name, len(state), len(e.state))
	}
	if !vec.Finite(state) {
		return fmt.Errorf("restore encoder of %s: %w", e.codec.name, ErrNotFinite)
	}
	copy(e.state, state)
	return nil
}

// Separate reports whether ranges that do not overlap may be encoded by several goroutines at
// once, as no state is that of all of them.
func (e *Encoder) Separate() bool { return len(e.warm) == 0 }

// Encode appends the encoding of x, the values of a vector from lo on, to dst, and sets x to
// what a decoder gets of it. Random numbers depend on seed alone: give each range of each
// vector of each sender its own. On an error ([ErrNotFinite], [ErrRange]) the state is as
// before and the content of x is undefined.
func (e *Encoder) Encode(dst []byte, lo int, x []float32, seed uint64) ([]byte, error) {
	c := e.codec
	if err := c.check(lo, len(x)); err != nil {
		return dst, fmt.Errorf("encode %s: %w", c.name, err)
	}
	if e.lost != nil {
		if at, ok := addFinite(x, e.lost[lo:lo+len(x)]); !ok {
			return dst, fmt.Errorf("encode %s: values from %d on, with what was lost before: %w", c.name, lo+at, ErrNotFinite)
		}
	}
	size := c.Size(lo, len(x))
	b := slices.Grow(dst, size)[:len(dst)+size]
	out := b[len(dst):]
	out[0], out = c.kind, out[1:]
	for off := 0; off < len(x); off += c.piece {
		part := x[off:min(off+c.piece, len(x))]
		n := c.scheme.size(lo+off, len(part))
		if err := e.piece(out[:n], part, place{lo: lo + off, off: off, seed: seed}); err != nil {
			return dst, err
		}
		out = out[n:]
	}
	return b, nil
}

// EncodePart writes a part of the encoding of n values from lo on, into its place in dst, which has
// the size of the whole encoding, and returns where the part ends in it. x are the values of the part
// and off is where they begin, as for [Codec.DecodePart]; all parts together write what
// [Encoder.Encode] does. On an error the state is as it was before the part.
func (e *Encoder) EncodePart(dst []byte, lo, n, off int, x []float32, seed uint64) (end int, err error) {
	c := e.codec
	if err := c.checkPart(lo, n, off, len(x)); err != nil {
		return 0, fmt.Errorf("encode %s: %w", c.name, err)
	}
	if size := c.Size(lo, n); len(dst) != size {
		panic(fmt.Sprintf("codec: encode: room of %d bytes for %d", len(dst), size))
	}
	if e.lost != nil {
		if _, ok := addFinite(x, e.lost[lo+off:lo+off+len(x)]); !ok {
			return 0, fmt.Errorf("encode %s: values from %d on, with what was lost before: %w", c.name, lo+off, ErrNotFinite)
		}
	}
	if off == 0 {
		dst[0] = c.kind
	}
	end = 1 + c.scheme.size(lo, off)
	for at := off; len(x) > 0; {
		part := x[:min(c.piece, len(x))]
		from := end
		end += c.scheme.size(lo+at, len(part))
		if err := e.piece(dst[from:end], part, place{lo: lo + at, off: at, seed: seed}); err != nil {
			return 0, err
		}
		at, x = at+len(part), x[len(part):]
	}
	return end, nil
}

// piece encodes x, to which what was lost before has been added, and keeps what is lost of it now.
func (e *Encoder) piece(dst []byte, x []float32, at place) error {
	var lost []float32
	if e.lost != nil {
		lost = e.lost[at.lo : at.lo+len(x)]
		copy(lost, x)
	}
	at.warm = e.warm
	if err := e.codec.scheme.encode(dst, x, at); err != nil {
		return fmt.Errorf("encode %s: values from %d on: %w", e.codec.name, at.lo, err)
	}
	if lost != nil {
		vec.SubFrom(lost, x)
	}
	return nil
}

// addFinite adds y to x. If a sum is not finite it says in which piece.
func addFinite(x, y []float32) (at int, ok bool) {
	for at < len(x) {
		to := min(at+piece, len(x))
		vec.AddTo(x[at:to], y[at:to])
		if !vec.Finite(x[at:to]) {
			return at, false
		}
		at = to
	}
	return at, true
}
