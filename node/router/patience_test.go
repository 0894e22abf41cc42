package router_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/router"
)

// TestSessionWaitsForAnotherChain has the only peer of a chain die, and a copy appear
// within the router's patience or after it.
func TestSessionWaitsForAnotherChain(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		appears time.Duration
		ok      bool
	}{{"soon", 3 * time.Second, true}, {"too late", 6 * time.Second, false}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				bad := &chainPeer{id: peer(1)}
				good := &chainPeer{id: peer(2)}
				s := newSwarm(stage(bad.id, 0, 8, time.Millisecond, nil))
				s.patience = 5 * time.Second
				serveAll(t, s, bad, good)
				ses, err := s.router(t).Open(t.Context(), request())
				if err != nil {
					t.Fatal(err)
				}
				defer ses.Close()
				got := generate(t, ses, longPrompt(), 2)
				bad.die()
				copied := time.AfterFunc(tt.appears, func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					s.adverts = append(slices.Clone(s.adverts), stage(good.id, 0, 8, time.Millisecond, nil))
				})
				defer copied.Stop()
				drawn, err := ses.Next(t.Context(), got[1:], len(longPrompt()))
				if !tt.ok {
					if !errors.Is(err, router.ErrNoChain) {
						t.Errorf("got %v, want ErrNoChain", err)
					}
					return
				}
				if err != nil || drawn.Token != want(longPrompt(), 3)[2] {
					t.Errorf("drew %v, %v; want %d", drawn, err, want(longPrompt(), 3)[2])
				}
			})
		})
	}
}
