package host

import (
	"context"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// resetStream is a stream that notes its end.
type resetStream struct {
	network.Stream
	ended bool
}

// Reset ends it.
func (s *resetStream) Reset() error {
	s.ended = true
	return nil
}

// hookContext does something when somebody begins to wait.
type hookContext struct {
	context.Context
	hook func()
}

// Done is called by who begins to wait.
func (c *hookContext) Done() <-chan struct{} {
	if hook := c.hook; hook != nil {
		c.hook = nil
		hook()
	}
	return c.Context.Done()
}

// TestNoStreamIsLeftOpen drops the streams when a question has found where its stream is kept, and not
// opened it yet: it is dropped the next time.
func TestNoStreamIsLeftOpen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		drop func(*asking)
	}{{"rest", (*asking).rest}, {"forget", func(a *asking) { a.forget("x") }}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			a := newAsking(time.Now)
			s, err := a.take(&hookContext{t.Context(), func() { c.drop(&a) }}, "x")
			if err != nil {
				t.Fatal(err)
			}
			opened := new(resetStream)
			s.s = opened
			s.leave()
			if c.drop(&a); !opened.ended {
				t.Error("the stream is left open")
			}
		})
	}
}

// TestOwedByTheClockOfTheHost has a host whose clock is not that of the machine.
func TestOwedByTheClockOfTheHost(t *testing.T) {
	t.Parallel()
	now := time.Now().Add(30 * 24 * time.Hour)
	a := newAsking(func() time.Time { return now })
	if !a.ask("x") {
		t.Fatal("it is being asked already")
	}
	for range probesSilent {
		a.doubt("x")
	}
	since := now
	if now = now.Add(relayDoubt); a.doubted("x") != nil {
		t.Error("doubted before its time")
	}
	if now = now.Add(1); a.doubted("x") == nil {
		t.Error("not doubted")
	}
	if got := a.silentSince("x"); !got.Equal(since) {
		t.Errorf("silent since %v, want %v", got, since)
	}
}
