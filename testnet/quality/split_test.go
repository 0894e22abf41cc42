package quality

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestDeal(t *testing.T) {
	t.Parallel()
	classes := make([]int, 1445)
	for i := range classes {
		classes[i] = i % 10
	}
	spread := map[string]float64{}
	for _, how := range []string{ByChance, Skewed} {
		parts := deal(classes, Members, how, rand.New(rand.NewPCG(1, 0)))
		var all []int
		for m, part := range parts {
			if n := len(part) - len(classes)/Members; n != 0 && n != 1 {
				t.Errorf("%s: member %d has %d samples of %d", how, m, len(part), len(classes))
			}
			all = append(all, part...)
		}
		slices.Sort(all)
		for i, k := range all {
			if i != k {
				t.Fatalf("%s: sample %d is dealt out twice or not at all", how, i)
			}
		}
		var first [10]bool
		for _, i := range parts[0] {
			first[classes[i]] = true
		}
		if first != [10]bool{true, true, true, true, true, true, true, true, true, true} {
			t.Errorf("%s: the first member has classes %v", how, first)
		}
		again := deal(classes, Members, how, rand.New(rand.NewPCG(1, 0)))
		if !slices.EqualFunc(parts, again, slices.Equal) {
			t.Errorf("%s: another deal with the same seed", how)
		}
		spread[how] = skew(classes, parts)
	}
	if spread[ByChance] > 0.15 || spread[Skewed] < 0.3 {
		t.Errorf("shares of samples that are of too many: %v", spread)
	}
}

func TestCut(t *testing.T) {
	t.Parallel()
	var text []byte
	for i := range 3000 {
		text = append(text, byte('a'+i%26), byte('0'+i%10), '\n')
	}
	pieces := cut(text)
	if len(pieces) < 2 || !slices.Equal(slices.Concat(pieces...), text) {
		t.Fatalf("%d pieces, which are not the text", len(pieces))
	}
	for i, p := range pieces {
		if p[len(p)-1] != '\n' {
			t.Errorf("piece %d ends within a line", i)
		}
	}
}

// TestJobs makes the jobs of all tasks: keys that are set must not be there twice.
func TestJobs(t *testing.T) {
	t.Parallel()
	for _, task := range Tasks() {
		job, err := task.job("../../docs/examples", "/data", "/held", 7, 3)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"batch = 7", "seed = 3", "validation = ", `= "/data`} {
			if strings.Count(job, want) != 1 {
				t.Errorf("%s: no %q in\n%s", task.Name, want, job)
			}
		}
		for _, never := range []string{"epochs", "patience", "split"} {
			if strings.Contains(job, never+" =") {
				t.Errorf("%s: %q is in\n%s", task.Name, never, job)
			}
		}
	}
}
