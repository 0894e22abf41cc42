package main

import (
	"context"
	"fmt"
	"os"
	"time"
)

const (
	// startingTime is how long a command waits for a node that starts, or for another
	// process that uses the data directory.
	startingTime = 15 * time.Second
	// startingGrace is how long a command waits for a node to begin to start: a shell
	// starts "covey up &" and the command after it in the same moment.
	startingGrace = 500 * time.Millisecond
	// upWait is how long covey up waits for commands that use its data directory.
	upWait = 10 * time.Minute
	// startingPoll is how often that is looked at: files and ports of others tell no other way.
	startingPoll = 50 * time.Millisecond
	// startingNote is after what time a wait is told.
	startingNote = time.Second
)

// wait is a wait for other processes on this machine.
type wait struct {
	start time.Time
	limit time.Duration
	told  string
}

func newWait(limit time.Duration) *wait { return &wait{start: time.Now(), limit: limit} }

// grace reports whether the wait has just begun.
func (w *wait) grace() bool { return time.Since(w.start) < startingGrace }

// pause returns nil when it is time to look again. What is waited for is told once, after a
// second. over is the error at the end of the limit.
func (w *wait) pause(ctx context.Context, what string, over error) error {
	passed := time.Since(w.start)
	if passed >= w.limit {
		return over
	}
	if passed >= startingNote && what != w.told {
		fmt.Fprintln(os.Stderr, "waiting for "+what)
		w.told = what
	}
	t := time.NewTimer(startingPoll)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
