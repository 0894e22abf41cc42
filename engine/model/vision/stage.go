package vision

import (
	"context"
	"math"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

// Stage is a loaded model. It is for one call at a time.
type Stage struct {
	cfg   Config
	pool  *kernel.Pool
	steps []loaded
	bytes int64
	sizes [registers]int // numbers that each register holds at most
	regs  [registers][]float32
	convs map[kernel.Conv]*kernel.ConvOp // shared by the layers of a shape: they run in turn
	acts  map[string]*kernel.ActivationOp
	sum   *kernel.AddOp
	quant kernel.Acts
}

// loaded is a step with its weights.
type loaded struct {
	step
	weight, biases []float32 // conv: (out, in, kh, kw) and (out), batch norm folded in
	linear         nn.Linear
	pool           forward // of a pool
	convOp         *kernel.ConvOp
	activate       *kernel.ActivationOp // nil for none
}

// forward is what the pools have in common.
type forward interface {
	Forward(p *kernel.Pool, y, x []float32)
}

// Load reads the weights of the model that cfg describes, which must have been validated.
func Load(ctx context.Context, cfg Config, w nn.Weights, pool *kernel.Pool) (*Stage, error) {
	steps, err := cfg.plan()
	if err != nil {
		return nil, err
	}
	s := &Stage{cfg: cfg, pool: pool, convs: map[kernel.Conv]*kernel.ConvOp{}, acts: map[string]*kernel.ActivationOp{}, sum: kernel.NewAddOp()}
	s.sum.ReLU = true
	s.sizes = registerSizes(cfg.InputLen(), steps)
	l := nn.NewLoader(ctx, w, nn.Part{Kind: nn.Block})
	for _, st := range steps {
		out := s.load(l, st)
		if out.activate, err = s.activation(st.act); err != nil {
			return nil, err
		}
		s.steps = append(s.steps, out)
		if l.Err() != nil {
			return nil, l.Err()
		}
	}
	s.bytes = l.Bytes()
	return s, nil
}

// activation returns the op of an activation, which all layers share.
func (s *Stage) activation(name string) (*kernel.ActivationOp, error) {
	if name == "" {
		return nil, nil
	}
	if s.acts[name] == nil {
		a, err := kernel.ParseActivation(name)
		if err != nil {
			return nil, err
		}
		s.acts[name] = kernel.NewActivationOp(a)
	}
	return s.acts[name], nil
}

// load reads the tensors of a step and makes its op.
func (s *Stage) load(l *nn.Loader, st step) loaded {
	out := loaded{step: st}
	switch st.op {
	case Conv:
		k := st.conv
		out.weight = l.Floats(st.name+".weight", k.OutC, k.InC, st.conv.KH, st.conv.KW)
		if st.bias {
			out.biases = l.Vector(st.name+".bias", k.OutC)
		}
		if st.norm != "" {
			var n [4][]float32
			for i, name := range normTensors() {
				n[i] = l.Vector(st.norm+"."+name, k.OutC)
			}
			if l.Err() == nil {
				out.biases = fold(out.weight, out.biases, n[0], n[1], n[2], n[3], s.cfg.Eps)
			}
		}
		if s.convs[k] == nil {
			s.convs[k] = kernel.NewConvOp(k)
		}
		out.convOp = s.convs[k]
	case Linear:
		out.linear = l.Linear(st.name, st.out.c, st.in.len(), st.bias)
	case AvgPool:
		out.pool = kernel.NewAvgPoolOp(kernel.AvgPool(st.pool))
	case GlobalPool:
		out.pool = kernel.NewGlobalAvgPoolOp(st.in.c, st.in.h*st.in.w)
	}
	return out
}

// fold multiplies the weights of a convolution by the scale of the batch norm after it and
// returns the bias that does the rest: gamma*(x+bias-mean)/sqrt(var+eps) + beta. Scales are
// computed in float64; weights and biases are rounded once.
func fold(weight, bias, gamma, beta, mean, variance []float32, eps float64) []float32 {
	out := make([]float32, len(gamma))
	each := len(weight) / len(gamma)
	for c := range gamma {
		scale := float64(gamma[c]) / math.Sqrt(float64(variance[c])+eps)
		w := weight[c*each : (c+1)*each]
		for i, v := range w {
			w[i] = float32(float64(v) * scale)
		}
		shift := -float64(mean[c])
		if bias != nil {
			shift += float64(bias[c])
		}
		out[c] = float32(float64(shift*scale) + float64(beta[c])) // the conversion forbids fusing
	}
	return out
}

// WeightBytes returns the memory the weights take.
func (s *Stage) WeightBytes() int64 { return s.bytes }

// ScratchBytes is [Config.ScratchBytes] of the model.
func (s *Stage) ScratchBytes() int64 { return s.cfg.ScratchBytes() }

// InputLen returns how many numbers an image has.
func (s *Stage) InputLen() int { return s.cfg.InputLen() }

// OutWidth returns the number of scores.
func (s *Stage) OutWidth() int { return len(s.cfg.Labels) }

// Forward writes the scores of an image x (channels, height, width), as the configuration's
// pipeline makes it, to out. The context ends it between two layers.
func (s *Stage) Forward(ctx context.Context, out, x []float32) error {
	for i, size := range s.sizes {
		s.regs[i] = nn.Grow(s.regs[i], size)
	}
	copy(s.regs[0], x[:s.cfg.InputLen()])
	for i := range s.steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		s.run(&s.steps[i])
	}
	last := &s.steps[len(s.steps)-1]
	copy(out, s.regs[last.dst][:last.out.len()])
	return nil
}

func (s *Stage) run(st *loaded) {
	x, y := s.regs[st.src][:st.in.len()], s.regs[st.dst][:st.out.len()]
	switch st.step.op {
	case Conv:
		st.convOp.Forward(s.pool, y, x, st.weight, st.biases)
	case Linear:
		kernel.MatMul(s.pool, y, x, 1, st.linear.Weight, &s.quant)
		st.linear.AddBias(y, 1)
	case add:
		s.sum.Forward(s.pool, y, x, s.regs[st.add][:st.in.len()])
		return // with ReLU
	case MaxPool:
		if st.pool == nil { // here, as it takes memory that ScratchBytes counts
			st.pool = kernel.NewMaxPoolOp(st.step.pool)
		}
		st.pool.Forward(s.pool, y, x)
	default:
		st.pool.Forward(s.pool, y, x)
	}
	if st.activate != nil {
		st.activate.Forward(s.pool, y, y)
	}
}
