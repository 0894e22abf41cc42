package router_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
)

// TestLostPeerIsAwaited has the only peer of a model be lost: no chain over it is promised, and a
// request waits until it is back, or is gone, and no longer.
func TestLostPeerIsAwaited(t *testing.T) {
	t.Parallel()
	const after = 300 * time.Millisecond
	for _, tt := range []struct {
		name string
		ends func(s *swarm)
		ok   bool
		most time.Duration
	}{
		{"back", func(s *swarm) { s.lost = nil }, true, after + 100*time.Millisecond},
		{"gone", func(s *swarm) { s.adverts = nil }, false, after + 100*time.Millisecond},
		{"neither", func(*swarm) {}, false, 5*time.Second + 100*time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				only, start := peer(1), time.Now()
				s := newSwarm(stage(only, 0, 8, time.Millisecond, nil))
				s.running, s.patience, s.lost = time.Now, 5*time.Second, map[host.ID]time.Time{only: start.Add(-200 * time.Millisecond)}
				r := s.router(t)
				choice, err := r.Plan(request())
				if !errors.Is(err, router.ErrNoChain) || choice.Chain != nil || !choice.Lost || len(choice.LeftOut) != 1 || choice.LeftOut[0].Reason != "lost 0.2 s ago, being dialled again" {
					t.Errorf("over a lost peer: %+v, %v", choice, err)
				}
				ended := time.AfterFunc(after, func() {
					s.mu.Lock()
					defer s.mu.Unlock()
					tt.ends(s)
				})
				defer ended.Stop()
				choice, err = r.Await(t.Context(), request())
				if (err == nil) != tt.ok || (choice.Chain != nil) != tt.ok {
					t.Errorf("%+v, %v", choice, err)
				}
				if took := time.Since(start); took < after || took > tt.most {
					t.Errorf("after %v, want %v to %v", took, after, tt.most)
				}
			})
		})
	}
}

// TestPatienceIsTimeThatPasses has the only peer fail and then hang whenever it is tried again: that
// is part of the time for which a session waits for another one.
func TestPatienceIsTimeThatPasses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience, hang = 5 * time.Second, 2 * time.Second
		bad := &chainPeer{id: peer(1)}
		s := newSwarm(stage(bad.id, 0, 8, time.Millisecond, nil))
		s.running, s.patience = time.Now, patience
		serveAll(t, s, bad)
		ses, err := s.router(t).Open(t.Context(), request())
		if err != nil {
			t.Fatal(err)
		}
		defer ses.Close()
		got := generate(t, ses, longPrompt(), 2)
		bad.die()
		s.dial = func(ctx context.Context, _ wire.Hop) (host.Stream, error) {
			select {
			case <-time.After(hang):
			case <-ctx.Done():
			}
			return nil, errors.New("no answer")
		}
		start := time.Now()
		if _, err := ses.Next(t.Context(), got[1:], len(longPrompt())); !errors.Is(err, router.ErrNoChain) {
			t.Errorf("got %v, want ErrNoChain", err)
		}
		if took := time.Since(start); took < patience || took > patience+hang+time.Second {
			t.Errorf("the session ended after %v, want %v and the last try at most", took, patience)
		}
	})
}
