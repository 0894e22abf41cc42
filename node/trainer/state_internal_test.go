package trainer

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// stateServer is a session that has a certified state, and counts how often it is copied.
func stateServer(t *testing.T, copied func(), n int) (s *session, roots []train.Hash, show func(i int)) {
	t.Helper()
	c := newTestChain(t, 0)
	s = c.session(t, t.TempDir())
	st, err := store.Open(store.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, end := context.WithCancel(context.Background())
	done := make(chan error, 1) // 1: the only one
	go func() { done <- st.Run(ctx) }()
	t.Cleanup(func() {
		s.unserve(ctx, true)
		end()
		if err := errors.Join(<-done, st.Close()); err != nil {
			t.Error(err)
		}
	})
	s.net.store = st
	s.serving, s.waiting, s.making, s.threads = map[train.Hash]*shelved{}, map[wire.PeerID]bool{}, make(chan struct{}, 1), 1
	var states [][][]float32
	for i := range n {
		states = append(states, [][]float32{{1, float32(i)}, {}})
		root, _ := checkpoint.Hash(states[i], 1)
		roots = append(roots, root)
	}
	show = func(i int) {
		last := *c.all[0]
		last.Outcome.State = roots[i]
		s.view.last = &last
		s.kept = func() [][]float32 {
			copied()
			return states[i]
		}
	}
	show(0)
	return s, roots, show
}

// TestStateIsMadeReadyOnce has several peers ask for a state at once, some of them twice, and more
// than may wait: it is copied and stored once, and who is too many is told to come again.
func TestStateIsMadeReadyOnce(t *testing.T) {
	t.Parallel()
	var copies atomic.Int32
	release := make(chan struct{})
	s, roots, _ := stateServer(t, func() { copies.Add(1); <-release }, 1)
	var wg sync.WaitGroup
	answers := make(chan error, maxStateAsks) // all of them
	for i := range maxStateAsks {
		wg.Go(func() {
			leaves, err := s.state(t.Context(), host.ID(fmt.Sprint("peer ", i)), roots[0])
			if err == nil && len(leaves) != 1 {
				err = fmt.Errorf("%d leaves", len(leaves))
			}
			answers <- err
		})
	}
	for waiting := 0; waiting < maxStateAsks; runtime.Gosched() {
		s.mu.Lock()
		waiting = len(s.waiting)
		s.mu.Unlock()
	}
	for _, peer := range []host.ID{"peer 0", "one more"} {
		var busy *wire.Error
		if _, err := s.state(t.Context(), peer, roots[0]); !errors.As(err, &busy) || busy.Code != wire.CodeBusy || busy.RetryAfterMs == 0 {
			t.Errorf("%s is answered %v", peer, err)
		}
	}
	close(release)
	wg.Wait()
	close(answers)
	for err := range answers {
		if err != nil {
			t.Error(err)
		}
	}
	if n := copies.Load(); n != 1 {
		t.Errorf("the state is copied %d times", n)
	}
	if _, err := s.state(t.Context(), "one more", roots[0]); err != nil {
		t.Error(err)
	}
}

// TestFewStatesAreServed asks for the state of each round: the blocks of the last ones are there.
func TestFewStatesAreServed(t *testing.T) {
	t.Parallel()
	const n = maxStates + 3
	s, roots, show := stateServer(t, func() {}, n)
	for i := range n {
		show(i)
		leaves, err := s.state(t.Context(), "peer", roots[i])
		if err != nil {
			t.Fatal(err)
		}
		id, err := blockID(leaves[0])
		if err == nil {
			_, err = s.net.store.Get(t.Context(), id)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(s.serving) != maxStates || s.serving[roots[n-1]] == nil || s.serving[roots[0]] != nil {
		t.Errorf("%d states are served, want the last %d", len(s.serving), maxStates)
	}
}
