package trainer

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/trainer/transfer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

var _ transfer.Source = (*Trainer)(nil)

// Serve answers on a stream of protocol.Train.
func (t *Trainer) Serve(ctx context.Context, s host.Stream) {
	if err := transfer.Serve(ctx, s, t, t.net.turn); err != nil {
		t.cfg.Log.Debug("serving of training ended", "peer", s.Peer(), "err", err)
	}
}

// session returns the running session of a job.
func (t *Trainer) session(job train.Hash) (*session, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if s := t.sessions[job]; s != nil {
		return s, nil
	}
	return nil, wire.Errorf(wire.CodeNotHosting, "job %s is not trained here", job.Short())
}

func (t *Trainer) register(s *session) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if old := t.sessions[s.id]; old != nil {
		if old.retiredAt().IsZero() {
			return errors.New("this node trains the job already")
		}
		old.unserve(context.Background(), true)
	}
	t.sessions[s.id] = s
	return nil
}

func (t *Trainer) unregister(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.sessions, s.id)
}

// headerTime is how long a slice waits for the header that commits to it: who has seen all
// headers sends slices at once, and may be a little ahead.
const headerTime = 2 * time.Second

// Accept implements transfer.Source.
func (t *Trainer) Accept(ctx context.Context, from host.ID, p *train.Put) (into []byte, take func(train.Hash) error, err error) {
	s, err := t.session(p.Job)
	if err != nil {
		return nil, nil, err
	}
	if s.ctx.Err() != nil {
		return nil, nil, wire.Errorf(wire.CodeNotHosting, "job %s is over here", p.Job.Short())
	}
	d, h := s.committed(ctx, from, p.Round)
	if h == nil || d.me != int(p.Slice) || !d.together(from) || d.lots[d.me].at >= len(h.Slices) {
		busy := wire.Errorf(wire.CodeBusy, "slice %d of round %d is not expected here now", p.Slice, p.Round)
		busy.RetryAfterMs = 100
		return nil, nil, busy
	}
	lo, hi := d.span(d.me, int(s.job.Values))
	update, _ := s.codecs.of(len(d.members))
	if int(p.Bytes) != update.Size(lo, hi-lo) {
		return nil, nil, wire.Errorf(wire.CodeBadRequest, "slice of %d bytes, want %d", p.Bytes, update.Size(lo, hi-lo))
	}
	into = s.room.get(int(p.Bytes))
	return into, func(hash train.Hash) error {
		if hash != h.Slices[d.lots[d.me].at] {
			s.room.put(into)
			return wire.Errorf(wire.CodeBadRequest, "slice with another hash than was committed to")
		}
		news, kept := d.take(from, into)
		if !kept {
			s.room.put(into)
		}
		if !news { // the round is over, or it is here already
			return nil
		}
		return s.call(s.ctx, func() { s.machine.Slice(p.Round, from) })
	}, nil
}

// committed returns the data of a round and the header of a member in it, for which it waits a
// while if the round is the running or the next one; nil if there is none.
func (s *session) committed(ctx context.Context, from host.ID, n uint64) (*roundData, *train.Header) {
	late := time.NewTimer(headerTime)
	defer late.Stop()
	for {
		s.mu.Lock()
		d, now, changed := s.data[n], s.view.status.Round, s.changed
		if d != nil && d.headers[from] != nil {
			defer s.mu.Unlock()
			return d, d.headers[from]
		}
		s.mu.Unlock()
		if n < now || n > now+1 {
			return nil, nil
		}
		select {
		case <-changed:
		case <-late.C:
			return nil, nil
		case <-ctx.Done():
			return nil, nil
		case <-s.ctx.Done():
			return nil, nil
		}
	}
}

// Result implements transfer.Source.
func (t *Trainer) Result(_ context.Context, _ host.ID, g *train.Get) (data []byte, read func(), err error) {
	s, err := t.session(g.Job)
	if err != nil {
		return nil, nil, err
	}
	s.mu.Lock()
	d := s.data[g.Round]
	s.mu.Unlock()
	if d != nil {
		d.mu.Lock()
		defer d.mu.Unlock()
		if data := d.results[g.Result]; data != nil {
			d.readers++
			return data, d.read, nil
		}
	}
	if x := s.mixer.Load(); x != nil {
		if data := x.find(g.Result); data != nil {
			return data, func() {}, nil
		}
	}
	return nil, nil, wire.Errorf(wire.CodeNotHosting, "result of slice %d of round %d is not here", g.Slice, g.Round)
}

// Chain implements transfer.Source.
func (t *Trainer) Chain(_ host.ID, c *train.Chain) ([]*train.Sealed, error) {
	s, err := t.session(c.Job)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	total := uint64(max(0, len(s.starts)-1))
	if c.From < s.first || c.From-s.first >= total {
		s.mu.Unlock()
		return nil, nil
	}
	at := c.From - s.first
	n := min(protocol.MaxTrainChain, total-at)
	start, end := s.starts[at], s.starts[at+n]
	var list []*train.Sealed
	if old := total - uint64(len(s.chain)); at >= old {
		list = slices.Clone(s.chain[at-old : at-old+n])
	}
	s.mu.Unlock()
	if list == nil {
		list, err = s.files.readCertificates(start, end)
	}
	return list, err
}

// Job implements transfer.Source.
func (t *Trainer) Job(_ host.ID, job train.Hash) (*train.Sealed, error) {
	s, err := t.session(job)
	if err != nil {
		return nil, err
	}
	return s.sealed, nil
}

// Tell implements transfer.Source.
func (t *Trainer) Tell(_ host.ID, b *train.Bundle) error {
	job, ok := jobOf(&b.Messages[0])
	if !ok {
		return wire.Errorf(wire.CodeBadRequest, "messages of no job")
	}
	s, err := t.session(job)
	if err != nil {
		return err
	}
	if s.take(b) == host.Reject {
		return wire.Errorf(wire.CodeBadRequest, "messages that are not well-formed or not signed")
	}
	return nil
}

// jobOf returns the job that a signed message is of.
func jobOf(sealed *train.Sealed) (job train.Hash, ok bool) {
	b, err := sealed.Open()
	if err != nil {
		return job, false
	}
	switch v := b.(type) {
	case *train.Join:
		return v.Job, true
	case *train.Leave:
		return v.Job, true
	case *train.Header:
		return v.Job, true
	case *train.Reduced:
		return v.Job, true
	case *train.Proposal:
		return v.Job, true
	case *train.Vote:
		return v.Job, true
	case *train.Certificate:
		return v.Outcome.Job, true
	case *train.Stop:
		return v.Job, true
	case *train.Vector:
		return v.Job, true
	}
	return job, false
}

// State implements transfer.Source.
func (t *Trainer) State(ctx context.Context, from host.ID, q *train.State) ([]train.Hash, error) {
	s, err := t.session(q.Job)
	if err != nil {
		return nil, err
	}
	return s.state(ctx, from, q.Root)
}
