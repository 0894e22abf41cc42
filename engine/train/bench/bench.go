package bench

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/net"
)

// Config says what to measure.
type Config struct {
	Model   string // one of Models
	Threads int    // 0: as many as the process may use
	Steps   int    // that are timed; 0 is 30. Warm-up steps come before, for longer if there are several
}

// Before the timed steps come warmupSteps at least, in which buffers get their memory, and
// warmupTime, in which the runtime makes what it needs to wake threads (some hundred objects,
// which it keeps).
const (
	warmupSteps = 3
	warmupTime  = 2 * time.Second
)

// Result is what was measured. Times are of one step: forward, backward and optimiser.
type Result struct {
	Model            string
	ISA              string
	Threads          int
	Params           int
	ForwardFLOPs     int64 // of the matrix products of a forward pass
	Median, Min, Max time.Duration
	StepFLOPs        int64   // and of the gradients that the step needs
	FLOPS            float64 // StepFLOPs / Median, per second
	PeakFLOPS        float64 // of fused multiply-adds on as many threads
	Allocs           float64 // allocations per step
	AllocBytes       float64
}

// Share returns how much of the machine's peak the median step got.
func (r Result) Share() float64 { return r.FLOPS / r.PeakFLOPS }

// String is one line for a terminal.
func (r Result) String() string {
	ms := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	return fmt.Sprintf("%-9s threads %d params %.2fM forward %.3f GFLOP  ms median %.2f min %.2f max %.2f  %.0f GFLOP/s, %.0f %% of peak  %.1f allocations",
		r.Model, r.Threads, float64(r.Params)/1e6, float64(r.ForwardFLOPs)/1e9, ms(r.Median), ms(r.Min), ms(r.Max), r.FLOPS/1e9, 100*r.Share(), r.Allocs)
}

// Models lists what can be measured.
func Models() []string { return []string{"mlp", "cnn", "gpt", "resnet18"} }

// model returns the configuration of a model and the sizes of a batch.
func model(name string) (net.Config, net.Shape, error) {
	image := []int{3, 32, 32}
	switch name {
	case "mlp":
		return net.Config{Kind: net.KindMLP, MLP: &net.MLP{Input: 784, Hidden: []int{512, 512}, Output: 10}}, net.Shape{Batch: 128}, nil
	case "cnn": // four convolutions 3x3 with batch norm, two of them in a residual block
		bias := true
		return net.Config{Kind: net.KindCNN, CNN: &net.CNN{Input: image, Classes: 10, Layers: []net.Layer{
			{Type: net.LayerConv, Channels: 32, Norm: true, ReLU: true, Bias: &bias},
			{Type: net.LayerConv, Channels: 64, Norm: true, ReLU: true, Bias: &bias},
			{Type: net.LayerMaxPool},
			{Type: net.LayerResidual, Channels: 64},
		}}}, net.Shape{Batch: 16}, nil
	case "gpt": // without positions, as its counterpart
		return net.Config{Kind: net.KindLlama, Llama: &net.Llama{Vocab: 512, Dim: 128, Blocks: 2, Heads: 4, FFN: 344, Context: 64, Tied: true, NoRope: true}}, net.Shape{Batch: 8, Seq: 64}, nil
	case "resnet18":
		return net.Config{Kind: net.KindResNet, ResNet: &net.ResNet{Depth: 18, Input: image, Classes: 10, Stem: net.StemCIFAR}}, net.Shape{Batch: 8}, nil
	}
	return net.Config{}, net.Shape{}, fmt.Errorf("benchmark model is %.40q, want one of %v", name, Models())
}

// batch makes random samples.
func batch(t *train.Trainer, shape net.Shape) *train.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	m := t.Model()
	b := &train.Batch{N: shape.Batch, Seq: shape.Seq}
	labels := shape.Batch
	if m.Context() > 0 {
		labels *= shape.Seq
		for range labels {
			b.IDs = append(b.IDs, int32(r.IntN(m.Vocab())))
		}
	} else {
		n := shape.Batch
		for _, d := range m.Input() {
			n *= d
		}
		for range n {
			b.Floats = append(b.Floats, float32(r.NormFloat64()))
		}
	}
	for range labels {
		b.Labels = append(b.Labels, int32(r.IntN(m.Outputs())))
	}
	return b
}

// Run measures a model.
func Run(cfg Config) (Result, error) {
	if cfg.Threads < 1 {
		cfg.Threads = runtime.GOMAXPROCS(0)
	}
	if cfg.Steps < 1 {
		cfg.Steps = 30
	}
	mc, shape, err := model(cfg.Model)
	if err != nil {
		return Result{}, err
	}
	pool := kernel.NewPool(cfg.Threads)
	defer pool.Close()
	t, err := train.New(train.Config{Model: mc, Optimizer: train.Optimizer{Kind: train.Adam, LR: 1e-3}, Seed: 1}, pool)
	if err != nil {
		return Result{}, err
	}
	r := Result{Model: cfg.Model, ISA: kernel.Current().String(), Threads: cfg.Threads, Params: len(t.Params().Values)}
	g := graph.New(t.Params(), pool, false)
	if _, err := t.Model().Build(g, shape, net.Loss{}); err != nil {
		return r, err
	}
	forward, back := g.FLOPs()
	r.ForwardFLOPs, r.StepFLOPs = forward, forward+back
	r.PeakFLOPS = peak(pool)
	if err := r.measure(t, batch(t, shape), cfg.Steps); err != nil {
		return r, err
	}
	r.PeakFLOPS = max(r.PeakFLOPS, peak(pool))
	r.FLOPS = float64(r.StepFLOPs) / r.Median.Seconds()
	return r, nil
}

func (r *Result) measure(t *train.Trainer, b *train.Batch, steps int) error {
	times := make([]time.Duration, steps)
	for n, start := 0, time.Now(); n < warmupSteps || steps > 1 && time.Since(start) < warmupTime; n++ {
		if _, err := t.Step(b); err != nil {
			return err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range times {
		start := time.Now()
		if _, err := t.Step(b); err != nil {
			return err
		}
		times[i] = time.Since(start)
	}
	runtime.ReadMemStats(&after)
	r.Allocs = float64(after.Mallocs-before.Mallocs) / float64(steps)
	r.AllocBytes = float64(after.TotalAlloc-before.TotalAlloc) / float64(steps)
	slices.Sort(times)
	r.Median, r.Min, r.Max = times[steps/2], times[0], times[steps-1]
	return nil
}

// peak returns the fused multiply-adds per second of the pool's threads, counted as two
// operations: the best of some short tries, since other work only takes away.
func peak(p *kernel.Pool) float64 {
	const tries, duration = 5, 20 * time.Millisecond
	best := 0.0
	for range tries {
		start, done := time.Now(), int64(0)
		for time.Since(start) < duration {
			done += kernel.Peak(p, kernel.PeakFMA, nil)
		}
		best = max(best, float64(done)/time.Since(start).Seconds())
	}
	return best
}
