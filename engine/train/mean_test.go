package train_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train"
)

// TestGradients averages the gradients and running statistics of three batches, as three
// trainers do that each have one of them.
func TestGradients(t *testing.T) {
	t.Parallel()
	const n = 3
	one := newTrainer(t, smallCNN(), 2)
	var all [n]*train.Trainer
	for i := range all {
		all[i] = newTrainer(t, smallCNN(), 1)
		all[i].SetPart(i)
	}
	for step := range 7 {
		var batches []*train.Batch
		losses := 0.0
		var grads, stats []float32
		for i, tr := range all {
			b := smallBatch(step*n + i)
			batches = append(batches, b)
			loss, err := tr.Gradient(b)
			if err != nil {
				t.Fatal(err)
			}
			if losses += loss; i == 0 {
				grads, stats = slices.Clone(tr.Params().Grads), slices.Clone(tr.Stats())
				continue
			}
			for k, g := range tr.Params().Grads {
				grads[k] += g
			}
			for k, s := range tr.Stats() {
				stats[k] += s
			}
		}
		for i := range grads {
			grads[i] *= float32(1) / n
		}
		for i := range stats {
			stats[i] *= float32(1) / n
		}
		var order []int
		var rows int
		loss, err := one.Gradients(batches, func(i int) error {
			order = append(order, i)
			s, err := one.TrainScore(batches[i])
			rows += s.Count
			return err
		})
		want := 0
		for _, b := range batches {
			want += b.N
		}
		if err != nil || loss != losses/n || !slices.Equal(order, []int{0, 1, 2}) || rows != want {
			t.Fatalf("step %d: loss %v, want %v; batches %v with %d samples, want %d; %v", step, loss, losses/n, order, rows, want, err)
		}
		if !slices.Equal(one.Params().Grads, grads) || !slices.Equal(one.Stats(), stats) {
			t.Fatalf("step %d: the means differ", step)
		}
		if _, err := one.Apply(); err != nil {
			t.Fatal(err)
		}
		for _, tr := range all {
			copy(tr.Params().Grads, grads)
			copy(tr.Stats(), stats)
			if _, err := tr.Apply(); err != nil {
				t.Fatal(err)
			}
			sameNumbers(t, one, tr)
		}
	}
}

// TestGradientsOfOne takes a single batch: the bits are those of Step.
func TestGradientsOfOne(t *testing.T) {
	t.Parallel()
	a, b := newTrainer(t, smallCNN(), 1), newTrainer(t, smallCNN(), 1)
	steps(t, a, 5)
	for b.Steps() < 5 {
		if _, err := b.Gradients([]*train.Batch{smallBatch(b.Steps())}, nil); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Apply(); err != nil {
			t.Fatal(err)
		}
	}
	sameNumbers(t, a, b)
}

func TestGradientsRefuses(t *testing.T) {
	t.Parallel()
	tr := newTrainer(t, smallCNN(), 1)
	if _, err := tr.Gradients(nil, nil); !errors.Is(err, train.ErrBatch) {
		t.Errorf("no batch: %v", err)
	}
	if _, err := tr.Gradients([]*train.Batch{smallBatch(0), {}}, nil); !errors.Is(err, train.ErrBatch) {
		t.Errorf("an empty batch: %v", err)
	}
	broken := errors.New("broken")
	if _, err := tr.Gradients([]*train.Batch{smallBatch(0)}, func(int) error { return fmt.Errorf("it is %w", broken) }); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
	steps(t, tr, 3) // the part is as before
	other := newTrainer(t, smallCNN(), 1)
	steps(t, other, 3)
	if !slices.Equal(tr.Params().Values, other.Params().Values) {
		t.Error("a failed call changed what follows")
	}
}
