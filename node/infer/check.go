package infer

import (
	"errors"
	"fmt"
	"math"

	"github.com/covey-network/covey/protocol/wire"
)

// ErrAnswer means that what came is no answer to what was asked, whatever the model.
var ErrAnswer = errors.New("impossible answer")

// Answer is what a result must look like.
type Answer struct {
	Vocab    int // token ids are below it; 0: unknown
	Width    int // numbers of a vector, of each row if Rows; 0: unknown
	Rows     bool
	Logprobs uint32 // alternatives of a token at most
}

// MaxVector returns the most numbers that come back from a step of up to so many rows, or 0
// if that is unknown.
func (a Answer) MaxVector(rows int) int {
	if a.Width == 0 && a.Vocab > 0 {
		return 1 // tokens come back
	}
	return a.width(rows)
}

func (a Answer) width(rows int) int {
	if !a.Rows {
		rows = 1
	}
	return a.Width * rows
}

// Check reports what is wrong with the result of a step, an ErrAnswer.
func (a Answer) Check(st *wire.InferStep, res *wire.InferResult, vec []float32) error {
	if want := int(st.Position) + len(st.Tokens); int(res.Length) != want {
		return fmt.Errorf("%w: length %d after a step to %d", ErrAnswer, res.Length, want)
	}
	tokens := 0
	switch st.Want {
	case wire.WantToken:
		tokens = 1
	case wire.WantAll:
		tokens = len(st.Tokens)
	}
	if len(res.Tokens) != tokens {
		return fmt.Errorf("%w: %d tokens, want %d", ErrAnswer, len(res.Tokens), tokens)
	}
	for i := range res.Tokens {
		if err := a.token(&res.Tokens[i]); err != nil {
			return err
		}
	}
	return a.vector(st, vec)
}

func (a Answer) token(s *wire.Sampled) error {
	if len(s.Top) > int(a.Logprobs) {
		return fmt.Errorf("%w: %d alternatives of a token, asked for %d", ErrAnswer, len(s.Top), a.Logprobs)
	}
	if err := a.drawn(s.Token, s.Logprob); err != nil {
		return err
	}
	for _, t := range s.Top {
		if err := a.drawn(t.Token, t.Logprob); err != nil {
			return err
		}
	}
	return nil
}

func (a Answer) drawn(id int32, logprob float32) error {
	if id < 0 || a.Vocab > 0 && int(id) >= a.Vocab {
		return fmt.Errorf("%w: token %d of a vocabulary of %d", ErrAnswer, id, a.Vocab)
	}
	if !finite(logprob) {
		return fmt.Errorf("%w: log-probability %g", ErrAnswer, logprob)
	}
	return nil
}

func (a Answer) vector(st *wire.InferStep, vec []float32) error {
	if st.Want != wire.WantPooled {
		if vec != nil {
			return fmt.Errorf("%w: a vector that nobody wanted", ErrAnswer)
		}
		return nil
	}
	want := a.width(len(st.Tokens))
	if len(vec) == 0 || want > 0 && len(vec) != want {
		return fmt.Errorf("%w: vector of %d numbers, want %d", ErrAnswer, len(vec), want)
	}
	if !Finite(vec) {
		return fmt.Errorf("%w: vector with numbers that are not finite", ErrAnswer)
	}
	return nil
}

// Finite reports whether no number is NaN or infinite.
func Finite(x []float32) bool {
	for _, v := range x {
		if !finite(v) {
			return false
		}
	}
	return true
}

func finite(v float32) bool { return math.Float32bits(v)&0x7f800000 != 0x7f800000 }
