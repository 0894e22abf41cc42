package router

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// prefillChunk is how many tokens of a prompt go through the chain at once.
const prefillChunk = 512

// Request is what a session is for. A text to embed or an image has no answer, and its
// prompt is the longest text of the session, or 1 for an image.
type Request struct {
	Model    cid.Cid
	Name     string // of the model, for errors; may be empty
	Blocks   int    // of the model
	Shape    Shape
	Prompt   int // tokens
	Answer   int // tokens at most
	Timeout  time.Duration
	Sampling wire.Sampling
}

// Shape is what goes into the stages of a model and comes out of it, so that what peers send
// can be checked. Zero is not known.
type Shape struct {
	Vocab int // token ids are below it
	Width int // numbers that come out for a text, an image or a row; 0 for tokens
	Dim   int // width of the hidden states
}

// answer is what results must look like.
func (s Shape) answer(rows bool, logprobs uint32) infer.Answer {
	return infer.Answer{Vocab: s.Vocab, Width: s.Width, Rows: rows, Logprobs: logprobs}
}

// tokens is how many positions of cache the session needs.
func (r *Request) tokens() int { return r.Prompt + r.Answer }

// Session is a conversation with a model over a chain. Its history outlives the chain.
type Session struct {
	r        *Router
	req      Request
	id       []byte
	deadline time.Time
	current  *opening // of the chain in use, or of the last one
	chain    *Chain
	client   *infer.Client
	tokens   []int32   // what the chain has seen
	numbers  []float32 // of the image or the rows at work
	reroutes int
	strayed  map[host.ID]time.Time // when the relayed way to a peer was lost
	blames
}

// Open plans a chain and opens a session on it, trying others if one fails.
func (r *Router) Open(ctx context.Context, req Request) (*Session, error) {
	id := make([]byte, wire.SessionIDSize)
	rand.Read(id) // never errs since Go 1.24
	s := &Session{r: r, req: req, id: id, deadline: r.cfg.Now().Add(req.Timeout)}
	return s, s.retry(ctx, func() error { return s.connect(ctx) })
}

// Reroutes returns how often the session had to look for another chain as one had failed, be
// it at its open or later. It may be called of a session that did not open, too.
func (s *Session) Reroutes() int { return s.reroutes }

// Next feeds tokens and draws the one that follows them. promptLen is how many tokens of
// the whole history are prompt.
func (s *Session) Next(ctx context.Context, tokens []int32, promptLen int) (wire.Sampled, error) {
	res, _, err := s.feed(ctx, tokens, wire.InferStep{Want: wire.WantToken, PromptLen: uint32(promptLen)})
	if err != nil {
		return wire.Sampled{}, err
	}
	return res.Tokens[0], nil
}

// Pooled feeds a whole text and returns its vector: an embedding or the scores of labels.
func (s *Session) Pooled(ctx context.Context, tokens []int32) ([]float32, error) {
	s.tokens = s.tokens[:0]
	_, vec, err := s.feed(ctx, tokens, wire.InferStep{Want: wire.WantPooled})
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
		if len(s.tokens) > 0 {
			s.r.worked(&s.current.trial)
		}
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
	s.r.works(&s.current.trial)
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
		s.current.at.Store(host.ID(""))
		limit := s.chain.stepLimit(n, s.req.Shape.Dim, 4*len(s.numbers), s.tooShort)
		stepCtx, cancel := context.WithTimeoutCause(ctx, limit, errSlow)
		res, vec, err := s.client.Step(stepCtx, &st, s.numbers)
		cancel()
		if err != nil {
			s.client = nil
			return nil, nil, err
		}
		if err := s.gives().Check(&st, res, vec); err != nil {
			return nil, nil, err
		}
		if pos += n; final {
			return res, vec, nil
		}
	}
}

// gives is what the chain's results must look like.
func (s *Session) gives() infer.Answer {
	return s.req.Shape.answer(s.numbers != nil || s.req.Shape.Vocab == 0, s.req.Sampling.Logprobs)
}

var errSlow = errors.New("peer took too long")
