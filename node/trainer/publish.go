package trainer

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
)

// publishedDir is where a model that is served on the way is written, in the folder of the run.
const publishedDir = "published"

// publisher serves the models of a run: the certified one on the way, and that at the end.
type publisher struct {
	t     *Trainer
	run   *Run
	busy  atomic.Bool
	tasks sync.WaitGroup
	last  string // model that is served, as Publish called it; owned by the task, and then by the run
}

// onTheWay writes the model after a round and serves it beside the run, under a name with the round.
// While another one is on its way it does nothing: the next one comes.
func (p *publisher) onTheWay(ctx context.Context, round uint64, export func(dir string) error) {
	if p.t.cfg.Publish == nil || !p.busy.CompareAndSwap(false, true) {
		return
	}
	dir, name := filepath.Join(p.run.job.Folder(), publishedDir), fmt.Sprintf("%s:r%d", p.run.swarm.settings.PublishAs, round)
	err := export(dir)
	p.tasks.Go(func() {
		defer p.busy.Store(false)
		if err != nil {
			p.tell(&Published{Name: name}, err)
			return
		}
		p.serve(ctx, dir, name)
	})
}

// serve serves the model in a folder, and no longer the one before. A name that is taken here leaves
// the model in its folder.
func (p *publisher) serve(ctx context.Context, dir, name string) {
	if p.t.cfg.Publish == nil {
		return
	}
	e := &Published{Name: name}
	var err error
	e.Model, err = p.t.cfg.Publish(ctx, dir, name)
	if p.tell(e, err); err != nil {
		return
	}
	if last := p.last; last != "" && last != e.Model && p.t.cfg.Retract != nil {
		if err := p.t.cfg.Retract(ctx, last); err != nil && !errors.Is(err, context.Canceled) {
			p.t.cfg.Log.Warn("an older model is still served", "run", p.run.id, "model", last, "err", err)
		}
	}
	p.last = e.Model
}

// tell tells what became of a model.
func (p *publisher) tell(e *Published, err error) {
	if err != nil {
		e.Error = err.Error()
		p.t.cfg.Log.Warn("model not published", "run", p.run.id, "name", e.Name, "err", err)
	}
	p.run.record.add(Event{Published: e})
}
