package train_test

import (
	"math"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/net"
)

func TestDifferences(t *testing.T) {
	t.Parallel()
	was, is := smallCNN(), smallCNN()
	is.Model.CNN.Layers = slices.Clone(is.Model.CNN.Layers)
	is.Model.CNN.Layers[0].Channels = 8
	is.Model.CNN.Layers[3].Rate = 0
	is.Model.CNN.Input = []int{1, 8, 8}
	is.Optimizer.Beta1, is.Optimizer.Kind = new(0.0), train.Adam
	is.Clip = 0.25
	got := train.Differences(train.Keys(was), train.Keys(&is))
	want := []string{
		"clip was 1 and is 0.25", "model.cnn.input was [1, 6, 6] and is [1, 8, 8]", "model.cnn.layers[0].channels was 4 and is 8",
		"model.cnn.layers[3].rate was 0.3 and is not set", "optimizer.beta1 was not set and is 0", `optimizer.kind was "adamw" and is "adam"`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if got := train.Differences(train.Keys(was), train.Keys(smallCNN())); len(got) != 0 {
		t.Errorf("of equal ones: %q", got)
	}
	if got := train.Keys(train.Config{}); len(got) != 0 {
		t.Errorf("of nothing: %q", got)
	}
}

// TestListsDiffer compares lists that have the same words in them.
func TestListsDiffer(t *testing.T) {
	t.Parallel()
	type files struct {
		Names []string `toml:"names"`
	}
	lists := [][]string{{"a b"}, {"a", "b"}, {"a, b"}, {`a", "b`}}
	for i, was := range lists {
		for k, is := range lists {
			if got := train.Differences(train.Keys(files{was}), train.Keys(files{is})); (len(got) == 0) != (i == k) {
				t.Errorf("%q and %q: %q", was, is, got)
			}
		}
	}
	if got, want := train.Keys(files{lists[1]})["names"], `["a", "b"]`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestZeroIsZero takes betas and an eps of 0 at their word, as torch.optim.Adam does; its
// formula is computed here in float64.
func TestZeroIsZero(t *testing.T) {
	t.Parallel()
	grads := []float64{0.5, -2, 0.125}
	for name, c := range map[string]struct{ beta1, beta2, eps *float64 }{
		"defaults": {}, "beta1": {new(0.0), nil, nil}, "beta2": {nil, new(0.0), nil}, "eps": {nil, nil, new(0.0)}, "all": {new(0.0), new(0.0), new(0.0)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := newTrainer(t, train.Config{
				Model:     net.Config{Kind: net.KindMLP, MLP: &net.MLP{Input: 1, Output: 2}},
				Optimizer: train.Optimizer{Kind: train.Adam, LR: 0.1, Beta1: c.beta1, Beta2: c.beta2, Eps: c.eps},
			}, 1)
			value := func(v *float64, otherwise float64) float64 {
				if v == nil {
					return otherwise
				}
				return *v
			}
			b1, b2, eps := value(c.beta1, 0.9), value(c.beta2, 0.999), value(c.eps, 1e-8)
			p := tr.Params()
			want, m, v := float64(p.Values[0]), 0.0, 0.0
			for i, g := range grads {
				for k := range p.Grads {
					p.Grads[k] = float32(g)
				}
				if _, err := tr.Apply(); err != nil {
					t.Fatal(err)
				}
				n := float64(i + 1)
				m, v = b1*m+(1-b1)*g, b2*v+(1-b2)*g*g
				want -= 0.1 * m / (1 - math.Pow(b1, n)) / (math.Sqrt(v/(1-math.Pow(b2, n))) + eps)
				if got := float64(p.Values[0]); math.Abs(got-want) > 1e-6 {
					t.Fatalf("after step %d: got %v, want %v", i+1, got, want)
				}
			}
		})
	}
	zero := train.Schedule{Kind: train.Stepwise, Every: 2, Gamma: new(0.0)}
	if a, b := zero.Factor(1), zero.Factor(2); a != 1 || b != 0 {
		t.Errorf("gamma 0: factors %v and %v, want 1 and 0", a, b)
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	tr := newTrainer(t, smallCNN(), 1)
	if err := tr.Save(dir+"/a", []byte("cursor")); err != nil {
		t.Fatal(err)
	}
	if err := train.Check(dir + "/a"); err != nil {
		t.Error(err)
	}
}
