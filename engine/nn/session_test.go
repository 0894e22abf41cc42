package nn_test

import (
	"errors"
	"testing"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

func TestSessionReservation(t *testing.T) {
	t.Parallel()
	owner, cache := new(int), kernel.NewKVCache(1, 4, 10)
	s := nn.NewSession(owner, 10, []*kernel.KVCache{cache})
	step := func(n int) {
		t.Helper()
		if _, err := s.Begin(owner, n); err != nil {
			t.Fatal(err)
		}
		row := make([]float32, 4*n)
		s.Cache(0).Append(row, row, n)
	}
	step(6)
	if _, err := s.Begin(owner, 1); !errors.Is(err, nn.ErrSessionBusy) {
		t.Errorf("second pass: got %v, want %v", err, nn.ErrSessionBusy)
	}
	if err := s.Rollback(0); !errors.Is(err, nn.ErrSessionBusy) {
		t.Errorf("rollback during a pass: got %v, want %v", err, nn.ErrSessionBusy)
	}
	s.Commit(6)
	step(3)
	s.Abort()
	if s.Len() != 6 || cache.Len() != 6 {
		t.Errorf("after an aborted pass: %d tokens, cache %d, want 6", s.Len(), cache.Len())
	}
	if _, err := s.Begin(owner, 5); !errors.Is(err, nn.ErrSessionFull) {
		t.Errorf("11 tokens of 10: got %v, want %v", err, nn.ErrSessionFull)
	}
	if _, err := s.Begin(new(int), 1); err == nil {
		t.Error("another stage got the session")
	}
	for _, pos := range []int{-1, 7} {
		if s.Rollback(pos) == nil {
			t.Errorf("rolled back to %d of 6", pos)
		}
	}
	if err := s.Rollback(2); err != nil || s.Len() != 2 || cache.Len() != 2 {
		t.Errorf("roll back to 2: %v, %d tokens, cache %d", err, s.Len(), cache.Len())
	}
	s.Close()
	s.Close()
	if _, err := s.Begin(owner, 1); !errors.Is(err, nn.ErrSessionClosed) {
		t.Errorf("pass of a closed session: got %v, want %v", err, nn.ErrSessionClosed)
	}
	if err := s.Rollback(0); !errors.Is(err, nn.ErrSessionClosed) {
		t.Errorf("rollback of a closed session: got %v, want %v", err, nn.ErrSessionClosed)
	}
}

func TestRange(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name  string
		r     nn.Range
		parts int // 0: not valid
	}{
		{"whole", nn.Range{First: 0, Last: 4, Embed: true, Head: true}, 6},
		{"middle", nn.Range{First: 1, Last: 3}, 2},
		{"embedding alone", nn.Range{Embed: true}, 1},
		{"head alone", nn.Range{First: 4, Last: 4, Head: true}, 1},
		{"nothing", nn.Range{First: 2, Last: 2}, 0},
		{"backwards", nn.Range{First: 3, Last: 2}, 0},
		{"negative", nn.Range{First: -1, Last: 2}, 0},
		{"too far", nn.Range{First: 1, Last: 5}, 0},
		{"embedding in the middle", nn.Range{First: 1, Last: 2, Embed: true}, 0},
		{"head in the middle", nn.Range{First: 0, Last: 3, Head: true}, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			err := c.r.Check(4)
			if c.parts == 0 {
				if err == nil {
					t.Error("accepted")
				}
				return
			}
			if err != nil || len(c.r.Parts()) != c.parts {
				t.Errorf("got %v, parts %v, want %d", err, c.r.Parts(), c.parts)
			}
		})
	}
}
