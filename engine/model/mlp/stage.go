package mlp

import (
	"context"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/nn"
)

// Stage is a loaded model. It is for one call at a time.
type Stage struct {
	cfg      Config
	pool     *kernel.Pool
	layers   []nn.Linear
	activate *kernel.ActivationOp
	bytes    int64
	acts     kernel.Acts
	bufs     [2][]float32 // (rows, width), of two layers that follow each other
}

// Load reads the weights of the model that cfg describes, which must have been validated.
func Load(ctx context.Context, cfg Config, w nn.Weights, pool *kernel.Pool) (*Stage, error) {
	act, err := kernel.ParseActivation(cfg.Activation)
	if err != nil {
		return nil, err
	}
	s := &Stage{cfg: cfg, pool: pool, activate: kernel.NewActivationOp(act)}
	l := nn.NewLoader(ctx, w, nn.Part{Kind: nn.Block})
	widths := cfg.widths()
	for i := range widths[1:] {
		s.layers = append(s.layers, l.Linear(layer(i), widths[i+1], widths[i], true))
	}
	s.bytes = l.Bytes()
	return s, l.Err()
}

// WeightBytes returns the memory the weights take.
func (s *Stage) WeightBytes() int64 { return s.bytes }

// InputLen is [Config.InputLen] of the model.
func (s *Stage) InputLen() int { return s.cfg.InputLen() }

// OutWidth is [Config.OutWidth] of the model.
func (s *Stage) OutWidth() int { return s.cfg.OutWidth() }

// Forward writes what comes out for each row of x (rows, InputLen), at most MaxRows, to out
// (rows, OutWidth). A row's result does not depend on the others.
func (s *Stage) Forward(ctx context.Context, out, x []float32) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	widths := s.cfg.widths()
	rows := len(x) / widths[0]
	for i, l := range s.layers {
		y, last := out, i == len(s.layers)-1
		if !last {
			s.bufs[i%2] = nn.Grow(s.bufs[i%2], rows*widths[i+1])
			y = s.bufs[i%2]
		}
		kernel.MatMul(s.pool, y, x, rows, l.Weight, &s.acts)
		l.AddBias(y, rows)
		if !last {
			s.activate.Forward(s.pool, y, y)
		}
		x = y
	}
	if std := s.cfg.TargetStd; std != 0 {
		for i, v := range x[:rows] { // a prediction each
			out[i] = float32(float64(float64(v)*std) + s.cfg.TargetMean)
		}
	}
	return nil
}
