package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// idleTimeout is how long a stream may be without a request: rounds take minutes.
const idleTimeout = 10 * time.Minute

// Source answers for the jobs of this peer. Its methods are called by the goroutines of
// streams. An error that is a *wire.Error is sent as it is; another one is told as internal.
type Source interface {
	// Accept decides on a slice that a peer brings, before its p.Bytes are read and memory is
	// taken for them; it may wait until that is possible. They are read into the memory that it
	// returns, and take is told their hash when all are there.
	Accept(ctx context.Context, from host.ID, p *train.Put) (into []byte, take func(hash train.Hash) error, err error)
	// Result returns the result of a slice, waiting until it is there or will not be. read is called
	// once when it is no longer used.
	Result(ctx context.Context, from host.ID, g *train.Get) (data []byte, read func(), err error)
	// Chain returns signed certificates from a round on, the oldest first.
	Chain(from host.ID, c *train.Chain) ([]*train.Sealed, error)
	// Job returns a signed job.
	Job(from host.ID, job train.Hash) (*train.Sealed, error)
	// Board returns the announcements of jobs that were heard.
	Board(from host.ID) []*train.Sealed
	// Tell takes messages of a job.
	Tell(from host.ID, b *train.Bundle) error
	// State puts the blocks of a state into the store and returns their hashes.
	State(ctx context.Context, from host.ID, s *train.State) ([]train.Hash, error)
}

// Serve answers on a stream until the other side ends it or ctx ends. It closes or resets the
// stream. turn may be nil: results have to wait for nothing.
func Serve(ctx context.Context, s host.Stream, src Source, turn Turn) error {
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	v := &server{s: s, src: src, turn: turn, r: frame.NewReader(s, train.ServerLimits()), w: frame.NewWriter(s)}
	for {
		if err := s.SetReadDeadline(time.Now().Add(idleTimeout)); err != nil {
			return errors.Join(err, s.Reset())
		}
		t, n, err := v.r.Header()
		if errors.Is(err, io.EOF) {
			return s.Close()
		}
		if err == nil {
			err = s.SetReadDeadline(time.Time{})
		}
		if err == nil {
			err = v.answer(ctx, t, n)
		}
		if err != nil {
			return errors.Join(err, s.Reset())
		}
	}
}

type server struct {
	s    host.Stream
	src  Source
	turn Turn
	r    *frame.Reader
	w    *frame.Writer
}

// answer reads a request and answers it. An error is one of the stream or of its form.
func (v *server) answer(ctx context.Context, t frame.Type, n int) error {
	b, err := v.r.Rest()
	if err != nil {
		return err
	}
	from := v.s.Peer()
	switch t {
	case train.TypePut:
		p := new(train.Put)
		if err := wire.Decode(b, p); err != nil {
			return err
		}
		return v.take(ctx, from, p)
	case train.TypeGet:
		g := new(train.Get)
		if err := wire.Decode(b, g); err != nil {
			return err
		}
		data, read, err := v.src.Result(ctx, from, g)
		if err != nil {
			return v.refuse(err)
		}
		defer read()
		return writeData(ctx, v.w, v.turn, data)
	case train.TypeChain, train.TypeJob:
		c := new(train.Chain)
		if err := wire.Decode(b, c); err != nil {
			return err
		}
		return v.sealed(from, t, c)
	case train.TypeBoard:
		list := v.src.Board(from)
		return v.list(list[:min(len(list), protocol.MaxTrainBoard)])
	case train.TypeTell:
		m := new(train.Bundle)
		if err := wire.Decode(b, m); err != nil {
			return err
		}
		if err := v.src.Tell(from, m); err != nil {
			return v.refuse(err)
		}
		return errors.Join(v.w.Write(train.TypeTaken), v.w.Flush())
	case train.TypeState:
		q := new(train.State)
		if err := wire.Decode(b, q); err != nil {
			return err
		}
		leaves, err := v.src.State(ctx, from, q)
		if err != nil {
			return v.refuse(err)
		}
		return v.leaves(leaves)
	}
	return fmt.Errorf("frame of type %d and %d bytes instead of a request", t, n)
}

// take reads what a Put brings. The sender has sent it all before it reads an answer, so that
// what is refused is read too, without being kept.
func (v *server) take(ctx context.Context, from host.ID, p *train.Put) error {
	into, take, refused := v.src.Accept(ctx, from, p)
	t, n, err := v.r.Header()
	if err != nil {
		return ended(err)
	}
	if t != train.TypeData {
		return fmt.Errorf("frame of type %d instead of data", t)
	}
	if refused != nil {
		if err := v.skip(n, p.Bytes); err != nil {
			return err
		}
		return v.refuse(refused)
	}
	hash, err := readData(v.r, n, into)
	if err != nil {
		return err
	}
	if err := take(hash); err != nil {
		return v.refuse(err)
	}
	return errors.Join(v.w.Write(train.TypeTaken), v.w.Flush())
}

// skip passes over data of a size, of which the header of the first frame has been read.
func (v *server) skip(n int, size uint64) error {
	for {
		if n == 0 || uint64(n) > size {
			return fmt.Errorf("frame of %d bytes with %d left", n, size)
		}
		if err := v.r.Skip(); err != nil {
			return err
		}
		if size -= uint64(n); size == 0 {
			return nil
		}
		t, m, err := v.r.Header()
		if err != nil {
			return ended(err)
		}
		if t != train.TypeData {
			return fmt.Errorf("frame of type %d among data", t)
		}
		n = m
	}
}

func (v *server) sealed(from host.ID, t frame.Type, c *train.Chain) error {
	var list []*train.Sealed
	var err error
	if t == train.TypeChain {
		list, err = v.src.Chain(from, c)
	} else {
		var job *train.Sealed
		job, err = v.src.Job(from, c.Job)
		list = []*train.Sealed{job}
	}
	if err != nil {
		return v.refuse(err)
	}
	return v.list(list[max(0, len(list)-protocol.MaxTrainChain):])
}

// list writes signed messages and the end of the list.
func (v *server) list(list []*train.Sealed) error {
	for _, s := range list {
		b, err := wire.Encode(s)
		if err != nil {
			return err
		}
		if err := v.w.Write(train.TypeSealed, b); err != nil {
			return err
		}
	}
	return errors.Join(v.w.Write(train.TypeSealed), v.w.Flush())
}

func (v *server) leaves(leaves []train.Hash) error {
	const most = protocol.MaxTrainData / len(train.Hash{})
	var b []byte
	for len(leaves) > 0 {
		n := min(most, len(leaves))
		b = b[:0]
		for i := range leaves[:n] {
			b = append(b, leaves[i][:]...)
		}
		if err := v.w.Write(train.TypeLeaves, b); err != nil {
			return err
		}
		leaves = leaves[n:]
	}
	return errors.Join(v.w.Write(train.TypeLeaves), v.w.Flush())
}

// refuse answers with an error; the stream goes on.
func (v *server) refuse(why error) error {
	var e *wire.Error
	if !errors.As(why, &e) {
		e = wire.Errorf(wire.CodeInternal, "%v", why)
	}
	b, err := wire.Encode(e)
	if err != nil {
		return err
	}
	return errors.Join(v.w.Write(wire.TypeError, b), v.w.Flush())
}
