package bench

import (
	"context"
	"time"

	"github.com/covey-network/covey/engine/model"
)

// meter measures a loaded model.
type meter struct {
	cfg   Config
	stage *model.Stage
	work  float64 // operations of the products with weights, for one token
	read  int64   // bytes of weights that a step reads
}

// decode measures steps of one token for each stream, from empty sessions on.
func (m *meter) decode(ctx context.Context) (Phase, error) {
	batch := make([]model.Input, m.cfg.Streams)
	for i := range batch {
		ses, err := m.stage.NewSession(m.cfg.Tokens)
		if err != nil {
			return Phase{}, err
		}
		defer ses.Close()
		batch[i] = model.Input{Session: ses, Tokens: m.tokens(i, 1), Logits: model.LogitsLast}
	}
	p := Phase{Tokens: m.cfg.Tokens * m.cfg.Streams}
	err := m.repeat(&p, func(steps int) error {
		for i := range batch {
			if err := batch[i].Session.Rollback(0); err != nil {
				return err
			}
		}
		for range min(steps, m.cfg.Tokens) {
			if _, err := m.stage.Forward(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	})
	p.Bytes = float64(m.read) * float64(m.cfg.Tokens) / p.Mean.Seconds()
	return p, err
}

// prefill measures one pass of a prompt.
func (m *meter) prefill(ctx context.Context) (Phase, error) {
	ses, err := m.stage.NewSession(m.cfg.Prompt)
	if err != nil {
		return Phase{}, err
	}
	defer ses.Close()
	batch := []model.Input{{Session: ses, Tokens: m.tokens(0, m.cfg.Prompt), Logits: model.LogitsLast}}
	p := Phase{Tokens: m.cfg.Prompt}
	err = m.repeat(&p, func(int) error {
		if err := ses.Rollback(0); err != nil {
			return err
		}
		_, err := m.stage.Forward(ctx, batch)
		return err
	})
	p.Bytes = float64(m.read) / p.Mean.Seconds()
	return p, err
}

// warmSteps is how many steps the unmeasured first repetition takes.
const warmSteps = 4

// repeat measures f, after a short unmeasured call that grows the scratch memory.
func (m *meter) repeat(p *Phase, f func(steps int) error) error {
	if err := f(warmSteps); err != nil {
		return err
	}
	var total time.Duration
	for i := range m.cfg.Repeat {
		start := time.Now()
		if err := f(p.Tokens); err != nil {
			return err
		}
		took := time.Since(start)
		total += took
		if i == 0 || took < p.Best {
			p.Best = took
		}
	}
	p.Mean = max(1, total/time.Duration(m.cfg.Repeat))
	p.Rate = float64(p.Tokens) / p.Mean.Seconds()
	p.Ops = m.work * p.Rate
	return nil
}

// tokens makes up n tokens.
func (m *meter) tokens(seed, n int) []int32 {
	ids := make([]int32, n)
	for i := range ids {
		ids[i] = int32((seed*7 + i*31 + 1) % m.stage.Config().Vocab())
	}
	return ids
}
