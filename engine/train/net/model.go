package net

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/train/graph"
	"github.com/covey-network/covey/engine/train/op"
)

// Task says what a model learns.
type Task int

// The tasks.
const (
	Classify Task = iota // one of several classes for each sample
	Generate             // the next token at each position
	Regress              // numbers, by their mean squared error
)

// Stat is a running statistic of a batch norm: not trained, but part of the model.
type Stat struct {
	Name         string
	Offset, Size int
	First        float32 // value before training
}

// Stats holds the running statistics of a model in one flat vector.
type Stats struct {
	Values []float32
	List   []Stat
}

func newStats(list []Stat) *Stats {
	s := &Stats{List: list}
	for i := range list {
		list[i].Offset = len(s.Values)
		for range list[i].Size {
			s.Values = append(s.Values, list[i].First)
		}
	}
	return s
}

// View returns a statistic by name, nil if there is none.
func (s *Stats) View(name string) []float32 {
	for _, t := range s.List {
		if t.Name == name {
			return s.Values[t.Offset : t.Offset+t.Size : t.Offset+t.Size]
		}
	}
	return nil
}

// Model is a model's configuration and all its numbers.
type Model struct {
	Config Config
	Params *graph.Params
	Stats  *Stats

	arch  architecture
	input []int
}

// architecture is what each kind of model provides.
type architecture interface {
	task() Task
	input() []int                    // shape of a sample of floats, nil for tokens
	context() int                    // longest sequence of tokens, 0 without tokens
	outputs() int                    // classes, values or tokens
	forward(s *scope, x value) value // logits
}

// New makes a model with first weights from a seed.
func New(cfg Config, seed uint64) (*Model, error) {
	m, s, err := declare(cfg)
	if err != nil {
		return nil, err
	}
	if m.Params, err = graph.NewParams(s.params); err != nil {
		return nil, err
	}
	m.Stats = newStats(s.stats)
	for name, init := range s.inits {
		init.fill(m.Params.Value(name), seed, name)
	}
	return m, nil
}

// Sizes returns how many parameters and running statistics the model of a configuration
// has. It takes no memory for them, so that a file that claims to be of a configuration can
// be compared with it.
func Sizes(cfg Config) (params, stats int, err error) {
	_, s, err := declare(cfg)
	if err != nil {
		return 0, 0, err
	}
	for _, t := range s.stats {
		stats += t.Size
	}
	params, err = graph.Count(s.params)
	return params, stats, err
}

// LeastBatch returns how many samples a batch for training the model of a configuration must
// have: 2 if a batch norm has planes of one value, as one value has no variance, otherwise 1.
func LeastBatch(cfg Config) (int, error) {
	_, s, err := declare(cfg)
	if err != nil {
		return 0, err
	}
	if s.single {
		return 2, nil
	}
	return 1, nil
}

// declare returns a model without numbers, and what numbers it has.
func declare(cfg Config) (*Model, *scope, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	m := &Model{Config: cfg}
	switch cfg.Kind {
	case KindMLP:
		m.arch = cfg.MLP
	case KindCNN:
		m.arch = cfg.CNN
	case KindResNet:
		m.arch = cfg.ResNet
	case KindLlama:
		m.arch = cfg.Llama
	case KindBert:
		m.arch = cfg.Bert
	}
	m.input = m.arch.input()
	s := &scope{model: m, inits: map[string]initial{}}
	m.arch.forward(s, value{shape: m.input})
	return m, s, nil
}

// Task returns what the model learns.
func (m *Model) Task() Task { return m.arch.task() }

// Input returns the shape of a sample of floats, nil if the input is tokens.
func (m *Model) Input() []int { return m.input }

// Context returns the longest sequence of tokens, 0 if the input is not tokens.
func (m *Model) Context() int { return m.arch.context() }

// Vocab returns the number of tokens that an input may have, 0 if it has none.
func (m *Model) Vocab() int {
	switch a := m.arch.(type) {
	case *Llama:
		return a.Vocab
	case *Bert:
		return a.Vocab
	}
	return 0
}

// Outputs returns the number of classes, of values or of tokens to choose from.
func (m *Model) Outputs() int { return m.arch.outputs() }

// Shape is the size of a batch: samples, and for tokens the length of each.
type Shape struct{ Batch, Seq int }

// Inputs is the memory from which a graph reads a batch. What the model does not have is
// nil.
type Inputs struct {
	Floats  []float32 // (batch, input...)
	IDs     []int32   // (batch, seq)
	Lengths []int32   // (batch): tokens that count, of encoders
	Labels  []int32   // (batch): class; (batch, seq): next token; below 0 does not count
	Targets []float32 // (batch, outputs), of regression

	ids, lengths *graph.Node
}

// Loss says how the loss is computed.
type Loss struct {
	Smoothing float32 // of the target distribution, for classes and tokens
}

// Built is a model's graph for one shape.
type Built struct {
	Inputs  Inputs
	Logits  *graph.Node // (batch, outputs) or (batch * seq, outputs)
	Loss    *graph.Node
	Rows    int // of Logits
	Outputs int
}

// Build adds the model to a graph over its parameters. In a graph for training the gradient
// is added too.
func (m *Model) Build(g *graph.Graph, shape Shape, loss Loss) (*Built, error) {
	if err := m.checkShape(shape); err != nil {
		return nil, err
	}
	s := &scope{g: g, model: m, in: &Inputs{}}
	b := &Built{Rows: shape.Batch, Outputs: m.Outputs()}
	x := value{shape: m.Input()}
	if m.Context() == 0 {
		x.node, s.in.Floats = g.Floats("input", append([]int{shape.Batch}, x.shape...)...)
	} else {
		s.seq = shape.Seq
		s.in.ids, s.in.IDs = g.Ints("ids", shape.Batch*shape.Seq)
	}
	s.batch = shape.Batch
	b.Logits = m.arch.forward(s, x).node
	switch m.Task() {
	case Regress:
		var target *graph.Node
		target, s.in.Targets = g.Floats("targets", shape.Batch, m.Outputs())
		b.Loss = op.MSE(g, b.Logits, target)
	default:
		if m.Task() == Generate {
			b.Rows *= shape.Seq
		}
		var labels *graph.Node
		labels, s.in.Labels = g.Ints("labels", b.Rows)
		b.Loss = op.CrossEntropy(g, b.Logits, labels, loss.Smoothing)
	}
	if g.Training() {
		g.Differentiate(b.Loss)
	}
	b.Inputs = *s.in
	return b, g.Err()
}

func (m *Model) checkShape(shape Shape) error {
	if shape.Batch < 1 {
		return fmt.Errorf("build model: batch of %d samples", shape.Batch)
	}
	if c := m.Context(); c > 0 && (shape.Seq < 1 || shape.Seq > c) {
		return fmt.Errorf("build model: sequences of %d tokens, want 1 to %d", shape.Seq, c)
	}
	if m.Context() == 0 && shape.Seq != 0 {
		return errors.New("build model: a sequence length for a model without tokens")
	}
	return nil
}
