package data

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
)

// Shape says what one sample of a dataset holds. What is absent has length 0.
type Shape struct {
	Values  int      // float32 inputs
	Dims    []int    // the shape of the inputs, product Values: (channels, height, width) or (columns)
	Tokens  int      // token ids
	Targets int      // float32 numbers to be predicted
	Classes []string // what the labels mean; nil if samples have none
}

// Sample is the place of one sample. Slices have the lengths of the [Shape] and belong to
// the caller.
type Sample struct {
	Values  []float32
	Tokens  []int32
	Targets []float32
	Label   int32 // index of the class, -1 if there is none
	Length  int32 // tokens that count, from the first; the others are padding
}

// NewSample returns a sample with room for the shape.
func (s Shape) NewSample() Sample {
	return Sample{
		Values: make([]float32, s.Values), Tokens: make([]int32, s.Tokens), Targets: make([]float32, s.Targets),
	}
}

// bytes is what a sample takes in memory.
func (s Shape) bytes() int { return 4 * (s.Values + s.Tokens + s.Targets) }

// Dataset is a numbered set of samples that does not change. Methods may be called from
// several goroutines at once.
type Dataset interface {
	// Len returns the number of samples.
	Len() int
	// Shape returns what each sample holds.
	Shape() Shape
	// Sample writes sample i, 0 <= i < Len, to dst. Random changes are drawn from r alone;
	// if r is nil, they are left out or drawn from a fixed seed. The error is a *[Bad] if
	// this sample is unusable and others may be fine.
	Sample(dst *Sample, i int, r *Rand) error
}

// Digester is a dataset that writes what it is made of, so that a hash of it tells whether
// two datasets are the same. An error of the writer is lost.
type Digester interface {
	Dataset
	Digest(w io.Writer)
}

// Bad tells of a sample, file or row that was left out, and why.
type Bad struct {
	Name string // path of the file, with the line where there is one
	Err  error
}

// Error implements error.
func (b *Bad) Error() string { return b.Name + ": " + b.Err.Error() }

// Unwrap returns the reason.
func (b *Bad) Unwrap() error { return b.Err }

// maxBadKept bounds the list of what was left out; the count goes on.
const maxBadKept = 1000

// badList collects what was left out while a dataset was opened.
type badList struct {
	list  []Bad
	count int
}

func (l *badList) add(name string, err error) {
	l.count++
	if len(l.list) < maxBadKept {
		l.list = append(l.list, Bad{name, err})
	}
}

// Subset is a dataset of some samples of another, in a given order.
type Subset struct {
	of      Dataset
	indexes []int
}

var _ Digester = (*Subset)(nil)

// NewSubset returns the dataset of the samples with the given numbers. It keeps indexes.
func NewSubset(of Dataset, indexes []int) (*Subset, error) {
	for _, i := range indexes {
		if i < 0 || i >= of.Len() {
			return nil, fmt.Errorf("subset: sample %d of %d", i, of.Len())
		}
	}
	return &Subset{of, indexes}, nil
}

// Len implements [Dataset].
func (s *Subset) Len() int { return len(s.indexes) }

// Shape implements [Dataset].
func (s *Subset) Shape() Shape { return s.of.Shape() }

// Sample implements [Dataset].
func (s *Subset) Sample(dst *Sample, i int, r *Rand) error { return s.of.Sample(dst, s.indexes[i], r) }

// Digest implements [Digester], if the dataset does.
func (s *Subset) Digest(w io.Writer) {
	if d, ok := s.of.(Digester); ok {
		d.Digest(w)
	}
	for _, i := range s.indexes {
		fmt.Fprintln(w, i)
	}
}

// Split divides n samples at random: round(fraction x n) of them are for validation, the
// others for training. Both are in ascending order and depend on (n, fraction, seed) only.
func Split(n int, fraction float64, seed uint64) (train, validation []int, err error) {
	if err := checkSplit(fraction); err != nil {
		return nil, nil, err
	}
	order, err := permutation(nil, n, NewRand(seed, 0, splitStream))
	if err != nil {
		return nil, nil, err
	}
	chosen := make([]bool, n)
	for _, i := range order[:int(math.Round(fraction*float64(n)))] {
		chosen[i] = true
	}
	train, validation = divide(n, func(i int) bool { return chosen[i] })
	return train, validation, nil
}

// SplitClasses is [Split] with about the same fraction of each class for validation, and at
// least one sample of each for training. labels are the classes of all samples, from 0. The
// share of a class is its part of round(fraction x n), rounded down; what is left over goes
// to those that lost most, the first of equal ones, as scikit-learn does it but for these.
func SplitClasses(labels []int32, fraction float64, seed uint64) (train, validation []int, err error) {
	if err := checkSplit(fraction); err != nil {
		return nil, nil, err
	}
	order, err := permutation(nil, len(labels), NewRand(seed, 0, splitStream))
	if err != nil {
		return nil, nil, err
	}
	left := shares(labels, int(math.Round(fraction*float64(len(labels)))))
	chosen := make([]bool, len(labels))
	for _, i := range order {
		if l := labels[i]; left[l] > 0 {
			left[l]--
			chosen[i] = true
		}
	}
	train, validation = divide(len(labels), func(i int) bool { return chosen[i] })
	return train, validation, nil
}

// shares divides n samples among the classes, at least one less to each than it has.
func shares(labels []int32, n int) map[int32]int {
	counts := map[int32]int{}
	for _, l := range labels {
		counts[l]++
	}
	classes := slices.Sorted(maps.Keys(counts))
	out := make(map[int32]int, len(classes))
	rest := n
	for _, c := range classes {
		out[c] = min(n*counts[c]/len(labels), counts[c]-1)
		rest -= out[c]
	}
	lost := func(c int32) int { return n * counts[c] % len(labels) }
	slices.SortStableFunc(classes, func(a, b int32) int { return cmp.Compare(lost(b), lost(a)) })
	for _, c := range classes {
		if rest > 0 && out[c] < counts[c]-1 {
			out[c]++
			rest--
		}
	}
	return out
}

func checkSplit(fraction float64) error {
	if !(fraction >= 0 && fraction <= 1) {
		return fmt.Errorf("split: fraction %g for validation, want 0 to 1", fraction)
	}
	return nil
}

func divide(n int, second func(int) bool) (a, b []int) {
	for i := range n {
		if second(i) {
			b = append(b, i)
		} else {
			a = append(a, i)
		}
	}
	return a, b
}

// maxSamples bounds the datasets that can be shuffled: an order takes 4 bytes a sample.
const maxSamples = math.MaxInt32

// permutation returns the numbers below n in random order (Fisher and Yates, from the
// end), in the memory of order if it suffices.
func permutation(order []uint32, n int, r Rand) ([]uint32, error) {
	if n < 0 || n > maxSamples {
		return nil, fmt.Errorf("order of %d samples, at most %d", n, maxSamples)
	}
	order = grow(order, n)
	for i := range order {
		order[i] = uint32(i)
	}
	for i := n - 1; i > 0; i-- {
		j := r.IntN(i + 1)
		order[i], order[j] = order[j], order[i]
	}
	return order, nil
}
