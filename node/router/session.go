package router

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"slices"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// prefillChunk is how many tokens of a prompt go through the chain at once.
const prefillChunk = 512

// lookAgain is how often a session that lost its chain looks for another one.
const lookAgain = 200 * time.Millisecond

// maxObjections is how many peers must say that a request is at fault to be believed: one
// may be wrong, or lie.
const maxObjections = 2

// maxAttempts bounds the chains that one call tries.
const maxAttempts = 6

// Request is what a session is for. A text to embed or an image has no answer, and its
// prompt is the longest text of the session, or 1 for an image.
type Request struct {
	Model    cid.Cid
	Blocks   int // of the model
	Prompt   int // tokens
	Answer   int // tokens at most
	Timeout  time.Duration
	Sampling wire.Sampling
}

// tokens is how many positions of cache the session needs.
func (r *Request) tokens() int { return r.Prompt + r.Answer }

// Session is a conversation with a model over a chain. Its history outlives the chain.
type Session struct {
	r        *Router
	req      Request
	id       []byte
	deadline time.Time
	chain    *Chain
	client   *infer.Client
	tokens   []int32   // what the chain has seen
	numbers  []float32 // of the image or the rows at work
	reroutes int
	objected []host.ID // peers that said the request is at fault
}

// Open plans a chain and opens a session on it, trying others if one fails.
func (r *Router) Open(ctx context.Context, req Request) (*Session, error) {
	id := make([]byte, wire.SessionIDSize)
	rand.Read(id) // never errs since Go 1.24
	s := &Session{r: r, req: req, id: id, deadline: r.cfg.Now().Add(req.Timeout)}
	return s, s.retry(ctx, func() error { return s.connect(ctx) })
}

// Reroutes returns how often the session had to go on over another chain.
func (s *Session) Reroutes() int { return s.reroutes }

// Next feeds tokens and draws the one that follows them. promptLen is how many tokens of
// the whole history are prompt.
func (s *Session) Next(ctx context.Context, tokens []int32, promptLen int) (wire.Sampled, error) {
	res, _, err := s.feed(ctx, tokens, wire.InferStep{Want: wire.WantToken, PromptLen: uint32(promptLen)})
	if err != nil {
		return wire.Sampled{}, err
	}
	if len(res.Tokens) != 1 {
		return wire.Sampled{}, fmt.Errorf("chain %s gave %d tokens, want 1", s.chain, len(res.Tokens))
	}
	return res.Tokens[0], nil
}

// Pooled feeds a whole text and returns its vector: an embedding or the scores of labels.
func (s *Session) Pooled(ctx context.Context, tokens []int32) ([]float32, error) {
	s.tokens = s.tokens[:0]
	_, vec, err := s.feed(ctx, tokens, wire.InferStep{Want: wire.WantPooled})
	if err == nil && vec == nil {
		err = fmt.Errorf("chain %s gave no vector", s.chain)
	}
	return vec, err
}

// Numbers gives a model of images or tables the numbers of one image or of n rows, prepared
// as its configuration says, and returns what comes out for each. n is at most the session's
// MaxTokens.
func (s *Session) Numbers(ctx context.Context, numbers []float32, n int) ([]float32, error) {
	if len(numbers) == 0 || n < 1 {
		return nil, errors.New("no image or rows to run")
	}
	s.numbers = numbers
	defer func() { s.numbers = nil }()
	return s.Pooled(ctx, make([]int32, n))
}

// Close ends the session on all peers.
func (s *Session) Close() {
	if s.client != nil {
		if err := s.client.Close("done"); err != nil {
			s.r.cfg.Log.Debug("close session", "chain", s.chain, "err", err)
		}
		s.client = nil
	}
}

// feed runs tokens after the history, and the history again after a change of chain.
func (s *Session) feed(ctx context.Context, tokens []int32, last wire.InferStep) (res *wire.InferResult, vec []float32, err error) {
	if len(tokens) == 0 {
		return nil, nil, errors.New("no tokens to run")
	}
	all := append(s.tokens[:len(s.tokens):len(s.tokens)], tokens...)
	pos := len(s.tokens)
	err = s.retry(ctx, func() error {
		if s.client == nil {
			s.reroutes++
			if err := s.connect(ctx); err != nil {
				return err
			}
			pos = 0
		}
		res, vec, err = s.steps(ctx, all, pos, last)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	s.tokens = all
	s.r.worked(s.chain)
	return res, vec, nil
}

// steps runs all[pos:] in chunks; only the last one wants a result. A text for an encoder
// goes in one piece: its tokens see each other.
func (s *Session) steps(ctx context.Context, all []int32, pos int, last wire.InferStep) (*wire.InferResult, []float32, error) {
	for {
		n := min(prefillChunk, len(all)-pos)
		if last.Want == wire.WantPooled {
			n = len(all) - pos
		}
		st := wire.InferStep{Position: uint32(pos), Tokens: all[pos : pos+n]}
		final := pos+n == len(all)
		if final {
			st.Want, st.PromptLen = last.Want, last.PromptLen
		}
		stepCtx, cancel := context.WithTimeoutCause(ctx, infer.StepTimeout(n, len(s.chain.Links)), errSlow)
		res, vec, err := s.client.Step(stepCtx, &st, s.numbers)
		cancel()
		if err != nil {
			s.client = nil
			return nil, nil, err
		}
		if pos += n; final {
			return res, vec, nil
		}
	}
}

var errSlow = errors.New("peer took too long")

// connect opens the session on the best chain there is now.
func (s *Session) connect(ctx context.Context) error {
	req := s.req
	if n := len(s.tokens); n > req.Prompt { // the history has to go through the chain again
		req.Prompt, req.Answer = n, max(0, req.tokens()-n)
	}
	choice, err := s.r.Plan(req)
	if err != nil {
		return err
	}
	s.chain = choice.Chain
	open := &wire.InferOpen{
		Session: s.id, Model: s.req.Model, Range: s.chain.Links[0].Range, MaxTokens: uint32(s.req.tokens()),
		TimeoutMs: uint64(max(1, s.deadline.Sub(s.r.cfg.Now()).Milliseconds())), Sampling: s.req.Sampling,
	}
	for _, l := range s.chain.Links[1:] {
		open.Route = append(open.Route, wire.Hop{Peer: l.Peer, Range: l.Range, Addrs: l.addrs})
	}
	ctx, cancel := context.WithTimeoutCause(ctx, infer.OpenTimeout(len(s.chain.Links)), errSlow)
	defer cancel()
	first := s.chain.Links[0]
	stream, err := s.r.cfg.Dial(ctx, wire.Hop{Peer: first.Peer, Range: first.Range, Addrs: first.addrs})
	if err != nil {
		return err
	}
	s.client, err = infer.Open(ctx, stream, open)
	return err
}

// retry calls f until it works, fails for good, or too many chains have failed.
func (s *Session) retry(ctx context.Context, f func() error) error {
	var first error // why there may be no chain left
	patience := s.r.cfg.Patience
	for attempt := 1; ; attempt++ {
		err := f()
		if err == nil {
			return nil
		}
		if first != nil && errors.Is(err, ErrNoChain) {
			if len(s.objected) > 0 { // waiting for other peers does not mend a request
				return first
			}
			if patience > 0 && pause(ctx, lookAgain) {
				patience -= lookAgain
				attempt--
				continue
			}
			err = fmt.Errorf("%w, after: %w", err, first)
		}
		if s.client != nil {
			s.client.Close("error")
			s.client = nil
		}
		blamed, again := s.judge(ctx, err)
		if !again || attempt == maxAttempts {
			return err
		}
		if first == nil {
			first = err
		}
		s.r.failed(blamed)
		s.r.cfg.Log.Info("peer failed, trying another chain", "peer", blamed, "attempt", attempt, "err", err)
	}
}

// pause waits for a time and reports whether ctx still lives.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// judge says which peer an error is to be blamed on and whether another chain may help.
func (s *Session) judge(ctx context.Context, err error) (host.ID, bool) {
	if ctx.Err() != nil || errors.Is(err, ErrNoChain) || s.chain == nil {
		return "", false
	}
	peer := s.chain.Links[0].Peer
	var refusal *wire.Error
	if !errors.As(err, &refusal) {
		return peer, true
	}
	if refusal.Peer != "" {
		peer = refusal.Peer
	}
	switch refusal.Code {
	case wire.CodeDeadline: // of the session, or so the peer says
		return peer, s.r.cfg.Now().Before(s.deadline)
	case wire.CodeBadRequest, wire.CodeForbidden, wire.CodeUnsupported:
		if !slices.Contains(s.objected, peer) {
			s.objected = append(s.objected, peer)
		}
		return peer, len(s.objected) < maxObjections
	}
	return peer, true
}
