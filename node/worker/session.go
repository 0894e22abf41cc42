package worker

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/sample"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// Draw samples the token after history from the logits of its last position. promptLen is
// how many tokens of history are prompt. It must depend on its arguments only.
type Draw func(p wire.Sampling, logits []float32, history []int32, promptLen int) (wire.Sampled, error)

// session is one stream's session on a stage.
type session struct {
	w        *Worker
	s        host.Stream
	r        *frame.Reader
	out      *frame.Writer
	stage    *stage
	client   client
	open     wire.InferOpen
	deadline time.Time      // of the session
	memory   *model.Session // nil for encoders
	next     *infer.Client  // nil on the last stage
	pace     *infer.Paced   // what r reads from
	at       atomic.Value   // host.ID: the later hop that is waited for
	history  []int32
	hidden   []float32
	buf      []byte
	bytes    int64 // reserved for memory, and for hidden and the frame it comes in
}

// Serve handles one infer stream: a session from its open to its end. It returns when the
// session is over, and has then closed s.
func (w *Worker) Serve(ctx context.Context, s host.Stream) {
	ses := &session{w: w, s: s, pace: infer.NewPaced(s), out: frame.NewWriter(s)}
	ses.r = frame.NewReader(ses.pace, wire.InferServerLimits(protocol.MaxTensor+protocol.MaxTensorHeader))
	err := ses.run(ctx)
	if err == nil {
		_ = s.Close() // everything was answered
		return
	}
	var refusal *wire.Error
	if !errors.As(err, &refusal) {
		refusal = wire.Errorf(wire.CodeInternal, "%v", err)
	}
	w.metrics.refused.WithLabelValues(refusal.Code.String()).Inc()
	w.cfg.Log.Debug("session ended", "peer", s.Peer(), "err", err)
	ses.farewell(refusal)
}

// farewell sends the error that ends the session, while it takes what the peer still sends:
// both would wait for each other if the stream buffers little.
func (ses *session) farewell(e *wire.Error) {
	_ = ses.s.SetDeadline(time.Now().Add(protocol.StreamIdleTimeout)) // what ended the session may be its deadline
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, ses.s)
	}()
	if ses.send(wire.TypeError, e) == nil && ses.out.Flush() == nil {
		_ = ses.s.Close()
	} else {
		_ = ses.s.Reset() // the peer is gone
	}
	<-drained
}

func (ses *session) run(ctx context.Context) error {
	if err := ses.s.SetDeadline(time.Now().Add(protocol.StreamIdleTimeout)); err != nil {
		return err
	}
	if err := ses.readOpen(); err != nil {
		return err
	}
	ses.deadline = time.Now().Add(ses.open.Timeout())
	ctx, cancel := context.WithDeadline(ctx, ses.deadline)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = ses.s.Reset() })
	defer stop()
	if err := ses.begin(); err != nil {
		return err
	}
	defer ses.end()
	ses.w.metrics.sessions.Inc()
	defer ses.watchStage()()
	if err := ses.dialNext(ctx); err != nil {
		return err
	}
	opened := &wire.InferOpened{MaxTokens: ses.open.MaxTokens}
	if !ses.open.Last() {
		opened.Hidden = uint32(ses.stage.loaded.Config().Dim())
	}
	if err := ses.s.SetDeadline(ses.frameDeadline()); err != nil {
		return err
	}
	if err := errors.Join(ses.send(wire.TypeInferOpened, opened), ses.out.Flush()); err != nil {
		return err
	}
	for {
		more, err := ses.step(ctx)
		if err != nil || !more {
			ses.closeNext(err)
			return err
		}
	}
}

// watchStage lets a read that waits for the next step end with the stage. The function it
// returns ends that.
func (ses *session) watchStage() func() {
	set := make(chan struct{})
	stop := context.AfterFunc(ses.stage.life, func() {
		_ = ses.s.SetReadDeadline(time.Unix(1, 0))
		close(set)
	})
	return func() {
		if !stop() {
			<-set // or it would undo a deadline set later
		}
	}
}

// frameDeadline is until when the peer must have sent or taken a frame.
func (ses *session) frameDeadline() time.Time {
	idle := time.Now().Add(protocol.InferIdleTimeout)
	if ses.deadline.Before(idle) {
		return ses.deadline
	}
	return idle
}

func (ses *session) readOpen() error {
	t, payload, err := ses.r.Next()
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return wire.Errorf(wire.CodeDeadline, "no open for %v", protocol.StreamIdleTimeout)
	}
	if err != nil {
		return err
	}
	if t != wire.TypeInferOpen {
		return wire.Errorf(wire.CodeBadRequest, "first frame has type %d, want an open", t)
	}
	if err := wire.Decode(payload, &ses.open); err != nil {
		return wire.Errorf(wire.CodeBadRequest, "%v", err)
	}
	return nil
}

// begin finds the stage and reserves the session's memory.
func (ses *session) begin() error {
	w, o := ses.w, &ses.open
	ses.stage = w.find(o.Model, o.Range)
	if ses.stage == nil {
		return wire.Errorf(wire.CodeNotHosting, "%s of model %s is not served here", Describe(o.Range), o.Model)
	}
	ses.bytes = ses.stage.loaded.SessionBytes(int(o.MaxTokens))
	ses.client = w.client(ses.s.Peer())
	if err := w.enter(ses.client, ses.stage); err != nil {
		return err
	}
	err := w.reserveFor(ses.client, ses.bytes)
	if err != nil {
		ses.bytes = 0
		err = wire.Errorf(wire.CodeNoMemory, "%v", err)
	} else if ses.stage.loaded.Config().Task() == model.TaskGenerate {
		if ses.memory, err = ses.stage.loaded.NewSession(int(o.MaxTokens)); err != nil {
			err = wire.Errorf(wire.CodeBadRequest, "%v", err)
		}
	}
	if err != nil {
		ses.end()
	}
	return err
}

// end gives back what begin took.
func (ses *session) end() {
	if ses.memory != nil {
		ses.memory.Close()
	}
	ses.w.releaseFor(ses.client, ses.bytes)
	ses.w.leave(ses.client, ses.stage)
}

// enter counts a session in, if the client may have one more.
func (w *Worker) enter(c client, s *stage) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.refuseSession(c); err != nil {
		return err
	}
	if s.life.Err() != nil { // since it was found
		return wire.Errorf(wire.CodeNotHosting, "%v", errStopped)
	}
	w.sessions++
	if c.peer != w.cfg.Self {
		w.others.add(c, use{sessions: 1})
	}
	s.sessions++
	return nil
}

// leave counts a session out.
func (w *Worker) leave(c client, s *stage) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.sessions--
	if c.peer != w.cfg.Self {
		w.others.add(c, use{sessions: -1})
	}
	if s.sessions--; s.sessions == 0 && s.life.Err() != nil {
		w.used -= s.bytes
	}
}

// step reads one frame and does what it asks for. It returns false after the last.
func (ses *session) step(ctx context.Context) (bool, error) {
	if err := ses.s.SetReadDeadline(ses.frameDeadline()); err != nil {
		return false, err
	}
	if ses.stage.life.Err() != nil {
		return false, stepError(0, errStopped)
	}
	t, payload, err := ses.r.Next()
	switch {
	case errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return false, nil
	case err != nil && ses.stage.life.Err() != nil:
		return false, stepError(0, errStopped)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return false, wire.Errorf(wire.CodeDeadline, "no step for %v", protocol.InferIdleTimeout)
	case err != nil:
		return false, err
	}
	switch t {
	case wire.TypeInferClose:
		return false, nil
	case wire.TypeInferStep:
	default:
		return false, wire.Errorf(wire.CodeUnsupported, "frame type %d", t)
	}
	var st wire.InferStep
	if err := wire.Decode(payload, &st); err != nil {
		return false, wire.Errorf(wire.CodeBadRequest, "%v", err)
	}
	stop := ses.beat() // a tensor takes longer on a slow link than a peer may be silent
	res, vec, err := ses.work(ctx, &st)
	stop()
	if err != nil {
		return false, stepError(st.Seq, err)
	}
	res.Seq = st.Seq
	return !st.Final, ses.answer(res, vec)
}

// work takes what belongs to a step, and runs it.
func (ses *session) work(ctx context.Context, st *wire.InferStep) (*wire.InferResult, []float32, error) {
	if err := ses.readInput(st); err != nil {
		return nil, nil, err
	}
	return ses.compute(ctx, st)
}

func stepError(seq uint64, err error) error {
	var e *wire.Error
	switch {
	case errors.As(err, &e):
	case errors.Is(err, errFull):
		e = &wire.Error{Code: wire.CodeBusy, Message: err.Error(), RetryAfterMs: 500}
	case errors.Is(err, errStopped):
		e = wire.Errorf(wire.CodeNotHosting, "%v", err)
	case errors.Is(err, context.DeadlineExceeded):
		e = wire.Errorf(wire.CodeDeadline, "session's time is over")
	case errors.Is(err, context.Canceled):
		e = wire.Errorf(wire.CodeClosed, "peer is stopping")
	default:
		e = wire.Errorf(wire.CodeInternal, "%v", err)
	}
	e.Seq = seq
	return e
}

// readInput reads the hidden state if one follows, and brings history and memory to the
// step's position.
func (ses *session) readInput(st *wire.InferStep) error {
	ses.hidden = ses.hidden[:0]
	if most := ses.stage.loaded.Config().ContextLen(); ses.numeric() && (st.Position != 0 || len(st.Tokens) > most) {
		return wire.Errorf(wire.CodeBadRequest, "step of %d at %d for a model of images or tables, want at most %d at 0", len(st.Tokens), st.Position, most)
	}
	if st.Tensor {
		if err := ses.reserveInput(len(st.Tokens)); err != nil {
			return err
		}
		if err := ses.readTensor(len(st.Tokens)); err != nil {
			return err
		}
	}
	if ses.numeric() != (st.Tensor && ses.open.Range.Embed) || !st.Tensor && !ses.open.Range.Embed {
		return wire.Errorf(wire.CodeBadRequest, "a stage takes tokens if it has the embedding, else a hidden state; a model of images or tables takes numbers")
	}
	pos := int(st.Position)
	if pos > len(ses.history) || pos+len(st.Tokens) > int(ses.open.MaxTokens) {
		return wire.Errorf(wire.CodeBadRequest, "step at %d of %d tokens in a session of %d with %d", pos, len(st.Tokens), ses.open.MaxTokens, len(ses.history))
	}
	if vocab := ses.stage.loaded.Config().Vocab(); vocab > 0 {
		for _, t := range st.Tokens {
			if int(t) >= vocab {
				return wire.Errorf(wire.CodeBadRequest, "token %d of a vocabulary of %d", t, vocab)
			}
		}
	}
	if int(st.PromptLen) > pos+len(st.Tokens) {
		return wire.Errorf(wire.CodeBadRequest, "prompt of %d tokens in a session of %d", st.PromptLen, pos+len(st.Tokens))
	}
	if ses.memory != nil && pos < ses.memory.Len() {
		if err := ses.memory.Rollback(pos); err != nil {
			return wire.Errorf(wire.CodeBadRequest, "%v", err)
		}
	}
	ses.history = append(ses.history[:pos], st.Tokens...)
	return nil
}

// readTensor reads what a step announces, which must come without a rest.
func (ses *session) readTensor(tokens int) error {
	dim := ses.stage.loaded.Config().Dim()
	latest := time.Now().Add(infer.TensorTimeout(4 * int64(tokens) * int64(dim)))
	if d := ses.frameDeadline(); d.Before(latest) {
		latest = d
	}
	ses.pace.Bound(latest, infer.Stall)
	defer ses.pace.Bound(time.Time{}, 0)
	t, n, err := ses.r.Header()
	switch most := 4*tokens*dim + protocol.MaxTensorHeader; {
	case err != nil:
	case t != wire.TypeTensor:
		return ses.badInput("frame type %d, want the step's tensor", t)
	case n > most: // no more than is reserved
		return ses.badInput("tensor of %d bytes for %d tokens of width %d, want at most %d", n, tokens, dim, most)
	}
	var payload []byte
	if err == nil {
		payload, err = ses.r.Rest()
	}
	switch {
	case errors.Is(err, infer.ErrSilent), errors.Is(err, os.ErrDeadlineExceeded):
		return ses.badInput("tensor does not come on: %v", err)
	case err != nil:
		return err
	}
	var rows int
	if ses.hidden, rows, err = infer.ReadVector(ses.hidden, payload); err != nil {
		return ses.badInput("%v", err)
	}
	if rows != tokens || len(ses.hidden) != rows*dim {
		return ses.badInput("hidden state of %d rows and %d values for %d tokens of width %d", rows, len(ses.hidden), tokens, dim)
	}
	if !infer.Finite(ses.hidden) {
		return ses.badInput("values that are not finite")
	}
	return nil
}

// badInput is the fault of whoever sent the step's tensor: the hop before, or the initiator
// if the chain begins here.
func (ses *session) badInput(format string, args ...any) error {
	if ses.numeric() {
		return wire.Errorf(wire.CodeBadRequest, format, args...)
	}
	e := wire.Errorf(wire.CodeBadInput, format, args...)
	e.Peer = ses.s.Peer()
	return e
}

// numeric reports whether the stage is a model of images or tables.
func (ses *session) numeric() bool { return ses.stage.loaded.Config().TakesNumbers() }

// reserveInput reserves the memory for a hidden state of so many tokens, and for the frame
// it comes in, where it is longer than those before.
func (ses *session) reserveInput(tokens int) error {
	more := 4 * int64(ses.stage.loaded.Config().Dim()) * int64(tokens-cap(ses.hidden)/ses.stage.loaded.Config().Dim())
	if more <= 0 {
		return nil
	}
	if err := ses.w.reserveFor(ses.client, 2*more); err != nil {
		return wire.Errorf(wire.CodeNoMemory, "%v", err)
	}
	ses.bytes += 2 * more
	return nil
}

// compute runs the stage and what is behind it.
func (ses *session) compute(ctx context.Context, st *wire.InferStep) (*wire.InferResult, []float32, error) {
	in := model.Input{Session: ses.memory}
	switch {
	case ses.numeric():
		in.Numbers = ses.hidden
	case ses.open.Range.Embed:
		in.Tokens = st.Tokens
	default:
		in.Hidden = ses.hidden
	}
	if ses.open.Range.Head && !ses.numeric() {
		switch st.Want {
		case wire.WantToken:
			in.Logits = model.LogitsLast
		case wire.WantAll:
			in.Logits = model.LogitsAll
		}
	}
	done := ses.stage.do(ctx, in)
	if errors.Is(done.err, model.ErrNotFinite) {
		return nil, nil, ses.notFinite()
	}
	if done.err != nil {
		return nil, nil, done.err
	}
	timing := wire.Timing{Peer: ses.w.cfg.Self, ComputeNs: uint64(max(0, done.compute)), QueueNs: uint64(max(0, done.queue))}
	if ses.next != nil {
		res, vec, err := ses.stepNext(ctx, st, done.out.Hidden)
		if err != nil {
			return nil, nil, err
		}
		res.Timings = slices.Insert(res.Timings, 0, timing)
		return res, vec, nil
	}
	res := &wire.InferResult{Length: uint32(len(ses.history)), Timings: []wire.Timing{timing}}
	vec, err := ses.finish(st, done.out, res)
	return res, vec, err
}

// finish makes the result of the last stage.
func (ses *session) finish(st *wire.InferStep, out model.Output, res *wire.InferResult) ([]float32, error) {
	switch st.Want {
	case wire.WantToken, wire.WantAll:
		if out.Logits == nil {
			return nil, wire.Errorf(wire.CodeBadRequest, "tokens wanted from a stage that gives none")
		}
		vocab := ses.stage.loaded.Config().Vocab()
		first := len(ses.history) - len(out.Logits)/vocab + 1
		for i := 0; i < len(out.Logits)/vocab; i++ {
			tok, err := ses.w.cfg.Draw(ses.open.Sampling, out.Logits[i*vocab:(i+1)*vocab], ses.history[:first+i], min(int(st.PromptLen), first+i))
			if errors.Is(err, sample.ErrNotFinite) {
				return nil, ses.notFinite()
			}
			if err != nil {
				return nil, wire.Errorf(wire.CodeInternal, "%v", err)
			}
			res.Tokens = append(res.Tokens, tok)
		}
		return nil, nil
	case wire.WantPooled:
		if out.Pooled == nil {
			return nil, wire.Errorf(wire.CodeBadRequest, "pooled vector wanted from a model that gives none")
		}
		return out.Pooled, nil
	}
	return nil, nil
}

// notFinite is the model's fault: its input was finite.
func (ses *session) notFinite() error {
	return wire.Errorf(wire.CodeModel, "%s of model %s gives values that are not finite", Describe(ses.open.Range), ses.open.Model)
}

func (ses *session) answer(res *wire.InferResult, vec []float32) error {
	res.Tensor = vec != nil
	if err := ses.s.SetDeadline(ses.frameDeadline()); err != nil {
		return err
	}
	if err := ses.send(wire.TypeInferResult, res); err != nil {
		return err
	}
	if vec != nil {
		var err error
		if ses.buf, err = infer.WriteVector(ses.out, ses.buf, vec, 1); err != nil {
			return err
		}
	}
	return ses.out.Flush()
}

func (ses *session) send(t frame.Type, m wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return ses.out.Write(t, b)
}
