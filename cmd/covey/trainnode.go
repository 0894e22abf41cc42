package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
)

// stopTime is how long the node may take to save a checkpoint after Ctrl-C.
const stopTime = 2 * time.Minute

// train runs the job in the node that runs on the data directory, or here if there is none.
func (t *trainOptions) train(c *cobra.Command, path string, j *job.Job, p *trainProgress) (*job.Result, error) {
	client, err := t.running(c.Context())
	if t.swarm && err != nil {
		if client, err = t.needRunning(c.Context()); err != nil {
			return nil, err
		}
	}
	if err == nil {
		res, err := t.trainInNode(c, client, path, p)
		if t.swarm || !unreadable(err) {
			return res, err
		}
		p.say("the node cannot read the files (%v): training in this process", err)
	} else if !errors.Is(err, node.ErrNotRunning) && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return job.Run(c.Context(), j, job.Options{Resume: t.resume, Again: t.steps > 0, Events: p.events(), Rank: t.rank, Of: t.of})
}

// unreadable reports whether the node could not read a job that this process can: it runs as
// another user, or is older than this program.
func unreadable(err error) bool {
	var status *api.StatusError
	return errors.As(err, &status) && (status.Status == http.StatusForbidden || status.Status == http.StatusNotFound)
}

func (t *trainOptions) trainInNode(c *cobra.Command, client *api.Client, path string, p *trainProgress) (*job.Result, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	req := trainer.Request{Path: abs, Resume: t.resume, Threads: t.threads, Steps: t.steps, Swarm: t.swarm, MinPeers: t.minPeers, Rank: t.rank, Of: t.of}
	if t.swarm {
		req.Publish = t.publish
		t.warn(c.Context(), client, p)
	}
	return t.submit(c, client, req, p)
}

// warn tells what keeps this node from others, who are to train with it.
func (*trainOptions) warn(ctx context.Context, client *api.Client, p *trainProgress) {
	var st api.Status
	if client.Get(ctx, "/covey/v1/status", nil, &st) != nil {
		return // what was asked for shows what is wrong
	}
	for _, text := range []string{st.Reach, st.Clock} {
		if text != "" {
			p.say("warning: %s", text)
		}
	}
}

// submit hands a run to the node and shows it to its end.
func (t *trainOptions) submit(c *cobra.Command, client *api.Client, req trainer.Request, p *trainProgress) (*job.Result, error) {
	var run trainer.Info
	if err := client.Post(c.Context(), "/covey/v1/jobs", req, &run); err != nil {
		var status *api.StatusError
		if errors.As(err, &status) && status.Status == http.StatusBadRequest {
			return nil, usageError{err}
		}
		return nil, err
	}
	p.metric = run.Metric
	if run.Ahead > 0 {
		p.say("waiting for %d other training on this node", run.Ahead)
	}
	return t.watchRun(c.Context(), client, run.ID, p)
}

// watchRun shows the events of a run until its end. When ctx ends the run is stopped and its end
// is waited for.
func (t *trainOptions) watchRun(ctx context.Context, client *api.Client, id string, p *trainProgress) (*job.Result, error) {
	inner, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() {
		if client.Delete(inner, "/covey/v1/jobs/"+id, nil) != nil {
			cancel()
			return
		}
		time.AfterFunc(stopTime, cancel)
	})
	defer stop()
	return t.read(ctx, inner, client, id, p)
}

// follow shows the events of a run until its end, or until ctx ends.
func (t *trainOptions) follow(ctx context.Context, client *api.Client, id string, p *trainProgress) (*job.Result, error) {
	return t.read(ctx, ctx, client, id, p)
}

// read reads the events of a run with the context inner; ctx is the user's.
func (t *trainOptions) read(ctx, inner context.Context, client *api.Client, id string, p *trainProgress) (*job.Result, error) {
	res, err := client.Do(inner, http.MethodGet, "/covey/v1/jobs/"+id+"/events", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	events := p.events()
	var end *trainer.End
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e trainer.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return fmt.Errorf("read progress of the node: %w", err)
		}
		show(&e, events)
		switch {
		case e.Swarm != nil:
			p.swarm(e.Swarm)
		case e.Published != nil:
			p.published(e.Published)
		}
		if e.End != nil {
			end = e.End
		}
		return nil
	})
	switch {
	case end == nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case end == nil:
		return nil, fmt.Errorf("the node stopped, and the training with it: %w; when it runs again, --resume goes on from the last checkpoint", err)
	case end.Error != "" && end.Usage:
		return nil, usageError{errors.New(end.Error)}
	case end.Error != "":
		return nil, errors.New(end.Error)
	}
	return end.Result, nil
}

// show tells an event.
func show(e *trainer.Event, to job.Events) {
	switch {
	case e.Start != nil:
		to.Start(*e.Start)
	case e.Step != nil:
		to.Step(*e.Step)
	case e.Validation != nil:
		to.Validation(*e.Validation)
	case e.LeftOut != nil:
		to.Bad(data.Bad{Name: e.LeftOut.Name, Err: errors.New(e.LeftOut.Reason)})
	}
}
