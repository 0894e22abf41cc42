package robust

import (
	"cmp"
	"slices"
)

// nearest returns the points by their distance from point i, which is the first of them.
// Points as near come in the order of their indices.
func nearest(squares []float64, i int) []int {
	order := make([]int, len(squares))
	for k := range order {
		order[k] = k
	}
	slices.SortFunc(order, func(a, b int) int {
		if a == i || b == i {
			return cmp.Compare(b2i(b == i), b2i(a == i))
		}
		return cmp.Or(cmp.Compare(squares[a], squares[b]), cmp.Compare(a, b))
	})
	return order
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// mix makes each point the mean of the n-f updates nearest to it, itself among them: Allouah
// et al., Fixing by mixing (AISTATS 2023), algorithm 2.
func (a *job) mix() {
	n, keep := len(a.senders), len(a.senders)-a.limits.mixed
	if keep == n {
		return // all points would be the mean
	}
	squares := a.points.squaredDistances()
	near, taken := make([][]int, n), make([]int, n)
	for i := range near {
		near[i] = nearest(squares[i], i)[:keep]
		slices.Sort(near[i])
		for _, k := range near[i] {
			taken[k]++
		}
	}
	for i := range a.far {
		a.far[i] = keep > 1 && taken[i] == 1 // by itself alone
	}
	a.points.near, a.points.mixed = near, make([]float32, n*blockSize)
}

// krum writes the mean of the points that have the least sum of squared distances to the n-f-2
// nearest others: Blanchard et al., Machine learning with adversaries (NeurIPS 2017).
func (a *job) krum() {
	n := len(a.senders)
	others := min(max(1, n-a.limits.liars-2), n-1)
	squares := a.points.squaredDistances()
	scores := make([]float64, n)
	for i := range scores {
		for _, k := range nearest(squares[i], i)[1 : others+1] {
			scores[i] += squares[i][k]
		}
	}
	order := a.points.all()
	slices.SortFunc(order, func(i, j int) int {
		return cmp.Or(cmp.Compare(scores[i], scores[j]), cmp.Compare(i, j))
	})
	for _, i := range order[a.limits.chosen:] {
		a.far[i] = true
	}
	chosen := order[:a.limits.chosen]
	slices.Sort(chosen)
	a.points.mean(a.dst, chosen)
}
