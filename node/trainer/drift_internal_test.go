package trainer

import (
	"math"
	"slices"
	"testing"
)

// TestDrift lets two members go down parabolas of their own, one of which is much steeper, with
// many steps in a round: they end where the sum of both is least. Without learning rates, by which
// they know their drift, they end elsewhere.
func TestDrift(t *testing.T) {
	t.Parallel()
	const steep, rate, steps = 9, 0.05, 20
	slopes := []func(x float32) float32{
		func(x float32) float32 { return x - 1 },
		func(x float32) float32 { return steep * (x + 1) },
	}
	least := float64(1-steep) / (1 + steep)
	end := func(told float64, round func(n int, results []float32) []span) float64 {
		var members []*dilocoMode
		for range slopes {
			d := newDiLoCo(newNumbers([]float32{5}), 1, 0)
			d.begin()
			members = append(members, d)
		}
		for n := range 60 {
			result := make([]float32, 1)
			for i, d := range members {
				for range steps {
					d.t.Params().Values[0] -= rate * slopes[i](d.t.Params().Values[0])
					d.stepped(told)
				}
				update := make([]float32, 1)
				d.update(update, 0)
				result[0] += update[0] / float32(len(members))
			}
			changed := round(n, result)
			for _, d := range members {
				if err := d.apply(result, changed); err != nil {
					t.Fatal(err)
				}
				d.commit()
			}
		}
		return float64(members[0].base[0])
	}
	every := func(_ int, r []float32) []span { return all(r) }
	if got := end(rate, every); math.Abs(got-least) > 1e-3 {
		t.Errorf("the members end at %v, the sum is least at %v", got, least)
	}
	if got := end(0, every); math.Abs(got-least) < 0.1 {
		t.Errorf("without correction they end at %v, which is as good: the test says nothing", got)
	}
	some := func(n int, r []float32) []span { // rounds that leave all as it was
		if n%3 == 0 {
			return nil
		}
		return all(r)
	}
	if got := end(rate, some); math.Abs(got-least) > 1e-3 {
		t.Errorf("with rounds that came to nothing they end at %v, the sum is least at %v", got, least)
	}
}

// TestDriftForgotten takes up a state of others, and learns alone: nothing is corrected then.
func TestDriftForgotten(t *testing.T) {
	t.Parallel()
	work := func(d *dilocoMode) {
		d.t.Params().Values[0] -= 1
		d.stepped(0.1)
	}
	for _, tt := range []struct {
		name string
		then func(d *dilocoMode) error
	}{
		{"a state of others", func(d *dilocoMode) error { return d.take([][]float32{{3}, nil}) }},
		{"alone", func(d *dilocoMode) error {
			d.alone()
			d.commit()
			return nil
		}},
		{"a round without an own update", func(d *dilocoMode) error {
			for range 2 { // the first one has one
				if err := d.apply([]float32{0.5}, all(d.base)); err != nil {
					return err
				}
				d.commit()
			}
			return nil
		}},
	} {
		d := newDiLoCo(newNumbers([]float32{3}), 1, 0)
		d.begin()
		work(d)
		d.update(make([]float32, 1), 0)
		if err := d.apply([]float32{0.5}, all(d.base)); err != nil {
			t.Fatal(err)
		}
		d.commit()
		work(d)
		if d.t.Params().Values[0] == d.base[0]-1 {
			t.Fatal("nothing is corrected after a round: the test says nothing")
		}
		update := make([]float32, 1)
		if d.update(update, 0); math.Abs(float64(update[0]-1)) > 1e-6 {
			t.Errorf("after a step of 1 and a correction the update is %v", update[0])
		}
		if err := tt.then(d); err != nil {
			t.Fatal(err)
		}
		before := slices.Clone(d.base)
		work(d)
		if got, want := d.t.Params().Values[0], before[0]-1; got != want {
			t.Errorf("%s: a step of 1 from %v ends at %v", tt.name, before[0], got)
		}
	}
}
