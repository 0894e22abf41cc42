package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
)

// Limits of what a run takes.
const (
	maxRepeat  = 1000
	maxStreams = 256
	maxThreads = 1024
)

// Config says what to measure. Default fills what is zero.
type Config struct {
	Path     string        // a GGUF file or a Hugging Face directory; "" measures a made-up model
	Quantize *tensor.DType // as in model.ImportOptions, for Path

	// Weights, if not nil, are of the model to measure, with its configuration in Shape and
	// its tensors, of which only what they are counts.
	Weights model.Weights
	Tensors []model.TensorSource
	Name    string // of that model

	Shape model.Config // of the made-up model; zero is Shape1B
	Type  tensor.DType // of its matrices: F32, F16, BF16, Q8_0 or Q4_0; 0 is Q4_0

	Threads int // 0: as many as the process may use
	Prompt  int // tokens of a prefill; 0 is 256
	Tokens  int // tokens of a decode, from an empty session on; 0 is 64
	Streams int // sessions that decode together; 0 is 1
	Repeat  int // how often each is measured; 0 is 3

	Progress func(what string) // if not nil, told what begins
}

// Default returns the configuration with its zero fields filled in.
func (c Config) Default() Config {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	if c.Path == "" && c.Weights == nil && c.Shape.Arch == "" {
		c.Shape = Shape1B()
	}
	if c.Type == 0 {
		c.Type = tensor.Q4_0
	}
	set(&c.Threads, runtime.GOMAXPROCS(0))
	set(&c.Prompt, 256)
	set(&c.Tokens, 64)
	set(&c.Streams, 1)
	set(&c.Repeat, 3)
	if c.Progress == nil {
		c.Progress = func(string) {}
	}
	return c
}

// Validate reports every field that is out of range. The lengths are checked against the
// model when it is open.
func (c Config) Validate() error {
	var errs []error
	in := func(name string, v, hi int) {
		if v < 0 || v > hi {
			errs = append(errs, fmt.Errorf("%s is %d, want at most %d", name, v, hi))
		}
	}
	in("threads", c.Threads, maxThreads)
	in("prompt", c.Prompt, 1<<20)
	in("tokens", c.Tokens, 1<<20)
	in("streams", c.Streams, maxStreams)
	in("repeat", c.Repeat, maxRepeat)
	return errors.Join(errs...)
}

// Report is the result of a run.
type Report struct {
	Model       string         `json:"model"`
	Types       map[string]int `json:"types"`        // how many matrices of each type
	WeightBytes int64          `json:"weight_bytes"` // in memory
	ISA         string         `json:"isa"`
	Threads     int            `json:"threads"`
	Machine     Machine        `json:"machine"`
	Load        time.Duration  `json:"load_ns"`
	Decode      Phase          `json:"decode"`
	Prefill     Phase          `json:"prefill"`
}

// Machine is what the machine gives at most, on the threads of the run.
type Machine struct {
	ReadBytes float64 `json:"read_bytes_per_second"`
	DotOps    float64 `json:"dot_ops_per_second"` // 8-bit multiplications and additions
	FMAOps    float64 `json:"fma_ops_per_second"` // float32 multiplications and additions
}

// Phase is the measurement of one kind of work.
type Phase struct {
	Tokens  int           `json:"tokens"` // of one repetition, of all streams together
	Best    time.Duration `json:"best_ns"`
	Mean    time.Duration `json:"mean_ns"`
	Rate    float64       `json:"tokens_per_second"` // by Mean
	Bytes   float64       `json:"bytes_per_second"`  // of weights that are read
	Ops     float64       `json:"ops_per_second"`    // of the products with weights, two for each weight and token
	OfRead  float64       `json:"share_of_read"`     // Bytes as a share of the machine's
	OfPeak  float64       `json:"share_of_peak"`     // Ops as a share of the machine's
	BoundBy string        `json:"bound_by"`          // "memory" or "arithmetic", whichever share is larger
}

// Run loads a model and measures it. It blocks until it is done or ctx ends.
func Run(ctx context.Context, cfg Config) (Report, error) {
	if err := cfg.Validate(); err != nil {
		return Report{}, fmt.Errorf("check bench configuration: %w", err)
	}
	cfg = cfg.Default()
	src, err := open(cfg)
	if err != nil {
		return Report{}, err
	}
	defer src.close()
	if err := src.checkLengths(cfg); err != nil {
		return Report{}, err
	}
	pool := kernel.NewPool(cfg.Threads)
	defer pool.Close()

	r := Report{Model: src.name, Types: src.types, ISA: kernel.Current().String(), Threads: cfg.Threads}
	cfg.Progress("machine")
	if r.Machine, err = MeasureMachine(ctx, pool); err != nil {
		return Report{}, err
	}
	cfg.Progress("load")
	start := time.Now()
	stage, err := model.Load(ctx, src.config, src.config.Whole(), src.weights, pool)
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	r.Load, r.WeightBytes = time.Since(start), stage.WeightBytes()
	m := meter{cfg: cfg, stage: stage, work: src.work(), read: stage.WeightBytes() - src.embedBytes}
	cfg.Progress("decode")
	if r.Decode, err = m.decode(ctx); err != nil {
		return Report{}, fmt.Errorf("bench decode: %w", err)
	}
	cfg.Progress("prefill")
	if r.Prefill, err = m.prefill(ctx); err != nil {
		return Report{}, fmt.Errorf("bench prefill: %w", err)
	}
	again, err := MeasureMachine(ctx, pool) // other work may have come in between
	if err != nil {
		return Report{}, fmt.Errorf("bench: %w", err)
	}
	r.Machine = r.Machine.best(again)
	for _, p := range []*Phase{&r.Decode, &r.Prefill} {
		p.compare(r.Machine, src.float())
	}
	return r, nil
}

// best returns what the machine gave at most in two measurements.
func (m Machine) best(o Machine) Machine {
	return Machine{ReadBytes: max(m.ReadBytes, o.ReadBytes), DotOps: max(m.DotOps, o.DotOps), FMAOps: max(m.FMAOps, o.FMAOps)}
}

// compare sets the shares of what the machine gives.
func (p *Phase) compare(m Machine, float bool) {
	peak := m.DotOps
	if float {
		peak = m.FMAOps
	}
	p.OfRead, p.OfPeak = p.Bytes/m.ReadBytes, p.Ops/peak
	p.BoundBy = "memory"
	if p.OfPeak > p.OfRead {
		p.BoundBy = "arithmetic"
	}
}
