package train

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/net"
)

// maxPrograms is how many graphs are kept for each of training and evaluation: the usual
// batch, the last one of an epoch, and some room.
const maxPrograms = 4

// ErrNotFinite is the error of a step whose loss is infinite or not a number, or with
// clipping its gradient; without, a bad gradient shows in the loss of the next step. The
// parameters are as before; the running statistics of batch norms may not be.
var ErrNotFinite = errors.New("loss or gradient is not finite")

// Trainer trains a model.
type Trainer struct {
	cfg     Config
	model   *net.Model
	pool    *kernel.Pool
	opt     *optimizer
	squares *kernel.SumSquaresOp
	step    int // steps done
	part    int // of the batch of a step
	mean    mean
	sum     []float64 // of the gradients of samples, of private ones

	training, evaluation programs
}

// New makes a model with first weights and a trainer for it. Work is done on pool.
func New(cfg Config, pool *kernel.Pool) (*Trainer, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	m, err := net.New(cfg.Model, cfg.Seed)
	if err != nil {
		return nil, err
	}
	return &Trainer{cfg: cfg, model: m, pool: pool, opt: newOptimizer(cfg.Optimizer, len(m.Params.Values)), squares: kernel.NewSumSquaresOp()}, nil
}

// Model returns the model. Its numbers may be changed between steps.
func (t *Trainer) Model() *net.Model { return t.model }

// Params returns the parameters and gradients. They may be changed between steps, gradients
// also between Gradient and Apply. They belong to the trainer and stay where they are as long
// as it lives: whoever holds on to them sees each change, and may not touch them while a
// method of the trainer runs. The same holds for Stats and Moments.
func (t *Trainer) Params() *graph.Params { return t.model.Params }

// Stats returns the running statistics of all batch norms in one flat vector, empty for
// models without.
func (t *Trainer) Stats() []float32 { return t.model.Stats.Values }

// Moments returns the state of the optimiser beside its number of steps: vectors as long as
// the parameters, none of sgd without momentum, one with, two of adam and adamw (first and
// second moments). The slice is the caller's, the vectors are the trainer's.
func (t *Trainer) Moments() [][]float32 { return slices.Clone(t.opt.moments) }

// Steps returns how many steps have been done.
func (t *Trainer) Steps() int { return t.step }

// SetSteps sets how many steps have been done, 0 to 2^40: the schedule, the optimiser and the
// random choices go on from there. It is for trainers that take over the state of another.
func (t *Trainer) SetSteps(n int) error {
	if n < 0 || n > maxSteps {
		return fmt.Errorf("set steps to %d: want 0 to %d", n, maxSteps)
	}
	t.step = n
	return nil
}

// Result is what a step tells.
type Result struct {
	Loss float64 // mean over what counts in the batch
	Norm float64 // of the gradient before clipping, 0 without clipping
	LR   float64 // the learning rate of the step
}

// Step does one step of training on a batch: Gradient, then Apply.
func (t *Trainer) Step(b *Batch) (Result, error) {
	loss, err := t.Gradient(b)
	if err != nil {
		return Result{}, err
	}
	r, err := t.Apply()
	r.Loss = loss
	return r, err
}

// Gradient computes the gradient of the mean loss of a batch, into Params().Grads, and
// returns the loss. Running statistics are updated.
func (t *Trainer) Gradient(b *Batch) (loss float64, err error) {
	p, err := t.program(&t.training, b, true)
	if err != nil {
		return 0, err
	}
	if err := p.machine.Run(t.seed()); err != nil {
		return 0, err
	}
	loss = float64(p.loss[0])
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return loss, fmt.Errorf("step %d: %w", t.step+1, ErrNotFinite)
	}
	return loss, nil
}

// seed returns the seed of the next step's random choices.
func (t *Trainer) seed() uint64 {
	return t.cfg.Seed ^ (uint64(t.step)+1)*0xd1342543de82ef95 ^ uint64(t.part)*0x9e3779b97f4a7c15
}

// SetPart sets which part of the batch of each step the next gradients are of, 0 if it was
// never called: parts make random choices of their own. It is for trainers that share a
// batch, and is not part of a checkpoint.
func (t *Trainer) SetPart(i int) { t.part = i }

// Apply clips the gradient in Params().Grads and does the step of the optimiser.
func (t *Trainer) Apply() (Result, error) {
	factor := t.cfg.Schedule.Factor(t.step)
	r := Result{LR: t.cfg.Optimizer.LR * factor}
	scale := 1.0
	if t.cfg.Clip > 0 {
		r.Norm = math.Sqrt(t.squares.Run(t.pool, t.model.Params.Grads))
		if math.IsNaN(r.Norm) || math.IsInf(r.Norm, 0) {
			return r, fmt.Errorf("step %d: %w", t.step+1, ErrNotFinite)
		}
		scale = min(1, t.cfg.Clip/(r.Norm+1e-6)) // as torch.nn.utils.clip_grad_norm_
	}
	t.step++
	t.opt.apply(t.pool, t.model.Params, t.step, factor, float32(scale))
	return r, nil
}

// Evaluate scores a batch as the model is used: running statistics, no dropout, no
// smoothing of targets.
func (t *Trainer) Evaluate(b *Batch) (Score, error) {
	p, err := t.evaluate(b)
	if err != nil {
		return Score{}, err
	}
	return score(t.model.Task(), p.loss[0], p.logits, b.Labels, p.built.Outputs), nil
}

// Predict returns the logits of a batch, one row of Model().Outputs() for each sample or
// token, valid until the next call. The targets of the batch play no role but must be there.
func (t *Trainer) Predict(b *Batch) ([]float32, error) {
	p, err := t.evaluate(b)
	if err != nil {
		return nil, err
	}
	return p.logits, nil
}

func (t *Trainer) evaluate(b *Batch) (*program, error) {
	p, err := t.program(&t.evaluation, b, false)
	if err != nil {
		return nil, err
	}
	return p, p.machine.Run(0)
}

// TrainScore scores the batch of the last Step or Gradient, of the same sizes, by the
// logits it had. The loss is the mean that was returned.
func (t *Trainer) TrainScore(b *Batch) (Score, error) {
	if err := b.check(t.model); err != nil {
		return Score{}, err
	}
	for _, p := range t.training {
		if p.shape == (net.Shape{Batch: b.N, Seq: b.Seq}) {
			return score(t.model.Task(), p.loss[0], p.logits, b.Labels, p.built.Outputs), nil
		}
	}
	return Score{}, fmt.Errorf("%w: no step had this size", ErrBatch)
}

// program is a graph for one shape, ready to run.
type program struct {
	shape        net.Shape
	built        *net.Built
	machine      *graph.Machine
	loss, logits []float32
}

// programs are those used last, the latest first.
type programs []*program

// program returns the program for a batch, with the batch in its inputs.
func (t *Trainer) program(list *programs, b *Batch, training bool) (*program, error) {
	if err := b.check(t.model); err != nil {
		return nil, err
	}
	shape := net.Shape{Batch: b.N, Seq: b.Seq}
	l := *list
	at := 0
	for at < len(l) && l[at].shape != shape {
		at++
	}
	if at == len(l) {
		if len(l) == maxPrograms {
			l[len(l)-1] = nil // its memory may go before the next is made
			l = l[:len(l)-1]
			*list = l
		}
		p, err := t.newProgram(shape, training)
		if err != nil {
			return nil, err
		}
		l = append(l, p)
		at = len(l) - 1
	}
	p := l[at]
	copy(l[1:at+1], l[:at])
	l[0] = p
	*list = l
	b.fill(&p.built.Inputs)
	return p, nil
}

func (t *Trainer) newProgram(shape net.Shape, training bool) (*program, error) {
	g := graph.New(t.model.Params, t.pool, training)
	loss := net.Loss{}
	if training {
		loss.Smoothing = float32(t.cfg.Smoothing)
	}
	built, err := t.model.Build(g, shape, loss)
	if err != nil {
		return nil, err
	}
	m, err := g.Compile(built.Loss, built.Logits)
	if err != nil {
		return nil, err
	}
	return &program{shape: shape, built: built, machine: m, loss: m.Output(built.Loss), logits: m.Output(built.Logits)}, nil
}
