package data_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// numbers is a dataset whose sample i is i and one draw; those in bad are unusable and
// the one of fail breaks.
type numbers struct {
	n    int
	bad  map[int]bool
	fail map[int]error
}

func (d numbers) Len() int { return d.n }
func (d numbers) Shape() data.Shape {
	return data.Shape{Values: 2, Dims: []int{2}, Tokens: 1, Targets: 1}
}
func (d numbers) Key(i int) string { return fmt.Sprint("key ", i) }

func (d numbers) Sample(dst *data.Sample, i int, r *data.Rand) error {
	if d.bad[i] {
		return fmt.Errorf("wrapped: %w", &data.Bad{Name: fmt.Sprint(i), Err: errors.New("corrupt")})
	}
	dst.Values[0], dst.Values[1] = float32(i), float32(r.Float64())
	dst.Tokens[0], dst.Targets[0], dst.Label, dst.Length = int32(i), float32(-i), int32(i%3), 1
	return d.fail[i]
}

func TestSplit(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		n        int
		fraction float64
		want     int
	}{"a fifth": {100, 0.2, 20}, "none": {7, 0, 0}, "all": {7, 1, 7}, "rounded": {9, 0.5, 5}, "empty": {0, 0.5, 0}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			train, validation, err := data.Split(c.n, c.fraction, 1)
			if err != nil {
				t.Fatal(err)
			}
			checkDivided(t, train, validation, c.n)
			if len(validation) != c.want {
				t.Errorf("got %d samples for validation, want %d", len(validation), c.want)
			}
			again, _, _ := data.Split(c.n, c.fraction, 1)
			if !slices.Equal(train, again) {
				t.Error("the same seed splits differently")
			}
		})
	}
	a, _, _ := data.Split(100, 0.5, 1)
	if b, _, _ := data.Split(100, 0.5, 2); slices.Equal(a, b) {
		t.Error("another seed splits alike")
	}
	for _, f := range []float64{-0.1, 1.1} {
		if _, _, err := data.Split(3, f, 0); err == nil {
			t.Errorf("fraction %g: want an error", f)
		}
	}
}

func checkDivided(t *testing.T, a, b []int, n int) {
	t.Helper()
	all := slices.Concat(a, b)
	slices.Sort(all)
	for i := range n {
		if len(all) != n || all[i] != i {
			t.Fatalf("parts %v and %v do not divide %d samples", a, b, n)
		}
	}
	if !slices.IsSorted(a) || !slices.IsSorted(b) {
		t.Error("parts are not in order")
	}
}

func TestSubset(t *testing.T) {
	t.Parallel()
	d := numbers{n: 10}
	s, err := data.NewSubset(d, []int{7, 2})
	if err != nil {
		t.Fatal(err)
	}
	dst := s.Shape().NewSample()
	r := data.NewRand(0, 0, 0)
	if err := s.Sample(&dst, 1, &r); err != nil || dst.Values[0] != 2 || s.Len() != 2 {
		t.Errorf("got %v, %v, %d samples", dst, err, s.Len())
	}
	if _, err := data.NewSubset(d, []int{10}); err == nil {
		t.Error("sample 10 of 10: want an error")
	}
}
