package frame

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/covey-network/covey/protocol"
)

// Type tells what a frame's payload is.
type Type uint8

// Limits gives the largest payload in bytes of each type a reader accepts on a protocol.
// A type that is not in it is unknown.
type Limits map[Type]int

// ErrMalformed is a length that is no shortest uvarint, or zero.
var ErrMalformed = errors.New("malformed frame length")

// SizeError is a frame longer than its type allows.
type SizeError struct {
	Type      Type // 0 if the frame is over protocol.MaxFrame, whatever its type
	Size, Max int64
}

// Error says which limit was exceeded.
func (e *SizeError) Error() string {
	return fmt.Sprintf("frame type %d of %d bytes is over the limit of %d", e.Type, e.Size, e.Max)
}

// TypeError is a frame of a type that the reader does not know. The frame's payload has
// not been read: Reader.Skip passes over it.
type TypeError struct {
	Type Type
	Size int
}

// Error names the type.
func (e *TypeError) Error() string {
	return fmt.Sprintf("unknown frame type %d of %d bytes", e.Type, e.Size)
}

// keepBuffer is the largest payload buffer that a Reader keeps between frames, so that one
// big tensor does not hold its memory for the life of a stream.
const keepBuffer = 1 << 20

// Reader reads frames from a stream.
type Reader struct {
	r      *bufio.Reader
	limits Limits
	left   int // payload bytes of the current frame not yet read
	buf    []byte
}

// NewReader returns a Reader of r that accepts the types in limits. It reads ahead.
func NewReader(r io.Reader, limits Limits) *Reader {
	return &Reader{r: bufio.NewReaderSize(r, 32<<10), limits: limits}
}

// Header reads the next frame's header: its type and payload length, both checked. What
// is left of the frame before is passed over. At the end of the stream, between two
// frames, the error is io.EOF; within one it is io.ErrUnexpectedEOF.
func (r *Reader) Header() (Type, int, error) {
	if err := r.Skip(); err != nil {
		return 0, 0, err
	}
	n, err := r.length()
	if err != nil {
		return 0, 0, err
	}
	b, err := r.r.ReadByte()
	if err != nil {
		return 0, 0, unexpected(err)
	}
	t, size := Type(b), int(n-1)
	limit, known := r.limits[t]
	if !known {
		r.left = size
		return t, size, &TypeError{Type: t, Size: size}
	}
	if size > limit {
		return t, size, &SizeError{Type: t, Size: int64(size), Max: int64(limit)}
	}
	r.left = size
	return t, size, nil
}

// length reads the shortest-form uvarint in front of a frame.
func (r *Reader) length() (uint64, error) {
	var n uint64
	for i := 0; ; i++ {
		b, err := r.r.ReadByte()
		if err != nil {
			if i > 0 {
				err = unexpected(err)
			}
			return 0, err
		}
		if i == 4 && b >= 0x80 {
			return 0, ErrMalformed // 2^35 and more
		}
		n |= uint64(b&0x7f) << (7 * i)
		if b < 0x80 {
			if b == 0 { // zero, or not the shortest form
				return 0, ErrMalformed
			}
			break
		}
	}
	if n > protocol.MaxFrame {
		return 0, &SizeError{Size: int64(n), Max: protocol.MaxFrame}
	}
	return n, nil
}

// Next reads a whole frame. The payload is valid until the next call.
func (r *Reader) Next() (Type, []byte, error) {
	t, _, err := r.Header()
	if err != nil {
		return t, nil, err
	}
	payload, err := r.Rest()
	return t, payload, err
}

// Rest reads what is left of the current frame, after Header and a look at its length. The
// payload is valid until the next frame is read.
func (r *Reader) Rest() ([]byte, error) {
	n := r.left
	if cap(r.buf) < n || cap(r.buf) > keepBuffer && n <= keepBuffer {
		r.buf = make([]byte, n)
	}
	r.buf = r.buf[:n]
	if err := r.Payload(r.buf); err != nil {
		return nil, err
	}
	return r.buf, nil
}

// Payload fills dst with the next bytes of the current frame, after Header. Asking for
// more than the frame has left is io.ErrUnexpectedEOF.
func (r *Reader) Payload(dst []byte) error {
	if len(dst) > r.left {
		return io.ErrUnexpectedEOF
	}
	n, err := io.ReadFull(r.r, dst)
	r.left -= n
	return unexpected(err)
}

// Skip passes over what is left of the current frame.
func (r *Reader) Skip() error {
	n, err := r.r.Discard(r.left)
	r.left -= n
	return unexpected(err)
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Writer writes frames to a stream. Small frames are gathered until Flush; big payloads
// pass through without a copy.
type Writer struct {
	w *bufio.Writer
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: bufio.NewWriterSize(w, 32<<10)}
}

// Write writes one frame whose payload is the concatenation of parts. It does not keep
// parts. The frame reaches the peer at the latest with Flush.
func (w *Writer) Write(t Type, parts ...[]byte) error {
	n := 1
	for _, p := range parts {
		n += len(p)
		if n > protocol.MaxFrame {
			return &SizeError{Type: t, Size: int64(n), Max: protocol.MaxFrame}
		}
	}
	var head [binary.MaxVarintLen64 + 1]byte
	h := append(binary.AppendUvarint(head[:0], uint64(n)), byte(t))
	if _, err := w.w.Write(h); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Flush sends what is gathered.
func (w *Writer) Flush() error { return w.w.Flush() }
