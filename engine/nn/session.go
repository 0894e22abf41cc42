package nn

import (
	"errors"
	"fmt"
	"sync"

	"github.com/covey-network/covey/engine/kernel"
)

// Errors of sessions that callers tell apart.
var (
	ErrSessionFull   = errors.New("session is full")
	ErrSessionClosed = errors.New("session is closed")
	ErrSessionBusy   = errors.New("session is in use")
)

// MaxKeptFloats bounds the output buffer that a session keeps between steps; longer outputs
// (those of a prefill) are allocated for the call.
const MaxKeptFloats = 1 << 19

// Session is the memory of one sequence on one stage: how many tokens it has seen and
// their keys and values in each block. It is for one call at a time; a second one at the
// same time gets [ErrSessionBusy].
type Session struct {
	owner any // the stage that made it; compared only
	max   int

	mu     sync.Mutex        // held during a forward pass
	caches []*kernel.KVCache // one per block; nil when closed
	closed bool
	pos    int          // tokens seen
	kept   [2][]float32 // output buffers that are used again: hidden, logits
}

// NewSession returns a session of at most maxTokens tokens with the given caches, one for
// each block of the stage that owns it.
func NewSession(owner any, maxTokens int, caches []*kernel.KVCache) *Session {
	return &Session{owner: owner, max: maxTokens, caches: caches}
}

// Len returns the number of tokens the session has seen.
func (s *Session) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.pos
}

// Max returns the number of tokens the session has room for.
func (s *Session) Max() int { return s.max }

// Rollback forgets all tokens from position pos on.
func (s *Session) Rollback(pos int) error {
	if !s.mu.TryLock() {
		return fmt.Errorf("roll back to %d: %w", pos, ErrSessionBusy)
	}
	defer s.mu.Unlock()
	if s.closed {
		return fmt.Errorf("roll back to %d: %w", pos, ErrSessionClosed)
	}
	if pos < 0 || pos > s.pos {
		return fmt.Errorf("roll back to %d: session has %d tokens", pos, s.pos)
	}
	s.truncate(pos)
	return nil
}

// Close frees the session's memory, after a forward pass that may be running. It may be
// called more than once.
func (s *Session) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed, s.caches, s.kept = true, nil, [2][]float32{}
}

// Begin reserves the session for a forward pass of n tokens by its owner, who must call
// Commit or Abort after it.
func (s *Session) Begin(owner any, n int) (pos int, err error) {
	if s.owner != owner {
		return 0, errors.New("session belongs to another stage")
	}
	if !s.mu.TryLock() {
		return 0, ErrSessionBusy
	}
	switch {
	case s.closed:
		err = ErrSessionClosed
	case n > s.max-s.pos:
		err = fmt.Errorf("%w: %d tokens seen, %d more do not fit in %d", ErrSessionFull, s.pos, n, s.max)
	}
	if err != nil {
		s.mu.Unlock()
		return 0, err
	}
	return s.pos, nil
}

// Commit ends a forward pass that saw n more tokens.
func (s *Session) Commit(n int) {
	s.pos += n
	s.mu.Unlock()
}

// Abort ends a forward pass that failed: the session is as it was before.
func (s *Session) Abort() {
	s.truncate(s.pos)
	s.mu.Unlock()
}

func (s *Session) truncate(pos int) {
	s.pos = pos
	for _, c := range s.caches {
		c.Truncate(min(pos, c.Len()))
	}
}

// Cache returns the cache of the stage's i-th block. The session must be reserved.
func (s *Session) Cache(i int) *kernel.KVCache { return s.caches[i] }

// Output says which of a session's output buffers is meant.
type Output int

// The outputs of a session.
const (
	OutHidden Output = iota
	OutLogits
)

// Buffer returns n floats for an output, valid until the session's next forward pass. The
// session must be reserved.
func (s *Session) Buffer(o Output, n int) []float32 {
	if n > MaxKeptFloats {
		return make([]float32, n)
	}
	if cap(s.kept[o]) < n {
		s.kept[o] = make([]float32, n)
	}
	return s.kept[o][:n]
}

// Span is a run of rows of one sequence in a batch: rows [Lo, Hi) of the hidden states are
// the positions from Pos on.
type Span struct {
	Session *Session // nil for sequences that are seen whole, as by an encoder
	Tokens  []int32  // ids of the rows, where the stage has the embedding
	Types   []int32  // token types of the rows; nil means all 0
	Pos     int
	Lo, Hi  int
}

// Len returns the number of rows.
func (s Span) Len() int { return s.Hi - s.Lo }
