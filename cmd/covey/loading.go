package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/covey-network/covey/node/api"
)

// loadingPoll is how often the node is asked what it does while an answer does not begin.
const loadingPoll = 500 * time.Millisecond

// loading tells on the error output that the node loads the model that was asked, as it
// does at the first question: on a terminal in a line that goes away, elsewhere once.
type loading struct {
	end  context.CancelFunc
	done sync.WaitGroup
	once sync.Once
}

func watchLoading(ctx context.Context, client *api.Client, model string) *loading {
	l := &loading{}
	ctx, l.end = context.WithCancel(ctx)
	l.done.Go(func() { l.watch(ctx, client, model) })
	return l
}

// stop takes the line away. It may be called again.
func (l *loading) stop() {
	l.once.Do(func() {
		l.end()
		l.done.Wait()
	})
}

func (l *loading) watch(ctx context.Context, client *api.Client, model string) {
	t := time.NewTicker(loadingPoll)
	defer t.Stop()
	terminal, told, start := term.IsTerminal(int(os.Stderr.Fd())), false, time.Now()
	for {
		select {
		case <-ctx.Done():
			if terminal && told {
				fmt.Fprint(os.Stderr, "\r\x1b[K")
			}
			return
		case <-t.C:
		}
		var st api.Status
		if client.Get(ctx, "/covey/v1/status", nil, &st) != nil {
			continue // the answer itself tells what is wrong
		}
		switch {
		case !slices.Contains(st.Loading, model):
		case terminal:
			fmt.Fprintf(os.Stderr, "\r\x1b[Kloading %s, %s", model, time.Since(start).Round(time.Second))
			told = true
		case !told:
			fmt.Fprintln(os.Stderr, "loading", model)
			told = true
		}
	}
}
