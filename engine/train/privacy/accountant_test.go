package privacy_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/covey-network/covey/engine/train/privacy"
)

// epsilons are what Opacus says: testdata/make_epsilon.py wrote them.
func epsilons(t testing.TB) (cases []struct {
	Steps   []privacy.Steps
	Delta   float64
	Epsilon float64
	Order   float64
},
) {
	t.Helper()
	b, err := os.ReadFile("testdata/epsilon.json")
	if err != nil {
		t.Fatal(err)
	}
	file := struct{ Cases any }{&cases}
	if err := json.Unmarshal(b, &file); err != nil || len(cases) < 800 {
		t.Fatalf("%d cases: %v", len(cases), err)
	}
	return cases
}

// TestEpsilonIsThatOfOpacus compares with the values of a published accountant, by kinds of steps
// and in whatever pieces the steps are counted.
func TestEpsilonIsThatOfOpacus(t *testing.T) {
	t.Parallel()
	var none privacy.Accountant // knows the last kind of steps
	worst := 0.0
	for i, c := range epsilons(t) {
		var got float64
		if len(c.Steps) == 1 {
			got = none.With(c.Steps[0], c.Delta)
		}
		if len(c.Steps) > 1 || i%40 == 0 {
			got = counted(t, c.Steps, c.Delta, c.Epsilon)
		}
		worst = max(worst, math.Abs(got-c.Epsilon)/max(c.Epsilon, 1e-3))
		if !near(got, c.Epsilon) {
			t.Errorf("%+v at %v: got %v, want %v (order %v)", c.Steps, c.Delta, got, c.Epsilon, c.Order)
		}
	}
	t.Logf("worst relative difference %.1e", worst)
}

// counted returns the epsilon of steps, and checks that of the same steps counted in pieces, and
// of an accountant that goes on with them.
func counted(t *testing.T, steps []privacy.Steps, delta, want float64) float64 {
	t.Helper()
	var a, pieces privacy.Accountant
	for i, s := range steps {
		if err := a.Add(s); err != nil {
			t.Fatal(err)
		}
		first, rest := s, s
		first.Count, rest.Count = s.Count/3, s.Count-s.Count/3
		if err := pieces.Add(first); err != nil {
			t.Fatal(err)
		}
		if i == len(steps)-1 {
			if got := pieces.With(rest, delta); !near(got, want) {
				t.Errorf("%+v at %v: got %v with more steps, want %v", steps, delta, got, want)
			}
		}
		if err := pieces.Add(rest); err != nil {
			t.Fatal(err)
		}
	}
	got := a.Epsilon(delta)
	again, err := privacy.Resume(a.Steps())
	if err != nil || again.Epsilon(delta) != got || again.Count() != a.Count() || pieces.Count() != a.Count() || !near(pieces.Epsilon(delta), want) {
		t.Errorf("%+v resumed: %v, in pieces %v, %v, want %v", steps, again.Epsilon(delta), pieces.Epsilon(delta), err, got)
	}
	return got
}

func near(got, want float64) bool { return math.Abs(got-want) <= 1e-9*max(1e-3, want) }

// TestEpsilonGrows checks what must hold for any step: none costs nothing, more steps, more of the
// samples and less noise cost more.
func TestEpsilonGrows(t *testing.T) {
	t.Parallel()
	var none privacy.Accountant
	if e := none.Epsilon(1e-5); e != 0 {
		t.Errorf("no step costs %v", e)
	}
	cost := func(s privacy.Steps) float64 { return none.With(s, 1e-5) }
	base := privacy.Steps{Rate: 0.02, Noise: 1, Count: 100}
	for _, more := range []privacy.Steps{{Rate: 0.03, Noise: 1, Count: 100}, {Rate: 0.02, Noise: 0.9, Count: 100}, {Rate: 0.02, Noise: 1, Count: 101}} {
		if !(cost(more) > cost(base)) {
			t.Errorf("%+v costs %v, %+v %v", more, cost(more), base, cost(base))
		}
	}
	if none.Count() != 0 {
		t.Error("asking what steps would cost counts them")
	}
	if e := cost(privacy.Steps{Rate: 1, Noise: 1e-6, Count: 1}); !(e > 1e6) {
		t.Errorf("almost no noise costs %v", e)
	}
	for _, bad := range []privacy.Steps{{Rate: -1, Noise: 1}, {Rate: 1.1, Noise: 1}, {Rate: math.NaN(), Noise: 1}, {Rate: 0.1}, {Rate: 0.1, Noise: math.Inf(1)}, {Rate: 0.1, Noise: 1, Count: -1}} {
		if _, err := privacy.Resume([]privacy.Steps{bad}); err == nil {
			t.Errorf("%+v is taken", bad)
		}
	}
}

func ExampleAccountant() {
	var a privacy.Accountant
	if err := a.Add(privacy.Steps{Rate: 0.01, Noise: 1, Count: 1000}); err != nil {
		fmt.Println(err)
	}
	fmt.Printf("epsilon %.3f", a.Epsilon(1e-5))
	// Output: epsilon 2.101
}
