package trainer

import (
	"context"
	"time"

	"github.com/covey-network/covey/engine/train/job"
)

const (
	// politeFactor is how many times as long as its last step took a run waits at most while the
	// node answers requests, so that it goes on under any load.
	politeFactor = 20
	politeLook   = 5 * time.Millisecond
	politeLeast  = 50 * time.Millisecond
)

// polite lets serving go before training: it holds a run up between two steps. It changes no
// numbers.
type polite struct {
	busy func() bool
	now  func() time.Time
	last time.Time // when the last step was let go
}

var _ job.Sync = (*polite)(nil)

// Begin implements job.Sync.
func (p *polite) Begin(context.Context, *job.Running) (job.Verdict, error) {
	p.last = p.now()
	return job.Verdict{}, nil
}

// Gradient implements job.Sync.
func (*polite) Gradient(context.Context, job.Step) error { return nil }

// Stepped implements job.Sync: it waits.
func (p *polite) Stepped(ctx context.Context, _ job.Step) (job.Verdict, error) {
	return job.Verdict{}, p.wait(ctx, nil)
}

// Validated implements job.Sync.
func (*polite) Validated(context.Context, job.Validation) (job.Verdict, error) {
	return job.Verdict{}, nil
}

// Save implements job.Sync.
func (*polite) Save() (job.Kept, error) { return job.Kept{}, nil }

// wait holds the run up while the node answers requests. Meanwhile it calls, if it is not nil, what
// cannot wait for so long, which may end the wait.
func (p *polite) wait(ctx context.Context, meanwhile func() (over bool, err error)) error {
	start := p.now()
	took := start.Sub(p.last)
	defer func() { p.last = p.now() }()
	if p.busy == nil || !p.busy() {
		return nil
	}
	limit := max(politeFactor*took, politeLeast)
	look := time.NewTicker(politeLook)
	defer look.Stop()
	for p.busy() && p.now().Sub(start) < limit {
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil // the run sees it before its next step
		}
		if meanwhile == nil {
			continue
		}
		if over, err := meanwhile(); over || err != nil {
			return err
		}
	}
	return nil
}
