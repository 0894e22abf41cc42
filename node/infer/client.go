package infer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrUnsendable means that what this node was to send cannot be a message: no peer has seen
// it, and none is at fault.
var ErrUnsendable = errors.New("cannot be sent")

// Options are what a Client expects of its peer.
type Options struct {
	// Silence is how long the peer may send nothing while it owes an answer; 0 is as long as
	// the context of a call lasts. It is for a peer that was asked for its progress.
	Silence time.Duration
	// MaxVector is the most numbers that a result brings; 0 is what fits a frame.
	MaxVector int
	// Told is called with what the peer tells of its progress: the hop behind it that it
	// waits for, or empty while the work is its own. It may be nil.
	Told func(at host.ID)
}

// Client is a session on a peer, and through it on the chain behind that peer.
type Client struct {
	s    host.Stream
	opts Options
	pace *Paced
	r    *frame.Reader
	w    *frame.Writer
	seq  uint64
	buf  []byte // encoded hidden state
	vec  []float32
}

// Open asks the peer at the other end of s for a session, expecting nothing particular.
func Open(ctx context.Context, s host.Stream, o *wire.InferOpen) (*Client, error) {
	return Options{}.Open(ctx, s, o)
}

// Open asks the peer at the other end of s for a session and waits until the whole chain
// is ready. It owns s from then on: on an error s is reset. A refusal is a *wire.Error.
func (opts Options) Open(ctx context.Context, s host.Stream, o *wire.InferOpen) (c *Client, err error) {
	most := protocol.MaxTensor
	if opts.MaxVector > 0 {
		most = min(most, 4*opts.MaxVector)
	}
	c = &Client{s: s, opts: opts, pace: NewPaced(s)}
	c.r, c.w = frame.NewReader(c.pace, wire.InferClientLimits(most+protocol.MaxTensorHeader)), frame.NewWriter(c.pace)
	defer c.guard(ctx, &err)()
	if err := c.send(wire.TypeInferOpen, o); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if err := c.w.Flush(); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	var opened wire.InferOpened
	if err := c.receive(wire.TypeInferOpened, &opened); err != nil {
		return nil, fmt.Errorf("open session: %w", err)
	}
	if opened.MaxTokens < o.MaxTokens {
		return nil, fmt.Errorf("open session: %w: peer reserved %d of %d tokens", ErrAnswer, opened.MaxTokens, o.MaxTokens)
	}
	return c, nil
}

// Peer returns the first peer of the chain.
func (c *Client) Peer() host.ID { return c.s.Peer() }

// Step runs one step. Its sequence number is set here. hidden is the (n, width) input of a
// chain that does not begin with the embedding, else nil. The vector that comes back with
// a result that announces one is valid until the next call. After an error the session is
// gone; what the chain refused is a *wire.Error.
func (c *Client) Step(ctx context.Context, st *wire.InferStep, hidden []float32) (res *wire.InferResult, vec []float32, err error) {
	defer c.guard(ctx, &err)()
	c.seq++
	st.Seq, st.Tensor = c.seq, hidden != nil
	if err := c.send(wire.TypeInferStep, st); err != nil {
		return nil, nil, fmt.Errorf("send step: %w", err)
	}
	if hidden != nil {
		if c.buf, err = WriteVector(c.w, c.buf, hidden, len(st.Tokens)); err != nil {
			return nil, nil, fmt.Errorf("send hidden state: %w", own(err))
		}
	}
	if err := c.w.Flush(); err != nil {
		return nil, nil, fmt.Errorf("send step: %w", err)
	}
	res = new(wire.InferResult)
	if err := c.receive(wire.TypeInferResult, res); err != nil {
		return nil, nil, fmt.Errorf("receive result: %w", err)
	}
	if res.Seq != c.seq {
		return nil, nil, fmt.Errorf("receive result: %w: of step %d, want %d", ErrAnswer, res.Seq, c.seq)
	}
	if res.Tensor {
		c.pace.rest = Stall // it has begun
		t, payload, err := c.r.Next()
		if err != nil {
			return nil, nil, fmt.Errorf("receive vector: %w", err)
		}
		if t != wire.TypeTensor {
			return nil, nil, fmt.Errorf("receive vector: %w: got frame type %d", ErrAnswer, t)
		}
		if c.vec, _, err = ReadVector(c.vec, payload); err != nil {
			return nil, nil, fmt.Errorf("receive vector: %w: %w", ErrAnswer, err)
		}
		vec = c.vec
	}
	return res, vec, nil
}

// Close tells the chain that the session is over and closes the stream.
func (c *Client) Close(reason string) error {
	c.pace.Bound(time.Time{}, 0)
	err := c.send(wire.TypeInferClose, &wire.InferClose{Reason: reason})
	if err == nil {
		err = c.w.Flush()
	}
	if err != nil {
		return errors.Join(err, c.s.Reset())
	}
	return c.s.Close()
}

// guard applies ctx to the stream for the time of a call: its deadline, and its end, which
// resets the stream. The function it returns also resets on an error.
func (c *Client) guard(ctx context.Context, err *error) func() {
	deadline, _ := ctx.Deadline() // none takes back that of the call before
	c.pace.Bound(deadline, c.opts.Silence)
	// A stream that cannot take a deadline is dead: the next write tells.
	_ = c.s.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = c.s.Reset() })
	return func() {
		if !stop() && *err != nil {
			*err = fmt.Errorf("%w: %w", context.Cause(ctx), *err)
			return
		}
		if *err != nil {
			_ = c.s.Reset() // the error that matters is *err
		}
	}
}

func (c *Client) send(t frame.Type, m wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrUnsendable, err)
	}
	return own(c.w.Write(t, b))
}

// own tells an error of a frame that this node made too large from one of the stream.
func own(err error) error {
	var size *frame.SizeError
	if errors.As(err, &size) || errors.Is(err, frame.ErrTensor) {
		return fmt.Errorf("%w: %w", ErrUnsendable, err)
	}
	return err
}

// receive reads the message that is due, or the error that came instead of it, and what the
// peer tells of its progress before.
func (c *Client) receive(want frame.Type, m wire.Message) error {
	for {
		t, payload, err := c.r.Next()
		if err != nil {
			return err
		}
		switch t {
		case want:
			return wire.Decode(payload, m)
		case wire.TypeProgress:
			var p wire.InferProgress
			if err := wire.Decode(payload, &p); err != nil {
				return err
			}
			if c.opts.Told != nil {
				c.opts.Told(p.Peer)
			}
		case wire.TypeError:
			e := new(wire.Error)
			if err := wire.Decode(payload, e); err != nil {
				return err
			}
			return e
		default:
			return fmt.Errorf("%w: got frame type %d, want %d", ErrAnswer, t, want)
		}
	}
}

// WriteVector writes x as a float32 tensor frame of the given number of rows. It encodes
// into buf, which it returns for the next call.
func WriteVector(w *frame.Writer, buf []byte, x []float32, rows int) ([]byte, error) {
	buf, err := binary.Append(buf[:0], binary.LittleEndian, x)
	if err != nil {
		return buf, err
	}
	t := frame.Tensor{DType: frame.F32, Shape: []int{rows, len(x) / rows}, Data: buf}
	head, err := t.Header()
	if err != nil {
		return buf, err
	}
	return buf, w.Write(wire.TypeTensor, head, t.Data)
}

// ReadVector decodes a float32 tensor of rank 2 into dst, grown as needed, and returns it
// with the number of rows.
func ReadVector(dst []float32, payload []byte) ([]float32, int, error) {
	t, err := frame.ParseTensor(payload)
	if err != nil {
		return dst, 0, err
	}
	if t.DType != frame.F32 || len(t.Shape) != 2 {
		return dst, 0, fmt.Errorf("tensor of type %d and shape %v, want rows of float32", t.DType, t.Shape)
	}
	n := len(t.Data) / 4
	if cap(dst) < n {
		dst = make([]float32, n)
	}
	dst = dst[:n]
	if _, err := binary.Decode(t.Data, binary.LittleEndian, dst); err != nil {
		return dst, 0, err
	}
	return dst, t.Shape[0], nil
}
