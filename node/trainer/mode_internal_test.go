package trainer

import (
	"math"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// newTestTrainer makes a trainer of a model with running statistics.
func newTestTrainer(t *testing.T) *train.Trainer {
	t.Helper()
	pool := kernel.NewPool(1)
	t.Cleanup(pool.Close)
	tr, err := train.New(train.Config{
		Model: net.Config{Kind: net.KindCNN, CNN: &net.CNN{
			Input: []int{1, 4, 4}, Classes: 2, Layers: []net.Layer{{Type: "conv", Channels: 2, Norm: true}},
		}},
		Optimizer: train.Optimizer{Kind: train.Adam, LR: 0.05}, Seed: 3,
	}, pool)
	if err != nil {
		t.Fatal(err)
	}
	if len(tr.Stats()) == 0 {
		t.Fatal("the model has no running statistics")
	}
	return tr
}

// all is the span of a whole vector.
func all(v []float32) []span { return []span{{0, len(v)}} }

// TestOuterStep compares three outer steps with those of torch.optim.SGD(lr=0.7, momentum=0.9,
// nesterov=True) of PyTorch 2 on six parameters, each of another size.
func TestOuterStep(t *testing.T) {
	t.Parallel()
	tr := newTestTrainer(t)
	values, stats := tr.Params().Values, tr.Stats()
	copy(values, []float32{0.5, -1.25, 3, 0.1, -0.003, 7.5})
	d := newDiLoCo(tr, 0.7, 0.9)
	d.begin()
	for round, tt := range []struct{ way, want []float32 }{
		{[]float32{0.1, -0.2, 0.03, 0.004, -0.5, 1.5}, []float32{0.367000013589859, -0.984000027179718, 2.960099935531616, 0.09468000382184982, 0.6620000004768372, 5.505000114440918}},
		{[]float32{-0.05, 0.7, 0.11, -0.013, 0.25, -0.125}, []float32{0.3768000304698944, -1.8015999794006348, 2.7967898845672607, 0.10970200598239899, 0.6129999756813049, 4.8207502365112305}},
		{[]float32{0.3, 0.3, -0.9, 0.02, 0.001, 2.25}, []float32{-0.0448799654841423, -2.4954400062561035, 3.9161107540130615, 0.08843180537223816, 0.7250699400901794, 1.133675217628479}},
	} {
		before, then := slices.Clone(values), slices.Clone(stats)
		for i, w := range tt.way {
			values[i] -= w
		}
		stats[0] += 2
		update := make([]float32, len(values)+len(stats))
		d.update(update, 0)
		for i, w := range tt.way { // what was learned is the way from the beginning, but for its rounding
			if math.Abs(float64(update[i]-w)) > 1e-6 || update[len(values)] != then[0]-stats[0] {
				t.Fatalf("round %d: update %v", round, update)
			}
		}
		copy(update, tt.way)
		if err := d.apply(update, all(update), true); err != nil {
			t.Fatal(err)
		}
		for i, want := range tt.want {
			if got := values[i]; math.Abs(float64(got-want)) > 1e-6*math.Abs(float64(want)) {
				t.Errorf("round %d: parameter %d is %v, want %v", round, i, got, want)
			}
		}
		if !slices.Equal(values[len(tt.way):], before[len(tt.way):]) || stats[0] != then[0]+2 {
			t.Errorf("round %d: what nobody changed has changed, or statistics went another way", round)
		}
		d.commit()
	}
}

// TestOuterStepOfSlices leaves slices out: they stay as they were, their momentum too.
func TestOuterStepOfSlices(t *testing.T) {
	t.Parallel()
	tr := newTestTrainer(t)
	d := newDiLoCo(tr, 0.5, 0.9)
	result := make([]float32, len(d.base))
	for i := range result {
		result[i] = 1
	}
	d.begin()
	if err := d.apply(result, all(result), true); err != nil {
		t.Fatal(err)
	}
	d.commit()
	before, moment := slices.Clone(d.base), slices.Clone(d.moment)
	n := len(moment)
	if err := d.apply(result, []span{{1, 2}, {n - 1, n + 1}}, true); err != nil {
		t.Fatal(err)
	}
	got := slices.Concat(d.vectors()[0], d.vectors()[1])
	for i := range got {
		changed := i == 1 || i == n-1 || i == n
		if (got[i] != before[i]) != changed {
			t.Errorf("number %d of %d: %v, was %v", i, n, got[i], before[i])
		}
	}
	for i, m := range d.vectors()[2] {
		if changed := i == 1 || i == n-1; (m != moment[i]) != changed {
			t.Errorf("momentum %d: %v, was %v", i, m, moment[i])
		}
	}
}

// TestWorkComesBack tries an outcome in the middle of a round, in each mode: the work goes on as
// if nothing had been, and the same outcome makes the same state again.
func TestWorkComesBack(t *testing.T) {
	t.Parallel()
	batch := &train.Batch{N: 2, Floats: make([]float32, 32), Labels: []int32{0, 1}}
	for i := range batch.Floats {
		batch.Floats[i] = float32(i%7) / 7
	}
	for name, make1 := range map[string]func(*train.Trainer) mode{
		"diloco":    func(tr *train.Trainer) mode { return newDiLoCo(tr, 0.7, 0.9) },
		"allreduce": func(tr *train.Trainer) mode { return newAllReduce(tr) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTestTrainer(t)
			m := make1(tr)
			m.begin()
			base := clone(m.kept())
			if _, err := tr.Step(batch); err != nil {
				t.Fatal(err)
			}
			now, steps := clone(append([][]float32{tr.Params().Values, tr.Stats()}, tr.Moments()...)), tr.Steps()
			result := make([]float32, len(tr.Params().Values)+len(tr.Stats()))
			for i := range result {
				result[i] = float32(i%5) / 50
			}
			w := m.work()
			if err := m.apply(result, all(result), true); err != nil {
				t.Fatal(err)
			}
			tried := clone(m.vectors())
			if err := m.resume(w); err != nil {
				t.Fatal(err)
			}
			if got := append([][]float32{tr.Params().Values, tr.Stats()}, tr.Moments()...); !same(got, now) || tr.Steps() != steps {
				t.Error("the work is not as it was")
			}
			if !same(m.kept(), base) {
				t.Error("the beginning of the round is not as it was")
			}
			if err := m.apply(result, all(result), true); err != nil {
				t.Fatal(err)
			}
			if !same(m.vectors(), tried) || same(tried, base) {
				t.Error("the outcome makes another state the second time, or none")
			}
			m.commit()
			other := make1(newTestTrainer(t))
			if err := other.take(tried); err != nil || !same(other.kept(), m.kept()) {
				t.Errorf("a member that takes the state has another one: %v", err)
			}
			if err := other.take(tried[1:]); err == nil {
				t.Error("a state of another layout is taken")
			}
		})
	}
}

func clone(vectors [][]float32) (out [][]float32) {
	for _, v := range vectors {
		out = append(out, slices.Clone(v))
	}
	return out
}

func same(a, b [][]float32) bool { return slices.EqualFunc(a, b, slices.Equal[[]float32]) }

func TestStepsAsNumbers(t *testing.T) {
	t.Parallel()
	for _, n := range []int{0, 1, 1<<20 - 1, 1 << 20, 1<<24 + 1, 1<<40 - 1} {
		if got := readSteps(writeSteps(n)); got != n {
			t.Errorf("%d steps are read as %d", n, got)
		}
	}
}
