package sample_test

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/engine/sample"
)

var inf, nan = float32(math.Inf(1)), float32(math.NaN())

// random returns n logits of a normal distribution.
func random(rng *rand.Rand, n int, scale float64) []float32 {
	logits := make([]float32, n)
	for i := range logits {
		logits[i] = float32(rng.NormFloat64() * scale)
	}
	return logits
}

func draw(t *testing.T, p sample.Params, logits []float32, history []int32, promptLen int) sample.Result {
	t.Helper()
	r, err := sample.Sample(p, logits, history, promptLen)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestSampleMatchesReference(t *testing.T) {
	t.Parallel()
	const seed = 1
	rng := rand.New(rand.NewPCG(seed, 0))
	pick := func(vs ...float32) float32 { return vs[rng.IntN(len(vs))] }
	for trial := range 20000 {
		logits := random(rng, 1+rng.IntN(80), float64(pick(0.1, 1, 5, 30)))
		if rng.IntN(4) == 0 {
			for i := range logits { // ties
				logits[i] = float32(math.Round(float64(logits[i])))
			}
		}
		for i := range logits {
			if i > 0 && rng.IntN(10) == 0 {
				logits[i] = -inf
			}
		}
		history := make([]int32, rng.IntN(40))
		for i := range history {
			history[i] = int32(rng.IntN(len(logits)))
		}
		p := sample.Params{
			Temperature: pick(0, 0.3, 1, 1, 2), TopK: rng.IntN(3) * rng.IntN(20), TopP: pick(0, 0, 0.01, 0.5, 0.9, 0.999, 1),
			MinP: pick(0, 0, 0.02, 0.5, 1), RepetitionPenalty: pick(0, 1, 1.3, 0.7), FrequencyPenalty: pick(0, 0.4, -0.2),
			PresencePenalty: pick(0, 0.6, -0.3), Seed: rng.Uint64(), Logprobs: rng.IntN(4), WantLogprob: true,
		}
		promptLen := rng.IntN(len(history) + 1)
		got := draw(t, p, logits, history, promptLen)
		if want := reference(p, logits, history, promptLen); got.Token != want {
			t.Fatalf("seed %d, trial %d: got token %d, want %d (%+v)", seed, trial, got.Token, want, p)
		}
		checkLogprobs(t, p, logits, got)
	}
}

// TestSampleLargeVocabulary takes the ways that only many logits open.
func TestSampleLargeVocabulary(t *testing.T) {
	t.Parallel()
	const seed = 2
	rng := rand.New(rand.NewPCG(seed, 0))
	for trial := range 600 {
		logits := random(rng, 2000+rng.IntN(3000), []float64{0.01, 1, 4}[trial%3])
		if trial%5 == 0 {
			for i := range logits { // ties
				logits[i] = float32(math.Round(float64(logits[i])))
			}
		}
		p := sample.Params{
			Temperature: 0.5 + rng.Float32(), TopK: []int{0, 0, 1, 7, 8, 30, 1500}[rng.IntN(7)], TopP: []float32{0, 0.1, 0.9, 0.9999}[rng.IntN(4)],
			MinP: []float32{0, 0, 0.001, 0.3}[rng.IntN(4)], Seed: rng.Uint64(), Logprobs: 20,
		}
		got := draw(t, p, logits, nil, 0)
		if want := reference(p, logits, nil, 0); got.Token != want {
			t.Fatalf("seed %d, trial %d: got token %d, want %d (%+v)", seed, trial, got.Token, want, p)
		}
		checkLogprobs(t, p, logits, got)
	}
}

func checkLogprobs(t *testing.T, p sample.Params, logits []float32, got sample.Result) {
	t.Helper()
	near := func(id int32, l float32) bool {
		want := logprob(logits, id)
		return l <= 0 && math.Abs(float64(l)-want) <= 2e-6*(1+math.Abs(want))
	}
	if !near(got.Token, got.Logprob) {
		t.Fatalf("token %d: got logprob %g, want %g", got.Token, got.Logprob, logprob(logits, got.Token))
	}
	order := make([]int32, 0, len(logits))
	for i, l := range logits {
		if l > -inf {
			order = append(order, int32(i))
		}
	}
	slices.SortStableFunc(order, func(a, b int32) int {
		if logits[a] > logits[b] {
			return -1
		} else if logits[a] < logits[b] {
			return 1
		}
		return 0
	})
	if want := min(p.Logprobs, len(order)); len(got.Top) != want {
		t.Fatalf("got %d alternatives, want %d", len(got.Top), want)
	}
	for i, a := range got.Top {
		if a.Token != order[i] || !near(a.Token, a.Logprob) {
			t.Fatalf("alternative %d: got %+v, want token %d with %g", i, a, order[i], logprob(logits, order[i]))
		}
	}
}

// TestSampleDistribution draws at many positions of one seed and compares the counts with
// the probabilities. With k cells, chi-square has mean k-1 and variance 2(k-1).
func TestSampleDistribution(t *testing.T) {
	t.Parallel()
	logits := random(rand.New(rand.NewPCG(7, 0)), 60, 1.5)
	logits[3], logits[40] = -inf, logits[41]
	history := make([]int32, 1<<17)
	for i := range history {
		history[i] = int32(i % 7)
	}
	for name, p := range map[string]sample.Params{
		"temperature":         {Temperature: 1},
		"hot":                 {Temperature: 3},
		"top-k":               {Temperature: 1, TopK: 12},
		"top-p":               {Temperature: 1, TopP: 0.8},
		"min-p":               {Temperature: 1, MinP: 0.1},
		"all three":           {Temperature: 1.5, TopK: 30, TopP: 0.9, MinP: 0.05},
		"penalty of a prompt": {Temperature: 1, RepetitionPenalty: 1.5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p.Seed = 42
			draws, from := 40000, 1000
			if p.RepetitionPenalty != 0 {
				draws = 4000
			}
			counts := make([]int, len(logits))
			for i := range draws {
				counts[draw(t, p, logits, history[:from+i], from+i).Token]++
			}
			chi, cells := 0.0, 0
			for _, c := range remaining(p, logits, history[:from], from) {
				if want := c.prob * float64(draws); want > 5 {
					d := float64(counts[c.id]) - want
					chi += d * d / want
					cells++
				} else if float64(counts[c.id]) > want+25 {
					t.Errorf("token %d: got %d draws, want %.1f", c.id, counts[c.id], want)
				}
				counts[c.id] = 0
			}
			if limit := float64(cells-1) + 4*math.Sqrt(2*float64(cells-1)); chi > limit {
				t.Errorf("chi-square of %d cells is %.1f, want below %.1f", cells, chi, limit)
			}
			for id, n := range counts {
				if n > 0 {
					t.Errorf("token %d is cut but drawn %d times", id, n)
				}
			}
		})
	}
}

// TestSampleBits fixes draws and log-probabilities: they must never change, on any machine.
func TestSampleBits(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(3, 0))
	logits := random(rng, 5000, 4)
	history := []int32{5, 9, 5, 5, 77}
	p := sample.Params{Temperature: 0.9, TopK: 200, TopP: 0.95, MinP: 0.01, RepetitionPenalty: 1.1, FrequencyPenalty: 0.1, Seed: 123456789, WantLogprob: true}
	var tokens []int32
	var sum uint32
	for range 8 {
		r := draw(t, p, logits, history, 2)
		tokens = append(tokens, r.Token)
		sum = sum*31 + math.Float32bits(r.Logprob)
		history = append(history, r.Token)
	}
	want, wantSum := []int32{2343, 1148, 2343, 546, 1878, 2343, 4513, 1329}, uint32(0xddbc52fb)
	if !slices.Equal(tokens, want) || sum != wantSum {
		t.Errorf("got %v, %#x, want %v, %#x", tokens, sum, want, wantSum)
	}
}

func TestSampleGreedy(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		p       sample.Params
		logits  []float32
		history []int32
		prompt  int
		want    int32
	}{
		{"largest", sample.Params{}, []float32{1, 3, 2}, nil, 0, 1},
		{"ties give the lowest id", sample.Params{}, []float32{1, 3, 3}, nil, 0, 1},
		{"zeros of both signs tie", sample.Params{}, []float32{float32(math.Copysign(0, -1)), 0}, nil, 0, 0},
		{"one token", sample.Params{Temperature: 1, TopK: 1, TopP: 0.5}, []float32{-7}, nil, 0, 0},
		{"only one possible", sample.Params{Temperature: 2}, []float32{-inf, -inf, -90, -inf}, nil, 0, 2},
		{"top-k of 1", sample.Params{Temperature: 100, TopK: 1}, []float32{1, 1.0000001, 1}, nil, 0, 1},
		{"smallest top-p", sample.Params{Temperature: 1, TopP: math.SmallestNonzeroFloat32}, []float32{1, 1, 1.5}, nil, 0, 2},
		{"min-p of 1", sample.Params{Temperature: 1, MinP: 1}, []float32{1, 2, 1.5}, nil, 0, 1},
		{"smallest temperature", sample.Params{Temperature: math.SmallestNonzeroFloat32}, []float32{-1e30, 1e-30, 2e-30}, nil, 0, 2},
		{"largest span", sample.Params{Temperature: math.SmallestNonzeroFloat32}, []float32{-math.MaxFloat32, math.MaxFloat32}, nil, 0, 1},
		{"repetition divides above zero", sample.Params{RepetitionPenalty: 2}, []float32{3, 2}, []int32{0}, 1, 1},
		{"repetition multiplies below zero", sample.Params{RepetitionPenalty: 2}, []float32{-1, -1.5}, []int32{0, 0}, 2, 1},
		{"repetition counts once", sample.Params{RepetitionPenalty: 2}, []float32{3, 1.4}, []int32{0, 0, 0}, 1, 0},
		{"smallest repetition penalty", sample.Params{RepetitionPenalty: 1e-45}, []float32{3, 1e30}, []int32{0, 1}, 1, 0},
		{"frequency leaves the prompt alone", sample.Params{FrequencyPenalty: 2}, []float32{3, 2}, []int32{0, 0, 1}, 2, 0},
		{"frequency counts", sample.Params{FrequencyPenalty: 0.5}, []float32{3, 2}, []int32{0, 0, 0}, 0, 1},
		{"presence does not", sample.Params{PresencePenalty: 0.5}, []float32{3, 2}, []int32{0, 0, 0}, 0, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := draw(t, tc.p, tc.logits, tc.history, tc.prompt).Token; got != tc.want {
				t.Errorf("got token %d, want %d", got, tc.want)
			}
		})
	}
}

func TestSampleErrors(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		p       sample.Params
		logits  []float32
		history []int32
		prompt  int
		want    string
	}{
		{"NaN logit", sample.Params{}, []float32{1, nan}, nil, 0, "sample: the model gives values that are not finite: logit of token 1 is NaN"},
		{"infinite logit", sample.Params{}, []float32{inf, 1}, nil, 0, "logit of token 0 is +Inf"},
		{"nothing possible", sample.Params{}, []float32{-inf, -inf}, nil, 0, "sample: the model gives values that are not finite: all logits are -Inf"},
		{"no logits", sample.Params{}, nil, nil, 0, "0 logits"},
		{"too many logits", sample.Params{}, make([]float32, sample.MaxVocab+1), nil, 0, "1048577 logits"},
		{"prompt longer than history", sample.Params{}, []float32{1}, []int32{0}, 2, "prompt of 2 tokens"},
		{"negative prompt", sample.Params{}, []float32{1}, nil, -1, "prompt of -1 tokens"},
		{"token outside", sample.Params{RepetitionPenalty: 2}, []float32{1}, []int32{0, 1}, 2, "token 1 in the history"},
		{"negative token", sample.Params{PresencePenalty: 1}, []float32{1}, []int32{-1}, 0, "token -1 in the history"},
		{"temperature", sample.Params{Temperature: -1}, []float32{1}, nil, 0, "temperature is -1, want 0 to 100"},
		{"NaN", sample.Params{TopP: nan}, []float32{1}, nil, 0, "top-p is NaN, want 0 to 1"},
		{"several", sample.Params{MinP: 2, TopK: -1}, []float32{1}, nil, 0, "min-p is 2, want 0 to 1\ntop-k is -1"},
		{"logprobs", sample.Params{Logprobs: 21}, []float32{1}, nil, 0, "logprobs is 21, want 0 to 20"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if _, err := sample.Sample(tc.p, tc.logits, tc.history, tc.prompt); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got error %v, want %q", err, tc.want)
			}
		})
	}
}

// TestSampleConcurrent draws the same from many goroutines, with buffers that held other
// vocabularies and failed draws before.
func TestSampleConcurrent(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(4, 0))
	small, large := random(rng, 50, 2), random(rng, 3000, 2)
	p := sample.Params{Temperature: 1, TopP: 0.9, RepetitionPenalty: 1.2, PresencePenalty: 0.1, Seed: 9}
	history := []int32{1, 2, 49, 2}
	a, b := draw(t, p, small, history, 2), draw(t, p, large, history, 2)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				if r, err := sample.Sample(p, small, history, 2); err != nil || r.Token != a.Token {
					t.Errorf("got %v, %v, want %v", r, err, a)
				}
				if _, err := sample.Sample(p, small, []int32{1, 50}, 0); err == nil {
					t.Error("token 50 of 50 passes")
				}
				if r, err := sample.Sample(p, large, history, 2); err != nil || r.Token != b.Token {
					t.Errorf("got %v, %v, want %v", r, err, b)
				}
			}
		})
	}
	wg.Wait()
}

// TestPhilox has the known answers of the authors' library, Random123 (kat_vectors).
func TestPhilox(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		c    [4]uint32
		k    [2]uint32
		want [4]uint32
	}{
		{[4]uint32{}, [2]uint32{}, [4]uint32{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
		{[4]uint32{^uint32(0), ^uint32(0), ^uint32(0), ^uint32(0)}, [2]uint32{^uint32(0), ^uint32(0)}, [4]uint32{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
		{[4]uint32{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}, [2]uint32{0xa4093822, 0x299f31d0}, [4]uint32{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
	} {
		if got := sample.Philox(tc.c, tc.k); got != tc.want {
			t.Errorf("philox(%x, %x): got %x, want %x", tc.c, tc.k, got, tc.want)
		}
	}
}

func TestLn(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(5, 0))
	worst := 0.0
	for range 1000000 {
		x := math.Exp(rng.Float64()*200 - 100)
		want := math.Log(x)
		worst = max(worst, math.Abs(sample.Ln(x)-want)/math.Abs(want))
	}
	if worst > 4e-16 || sample.Ln(1) != 0 {
		t.Errorf("relative error of ln is %g, ln(1) is %g", worst, sample.Ln(1))
	}
}

func TestSampleAllocs(t *testing.T) {
	logits := random(rand.New(rand.NewPCG(6, 0)), 2000, 3) // not parallel: it counts allocations
	p := sample.Params{Temperature: 1, TopK: 50, TopP: 0.9, MinP: 0.01, RepetitionPenalty: 1.1, WantLogprob: true}
	history := []int32{1, 2, 3}
	if n := testing.AllocsPerRun(100, func() { draw(t, p, logits, history, 1) }); n != 0 {
		t.Errorf("%v allocations per draw, want 0", n)
	}
}
