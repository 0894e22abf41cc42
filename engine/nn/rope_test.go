package nn_test

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/nn"
)

func TestSinCosAgainstMath(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	cos, sin := make([]float32, 1), make([]float32, 1)
	for range 200_000 {
		pos, freq := rng.IntN(nn.MaxContext), math.Exp(-14*rng.Float64())
		nn.Frequencies{freq}.SinCos(cos, sin, pos)
		s, c := math.Sincos(float64(pos) * freq)
		if math.Abs(float64(sin[0])-s) > 6.1e-8 || math.Abs(float64(cos[0])-c) > 6.1e-8 {
			t.Fatalf("angle %d * %v: got %v, %v, want %v, %v", pos, freq, sin[0], cos[0], s, c)
		}
	}
	nn.Frequencies{1}.SinCos(cos, sin, 0)
	if cos[0] != 1 || sin[0] != 0 {
		t.Errorf("angle 0: got %v, %v", sin[0], cos[0])
	}
}

func TestFrequencies(t *testing.T) {
	t.Parallel()
	const headDim = 128
	for _, theta := range []float64{1, 10000, 500000, 1e6, 1e12} {
		f := nn.Rope{Theta: theta}.Frequencies(headDim)
		for i, got := range f {
			want := math.Pow(theta, -float64(2*i)/headDim)
			if math.Abs(got-want) > 1e-14*want {
				t.Errorf("theta %v pair %d: got %v, want %v", theta, i, got, want)
			}
		}
	}
}

func TestScaledFrequencies(t *testing.T) {
	t.Parallel()
	const headDim = 64
	plain := nn.Rope{Theta: 500000}.Frequencies(headDim)
	linear := nn.Rope{Theta: 500000, Scaling: nn.ScaleLinear, Factor: 4}.Frequencies(headDim)
	llama3 := nn.Rope{Theta: 500000, Scaling: nn.ScaleLlama3, Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 8192}.Frequencies(headDim)
	divisors := make([]float32, headDim/2)
	for i := range divisors {
		divisors[i] = float32(1 + i)
	}
	divided := nn.Rope{Theta: 500000, Divisors: divisors}.Frequencies(headDim)
	kept, slowed, between := 0, 0, 0
	for i := range plain {
		if linear[i] != plain[i]/4 {
			t.Errorf("linear pair %d: got %v, want %v", i, linear[i], plain[i]/4)
		}
		if divided[i] != plain[i]/float64(divisors[i]) {
			t.Errorf("divided pair %d: got %v", i, divided[i])
		}
		switch r := plain[i] / llama3[i]; {
		case r == 1:
			kept++
		case r == 8:
			slowed++
		case r > 1 && r < 8:
			between++
		default:
			t.Errorf("llama3 pair %d: ratio %v", i, r)
		}
	}
	if kept == 0 || slowed == 0 || between == 0 {
		t.Errorf("llama3: %d kept, %d slowed, %d between, want some of each", kept, slowed, between)
	}
}

func TestRopeValidate(t *testing.T) {
	t.Parallel()
	good := nn.Rope{Theta: 10000}
	cases := []struct {
		name    string
		headDim int
		context int
		edit    func(*nn.Rope)
		want    string // "" accepts
	}{
		{"plain", 64, 8192, func(*nn.Rope) {}, ""},
		{"linear", 64, 8192, func(r *nn.Rope) { r.Scaling, r.Factor = nn.ScaleLinear, 2 }, ""},
		{"odd head", 63, 8192, func(*nn.Rope) {}, "not even"},
		{"no theta", 64, 8192, func(r *nn.Rope) { r.Theta = 0 }, "theta"},
		{"nan theta", 64, 8192, func(r *nn.Rope) { r.Theta = math.NaN() }, "theta"},
		{"unknown scaling", 64, 8192, func(r *nn.Rope) { r.Scaling = "yarn" }, `"yarn"`},
		{"no factor", 64, 8192, func(r *nn.Rope) { r.Scaling = nn.ScaleLinear }, "factor 0"},
		{"llama3 without border", 64, 8192, func(r *nn.Rope) { r.Scaling, r.Factor = nn.ScaleLlama3, 8 }, "frequency factors"},
		{"few divisors", 64, 8192, func(r *nn.Rope) { r.Divisors = []float32{1} }, "1 divisors for 32"},
		{"longest context", 4, nn.MaxContext, func(r *nn.Rope) { r.Divisors = []float32{1, 1} }, ""},
		{"fast pair", 4, 1 << 19, func(r *nn.Rope) { r.Divisors = []float32{0.5, 1} }, ""},
		{"fast pair in a long context", 4, nn.MaxContext, func(r *nn.Rope) { r.Divisors = []float32{0.5, 1} }, "pair 0 turns by 2"},
		{"slow pair in a long context", 4, nn.MaxContext, func(r *nn.Rope) { r.Divisors = []float32{1, 0.5} }, ""},
		{"zero divisor", 4, 8192, func(r *nn.Rope) { r.Divisors = []float32{1, 0} }, "divisor 1 is 0"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := good
			c.edit(&r)
			err := r.Validate(c.headDim, c.context)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}
