package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// collectTimeout is how long a node may take to tell its metrics.
const collectTimeout = 10 * time.Second

// SaveMetrics writes the metrics of each node that runs to NAME.metrics in a folder.
func (s *Swarm) SaveMetrics(ctx context.Context, dir string) error {
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	var errs []error
	for _, name := range s.order {
		p := s.procs[name]
		if !p.Running() || p.paused {
			continue
		}
		if err := p.saveMetrics(ctx, filepath.Join(dir, name+".metrics")); err != nil {
			errs = append(errs, fmt.Errorf("metrics of node %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (p *Process) saveMetrics(ctx context.Context, path string) error {
	res, err := p.API().Do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o600)
}

// SaveLogs copies the log of each node to NAME.log in a folder.
func (s *Swarm) SaveLogs(dir string) error {
	var errs []error
	for _, name := range s.order {
		data, err := os.ReadFile(s.procs[name].Log())
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name+".log"), data, 0o600)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
