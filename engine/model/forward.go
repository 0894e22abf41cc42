package model

import (
	"context"
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/nn"
)

// LogitsWanted says for which tokens of an input the head computes logits.
type LogitsWanted uint8

// The choices of logits.
const (
	LogitsNone LogitsWanted = iota
	LogitsLast              // of the last token: what follows the input
	LogitsAll               // of every token; the caller bounds how many those are
)

// ErrNotFinite is the error of a pass whose result is NaN or infinite: the model is broken,
// or its numbers overflow with this input, on whatever machine it runs. Logits are not
// looked at here but where tokens are drawn from them.
var ErrNotFinite = errors.New("the model gives values that are not finite")

// headRows is how many rows of different inputs the head takes at once; it bounds the
// memory of their logits.
const headRows = 16

// Input is one sequence's share of a batch: the next tokens of a session, or a whole text
// for an encoder.
type Input struct {
	Session *Session
	Tokens  []int32   // where the stage has the embedding
	Types   []int32   // token types for an encoder with the embedding; nil means all 0
	Hidden  []float32 // (n, dim), what the stage before gave, where it has no embedding; read only
	Numbers []float32 // of an image (channels, height, width) or of rows of a table (n, inputs), where the model takes them; read only
	Logits  LogitsWanted
}

// Output is what became of an Input. The slices are valid until the next forward pass of
// the same session; without a session they belong to the caller.
type Output struct {
	Hidden []float32 // (n, dim), from a stage without head
	Logits []float32 // (1 or n, vocab), as wanted, from a decoder's head
	Pooled []float32 // embedding or class scores of an encoder; (n, scores or 1) of a model that takes numbers
}

// pass is the scratch of forward passes.
type pass struct {
	jobs  []job
	spans []nn.Span
	x     []float32 // (rows, dim) hidden states of a chunk
	last  []float32 // (headRows, dim) rows that the head takes
	logit []float32 // (headRows, vocab)
	picks []int     // jobs the rows of last belong to
}

// job is an input on its way.
type job struct {
	in     *Input
	out    *Output
	n, pos int // tokens of the input; the session's length before
	done   int // tokens that are through
}

// Forward runs a batch of inputs of different sessions, n ≥ 1 tokens each. The products
// with the weights take the rows of all inputs together. A session's result does not
// depend on what else is in the batch. One result that is not finite is [ErrNotFinite] for
// the whole batch. On an error, or when ctx ends, no session has
// changed.
func (s *Stage) Forward(ctx context.Context, batch []Input) ([]Output, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Output, len(batch))
	if s.numeric != nil {
		if err := s.runNumeric(ctx, batch, out); err != nil {
			return nil, fmt.Errorf("run stage: %w", err)
		}
		return out, nil
	}
	if err := s.begin(batch, out); err != nil {
		return nil, fmt.Errorf("run stage: %w", err)
	}
	if err := s.run(ctx); err != nil {
		s.abort()
		return nil, fmt.Errorf("run stage: %w", err)
	}
	s.commit()
	return out, nil
}

// begin checks the inputs and reserves their sessions.
func (s *Stage) begin(batch []Input, out []Output) error {
	s.jobs = s.jobs[:0]
	for i := range batch {
		in := &batch[i]
		n, err := s.check(in)
		if err == nil && in.Session != nil {
			var pos int
			if pos, err = in.Session.Begin(s, n); err == nil {
				s.jobs = append(s.jobs, job{in: in, out: &out[i], n: n, pos: pos})
			}
		} else if err == nil {
			s.jobs = append(s.jobs, job{in: in, out: &out[i], n: n})
		}
		if err != nil {
			s.abort()
			return fmt.Errorf("input %d: %w", i, err)
		}
	}
	return nil
}

func (s *Stage) abort() {
	for i := range s.jobs {
		if ses := s.jobs[i].in.Session; ses != nil {
			ses.Abort()
		}
	}
	s.forget()
}

func (s *Stage) commit() {
	for i := range s.jobs {
		j := &s.jobs[i]
		switch {
		case j.in.Session == nil:
		case s.encoder != nil:
			j.in.Session.Commit(0)
		default:
			j.in.Session.Commit(j.n)
		}
	}
	s.forget()
}

// forget drops what the scratch refers to, so that it keeps no caller's memory alive.
func (s *Stage) forget() {
	clear(s.jobs[:cap(s.jobs)])
	clear(s.spans[:cap(s.spans)])
	s.jobs, s.spans = s.jobs[:0], s.spans[:0]
}

// check validates an input and returns its number of tokens.
func (s *Stage) check(in *Input) (int, error) {
	n := len(in.Tokens)
	switch {
	case len(in.Numbers) > 0:
		return 0, errors.New("numbers for a model that takes tokens")
	case in.Logits > LogitsAll:
		return 0, fmt.Errorf("logits %d are not a choice", in.Logits)
	case s.rng.Embed && len(in.Hidden) > 0:
		return 0, errors.New("hidden states for a stage with embedding: it takes tokens")
	case !s.rng.Embed && n > 0:
		return 0, errors.New("tokens for a stage without embedding: it takes hidden states")
	case !s.rng.Embed && len(in.Hidden)%s.cfg.Dim() != 0:
		return 0, fmt.Errorf("%d hidden values are no multiple of the width %d", len(in.Hidden), s.cfg.Dim())
	case s.decoder != nil && in.Session == nil:
		return 0, errors.New("no session")
	}
	if !s.rng.Embed {
		n = len(in.Hidden) / s.cfg.Dim()
	}
	if n == 0 {
		return 0, errors.New("no tokens")
	}
	for i, id := range in.Tokens {
		if id < 0 || int(id) >= s.cfg.Vocab() {
			return 0, fmt.Errorf("token %d is %d, want 0 to %d", i, id, s.cfg.Vocab()-1)
		}
	}
	if s.encoder != nil && n > s.cfg.ContextLen() {
		return 0, fmt.Errorf("%d tokens, the model takes at most %d", n, s.cfg.ContextLen())
	}
	return n, s.checkTypes(in)
}

func (s *Stage) checkTypes(in *Input) error {
	if in.Types == nil {
		return nil
	}
	if s.encoder == nil || !s.rng.Embed {
		return errors.New("token types for a stage that takes none")
	}
	if len(in.Types) != len(in.Tokens) {
		return fmt.Errorf("%d token types for %d tokens", len(in.Types), len(in.Tokens))
	}
	for i, t := range in.Types {
		if t < 0 || int(t) >= s.cfg.Bert.Types {
			return fmt.Errorf("type of token %d is %d, want 0 to %d", i, t, s.cfg.Bert.Types-1)
		}
	}
	return nil
}

// run takes the jobs through the stage in chunks of bounded size.
func (s *Stage) run(ctx context.Context) error {
	dim := s.cfg.Dim()
	for first := 0; first < len(s.jobs); {
		if err := ctx.Err(); err != nil {
			return err
		}
		rows := s.nextChunk(first)
		s.x = nn.Grow(s.x, rows*dim)
		if s.rng.Embed {
			s.net.Embed(s.x, s.spans)
		} else {
			for i, sp := range s.spans {
				j := &s.jobs[first+i]
				copy(s.x[sp.Lo*dim:sp.Hi*dim], j.in.Hidden[j.done*dim:])
			}
		}
		if err := s.net.Blocks(ctx, s.x, s.spans); err != nil {
			return err
		}
		if err := s.collect(first); err != nil {
			return err
		}
		for i, sp := range s.spans {
			s.jobs[first+i].done += sp.Len()
		}
		for first < len(s.jobs) && s.jobs[first].done == s.jobs[first].n {
			first++
		}
	}
	return nil
}

// nextChunk fills spans with the next rows of the jobs from first on, one span a job, and
// returns the number of rows. An encoder's text is never split.
func (s *Stage) nextChunk(first int) int {
	s.spans = s.spans[:0]
	rows := 0
	for i := first; i < len(s.jobs) && rows < s.rows; i++ {
		j := &s.jobs[i]
		take := min(j.n-j.done, s.rows-rows)
		if s.encoder != nil {
			take = j.n
			if rows > 0 && rows+take > s.rows {
				break
			}
		}
		sp := nn.Span{Session: j.in.Session, Pos: j.pos + j.done, Lo: rows, Hi: rows + take}
		if s.rng.Embed {
			sp.Tokens = j.in.Tokens[j.done : j.done+take]
			if j.in.Types != nil {
				sp.Types = j.in.Types[j.done : j.done+take]
			}
		}
		s.spans = append(s.spans, sp)
		rows += take
	}
	return rows
}

// collect hands the chunk's results to the outputs; the first span belongs to job first.
func (s *Stage) collect(first int) error {
	dim := s.cfg.Dim()
	for i, sp := range s.spans {
		j, x := &s.jobs[first+i], s.x[sp.Lo*dim:sp.Hi*dim]
		switch {
		case !s.rng.Head:
			if !finite(x) {
				return fmt.Errorf("input %d: %w", first+i, ErrNotFinite)
			}
			if j.out.Hidden == nil {
				j.out.Hidden = j.buffer(nn.OutHidden, j.n*dim)
			}
			copy(j.out.Hidden[j.done*dim:], x)
		case s.encoder != nil:
			j.out.Pooled = make([]float32, s.encoder.OutWidth())
			if s.encoder.Head(j.out.Pooled, x, sp.Len()); !finite(j.out.Pooled) {
				return fmt.Errorf("input %d: %w", first+i, ErrNotFinite)
			}
		case j.in.Logits == LogitsAll:
			vocab := s.cfg.Vocab()
			if j.out.Logits == nil {
				j.out.Logits = j.buffer(nn.OutLogits, j.n*vocab)
			}
			s.decoder.Head(j.out.Logits[j.done*vocab:(j.done+sp.Len())*vocab], x, sp.Len())
		case j.in.Logits == LogitsLast && j.done+sp.Len() == j.n:
			s.last = append(s.last, x[(sp.Len()-1)*dim:]...)
			s.picks = append(s.picks, first+i)
			if len(s.picks) == headRows {
				s.flush()
			}
		}
	}
	s.flush()
	return nil
}

// finite reports whether no value is NaN or infinite.
func finite(x []float32) bool {
	for _, v := range x {
		if v-v != 0 {
			return false
		}
	}
	return true
}

// flush runs the head over the picked last rows.
func (s *Stage) flush() {
	n, vocab := len(s.picks), s.cfg.Vocab()
	if n == 0 {
		return
	}
	for _, i := range s.picks {
		s.jobs[i].out.Logits = s.jobs[i].buffer(nn.OutLogits, vocab)
	}
	if n == 1 {
		s.decoder.Head(s.jobs[s.picks[0]].out.Logits, s.last, 1)
	} else {
		s.logit = nn.Grow(s.logit, n*vocab)
		s.decoder.Head(s.logit, s.last, n)
		for k, i := range s.picks {
			copy(s.jobs[i].out.Logits, s.logit[k*vocab:(k+1)*vocab])
		}
	}
	s.last, s.picks = s.last[:0], s.picks[:0]
}

// buffer returns n floats for an output: the session's, or fresh ones without a session.
func (j *job) buffer(o nn.Output, n int) []float32 {
	if j.in.Session == nil {
		return make([]float32, n)
	}
	return j.in.Session.Buffer(o, n)
}
