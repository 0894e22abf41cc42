package infer

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/covey-network/covey/node/host"
)

// The pace that is expected of a peer, see protocol/spec/infer.md.
const (
	// Beat is how often a peer is asked to tell its progress.
	Beat = 250 * time.Millisecond
	// Silence is after how long without a byte a peer that tells its progress hangs, round
	// trip not included: four beats of it did not come.
	Silence = 1200 * time.Millisecond
	// Stall is how long a frame that has begun may rest.
	Stall = 2 * time.Second
	// pieceSize is what a writer must be able to place within Stall.
	pieceSize = 32 << 10
)

// ErrSilent means that nothing came from a peer for as long as it may be silent.
var ErrSilent = errors.New("peer is silent")

// Paced reads and writes a stream and gives up when it rests for too long. One goroutine at
// a time may use it.
type Paced struct {
	s     host.Stream
	limit time.Time     // of each operation that has a deadline set here
	rest  time.Duration // the longest time without a byte while reading; 0: the stream's own deadline holds
	wrote bool          // a write has replaced the stream's deadline
}

// NewPaced returns a Paced of s whose reads may rest as long as the stream allows.
func NewPaced(s host.Stream) *Paced { return &Paced{s: s} }

// Bound says until when reads and writes must be done, and for how long a read may rest.
func (p *Paced) Bound(limit time.Time, rest time.Duration) { p.limit, p.rest = limit, rest }

// Read implements io.Reader. The error is ErrSilent if no byte came in time.
func (p *Paced) Read(b []byte) (int, error) {
	until, resting := p.until(p.rest)
	if p.rest > 0 || p.wrote {
		p.wrote = false
		if err := p.s.SetReadDeadline(until); err != nil {
			return 0, err
		}
	}
	n, err := p.s.Read(b)
	if resting && errors.Is(err, os.ErrDeadlineExceeded) {
		err = fmt.Errorf("%w for %v", ErrSilent, p.rest)
	}
	return n, err
}

// Write implements io.Writer. The error is ErrSilent if the peer takes too little in time.
func (p *Paced) Write(b []byte) (n int, err error) {
	for n < len(b) {
		until, resting := p.until(Stall)
		p.wrote = true
		if err := p.s.SetDeadline(until); err != nil {
			return n, err
		}
		k, err := p.s.Write(b[n:min(len(b), n+pieceSize)])
		n += k
		if resting && errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("%w: took less than %d bytes in %v", ErrSilent, pieceSize, Stall)
		}
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

// until returns the deadline of an operation that may take up to rest, 0 for no bound of its
// own, and whether it is earlier than the limit.
func (p *Paced) until(rest time.Duration) (time.Time, bool) {
	if rest == 0 {
		return p.limit, false
	}
	t := time.Now().Add(rest)
	if p.limit.IsZero() || t.Before(p.limit) {
		return t, true
	}
	return p.limit, false
}
