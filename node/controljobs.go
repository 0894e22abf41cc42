package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/covey-network/covey/node/trainer"
)

// quietTime is how often a watcher of a training that says nothing gets a comment, so that
// nothing between the two takes the connection for dead.
const quietTime = 10 * time.Second

func (r *running) getJobs(w http.ResponseWriter, _ *http.Request) error {
	return answer(w, r.trainer.List())
}

// getSwarmJobs lists the jobs that peers of the swarm train.
func (r *running) getSwarmJobs(w http.ResponseWriter, req *http.Request) error {
	return answer(w, r.trainer.Jobs(req.Context()))
}

// deleteSwarmJob stops a job that this peer began for all its members.
func (r *running) deleteSwarmJob(w http.ResponseWriter, req *http.Request) error {
	if err := r.trainer.StopAll(req.Context(), req.PathValue("name")); err != nil {
		return err
	}
	return answer(w, struct{}{})
}

func (r *running) getJob(w http.ResponseWriter, req *http.Request) error {
	run, err := r.trainer.Get(req.PathValue("id"))
	if err != nil {
		return err
	}
	return answer(w, run.Info())
}

func (r *running) postJob(w http.ResponseWriter, req *http.Request) error {
	var in trainer.Request
	if err := read(req, &in); err != nil {
		return err
	}
	run, err := r.trainer.Submit(req.Context(), in)
	if err != nil {
		return err
	}
	return answer(w, run.Info())
}

func (r *running) deleteJob(w http.ResponseWriter, req *http.Request) error {
	run, err := r.trainer.Get(req.PathValue("id"))
	if err != nil {
		return err
	}
	run.Stop()
	return answer(w, run.Info())
}

// getJobEvents streams the events of a training as server-sent events until its end. The query
// "after" leaves out those up to a number.
func (r *running) getJobEvents(w http.ResponseWriter, req *http.Request) error {
	run, err := r.trainer.Get(req.PathValue("id"))
	if err != nil {
		return err
	}
	seq := 0
	if text := req.URL.Query().Get("after"); text != "" {
		if seq, err = strconv.Atoi(text); err != nil || seq < 0 {
			return statusError{http.StatusBadRequest, fmt.Errorf("after=%.40q: want the number of an event", text)}
		}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-cache")
	rc := http.NewResponseController(w)
	for {
		ctx, cancel := context.WithTimeout(req.Context(), quietTime)
		events, err := run.Events(ctx, seq)
		cancel()
		setDeadline(w)
		switch {
		case req.Context().Err() != nil:
			return nil // gone, or the node ends
		case errors.Is(err, context.DeadlineExceeded):
			if _, err := w.Write([]byte(": \n\n")); err != nil {
				return nil
			}
		}
		for _, e := range events {
			b, err := json.Marshal(e)
			if err != nil {
				return nil // the stream breaks off, which its reader reports
			}
			if _, err := fmt.Fprintf(w, "data: %s\n\n", b); err != nil {
				return nil
			}
			if seq = e.Seq; e.End != nil {
				_, _ = w.Write([]byte("data: [DONE]\n\n")) // the end of the request sends it
				return nil
			}
		}
		if err := rc.Flush(); err != nil {
			return nil
		}
	}
}

// retract stops serving a model that publish has brought here, and removes it.
func (r *running) retract(ctx context.Context, model string) error {
	id, ok := r.ours(model)
	if !ok {
		return nil
	}
	if _, err := r.hosting.Drop(id); err != nil {
		return err
	}
	err := r.catalog.Remove(id)
	r.changes()
	if err != nil {
		return err
	}
	_, err = r.collect(ctx)
	r.announced(ctx)
	return err
}

// publish imports a model that was trained here and serves it to the swarm.
func (r *running) publish(ctx context.Context, dir, name string) (string, error) {
	m, err := r.catalog.ImportFiles(ctx, dir, name, "", func(int64, int64) {})
	r.changes()
	if err != nil {
		return "", err
	}
	if err := r.forbidden(); err != nil {
		return m.CID.String(), err
	}
	if _, _, err := r.hosting.Host(ctx, m, "all", func(string, int64, int64) {}); err != nil {
		return m.CID.String(), err
	}
	r.announced(ctx)
	return m.CID.String(), nil
}
