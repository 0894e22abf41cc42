package router_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

// strayStream is a stream whose relay dies.
type strayStream struct {
	host.Stream
}

// Read tells that the relayed connection has ended, if it has.
func (s strayStream) Read(p []byte) (int, error) {
	n, err := s.Stream.Read(p)
	if err != nil {
		err = fmt.Errorf("%w: %w", host.ErrPathLost, err)
	}
	return n, err
}

// TestSessionStrays loses the relay between here and the only peer in the middle of an answer: it
// goes on over another one, as the peer is not to blame. It is if that happens again and again.
func TestSessionStrays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		dies func(step int) bool
		ends bool // the session, with an error
	}{
		{"once", func(step int) bool { return step == 6 }, false},
		{"again and again", func(step int) bool { return step >= 6 }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := &chainPeer{id: peer(1), fail: func(step int) (error, bool) { return nil, !c.dies(step) }}
			s := newSwarm(stage(a.id, 0, blocks, time.Millisecond, nil))
			serveAll(t, s, a)
			s.dial = func(_ context.Context, h wire.Hop) (host.Stream, error) {
				stream, err := a.dial(h)
				return strayStream{stream}, err
			}
			ses, err := s.router(t).Open(t.Context(), request())
			if err != nil {
				t.Fatal(err)
			}
			defer ses.Close()
			var got []int32
			next := longPrompt()
			for len(got) < 5 && err == nil {
				var token wire.Sampled
				if token, err = ses.Next(t.Context(), next, len(longPrompt())); err == nil {
					got, next = append(got, token.Token), []int32{token.Token}
				}
			}
			if ended := err != nil; ended != c.ends || !slices.Equal(got, want(longPrompt(), 5)[:len(got)]) {
				t.Errorf("%v, then %v", got, err)
			}
			if c.ends && ses.Reroutes() != 2 || !c.ends && ses.Reroutes() != 1 {
				t.Errorf("%d reroutes", ses.Reroutes())
			}
		})
	}
}
