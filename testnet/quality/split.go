package quality

import (
	"math"
	"math/rand/v2"
)

// How data is dealt out to the members. Each gets as much as any other, and nothing twice.
const (
	ByChance = "by chance" // independent and identically distributed
	Skewed   = "skewed"    // each has its own mix of labels, or texts of its own
)

// concentration is the parameter of the Dirichlet distribution that members' mixes of labels are
// drawn from: 0.5 lets half of a member's samples be of one or two of ten classes.
const concentration = 0.5

// deal returns the samples of each member, in their order, by the class of each sample. The first
// member has one of each class at least: its data says which classes there are.
func deal(classes []int, members int, how string, rng *rand.Rand) [][]int {
	kinds := 0
	for _, c := range classes {
		kinds = max(kinds, c+1)
	}
	left := make([][]int, kinds) // samples of each class that nobody has yet
	for _, i := range rng.Perm(len(classes)) {
		left[classes[i]] = append(left[classes[i]], i)
	}
	out := make([][]int, members)
	take := func(m, class int) {
		last := len(left[class]) - 1
		out[m] = append(out[m], left[class][last])
		left[class] = left[class][:last]
	}
	for c := range left {
		take(0, c)
	}
	for m := range members {
		mix := make([]float64, kinds)
		for c := range mix {
			mix[c] = 1
			if how == Skewed {
				mix[c] = gamma(rng, concentration)
			}
		}
		for quota := (m+1)*len(classes)/members - m*len(classes)/members; len(out[m]) < quota; {
			take(m, draw(rng, mix, left))
		}
	}
	return out
}

// draw draws a class of which samples are left, by a member's mix and how many are left (Hsu et
// al. 2019, arXiv 1909.06335, section 3).
func draw(rng *rand.Rand, mix []float64, left [][]int) int {
	sum, last := 0.0, 0
	for c := range left {
		sum += mix[c] * float64(len(left[c]))
	}
	at := rng.Float64() * sum
	for c := range left {
		if len(left[c]) == 0 {
			continue
		}
		last = c
		if at -= mix[c] * float64(len(left[c])); at < 0 {
			break
		}
	}
	return last
}

// gamma draws from the gamma distribution of a shape below 1 and scale 1 (Marsaglia and Tsang
// 2000, with their boost for small shapes).
func gamma(rng *rand.Rand, shape float64) float64 {
	d := shape + 1 - 1.0/3
	for {
		x := rng.NormFloat64()
		v := 1 + x/math.Sqrt(9*d)
		if v <= 0 {
			continue
		}
		v = v * v * v
		if math.Log(rng.Float64()) < x*x/2+d-d*v+d*math.Log(v) {
			return d * v * math.Pow(rng.Float64(), 1/shape)
		}
	}
}

// skew is how far the members' mixes of labels are from that of all: the mean share of a member's
// samples that would have to be of other classes.
func skew(classes []int, parts [][]int) float64 {
	all := map[int]float64{}
	for _, c := range classes {
		all[c] += 1 / float64(len(classes))
	}
	sum := 0.0
	for _, part := range parts {
		own := map[int]float64{}
		for _, i := range part {
			own[classes[i]] += 1 / float64(len(part))
		}
		for c, share := range all {
			sum += max(0, own[c]-share)
		}
	}
	return sum / float64(len(parts))
}
