package kernel

import (
	"fmt"
	"math"
)

// AdamW holds the settings of a step of Adam (Kingma and Ba, "Adam", 2014), with decay
// that is decoupled from the gradient (Loshchilov and Hutter, "Decoupled weight decay
// regularization", 2017) unless L2 is set.
type AdamW struct {
	LR, Beta1, Beta2, Eps float32
	Decay                 float32
	Step                  int  // from 1: how many steps there are with this one
	L2                    bool // Decay times the parameter is added to the gradient: PyTorch's Adam
}

// AdamOp runs steps of Adam.
type AdamOp struct {
	onISA
	task adamTask
}

// NewAdamOp returns an op.
func NewAdamOp() *AdamOp { return &AdamOp{onISA: onISA{current}} }

// adamTask is a step. The gradient's scale and the factors that are the same for all
// parameters are computed once, in float64.
type adamTask struct {
	isa        ISA
	l2         bool
	p, g, m, v []float32
	factors    [adamFactors]float32
}

// Places in the factors of a step; the vector code reads them.
const (
	adamScale  = iota // of the gradient
	adamL2            // times the parameter is added to the gradient
	adamC1            // 1 - beta1
	adamBeta2         //
	adamC2            // 1 - beta2
	adamRoot          // 1 / sqrt(1 - beta2^step)
	adamEps           //
	adamKeep          // 1 - lr * decay
	adamLR            // -lr / (1 - beta1^step)
	adamUnused        // pads
	adamFactors
)

// Run updates the parameters and the moments m and v by one step in place. All have the
// length of params; m and v are 0 before the first step. Gradients are multiplied by
// gradScale first.
func (o *AdamOp) Run(p *Pool, params, grads, m, v []float32, cfg AdamW, gradScale float32) {
	checkLen("AdamOp.Run", len(params), len(grads), len(m), len(v))
	if cfg.Step < 1 {
		panic(fmt.Sprintf("kernel: AdamOp.Run of step %d", cfg.Step))
	}
	b1, b2, lr, decay := float64(cfg.Beta1), float64(cfg.Beta2), float64(cfg.LR), float64(cfg.Decay)
	t := &o.task
	*t = adamTask{isa: o.isa, l2: cfg.L2, p: params, g: grads, m: m, v: v}
	f := &t.factors
	f[adamScale], f[adamEps], f[adamBeta2] = gradScale, cfg.Eps, cfg.Beta2
	f[adamC1], f[adamC2] = float32(1-b1), float32(1-b2)
	f[adamRoot] = float32(1 / math.Sqrt(1-power(b2, cfg.Step)))
	f[adamLR] = float32(-lr / (1 - power(b1, cfg.Step)))
	f[adamKeep] = 1
	if cfg.L2 {
		f[adamL2] = cfg.Decay
	} else {
		f[adamKeep] = float32(1 - float64(lr*decay))
	}
	p.Run(len(params), grainElements/2, t)
	*t = adamTask{}
}

// power returns x to the power n > 0 by squaring; package math has other code on some
// machines.
func power(x float64, n int) float64 {
	y := 1.0
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			y = float64(y * x)
		}
		x = float64(x * x)
	}
	return y
}

func (t *adamTask) Do(lo, hi int) {
	p, g, m, v := t.p[lo:hi], t.g[lo:hi], t.m[lo:hi], t.v[lo:hi]
	if adamSIMD(t.isa, p, g, m, v, &t.factors, t.l2) {
		return
	}
	f := &t.factors
	for i, w := range p {
		d := float32(g[i] * f[adamScale])
		if t.l2 {
			d = fma32(f[adamL2], w, d)
		}
		m[i] = fma32(d-m[i], f[adamC1], m[i])
		v[i] = fma32(float32(d*f[adamC2]), d, float32(v[i]*f[adamBeta2]))
		// A square root rounded to float64 first is right in float32: see inverseRoot.
		root := float32(math.Sqrt(float64(v[i])))
		step := m[i] / fma32(root, f[adamRoot], f[adamEps])
		p[i] = fma32(f[adamLR], step, float32(w*f[adamKeep]))
	}
}

// SGD holds the settings of a step of gradient descent with momentum, as PyTorch defines
// them (no dampening).
type SGD struct {
	LR, Momentum float32
	Decay        float32 // times the parameter is added to the gradient
	Nesterov     bool
}

// SGDOp runs steps of gradient descent.
type SGDOp struct {
	onISA
	task sgdTask
}

// NewSGDOp returns an op.
func NewSGDOp() *SGDOp { return &SGDOp{onISA: onISA{current}} }

type sgdTask struct {
	isa     ISA
	cfg     SGD
	scale   float32
	p, g, m []float32
}

// Run updates the parameters and the momentum, which is 0 before the first step and not
// used if cfg.Momentum is 0, by one step in place. All have the length of params. Gradients
// are multiplied by gradScale first.
func (o *SGDOp) Run(p *Pool, params, grads, momentum []float32, cfg SGD, gradScale float32) {
	checkLen("SGDOp.Run", len(params), len(grads))
	if cfg.Momentum != 0 {
		checkLen("SGDOp.Run", len(params), len(momentum))
	}
	o.task = sgdTask{isa: o.isa, cfg: cfg, scale: gradScale, p: params, g: grads, m: momentum}
	p.Run(len(params), grainElements, &o.task)
	o.task = sgdTask{}
}

func (t *sgdTask) Do(lo, hi int) {
	p, g, m := t.p[lo:hi], t.g[lo:hi], []float32(nil)
	if t.cfg.Momentum != 0 {
		m = t.m[lo:hi]
	}
	if sgdSIMD(t.isa, p, g, m, &t.cfg, t.scale) {
		return
	}
	for i, w := range p {
		d := fma32(t.cfg.Decay, w, float32(g[i]*t.scale))
		if m != nil {
			m[i] = fma32(t.cfg.Momentum, m[i], d)
			if t.cfg.Nesterov {
				d = fma32(t.cfg.Momentum, m[i], d)
			} else {
				d = m[i]
			}
		}
		p[i] = fma32(-t.cfg.LR, d, w)
	}
}
