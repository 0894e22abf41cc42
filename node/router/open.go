package router

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// hedgeAfter is how long a chain has to open a session before another one is tried as well,
// up to maxOpenings at once.
const (
	hedgeAfter  = 700 * time.Millisecond
	maxOpenings = 3
)

// open makes the message that opens a session on a chain.
func (c *Chain) open(id []byte, tokens int, left time.Duration, sampling wire.Sampling) *wire.InferOpen {
	o := &wire.InferOpen{
		Session: id, Model: c.Model, Range: c.Links[0].Range, MaxTokens: uint32(tokens),
		TimeoutMs: uint64(max(1, left.Milliseconds())), Sampling: sampling,
	}
	if c.Links[0].tells {
		o.ProgressMs = uint32(infer.Beat.Milliseconds())
	}
	for _, l := range c.Links[1:] {
		o.Route = append(o.Route, l.hop())
	}
	return o
}

func (l *Link) hop() wire.Hop {
	return wire.Hop{Peer: l.Peer, Range: l.Range, Addrs: l.addrs, Progress: l.tells}
}

// dial opens a session on a chain.
func (r *Router) dial(ctx context.Context, c *Chain, o *wire.InferOpen, opts infer.Options) (*infer.Client, error) {
	first := &c.Links[0]
	if first.tells {
		opts.Silence = infer.Silence + first.RTT
	}
	stream, err := r.cfg.Dial(ctx, first.hop())
	if err != nil {
		return nil, err
	}
	return opts.Open(ctx, stream, o)
}

// opening is a session that is being opened on a chain. What is below done may be read once
// it is closed, or the opening came out of the channel that it was begun with.
type opening struct {
	trial
	at      atomic.Value // host.ID: whom the chain waits for, as its first hop tells
	cancel  context.CancelFunc
	keep    func() bool     // lets it outlive the request
	late    context.Context // until it has taken too long
	tooLate context.CancelFunc
	done    chan struct{}
	client  *infer.Client
	err     error
}

// hangs returns the peer that the chain seems to wait for.
func (o *opening) hangs() host.ID { return o.chain.Links[o.later(o.waitsFor())].Peer }

// waitsFor returns the hop that the first one said it waits for, if any.
func (o *opening) waitsFor() host.ID {
	id, _ := o.at.Load().(host.ID)
	return id
}

// begin starts to open the session on a chain. What becomes of it is sent to finished, which
// has room for it.
func (s *Session) begin(ctx context.Context, c *Chain, finished chan<- *opening) (*opening, error) {
	o := &opening{trial: trial{c, &s.req, s.r.currentEpoch()}, done: make(chan struct{})}
	o.late, o.tooLate = context.WithCancel(context.WithoutCancel(ctx))
	message := c.open(s.id, s.req.tokens(), s.deadline.Sub(s.r.cfg.Now()), s.req.Sampling)
	opts := infer.Options{MaxVector: s.gives().MaxVector(s.req.Prompt), Told: func(at host.ID) { o.at.Store(at) }}
	cancel, ok := s.r.task(ctx, func(ctx context.Context) {
		defer func() {
			close(o.done)
			finished <- o
		}()
		ctx, cancel := context.WithTimeoutCause(ctx, infer.OpenTimeout(len(c.Links)), errSlow)
		defer cancel()
		ctx, giveUp := context.WithCancelCause(ctx)
		defer context.AfterFunc(o.late, func() { giveUp(errSlow) })()
		o.client, o.err = s.r.dial(ctx, c, message, opts)
	})
	if !ok {
		return nil, context.Canceled
	}
	o.cancel = cancel
	o.keep = context.AfterFunc(ctx, cancel)
	return o, nil
}

// leave lets an opening end by itself for a while, of which nobody waits for the outcome any
// more. If it fails its peers are blamed as for any other.
func (s *Session) leave(ctx context.Context, o *opening) {
	r, ended := s.r, ctx.Err() != nil
	if !ended {
		o.keep()
	}
	_, ok := r.task(ctx, func(ctx context.Context) {
		defer context.AfterFunc(ctx, o.cancel)()
		patient := time.AfterFunc(o.chain.openTime(), o.tooLate)
		defer patient.Stop()
		<-o.done
		if o.err == nil {
			_ = o.client.Close("another chain was faster") // it ends by its deadline if it does not hear this
		} else if v := o.examine(o.err, o.waitsFor()); !ended && ctx.Err() == nil && !v.objects && !errors.Is(o.err, infer.ErrUnsendable) {
			r.settle(ctx, o.trial, v)
		}
	})
	if !ok {
		o.cancel()
	}
}

// connect opens the session on the best chain there is now. If that takes long it tries
// other ones as well, and takes the first that opens.
func (s *Session) connect(ctx context.Context) (err error) {
	if s.desperate {
		defer func(began time.Time) {
			if err != nil {
				s.tried += s.r.cfg.Now().Sub(began)
			}
		}(s.r.cfg.Now())
	}
	req := s.req
	if n := len(s.tokens); n > req.Prompt { // the history has to go through the chain again
		req.Prompt, req.Answer = n, max(0, req.tokens()-n)
	}
	choice, err := s.r.plan(req, s.view(nil))
	if err != nil {
		return err
	}
	if choice.Chain.demerits >= failed && !s.desperate {
		return fmt.Errorf("%w without a peer that has just failed", ErrNoChain)
	}
	finished := make(chan *opening, maxOpenings)
	first, err := s.begin(ctx, choice.Chain, finished)
	if err != nil {
		return err
	}
	open, begun := []*opening{first}, 1
	hedge := time.NewTicker(hedgeAfter)
	defer hedge.Stop()
	for {
		select {
		case o := <-finished:
			open = slices.DeleteFunc(open, func(p *opening) bool { return p == o })
			if o.err == nil || len(open) == 0 {
				for _, p := range open {
					s.leave(ctx, p)
				}
				return s.take(o)
			}
			s.lost(ctx, o, o.err)
		case <-hedge.C:
			if begun == maxOpenings {
				hedge.Stop()
				continue
			}
			choice, err := s.r.plan(req, s.view(open))
			if err != nil || choice.Chain.demerits >= failed {
				continue // one may appear
			}
			s.r.cfg.Log.Debug("chain is slow to open, trying another as well", "chain", open[0].chain, "other", choice.Chain)
			if o, err := s.begin(ctx, choice.Chain, finished); err == nil {
				open = append(open, o)
				begun++
			}
		}
	}
}

// take makes an opening that is done the session's.
func (s *Session) take(o *opening) error {
	o.keep()
	s.current, s.chain, s.client = o, o.chain, o.client
	return o.err
}
