package transfer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// maxIdle bounds the streams to one peer that are kept for later requests.
const maxIdle = 4

// hashAtOnce is how many bytes that came are hashed at a time, while they are in the cache and more
// is on its way.
const hashAtOnce = 2 * digest.PieceBytes

// ErrHash is the error of data that is not what a peer committed to.
var ErrHash = errors.New("data with another hash than was committed to")

// Open opens a stream to a peer; host.Host.Open is one.
type Open func(ctx context.Context, id host.ID, protocol string) (host.Stream, error)

// Turn waits until n more bytes may be sent to others; exchange.Exchange.Turns gives one.
type Turn func(ctx context.Context, n int) error

// Client asks other peers. It is safe for concurrent use. Close ends its streams.
type Client struct {
	open Open
	turn Turn

	mu     sync.Mutex
	idle   map[host.ID][]*link
	closed bool
}

// NewClient returns a Client. It opens nothing. turn may be nil: nothing has to wait.
func NewClient(open Open, turn Turn) *Client {
	return &Client{open: open, turn: turn, idle: map[host.ID][]*link{}}
}

// link is a stream between two requests.
type link struct {
	s host.Stream
	r *frame.Reader
	w *frame.Writer
}

// Close ends the streams that are not in use; those in use end with their requests.
func (c *Client) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	for _, links := range c.idle {
		for _, l := range links {
			_ = l.s.Close()
		}
	}
	clear(c.idle)
}

// Forget ends the idle streams to a peer.
func (c *Client) Forget(id host.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.idle[id] {
		_ = l.s.Reset()
	}
	delete(c.idle, id)
}

func (c *Client) take(id host.ID) *link {
	c.mu.Lock()
	defer c.mu.Unlock()
	links := c.idle[id]
	if len(links) == 0 {
		return nil
	}
	l := links[len(links)-1]
	c.idle[id] = links[:len(links)-1]
	return l
}

func (c *Client) put(id host.ID, l *link) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || len(c.idle[id]) >= maxIdle {
		_ = l.s.Close()
		return
	}
	c.idle[id] = append(c.idle[id], l)
}

// ask runs f on a stream to a peer until ctx ends. An idle stream may have ended at the other
// side meanwhile: then f runs again on a new one.
func (c *Client) ask(ctx context.Context, id host.ID, f func(l *link) error) error {
	if l := c.take(id); l != nil {
		err := c.run(ctx, id, l, f)
		var refused *wire.Error
		if err == nil || errors.As(err, &refused) || errors.Is(err, ErrHash) || ctx.Err() != nil {
			return err
		}
		c.Forget(id)
	}
	s, err := c.open(ctx, id, protocol.Train)
	if err != nil {
		return err
	}
	return c.run(ctx, id, &link{s: s, r: frame.NewReader(s, train.ClientLimits()), w: frame.NewWriter(s)}, f)
}

func (c *Client) run(ctx context.Context, id host.ID, l *link, f func(l *link) error) error {
	stop := context.AfterFunc(ctx, func() { _ = l.s.Reset() })
	err := f(l)
	if !stop() && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var refused *wire.Error
	if err != nil && !errors.As(err, &refused) {
		_ = l.s.Reset()
		return err
	}
	c.put(id, l)
	return err
}

// send writes a request.
func (l *link) send(t frame.Type, m wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return errors.Join(l.w.Write(t, b), l.w.Flush())
}

// next reads the header of the next frame, which must be of a type, or is the peer's error.
func (l *link) next(want frame.Type) (int, error) {
	t, n, err := l.r.Header()
	switch {
	case err != nil:
		return 0, ended(err)
	case t == want:
		return n, nil
	case t != wire.TypeError:
		return 0, fmt.Errorf("frame of type %d, want %d", t, want)
	}
	b, err := l.r.Rest()
	if err != nil {
		return 0, err
	}
	refused := new(wire.Error)
	if err := wire.Decode(b, refused); err != nil {
		return 0, err
	}
	return 0, refused
}

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Put brings a slice to its owner and returns when the owner has it and its hash is right.
func (c *Client) Put(ctx context.Context, id host.ID, p train.Put, data []byte) error {
	p.Bytes = uint64(len(data))
	return c.ask(ctx, id, func(l *link) error {
		b, err := wire.Encode(&p)
		if err != nil {
			return err
		}
		if err := l.w.Write(train.TypePut, b); err != nil {
			return err
		}
		if err := writeData(ctx, l.w, c.turn, data); err != nil {
			return err
		}
		_, err = l.next(train.TypeTaken)
		return err
	})
}

// Tell brings messages of a job.
func (c *Client) Tell(ctx context.Context, id host.ID, b *train.Bundle) error {
	return c.ask(ctx, id, func(l *link) error {
		if err := l.send(train.TypeTell, b); err != nil {
			return err
		}
		_, err := l.next(train.TypeTaken)
		return err
	})
}

// Get fetches the result of a slice, of the size of data, and checks its hash.
func (c *Client) Get(ctx context.Context, id host.ID, g train.Get, data []byte) error {
	return c.ask(ctx, id, func(l *link) error {
		if err := l.send(train.TypeGet, &g); err != nil {
			return err
		}
		n, err := l.next(train.TypeData)
		if err != nil {
			return err
		}
		hash, err := readData(l.r, n, data)
		if err == nil && hash != g.Result {
			err = ErrHash
		}
		return err
	})
}

// Chain fetches certificates from a round on, as their senders signed them and opened. Their
// form and those signatures have been checked, nothing else.
func (c *Client) Chain(ctx context.Context, id host.ID, q train.Chain) (sealed []*train.Sealed, list []*train.Certificate, err error) {
	err = c.ask(ctx, id, func(l *link) error {
		sealed, list = nil, nil
		return l.list(train.TypeChain, &q, train.TypeSealed, func(b []byte) error {
			if len(list) == protocol.MaxTrainChain {
				return fmt.Errorf("over %d certificates", protocol.MaxTrainChain)
			}
			s := new(train.Sealed)
			if err := wire.Decode(b, s); err != nil {
				return err
			}
			body, err := s.Open()
			if err != nil {
				return err
			}
			cert, ok := body.(*train.Certificate)
			if !ok || cert.Outcome.Job != q.Job {
				return fmt.Errorf("kind %d among certificates", s.Kind)
			}
			sealed, list = append(sealed, s), append(list, cert)
			return nil
		})
	})
	return sealed, list, err
}

// Job fetches a job, as its initiator signed it.
func (c *Client) Job(ctx context.Context, id host.ID, job train.Hash) (sealed *train.Sealed, body *train.Job, err error) {
	err = c.ask(ctx, id, func(l *link) error {
		sealed = nil
		return l.list(train.TypeJob, &train.Chain{Job: job}, train.TypeSealed, func(b []byte) error {
			s := new(train.Sealed)
			if err := wire.Decode(b, s); err != nil {
				return err
			}
			opened, err := s.Open()
			if err != nil {
				return err
			}
			j, ok := opened.(*train.Job)
			if !ok || sealed != nil || train.HashOf(s.Payload) != job {
				return fmt.Errorf("job %s: %w", job.Short(), ErrHash)
			}
			sealed, body = s, j
			return nil
		})
	})
	if err == nil && sealed == nil {
		err = fmt.Errorf("job %s: no answer", job.Short())
	}
	return sealed, body, err
}

// Board fetches the announcements of jobs that a peer has heard. Nothing of them is checked.
func (c *Client) Board(ctx context.Context, id host.ID) (list []*train.Sealed, err error) {
	err = c.ask(ctx, id, func(l *link) error {
		list = nil
		if err := errors.Join(l.w.Write(train.TypeBoard), l.w.Flush()); err != nil {
			return err
		}
		return l.rest(train.TypeSealed, func(b []byte) error {
			if len(list) == protocol.MaxTrainBoard {
				return fmt.Errorf("over %d announcements", protocol.MaxTrainBoard)
			}
			s := new(train.Sealed)
			list = append(list, s)
			return wire.Decode(b, s)
		})
	})
	return list, err
}

// Leaves fetches the hashes of the blocks of a state, at most limit. They are not checked
// against the root.
func (c *Client) Leaves(ctx context.Context, id host.ID, q train.State, limit int) (leaves []train.Hash, err error) {
	err = c.ask(ctx, id, func(l *link) error {
		leaves = nil
		return l.list(train.TypeState, &q, train.TypeLeaves, func(b []byte) error {
			const size = len(train.Hash{})
			if len(b)%size != 0 || len(leaves)+len(b)/size > limit {
				return fmt.Errorf("%d bytes of hashes after %d of %d", len(b), len(leaves), limit)
			}
			for ; len(b) > 0; b = b[size:] {
				leaves = append(leaves, train.Hash(b[:size]))
			}
			return nil
		})
	})
	return leaves, err
}

// list sends a request and reads frames of a type until an empty one of it.
func (l *link) list(ask frame.Type, m wire.Message, want frame.Type, take func(b []byte) error) error {
	if err := l.send(ask, m); err != nil {
		return err
	}
	return l.rest(want, take)
}

// rest reads frames of a type until an empty one of it.
func (l *link) rest(want frame.Type, take func(b []byte) error) error {
	for {
		n, err := l.next(want)
		if err != nil || n == 0 {
			return err
		}
		b, err := l.r.Rest()
		if err == nil {
			err = take(b)
		}
		if err != nil {
			return err
		}
	}
}

// turnBytes is how many bytes are sent at a time where there is a limit.
const turnBytes = 64 << 10

// writeData writes data in frames, each when it is its turn, and flushes.
func writeData(ctx context.Context, w *frame.Writer, turn Turn, data []byte) error {
	size := protocol.MaxTrainData
	if turn != nil {
		size = turnBytes
	}
	for at := 0; at < len(data); at += size {
		part := data[at:min(at+size, len(data))]
		if turn != nil {
			if err := w.Flush(); err != nil {
				return err
			}
			if err := turn(ctx, len(part)); err != nil {
				return err
			}
		}
		if err := w.Write(train.TypeData, part); err != nil {
			return err
		}
	}
	return w.Flush()
}

// readData fills data from frames, of which the header of the first one, of n bytes, has been read,
// and hashes it as it comes.
func readData(r *frame.Reader, n int, data []byte) (train.Hash, error) {
	var tree digest.Tree
	for at := 0; ; {
		if n == 0 || n > len(data)-at {
			return train.Hash{}, fmt.Errorf("frame of %d bytes after %d of %d", n, at, len(data))
		}
		for end := at + n; at < end; {
			next := min(hashAtOnce, end-at)
			if err := r.Payload(data[at : at+next]); err != nil {
				return train.Hash{}, err
			}
			at += next
			tree.Add(data[:at])
		}
		if at == len(data) {
			return tree.Root(data), nil
		}
		t, m, err := r.Header()
		if err != nil {
			return train.Hash{}, ended(err)
		}
		if t != train.TypeData {
			return train.Hash{}, fmt.Errorf("frame of type %d among data", t)
		}
		n = m
	}
}
