package train_test

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
	"github.com/covey-network/covey/engine/train/privacy"
)

// privateKinds are the kinds of models whose samples do not see each other.
var privateKinds = []string{net.KindMLP, net.KindCNN, net.KindLlama, net.KindBert}

// plain is small of a kind without batch norms.
func plain(kind string) (train.Config, func(n int) *train.Batch) {
	cfg, batch := small(kind)
	if kind == net.KindCNN {
		cfg.Model.CNN.Layers = slices.DeleteFunc(slices.Clone(cfg.Model.CNN.Layers), func(l net.Layer) bool { return l.Type == net.LayerResidual })
	}
	return cfg, batch
}

// part returns samples lo to hi of a batch.
func part(b *train.Batch, lo, hi int) *train.Batch {
	out := &train.Batch{N: hi - lo, Seq: b.Seq}
	of := func(list []int32) []int32 { return list[lo*len(list)/b.N : hi*len(list)/b.N] }
	out.Floats, out.Targets = b.Floats[lo*len(b.Floats)/b.N:hi*len(b.Floats)/b.N], b.Targets[lo*len(b.Targets)/b.N:hi*len(b.Targets)/b.N]
	out.IDs, out.Labels = of(b.IDs), of(b.Labels)
	if b.Lengths != nil {
		out.Lengths = of(b.Lengths)
	}
	return out
}

// hidden returns the private gradient of a batch, times what it was divided by.
func hidden(t *testing.T, tr *train.Trainer, b *train.Batch, p train.Private) []float64 {
	t.Helper()
	if _, err := tr.PrivateGradient(b, &p, nil); err != nil {
		t.Fatal(err)
	}
	out := make([]float64, len(tr.Params().Grads))
	for i, g := range tr.Params().Grads {
		out[i] = float64(g) * p.Expected
	}
	return out
}

func distance(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += (a[i] - b[i]) * (a[i] - b[i])
	}
	return math.Sqrt(sum)
}

// TestOneSampleMovesLittle takes a sample away, and puts another one in its place, in models of all
// kinds: what is hidden by the noise moves by the bound and no further, and by no less where
// gradients are longer. Without the bound it moves much further.
func TestOneSampleMovesLittle(t *testing.T) {
	t.Parallel()
	for _, kind := range privateKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cfg, batch := plain(kind)
			b := batch(5)
			tr := newTrainer(t, cfg, 2)
			const clip, slack = 0.01, 1 + 1e-5 // slack: gradients are float32
			tight, wide := train.Private{Clip: clip, Expected: 3}, train.Private{Clip: 1e6, Expected: 3}
			all, without := hidden(t, tr, part(b, 0, 4), tight), hidden(t, tr, part(b, 0, 3), tight)
			if d := distance(all, without); d > clip*slack || d < clip/slack {
				t.Errorf("a sample more moves the sum by %v, want %v", d, clip)
			}
			other := hidden(t, tr, replaced(b, 3, 4), tight)
			if d := distance(all, other); d > 2*clip*slack || d < clip/10 {
				t.Errorf("another sample moves the sum by %v, want at most %v", d, 2*clip)
			}
			if d := distance(hidden(t, tr, part(b, 0, 4), wide), hidden(t, tr, part(b, 0, 3), wide)); d < 10*clip {
				t.Errorf("without a bound a sample moves the sum by %v only", d)
			}
			none := hidden(t, tr, &train.Batch{}, tight)
			if d := distance(none, make([]float64, len(none))); d != 0 {
				t.Errorf("no sample makes a gradient of %v", d)
			}
		})
	}
}

// replaced returns the samples before i, and another one in its place.
func replaced(b *train.Batch, i, by int) *train.Batch {
	head, one := part(b, 0, i), part(b, by, by+1)
	head.N++
	head.Floats, head.Targets = slices.Concat(head.Floats, one.Floats), slices.Concat(head.Targets, one.Targets)
	head.IDs, head.Labels = slices.Concat(head.IDs, one.IDs), slices.Concat(head.Labels, one.Labels)
	if b.Lengths != nil {
		head.Lengths = slices.Concat(head.Lengths, one.Lengths)
	}
	return head
}

// TestPrivateGradientIsTheMean has no bound that matters and no noise: what is left is the mean of
// the samples' gradients, which is that of the batch where nothing is random.
func TestPrivateGradientIsTheMean(t *testing.T) {
	t.Parallel()
	for _, kind := range privateKinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			cfg, batch := plain(kind)
			still(&cfg)
			b := batch(6)
			tr := newTrainer(t, cfg, 2)
			want, err := tr.Gradient(b)
			if err != nil {
				t.Fatal(err)
			}
			grads := slices.Clone(tr.Params().Grads)
			var seen []int
			rows := 0
			loss, err := tr.PrivateGradient(b, &train.Private{Clip: 1e6, Expected: 6}, func(i int, one *train.Batch) error {
				seen = append(seen, i)
				s, err := tr.TrainScore(one)
				rows += s.Count
				return err
			})
			if err != nil || math.Abs(loss-want) > 1e-5 || !slices.Equal(seen, []int{0, 1, 2, 3, 4, 5}) || rows != len(b.Labels) {
				t.Fatalf("loss %v, want %v; samples %v, %d rows; %v", loss, want, seen, rows, err)
			}
			for i, g := range tr.Params().Grads {
				if math.Abs(float64(g-grads[i])) > 1e-5 {
					t.Fatalf("gradient %d is %v, want %v", i, g, grads[i])
				}
			}
		})
	}
}

// still takes what is random out of a model.
func still(cfg *train.Config) {
	switch {
	case cfg.Model.MLP != nil:
		cfg.Model.MLP.Dropout = 0
	case cfg.Model.CNN != nil:
		cfg.Model.CNN.Layers = slices.DeleteFunc(cfg.Model.CNN.Layers, func(l net.Layer) bool { return l.Type == net.LayerDropout })
	case cfg.Model.Llama != nil:
		cfg.Model.Llama.Dropout, cfg.Model.Llama.AttentionDropout = 0, 0
	case cfg.Model.Bert != nil:
		cfg.Model.Bert.Dropout, cfg.Model.Bert.AttentionDropout = 0, 0
	}
}

// TestNoiseOfGradients compares the deviation of the noise with what was asked for, and the noise
// of two seeds.
func TestNoiseOfGradients(t *testing.T) {
	t.Parallel()
	cfg, batch := plain(net.KindLlama)
	tr := newTrainer(t, cfg, 2)
	b := batch(3)
	p := train.Private{Clip: 0.5, Expected: 4}
	quiet := hidden(t, tr, b, p)
	p.Noise = 3
	var first []float64
	for seed := range byte(2) {
		p.Normal = privacy.NewSource([32]byte{seed}).Normal
		noisy := hidden(t, tr, b, p)
		n := float64(len(noisy))
		mean, square := 0.0, 0.0
		for i := range noisy {
			d := (noisy[i] - quiet[i]) / 1.5
			mean, square = mean+d/n, square+d*d/n
		}
		// Five deviations of what chance makes of n numbers.
		if math.Abs(mean) > 5/math.Sqrt(n) || math.Abs(square-1) > 5*math.Sqrt(2/n) {
			t.Errorf("seed %d: noise with a mean of %v and a variance of %v of %v numbers", seed, mean, square, n)
		}
		if seed == 0 {
			first = noisy
		} else if d := distance(first, noisy); d < math.Sqrt(n) {
			t.Errorf("two seeds make noise with a distance of %v", d)
		}
		p.Normal = privacy.NewSource([32]byte{seed}).Normal
		if d := distance(noisy, hidden(t, tr, b, p)); d != 0 {
			t.Errorf("the same seed makes another gradient: %v", d)
		}
	}
}

// TestPrivateGradientOfAnything has a sample whose gradient is not finite, which counts as none,
// and models and settings that are refused.
func TestPrivateGradientOfAnything(t *testing.T) {
	t.Parallel()
	cfg, batch := plain(net.KindMLP)
	still(&cfg)
	tr := newTrainer(t, cfg, 1)
	b := batch(3)
	p := train.Private{Clip: 0.1, Expected: 3}
	want := hidden(t, tr, part(b, 0, 2), p)
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30} {
		for i := range 12 {
			b.Floats[2*12+i] = bad
		}
		got := hidden(t, tr, b, p)
		if d := distance(got, want); !(d <= p.Clip*(1+1e-5)) || bad != 1e30 && d != 0 {
			t.Errorf("a sample of %v moves the sum by %v", bad, d)
		}
	}
	if _, err := tr.PrivateGradient(&train.Batch{N: 2}, &p, nil); !errors.Is(err, train.ErrBatch) {
		t.Errorf("a batch that does not fit: %v", err)
	}
	for _, p := range []train.Private{{Expected: 1}, {Clip: 1}, {Clip: math.Inf(1), Expected: 1}, {Clip: 1, Expected: 1, Noise: 1}, {Clip: 1, Expected: 1, Noise: math.NaN()}} {
		if _, err := tr.PrivateGradient(batch(1), &p, nil); err == nil {
			t.Errorf("%+v is taken", p)
		}
	}
	stop := errors.New("stop")
	if _, err := tr.PrivateGradient(batch(1), &p, func(int, *train.Batch) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want %v", err, stop)
	}
	norms, images := small(net.KindCNN)
	if _, err := newTrainer(t, norms, 1).PrivateGradient(images(2), &p, nil); err == nil || !strings.Contains(err.Error(), "batch norm") {
		t.Errorf("a model with batch norms: %v", err)
	}
}

// TestPrivateGradientBits has the same bits on any number of threads.
func TestPrivateGradientBits(t *testing.T) {
	t.Parallel()
	cfg, batch := plain(net.KindBert)
	var want string
	for _, threads := range []int{1, 2, 3} {
		tr := newTrainer(t, cfg, threads)
		p := train.Private{Clip: 0.2, Noise: 1, Expected: 3, Normal: privacy.NewSource([32]byte{1}).Normal}
		if _, err := tr.PrivateGradient(batch(4), &p, nil); err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(tr.Params().Grads); want == "" {
			want = got
		} else if got != want {
			t.Errorf("%d threads: another gradient", threads)
		}
	}
}
