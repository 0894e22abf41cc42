package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/testnet/demo"
)

// probeTimeout is how long a node on this machine may take to say that it lives.
const probeTimeout = 3 * time.Second

// connect returns a client of the node on the data directory, and what ends its use. A node
// that starts there is waited for. If none does, one without a network is started in this
// process, after other processes that use the directory so.
func (o *options) connect(ctx context.Context) (*api.Client, func() error, error) {
	return o.connectOr(ctx, func() {})
}

// connectToAsk is connect for a command that answers something, which tells whose answer
// it is.
func (o *options) connectToAsk(ctx context.Context) (*api.Client, func() error, error) {
	here := false
	c, stop, err := o.connectOr(ctx, func() {
		here = true
		fmt.Fprintf(os.Stderr, "no node runs on %s: answering in this process\n", o.data)
	})
	if err != nil || here {
		return c, stop, err
	}
	var st api.Status
	if c.Get(ctx, "/covey/v1/status", nil, &st) == nil && st.Peers == 0 && !alone(&st) { // what fails here fails at the question
		fmt.Fprintln(os.Stderr, "this node answers alone: it has 0 peers")
	}
	return c, stop, nil
}

// alone reports whether a node is its whole swarm: a founder that knows of nobody else.
func alone(st *api.Status) bool { return st.Membership.State == "founder" && st.Paths == api.Paths{} }

func (o *options) connectOr(ctx context.Context, alone func()) (*api.Client, func() error, error) {
	for w := newWait(startingTime); ; {
		c, err := o.starting(ctx, w)
		if err == nil {
			return c, func() error { return nil }, nil
		}
		if !errors.Is(err, node.ErrNotRunning) {
			return nil, nil, err
		}
		c, stop, err := o.startLocal(ctx)
		if err == nil {
			alone()
		}
		if !errors.Is(err, store.ErrInUse) {
			return c, stop, err
		}
		if err := w.pause(ctx, "another covey process that uses "+o.data, err); err != nil {
			return nil, nil, err
		}
	}
}

// starting is running, but waits for a node that starts, and a moment for one to begin to.
func (o *options) starting(ctx context.Context, w *wait) (*api.Client, error) {
	for {
		c, err := o.running(ctx)
		if !errors.Is(err, node.ErrNotRunning) {
			return c, err
		}
		claimed, claimErr := node.Claimed(o.data)
		if claimErr != nil {
			return nil, claimErr
		}
		if !claimed && !w.grace() {
			return nil, err
		}
		over := &api.StatusError{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf("a node starts or ends on %s, and does not answer after %s", o.data, startingTime)}
		what := "the node that starts on "
		if errors.Is(err, node.ErrStopping) {
			what = "the node that stops on "
		}
		if err := w.pause(ctx, what+o.data, over); err != nil {
			return nil, err
		}
	}
}

// running returns a client of the node that runs on the data directory; the error wraps
// node.ErrNotRunning if there is none.
func (o *options) running(ctx context.Context) (*api.Client, error) {
	at, err := node.ReadEndpoint(o.data)
	if err != nil {
		return nil, err
	}
	c := &api.Client{Base: at.URL, Key: at.Key}
	probe, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var st api.Status
	err = c.Get(probe, "/covey/v1/status", nil, &st)
	var dial *net.OpError
	var status *api.StatusError
	var syntax *json.SyntaxError
	switch {
	case err == nil && st.DataDir == at.DataDir:
		return c, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case probe.Err() != nil:
		return nil, &api.StatusError{Status: http.StatusServiceUnavailable, Message: fmt.Sprintf("the node on %s (pid %d) did not answer within %s: it is busy or hangs", o.data, at.PID, probeTimeout)}
	case errors.As(err, &dial) && dial.Op == "dial": // killed, and its file left behind
		return nil, fmt.Errorf("%w: %v", node.ErrNotRunning, err)
	case err == nil, errors.As(err, &syntax), errors.As(err, &status) && (status.Status == http.StatusNotFound || status.Status == http.StatusUnauthorized): // 401: the key is another node's
		return nil, fmt.Errorf("%w: another program answers at %s", node.ErrNotRunning, at.URL)
	}
	return nil, err
}

// dataFlag is what a command to paste needs to use the same data directory.
func (o *options) dataFlag() string { return node.DataFlag(o.data) }

// needRunning is starting with advice.
func (o *options) needRunning(ctx context.Context) (*api.Client, error) {
	c, err := o.starting(ctx, newWait(startingTime))
	if errors.Is(err, node.ErrNotRunning) {
		return nil, &api.StatusError{Status: 503, Message: fmt.Sprintf("no node runs on %s: start one with covey up%s", o.data, o.dataFlag())}
	}
	return c, err
}

func (o *options) startLocal(ctx context.Context) (*api.Client, func() error, error) {
	cfg, err := node.ReadConfig(o.data)
	if err != nil {
		return nil, nil, err
	}
	cfg.Offline, cfg.API.Addr, cfg.API.Keys = true, "127.0.0.1:0", nil
	cfg.Version, cfg.Builtin = programVersion(), demo.Write
	cfg.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	n, err := node.New(*cfg)
	if err != nil {
		return nil, nil, err
	}
	// The node ends after what uses it, which so sees its own end and not the node's.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(life) }()
	stop := func() error {
		cancel()
		return <-ended
	}
	select {
	case err := <-ended:
		cancel()
		return nil, nil, err
	case <-ctx.Done():
		return nil, nil, errors.Join(ctx.Err(), stop())
	case <-n.Ready():
	}
	return &api.Client{Base: n.Endpoint().URL, Key: n.Endpoint().Key}, stop, nil
}
