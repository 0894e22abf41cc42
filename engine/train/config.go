package train

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/train/net"
)

// Config describes a training run, without its data.
type Config struct {
	Model     net.Config `json:"model" toml:"model"`
	Optimizer Optimizer  `json:"optimizer" toml:"optimizer"`
	Schedule  Schedule   `json:"schedule" toml:"schedule"`
	Clip      float64    `json:"clip,omitempty" toml:"clip,omitempty"`           // largest norm of the whole gradient; 0 is no limit
	Smoothing float64    `json:"smoothing,omitempty" toml:"smoothing,omitempty"` // of the targets of classes, in [0, 1)
	Seed      uint64     `json:"seed" toml:"seed"`                               // of first weights and dropout
}

// The kinds of optimisers.
const (
	SGD   = "sgd"
	Adam  = "adam"  // decay is added to the gradient
	AdamW = "adamw" // decay is apart from the gradient
)

// Optimizer describes an optimiser; formulas and defaults are PyTorch's.
type Optimizer struct {
	Kind     string  `json:"kind" toml:"kind"`
	LR       float64 `json:"lr" toml:"lr"`
	Momentum float64 `json:"momentum,omitempty" toml:"momentum,omitempty"` // of sgd
	Nesterov bool    `json:"nesterov,omitempty" toml:"nesterov,omitempty"` // of sgd, needs momentum

	// Beta1, Beta2 and Eps are of adam and adamw: 0.9, 0.999 and 1e-8 if nil.
	Beta1 *float64 `json:"beta1,omitempty" toml:"beta1,omitempty"`
	Beta2 *float64 `json:"beta2,omitempty" toml:"beta2,omitempty"`
	Eps   *float64 `json:"eps,omitempty" toml:"eps,omitempty"`

	// Decay of weights. Biases and the parameters of norms do not decay, unless DecayAll.
	Decay    float64 `json:"decay,omitempty" toml:"decay,omitempty"`
	DecayAll bool    `json:"decay_all,omitempty" toml:"decay_all,omitempty"`
}

// The kinds of schedules.
const (
	Constant = "constant"
	Cosine   = "cosine" // half a cosine down to Final at Steps
	Linear   = "linear" // straight down to Final at Steps
	Stepwise = "step"   // times Gamma after every Every steps
)

// Schedule describes how the learning rate changes. The zero value is constant.
type Schedule struct {
	Kind   string   `json:"kind,omitempty" toml:"kind,omitempty"`     // constant if empty
	Warmup int      `json:"warmup,omitempty" toml:"warmup,omitempty"` // steps of linear growth before: the first has 1/Warmup
	Steps  int      `json:"steps,omitempty" toml:"steps,omitempty"`   // of cosine and linear: length of the run, warm-up included
	Final  float64  `json:"final,omitempty" toml:"final,omitempty"`   // of cosine and linear: share of the rate at the end
	Every  int      `json:"every,omitempty" toml:"every,omitempty"`   // of step
	Gamma  *float64 `json:"gamma,omitempty" toml:"gamma,omitempty"`   // of step: 0.1 if nil
}

// Validate reports all problems of a configuration.
func (c *Config) Validate() error {
	errs := []error{c.Model.Validate(), c.Optimizer.validate(), c.Schedule.validate()}
	if !(c.Clip >= 0 && c.Clip <= 1e9) {
		errs = append(errs, fmt.Errorf("clip is %v, want 0 or more", c.Clip))
	}
	if !(c.Smoothing >= 0 && c.Smoothing < 1) {
		errs = append(errs, fmt.Errorf("smoothing is %v, want at least 0 and less than 1", c.Smoothing))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("check training configuration: %w", err)
	}
	return nil
}

func (o *Optimizer) validate() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("optimizer: "+format, args...))
	}
	if o.Kind != SGD && o.Kind != Adam && o.Kind != AdamW {
		add("kind is %.40q, want one of %s, %s, %s", o.Kind, SGD, Adam, AdamW)
	}
	if !(o.LR > 0 && o.LR <= 1e3) {
		add("lr is %v, want more than 0 and at most 1000", o.LR)
	}
	for _, f := range []struct {
		name string
		v    float64
	}{{"momentum", o.Momentum}, {"beta1", or(o.Beta1, 0)}, {"beta2", or(o.Beta2, 0)}, {"eps", or(o.Eps, 0)}, {"decay", o.Decay}} {
		if !(f.v >= 0 && f.v < 1) {
			add("%s is %v, want at least 0 and less than 1", f.name, f.v)
		}
	}
	if o.Kind == SGD && (o.Beta1 != nil || o.Beta2 != nil || o.Eps != nil) {
		add("sgd has no beta1, beta2 and eps")
	}
	if o.Kind != SGD && (o.Momentum != 0 || o.Nesterov) {
		add("%.40s has no momentum and no nesterov", o.Kind)
	}
	if o.Nesterov && o.Momentum == 0 {
		add("nesterov needs momentum")
	}
	return errors.Join(errs...)
}

func (s *Schedule) validate() error {
	var errs []error
	add := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("schedule: "+format, args...))
	}
	if s.Warmup < 0 {
		add("warmup is %d, want 0 or more", s.Warmup)
	}
	switch s.Kind {
	case "", Constant:
	case Cosine, Linear:
		if s.Steps <= max(s.Warmup, 0) {
			add("%s needs more steps than the %d of warmup, has %d", s.Kind, s.Warmup, s.Steps)
		}
	case Stepwise:
		if s.Every < 1 {
			add("every is %d, want 1 or more", s.Every)
		}
	default:
		add("kind is %.40q, want one of %s, %s, %s, %s", s.Kind, Constant, Cosine, Linear, Stepwise)
	}
	constant := s.Kind == "" || s.Kind == Constant
	if (constant || s.Kind == Cosine || s.Kind == Linear) && (s.Every != 0 || s.Gamma != nil) {
		add("every and gamma belong to kind %s", Stepwise)
	}
	if (constant || s.Kind == Stepwise) && s.Final != 0 {
		add("final belongs to kind %s and %s", Cosine, Linear)
	}
	if !(s.Final >= 0 && s.Final <= 1) {
		add("final is %v, want 0 to 1", s.Final)
	}
	if gamma := or(s.Gamma, 0); !(gamma >= 0 && gamma <= 1) {
		add("gamma is %v, want 0 to 1", gamma)
	}
	return errors.Join(errs...)
}
