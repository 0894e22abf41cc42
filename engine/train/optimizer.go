package train

import (
	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
)

// optimizer is an optimiser with its state.
type optimizer struct {
	cfg     Optimizer
	moments [][]float32 // as long as the parameters: momentum, or first and second moments
	adam    *kernel.AdamOp
	sgd     *kernel.SGDOp
}

func newOptimizer(cfg Optimizer, params int) *optimizer {
	o := &optimizer{cfg: cfg, adam: kernel.NewAdamOp(), sgd: kernel.NewSGDOp()}
	for range cfg.moments() {
		o.moments = append(o.moments, make([]float32, params))
	}
	return o
}

// moments returns how many numbers of state there are for each parameter.
func (o *Optimizer) moments() int {
	switch {
	case o.Kind != SGD:
		return 2
	case o.Momentum != 0:
		return 1
	}
	return 0
}

// apply does a step with the given number, from 1.
func (o *optimizer) apply(pool *kernel.Pool, p *graph.Params, step int, factor float64, scale float32) {
	split := p.Decayed()
	if o.cfg.DecayAll || o.cfg.Decay == 0 {
		split = len(p.Values)
	}
	o.part(pool, p, 0, split, step, factor, o.cfg.Decay, scale)
	o.part(pool, p, split, len(p.Values), step, factor, 0, scale)
}

func (o *optimizer) part(pool *kernel.Pool, p *graph.Params, lo, hi, step int, factor, decay float64, scale float32) {
	if lo == hi {
		return
	}
	c, lr := &o.cfg, float32(o.cfg.LR*factor)
	if c.Kind == SGD {
		var m []float32
		if len(o.moments) > 0 {
			m = o.moments[0][lo:hi]
		}
		o.sgd.Run(pool, p.Values[lo:hi], p.Grads[lo:hi], m, kernel.SGD{LR: lr, Momentum: float32(c.Momentum), Nesterov: c.Nesterov, Decay: float32(decay)}, scale)
		return
	}
	a := kernel.AdamW{LR: lr, Beta1: float32(or(c.Beta1, 0.9)), Beta2: float32(or(c.Beta2, 0.999)), Eps: float32(or(c.Eps, 1e-8)), Decay: float32(decay), Step: step, L2: c.Kind == Adam}
	o.adam.Run(pool, p.Values[lo:hi], p.Grads[lo:hi], o.moments[0][lo:hi], o.moments[1][lo:hi], a, scale)
}

// or returns what is set, or else a default.
func or(v *float64, otherwise float64) float64 {
	if v == nil {
		return otherwise
	}
	return *v
}
