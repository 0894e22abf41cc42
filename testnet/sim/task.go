package sim

import (
	"math"
	"math/rand/v2"

	"github.com/covey-network/covey/testnet/attack"
	"github.com/covey-network/covey/testnet/toy"
)

const (
	samples      = 500 // of each member
	batchSize    = 8
	innerRate    = 0.2
	testSize     = 1000
	singleBatch  = 32 // of one machine with all data: it averages more, as the swarm does
	singleRate   = 0.1
	singleStride = 200   // steps between two looks at what it has learned
	singleSteps  = 15000 // at most
)

// task is what is learned.
type task struct {
	seed   uint64
	sorted bool
	source *toy.Source
	first  []float32
	test   toy.Data
}

func newTask(seed uint64, sorted bool) *task {
	rng := rand.New(rand.NewPCG(seed, 1))
	t := &task{seed: seed, sorted: sorted, source: toy.NewSource(rng)}
	t.test = t.source.Draw(rng, testSize)
	t.first = toy.NewModel(rng).Params
	return t
}

// loss is that on data that nobody has learned from.
func (t *task) loss(params []float32) float64 {
	m := toy.Model{Params: params}
	return m.Loss(&t.test)
}

// worker is what learns at one member.
type worker struct {
	data toy.Data
	flip bool // labels
	work toy.Scratch
	grad []float32
	rng  *rand.Rand

	batch int
	rate  float32
}

func (t *task) worker(id int, attackName string) worker {
	rng := rand.New(rand.NewPCG(t.seed, 1<<32+uint64(id)))
	wk := worker{batch: batchSize, rate: innerRate, rng: rng, grad: make([]float32, toy.Params), flip: attackName == attack.LabelFlip}
	if t.sorted {
		wk.data = t.source.Draw(rng, samples, id%toy.Classes, (id/toy.Classes+id+1)%toy.Classes)
	} else {
		wk.data = t.source.Draw(rng, samples)
	}
	return wk
}

// learn does steps of gradient descent on params, and returns the samples used.
func (k *worker) learn(params []float32, steps int) int {
	m := toy.Model{Params: params}
	for range steps {
		clear(k.grad)
		for range k.batch {
			i := k.rng.IntN(len(k.data.Labels))
			label := k.data.Labels[i]
			if k.flip {
				label = toy.Classes - 1 - label
			}
			m.Gradient(&k.work, k.grad, k.data.Row(i), label)
		}
		for i, g := range k.grad {
			params[i] -= k.rate / float32(k.batch) * g
		}
	}
	return steps * k.batch
}

// single is the least loss that one machine with the data of all reaches on the way through
// as many samples as members do in some steps of each, or singleSteps steps.
func (t *task) single(members, steps int) float64 {
	steps = steps * members * batchSize / singleBatch
	var all toy.Data
	for i := range members {
		k := t.worker(i, "")
		all.Values = append(all.Values, k.data.Values...)
		all.Labels = append(all.Labels, k.data.Labels...)
	}
	one := worker{batch: singleBatch, rate: singleRate, data: all, grad: make([]float32, toy.Params), rng: rand.New(rand.NewPCG(t.seed, 2))}
	params := append([]float32(nil), t.first...)
	best := math.Inf(1)
	for done := 0; done < min(steps, singleSteps); done += singleStride {
		one.learn(params, singleStride)
		best = min(best, t.loss(params))
	}
	return best
}
