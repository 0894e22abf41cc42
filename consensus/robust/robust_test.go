package robust_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/consensus/robust"
)

// names are rules of every kind.
var names = []string{
	"mean", "weighted", "median", "trimmed", "trimmed:0", "krum", "multikrum", "geomedian", "norm", "clip", "clip:0.5",
	"gossip", "gossip:0.5", "sign", "nnm+trimmed", "nnm+median", "nnm+geomedian", "nnm+clip", "nnm+krum", "nnm+norm", "nnm+sign",
}

// apply runs a rule with equal weights.
func apply(t *testing.T, name string, updates [][]float32, reference []float32) ([]float32, robust.Report) {
	t.Helper()
	n := len(updates)
	weights := make([]float64, n)
	for i := range weights {
		weights[i] = 1 / float64(n+1)
	}
	dst := make([]float32, len(reference))
	report, err := parse(t, name).Aggregate(dst, updates, weights, reference)
	if err != nil {
		t.Fatalf("%s of %d: %v", name, n, err)
	}
	return dst, report
}

func normal(rng *rand.Rand, n, d int) [][]float32 {
	out := make([][]float32, n)
	for i := range out {
		out[i] = make([]float32, d)
		for k := range out[i] {
			out[i][k] = float32(rng.NormFloat64())
		}
	}
	return out
}

func bits(x []float32) []uint32 {
	out := make([]uint32, len(x))
	for i, v := range x {
		out[i] = math.Float32bits(v)
	}
	return out
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"mean": "mean", "trimmed": "trimmed:20%", "trimmed:2": "trimmed:2", "nnm+trimmed:2": "nnm+trimmed:2", "nnm:3+trimmed:2": "nnm:3+trimmed:2",
		"multikrum:2:6": "multikrum:2:6", "krum:25%": "krum:25%", "clip": "clip", "clip:0.10": "clip:0.1", "nnm:2+clip": "nnm:2+clip",
		"nnm+clip": "nnm+clip", "gossip:1e3": "gossip:1000", robust.DefaultIID: robust.DefaultIID,
	} {
		r := parse(t, name)
		if r.String() != want {
			t.Errorf("%s: got %s, want %s", name, r, want)
		}
		if again := parse(t, r.String()); again != r {
			t.Errorf("%s: %s is another rule", name, r)
		}
	}
	for name, says := range map[string]string{
		"": "want one of mean", "average": "want one of mean", "mean:2": "too many", "trimmed:": "not a number of liars", "trimmed:-1": "not a number of liars",
		"trimmed:50%": "less than 50%", "trimmed:33": "too many for 64", "krum:1:2": "too many", "multikrum:1:0": "1 to 64", "multikrum:1:99": "1 to 64",
		"clip:0": "radius", "clip:-1": "radius", "clip:NaN": "radius", "clip:Inf": "radius", "nnm": "want one of", "nnm+": "want one of",
		"norm+mean": "only nnm", "nnm+weighted": "leave nnm out", "nnm:x+mean": "not a number of liars", "nnm+nnm+mean": "want one of",
	} {
		if r, err := robust.Parse(name); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: got %v and %v, want an error with %q", name, r, err, says)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, k := range []struct {
		rule string
		n    int
		says string
	}{
		{"mean", 1, ""},
		{"mean", 0, "no usable update"},
		{"mean", 65, "at most 64"},
		{"gossip", 0, ""},
		{"trimmed:2", 5, ""},
		{"trimmed:2", 4, "needs 5 updates, there are 4"},
		{"trimmed:40%", 2, ""},
		{"krum:2", 7, ""},
		{"krum:2", 6, "needs 7 updates"},
		{"krum:40%", 3, ""},
		{"krum", 2, ""},
		{"nnm:2+mean", 4, "nnm against 2 liars needs 5"},
	} {
		err := parse(t, k.rule).Check(k.n)
		if (err == nil) != (k.says == "") || err != nil && !strings.Contains(err.Error(), k.says) {
			t.Errorf("%s of %d: got %v, want %q", k.rule, k.n, err, k.says)
		}
	}
}

// TestUnclean checks that an update that is not clean is dropped whole, is told of, and is one
// of the liars.
func TestUnclean(t *testing.T) {
	t.Parallel()
	inf, nan := float32(math.Inf(-1)), float32(math.NaN())
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(1, 2))
			clean, reference := normal(rng, 6, 301), normal(rng, 1, 301)[0]
			updates := slices.Clone(clean)
			bad := func(v float32) []float32 {
				u := slices.Clone(clean[0])
				u[300] = v
				return u
			}
			updates = slices.Insert(updates, 2, bad(nan), bad(inf))
			updates = append(updates, clean[0][:300], nil, append(slices.Clone(clean[0]), 1))
			got, report := apply(t, name, updates, reference)
			want := []robust.Out{{2, robust.NotFinite}, {3, robust.NotFinite}, {8, robust.WrongLength}, {9, robust.WrongLength}, {10, robust.WrongLength}}
			if faulty := slices.DeleteFunc(slices.Clone(report.Out), func(o robust.Out) bool { return !o.Reason.Faulty() }); !slices.Equal(faulty, want) {
				t.Errorf("out: got %v, want %v", faulty, want)
			}
			if !slices.IsSortedFunc(report.Out, func(a, b robust.Out) int { return a.Sender - b.Sender }) {
				t.Errorf("not by sender: %v", report.Out)
			}
			// The 5 of 11 are more liars than 20 %: what is left is combined as if all were honest.
			zero := map[string]string{"trimmed": "trimmed:0", "krum": "krum:0", "multikrum": "multikrum:0"}
			simple := strings.TrimPrefix(name, "nnm+")
			if z, ok := zero[simple]; ok {
				simple = z
			}
			if strings.HasPrefix(name, "gossip") || name == "weighted" {
				return // the weights are others
			}
			alone, _ := apply(t, simple, clean, reference)
			if !slices.Equal(bits(got), bits(alone)) {
				t.Errorf("another result than without the unclean")
			}
		})
	}
}

// TestExtremes checks that the result is finite whatever finite numbers come in, also as a
// reference of what follows.
func TestExtremes(t *testing.T) {
	t.Parallel()
	const most, least = math.MaxFloat32, math.SmallestNonzeroFloat32
	fill := func(v ...float32) []float32 {
		u := make([]float32, 300)
		for i := range u {
			u[i] = v[i%len(v)]
		}
		return u
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(3, 4))
			for i, extremes := range [][][]float32{
				{fill(most), fill(-most)},
				{fill(most)},
				{fill(most, -most), fill(-most, most), fill(most)},
				{fill(most), fill(most), fill(most), fill(most), fill(most)},
				{fill(least), fill(-least), fill(least, 0)},
				{fill(0), fill(0), fill(0)},
				{fill(3e38), fill(1e-40)},
			} {
				for honest := range 4 {
					updates := append(normal(rng, honest, 300), extremes...)
					reference := make([]float32, 300)
					for round := range 3 {
						reference, _ = apply(t, name, updates, reference)
						for k, v := range reference {
							if v-v != 0 {
								t.Fatalf("set %d with %d honest, round %d: value %d is %v", i, honest, round, k, v)
							}
						}
					}
				}
			}
		})
	}
}

// TestOneLiar checks that one liar of seven, however loud, does not move a robust rule far
// from where the others are.
func TestOneLiar(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		if slices.Contains([]string{"mean", "weighted", "trimmed:0"}, name) {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(5, 6))
			for _, size := range []float32{10, 1e6, 3e38} {
				updates := normal(rng, 7, 300)
				for i := range updates[3] {
					updates[3][i] = size
				}
				got, _ := apply(t, name, updates, make([]float32, 300))
				sum := 0.0
				for _, v := range got {
					sum += float64(v) * float64(v)
				}
				if length := math.Sqrt(sum); length > 2*math.Sqrt(300) {
					t.Errorf("size %v: the result has length %v", size, length)
				}
			}
		})
	}
}

// TestMedianWithinHonest checks that f liars cannot move a coordinate out of the range of the
// honest.
func TestMedianWithinHonest(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 7))
		f := 1 + rng.IntN(6)
		n := 2*f + 1 + rng.IntN(6)
		d := 1 + rng.IntN(600)
		updates := normal(rng, n-f, d)
		low, high := slices.Clone(updates[0]), slices.Clone(updates[0])
		for _, u := range updates {
			for i, v := range u {
				low[i], high[i] = min(low[i], v), max(high[i], v)
			}
		}
		for range f {
			u := make([]float32, d)
			for i := range u {
				u[i] = []float32{math.MaxFloat32, -math.MaxFloat32, 3, -3, 0}[rng.IntN(5)]
			}
			updates = append(updates, u)
		}
		rng.Shuffle(n, func(i, j int) { updates[i], updates[j] = updates[j], updates[i] })
		for _, name := range []string{"median", fmt.Sprintf("trimmed:%d", f)} {
			got, _ := apply(t, name, updates, make([]float32, d))
			for i, v := range got {
				if v < low[i] || v > high[i] {
					t.Fatalf("seed %d, %s of %d: value %d is %v, honest are %v to %v", seed, name, n, i, v, low[i], high[i])
				}
			}
		}
	}
}

// TestOrder checks that the order of the updates plays no role: to the bit for what sorts and
// counts, else within the rounding of sums.
func TestOrder(t *testing.T) {
	t.Parallel()
	for _, name := range names {
		if name == "nnm+krum" {
			continue // points that are means of the same updates have equal scores
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(10) {
				rng := rand.New(rand.NewPCG(seed, 8))
				d := 1 + rng.IntN(700)
				updates, reference := normal(rng, 4+rng.IntN(13), d), normal(rng, 1, d)[0] // three may have equal scores of Krum
				for _, u := range updates {                                                // equal values, and zeros of both signs
					u[0], u[d-1] = 1, float32(math.Copysign(0, rng.Float64()-0.5))
				}
				want, _ := apply(t, name, updates, reference)
				rng.Shuffle(len(updates), func(i, j int) { updates[i], updates[j] = updates[j], updates[i] })
				got, _ := apply(t, name, updates, reference)
				exact := slices.Contains([]string{"median", "trimmed", "krum", "sign"}, name)
				for i := range want {
					if exact && math.Float32bits(got[i]) != math.Float32bits(want[i]) || math.Abs(float64(got[i]-want[i])) > 2e-6 {
						t.Fatalf("seed %d, value %d: got %v, want %v", seed, i, got[i], want[i])
					}
				}
			}
		})
	}
}

// TestMeanOfBatches checks that the mean has the bits of one machine that adds the gradients
// of the batches and scales the sum.
func TestMeanOfBatches(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(9, 9))
	for n := 1; n <= 17; n++ {
		updates := normal(rng, n, 4099)
		got, _ := apply(t, "mean", updates, make([]float32, 4099))
		for i := range got {
			sum := updates[0][i]
			for _, u := range updates[1:] {
				sum += u[i]
			}
			if want := float32(sum * (1 / float32(n))); math.Float32bits(got[i]) != math.Float32bits(want) {
				t.Fatalf("%d updates, value %d: got %v, want %v", n, i, got[i], want)
			}
		}
	}
}

// TestAlone checks that a swarm of one gets what it sent, -0 as well.
func TestAlone(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(10, 10))
	u, reference := normal(rng, 1, 777)[0], normal(rng, 1, 777)[0]
	u[5], u[6], u[7] = float32(math.Copysign(0, -1)), math.MaxFloat32, math.SmallestNonzeroFloat32
	for _, name := range names {
		if slices.Contains([]string{"clip:0.5", "gossip", "gossip:0.5", "sign", "nnm+sign"}, name) {
			continue
		}
		got, report := apply(t, name, [][]float32{u}, reference)
		if !slices.Equal(bits(got), bits(u)) || len(report.Out) > 0 {
			t.Errorf("%s changes the only update; out: %v", name, report.Out)
		}
	}
}

// TestFar checks that who has no part is named.
func TestFar(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(11, 11))
	updates := normal(rng, 8, 200)
	for i := range updates[5] {
		updates[5][i] = 50
	}
	updates[2][0] = float32(math.NaN())
	weights := []float64{1, 1, 1, 1, 0, 1, 1, 1}
	for _, name := range []string{"multikrum:2", "nnm+trimmed:2"} {
		report, err := parse(t, name).Aggregate(make([]float32, 200), updates, weights, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := []robust.Out{{2, robust.NotFinite}, {4, robust.NoWeight}, {5, robust.Far}}; !slices.Equal(report.Out, want) {
			t.Errorf("%s: got %v, want %v", name, report.Out, want)
		}
	}
}

func TestArguments(t *testing.T) {
	t.Parallel()
	updates := [][]float32{{1, 2}, {3, 4}}
	nan := float32(math.NaN())
	for _, k := range []struct {
		rule      string
		weights   []float64
		reference []float32
		says      string
	}{
		{"weighted", nil, nil, "needs a weight"},
		{"mean", []float64{1}, nil, "1 weights for 2"},
		{"mean", []float64{1, -1}, nil, "weight of update 1"},
		{"mean", []float64{1, math.NaN()}, nil, "weight of update 1"},
		{"weighted", []float64{1e308, 1e308}, nil, "too large"},
		{"weighted", []float64{0, 0}, nil, "no usable update"},
		{"gossip", []float64{0.7, 0.7}, []float32{1, 1}, "at most 1"},
		{"gossip", []float64{0.3, 0.3}, nil, "own vector"},
		{"clip", nil, []float32{1}, "1 values, want 2"},
		{"clip", nil, []float32{1, nan}, "not finite"},
	} {
		dst := []float32{7, 7}
		_, err := parse(t, k.rule).Aggregate(dst, updates, k.weights, k.reference)
		if err == nil || !strings.Contains(err.Error(), k.says) || dst[0] != 7 || dst[1] != 7 {
			t.Errorf("%s: got %v, want an error with %q; result %v", k.rule, err, k.says, dst)
		}
	}
}

// TestMetropolis checks that mixing by the weights of a graph keeps the mean and ends in it.
func TestMetropolis(t *testing.T) {
	t.Parallel()
	graph := [][]int{{1, 2, 3}, {0, 2}, {0, 1, 4}, {0}, {2}}
	state := [][]float32{{1, 0}, {2, 5}, {4, -5}, {8, 1}, {0, 0}}
	for range 200 {
		next := make([][]float32, len(state))
		for i, near := range graph {
			var updates [][]float32
			var degrees []int
			for _, k := range near {
				updates, degrees = append(updates, state[k]), append(degrees, len(graph[k]))
			}
			next[i] = make([]float32, 2)
			if _, err := parse(t, "gossip:100").Aggregate(next[i], updates, robust.Metropolis(len(near), degrees), state[i]); err != nil {
				t.Fatal(err)
			}
		}
		state = next
	}
	for i, s := range state {
		if math.Abs(float64(s[0]-3)) > 1e-5 || math.Abs(float64(s[1]-0.2)) > 1e-5 {
			t.Errorf("peer %d ends at %v, want 3 and 0.2", i, s)
		}
	}
}
