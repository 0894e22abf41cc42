package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// dialNext opens the rest of the chain, while the initiator hears that it goes on.
func (ses *session) dialNext(ctx context.Context) error {
	if ses.open.Last() {
		return nil
	}
	defer ses.beat()()
	hop, open := ses.open.Next(time.Until(ses.deadline))
	opts := infer.Options{MaxVector: ses.answers().MaxVector(1), Told: ses.waitFor}
	open.ProgressMs = 0
	if hop.Progress {
		opts.Silence, open.ProgressMs = infer.Silence, uint32(infer.Beat.Milliseconds())
	}
	ses.waitFor("")
	defer ses.at.Store(host.ID(""))
	limited, cancel := context.WithTimeout(ctx, infer.OpenTimeout(len(ses.open.Route)))
	defer cancel()
	s, err := ses.w.cfg.Dialer.Dial(limited, hop)
	if err == nil {
		ses.next, err = opts.Open(limited, s, open)
	}
	if err != nil {
		return ses.upstream(ctx, err)
	}
	return nil
}

// stepNext runs a step on the rest of the chain and checks what comes back.
func (ses *session) stepNext(ctx context.Context, st *wire.InferStep, hidden []float32) (*wire.InferResult, []float32, error) {
	forward := *st
	ses.waitFor("")
	defer ses.at.Store(host.ID(""))
	limited, cancel := context.WithTimeout(ctx, infer.StepTimeout(len(st.Tokens), len(ses.open.Route)))
	defer cancel()
	res, vec, err := ses.next.Step(limited, &forward, hidden)
	if err == nil {
		err = ses.answers().Check(st, res, vec)
	}
	if err != nil {
		return nil, nil, ses.upstream(ctx, err)
	}
	return res, vec, nil
}

func (ses *session) closeNext(err error) {
	if ses.next == nil {
		return
	}
	reason := "done"
	if err != nil {
		reason = "error"
	}
	_ = ses.next.Close(reason) // it ends by its deadline if it does not hear this
}

// answers is what the results of the model look like.
func (ses *session) answers() infer.Answer {
	c := ses.stage.loaded.Config()
	return infer.Answer{Vocab: c.Vocab(), Width: c.Width(), Rows: ses.numeric(), Logprobs: ses.open.Sampling.Logprobs}
}

// waitFor notes which later hop is waited for: the next one, if it names none behind it.
func (ses *session) waitFor(at host.ID) {
	if !slices.ContainsFunc(ses.open.Route, func(h wire.Hop) bool { return h.Peer == at }) {
		at = ses.open.Route[0].Peer
	}
	ses.at.Store(at)
}

// beat tells the initiator, if it asked for that, that its open or step is worked on, until
// the function that it returns is called. Nothing else may be sent before.
func (ses *session) beat() func() {
	every := ses.open.Progress()
	if every == 0 {
		return func() {}
	}
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-quit:
				return
			case <-t.C:
			}
			// A stream that cannot take a deadline is dead: what is sent next tells.
			_ = ses.s.SetWriteDeadline(ses.frameDeadline())
			at, _ := ses.at.Load().(host.ID)
			if errors.Join(ses.send(wire.TypeProgress, &wire.InferProgress{Peer: at}), ses.out.Flush()) != nil {
				return // the answer fails as well
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// upstream makes the failure of the chain behind an error that names the hop at fault: the
// next one, or the one behind it that it blames. ctx is the session's: its end is no fault.
func (ses *session) upstream(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return stepError(0, ctx.Err())
	}
	next := ses.open.Route[0].Peer
	e := wire.Errorf(wire.CodeUpstream, "%v", err)
	e.Peer = next
	var refusal *wire.Error
	if !errors.As(err, &refusal) {
		return e
	}
	switch {
	case refusal.Peer == "" || refusal.Peer == next:
		if passedOn(refusal.Code) {
			e.Code, e.RetryAfterMs = refusal.Code, refusal.RetryAfterMs
		}
	case slices.ContainsFunc(ses.open.Route[1:], func(h wire.Hop) bool { return h.Peer == refusal.Peer }):
		return refusal
	case refusal.Code == wire.CodeBadInput && refusal.Peer == ses.w.cfg.Self: // what was sent is known to be good
	default:
		e.Message = wire.Errorf(0, "it blames %s, which is not behind it: %s", refusal.Peer, refusal.Message).Message
	}
	return e
}

// passedOn reports whether the initiator is to learn the code of a later hop's error.
func passedOn(c wire.Code) bool {
	switch c {
	case wire.CodeBusy, wire.CodeNotHosting, wire.CodeNoMemory, wire.CodeBadRequest, wire.CodeDeadline, wire.CodeModel:
		return true
	}
	return false
}
