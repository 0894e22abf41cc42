package trainer

import (
	"math"
	"math/rand/v2"
	"testing"
)

// TestDrift lets members go down parabolas of their own, of which some are much steeper, with
// many steps in a round: they end where the sum of all is least. Without learning rates, by which
// they know their drift, they end elsewhere.
func TestDrift(t *testing.T) {
	t.Parallel()
	const steep, rate, steps, crowd = 9, 0.05, 20, 8
	least := float64(1-steep) / (1 + steep)
	every := func(int, int) bool { return true }
	end := func(told float64, forget float32, slice, counted func(round, member int) bool) float64 {
		var members []*dilocoMode
		for range crowd {
			d := newDiLoCo(newNumbers([]float32{5}), 1, 0)
			d.drift.forget = forget
			d.begin()
			members = append(members, d)
		}
		for n := range 80 {
			result, changed, count := make([]float32, 1), []span(nil), float32(0)
			for i, d := range members {
				for range steps {
					x := d.t.Params().Values[0]
					if d.t.Params().Values[0] -= rate * (x - 1); i%2 == 1 {
						d.t.Params().Values[0] -= rate * (steep*(x+1) - (x - 1))
					}
					d.stepped(told)
				}
				update := make([]float32, 1)
				if d.update(update, 0); counted(n, i) {
					result[0], count = result[0]+update[0], count+1
				}
			}
			if result[0] /= max(count, 1); count > 0 && slice(n, 0) {
				changed = all(result)
			}
			for i, d := range members {
				if err := d.apply(result, changed, counted(n, i)); err != nil {
					t.Fatal(err)
				}
				d.commit()
			}
		}
		return float64(members[0].base[0])
	}
	if got := end(0, 0, every, every); math.Abs(got-least) < 0.1 {
		t.Errorf("without correction they end at %v, which is as good: the test says nothing", got)
	}
	if got := end(rate, 0, every, every); math.Abs(got-least) > 1e-3 {
		t.Errorf("the members end at %v, the sum is least at %v", got, least)
	}
	// What is forgotten of the corrections costs a part of them.
	if got, far := end(rate, forgetMean, every, every), end(0, 0, every, every)-least; math.Abs(got-least) > 0.3*math.Abs(far) {
		t.Errorf("the members end at %v, the sum is least at %v, and without correction it is %v off", got, least, far)
	}
	third := func(n, _ int) bool { return n%3 != 0 }
	if got := end(rate, 0, third, every); math.Abs(got-least) > 1e-3 {
		t.Errorf("with rounds that came to nothing they end at %v, the sum is least at %v", got, least)
	}
	// Half of the updates are lost. Were they, or the corrections in them, missed, the members would
	// go hither and thither with whose came.
	lost := func(n, i int) bool { return rand.New(rand.NewPCG(uint64(n), uint64(i))).Float64() < 0.5 }
	if got := end(rate, 0, every, lost); math.Abs(got-least) > 0.03 {
		t.Errorf("with half of the updates lost they end at %v, the sum is least at %v", got, least)
	}
}

// TestDriftKept lets rounds pass without a part in them: the correction stays, unless the member is
// alone.
func TestDriftKept(t *testing.T) {
	t.Parallel()
	work := func(d *dilocoMode) {
		d.t.Params().Values[0] -= 1
		d.stepped(0.1)
	}
	for _, tt := range []struct {
		name string
		kept bool
		then func(d *dilocoMode) error
	}{
		{"a state of others", true, func(d *dilocoMode) error { return d.take([][]float32{{3}, nil}) }},
		{"an update that was lost", true, func(d *dilocoMode) error {
			work(d)
			d.update(make([]float32, 1), 0)
			err := d.apply([]float32{9}, all(d.base), false)
			d.commit()
			return err
		}},
		{"a round without an own update", true, func(d *dilocoMode) error {
			err := d.apply([]float32{9}, all(d.base), true)
			d.commit()
			return err
		}},
		{"alone", false, func(d *dilocoMode) error {
			d.alone()
			d.commit()
			return nil
		}},
	} {
		d := newDiLoCo(newNumbers([]float32{3}), 1, 0)
		d.begin()
		work(d)
		d.update(make([]float32, 1), 0)
		if err := d.apply([]float32{0.5}, all(d.base), true); err != nil {
			t.Fatal(err)
		}
		d.commit()
		if err := tt.then(d); err != nil {
			t.Fatal(err)
		}
		before := d.base[0]
		work(d)
		// A way of 1 where the mean was 0.5 is half undone, but for what is forgotten of it.
		want := before - 1
		if tt.kept {
			want += 0.5 * (1 - forgetMean)
		}
		if got := d.t.Params().Values[0]; math.Abs(float64(got-want)) > 1e-6 {
			t.Errorf("%s: a step of 1 from %v ends at %v, want %v", tt.name, before, got, want)
		}
	}
}
