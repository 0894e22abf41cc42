package data_test

import (
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// chance is a source of choices by a seed.
func chance(seed uint64) func(float64) bool {
	r := rand.New(rand.NewPCG(seed, 1))
	return func(rate float64) bool { return r.Float64() < rate }
}

func draw(t *testing.T, n int, cfg data.DrawnConfig) *data.Drawn {
	t.Helper()
	d, err := data.NewDrawn(t.Context(), numbers{n: n, bad: map[int]bool{5: true}}, cfg, data.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// TestDrawnIsPoisson draws many batches: each sample comes with the same probability, whatever else
// comes, so that sizes have the deviation of independent choices, and some batches are empty.
func TestDrawnIsPoisson(t *testing.T) {
	t.Parallel()
	const n, batches, size = 60, 20_000, 3
	d := draw(t, n, data.DrawnConfig{Batch: size, Chosen: chance(1)})
	if d.Rate() != 0.05 || d.Batches() != 20 {
		t.Fatalf("rate %v, %d batches an epoch", d.Rate(), d.Batches())
	}
	times, empty, ends := make([]int, n), 0, 0
	var sum, squares, pairs float64
	for done := 0; done < batches; {
		b, err := d.Next()
		if errors.Is(err, io.EOF) {
			if ends++; done != ends*d.Batches() {
				t.Fatalf("epoch %d ends after %d batches", ends, done)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		done++
		if b.N != len(b.Indexes) || b.N != len(b.Labels) {
			t.Fatalf("batch of %d: %+v", b.N, b)
		}
		if b.N == 0 {
			empty++
		}
		for _, i := range b.Indexes {
			times[i]++
		}
		if slices.Contains(b.Indexes, 7) && slices.Contains(b.Indexes, 8) {
			pairs++
		}
		sum += float64(b.N)
		squares += float64(b.N * b.N)
	}
	const usable, rate = n - 1, 0.05
	limit := func(p float64) float64 { return 5 * math.Sqrt(batches*p*(1-p)) }
	for i, k := range times {
		if want := rate * batches; i == 5 && k > 0 || i != 5 && math.Abs(float64(k)-want) > limit(rate) {
			t.Errorf("sample %d comes %d times, want about %v", i, k, want)
		}
	}
	if math.Abs(pairs-rate*rate*batches) > limit(rate*rate) {
		t.Errorf("two samples come together %v times, want about %v", pairs, rate*rate*batches)
	}
	if p := math.Pow(1-rate, usable); math.Abs(float64(empty)-p*batches) > limit(p) {
		t.Errorf("%d batches are empty, want about %v", empty, p*batches)
	}
	mean := sum / batches
	if v, want := squares/batches-mean*mean, usable*rate*(1-rate); math.Abs(v-want) > 0.1*want {
		t.Errorf("the sizes have a variance of %v, want about %v", v, want)
	}
	if d.Skipped() == 0 || d.Skipped() > batches {
		t.Errorf("%d bad samples were drawn", d.Skipped())
	}
}

// TestDrawnParts gives each part samples of its own, in all epochs, and all of them together.
func TestDrawnParts(t *testing.T) {
	t.Parallel()
	seen := map[int]int{}
	for rank := range 3 {
		d := draw(t, 20, data.DrawnConfig{Batch: 100, Chosen: chance(2), Seed: 3, Rank: rank, Of: 3})
		if d.Rate() != 1 || d.Batches() != 1 {
			t.Fatalf("rate %v, %d batches an epoch", d.Rate(), d.Batches())
		}
		first, err := d.Next()
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range first.Indexes {
			seen[i]++
		}
		text := fmt.Sprint(first.Indexes, first.Values)
		if _, err := d.Next(); !errors.Is(err, io.EOF) {
			t.Fatalf("got %v, want the end of the epoch", err)
		}
		again, err := d.Next()
		if err != nil || again.N != first.N || text == fmt.Sprint(again.Indexes, again.Values) {
			t.Errorf("the second epoch has the same random changes: %v", err)
		}
	}
	for i, k := range seen {
		if k != 1 {
			t.Errorf("sample %d is in %d parts", i, k)
		}
	}
	if len(seen) != 19 {
		t.Errorf("%d samples are in the parts, want 19 usable ones", len(seen))
	}
}

// TestDrawnRefuses what cannot be drawn from.
func TestDrawnRefuses(t *testing.T) {
	t.Parallel()
	yes := chance(1)
	for name, c := range map[string]struct {
		cfg data.DrawnConfig
		at  data.Cursor
	}{
		"no batch":    {data.DrawnConfig{Chosen: yes}, data.Cursor{}},
		"no chance":   {data.DrawnConfig{Batch: 1}, data.Cursor{}},
		"part":        {data.DrawnConfig{Batch: 1, Chosen: yes, Rank: 2, Of: 2}, data.Cursor{}},
		"empty part":  {data.DrawnConfig{Batch: 1, Chosen: yes, Rank: 9, Of: 10}, data.Cursor{}},
		"cursor":      {data.DrawnConfig{Batch: 1, Chosen: yes}, data.Cursor{Position: 5}},
		"cursor back": {data.DrawnConfig{Batch: 1, Chosen: yes}, data.Cursor{Epoch: -1}},
	} {
		if _, err := data.NewDrawn(t.Context(), numbers{n: 4}, c.cfg, c.at); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	broken := errors.New("broken")
	d, err := data.NewDrawn(t.Context(), numbers{n: 4, fail: map[int]error{2: broken}}, data.DrawnConfig{Batch: 4, Chosen: yes}, data.Cursor{Epoch: 2, Position: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Next(); !errors.Is(err, io.EOF) || d.Cursor() != (data.Cursor{Epoch: 3}) {
		t.Errorf("at the end of an epoch: %v, %v", err, d.Cursor())
	}
	if _, err := d.Next(); !errors.Is(err, broken) {
		t.Errorf("got %v, want %v", err, broken)
	}
}
