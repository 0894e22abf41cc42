package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/demo"
)

// probeTimeout is how long a node on this machine may take to say that it lives.
const probeTimeout = 3 * time.Second

// connect returns a client of the node on the data directory, and what ends its use. If no
// node runs there, one without a network is started in this process.
func (o *options) connect(ctx context.Context) (*api.Client, func() error, error) {
	c, err := o.running(ctx)
	if err == nil {
		return c, func() error { return nil }, nil
	}
	if !errors.Is(err, node.ErrNotRunning) {
		return nil, nil, err
	}
	return o.startLocal(ctx)
}

// running returns a client of the node that runs on the data directory; the error wraps
// node.ErrNotRunning if there is none.
func (o *options) running(ctx context.Context) (*api.Client, error) {
	at, err := node.ReadEndpoint(o.data)
	if err != nil {
		return nil, err
	}
	c := &api.Client{Base: at.URL, Key: at.Key}
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	var st api.Status
	if err := c.Get(ctx, "/covey/v1/status", nil, &st); err != nil {
		var status *api.StatusError
		if errors.As(err, &status) {
			return nil, err
		}
		return nil, fmt.Errorf("%w: %v", node.ErrNotRunning, err) // killed, and its file left behind
	}
	if st.DataDir != at.DataDir {
		return nil, fmt.Errorf("%w: another program answers at %s", node.ErrNotRunning, at.URL)
	}
	return c, nil
}

// needRunning is running with advice.
func (o *options) needRunning(ctx context.Context) (*api.Client, error) {
	c, err := o.running(ctx)
	if errors.Is(err, node.ErrNotRunning) {
		return nil, &api.StatusError{Status: 503, Message: fmt.Sprintf("no node runs on %s: start one with covey up", o.data)}
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
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case err := <-ended:
		cancel()
		return nil, nil, err
	case <-n.Ready():
	}
	stop := func() error {
		cancel()
		return <-ended
	}
	return &api.Client{Base: n.Endpoint().URL}, stop, nil
}
