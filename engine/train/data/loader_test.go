package data_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

func iterate(t testing.TB, d data.Dataset, cfg data.LoaderConfig, at data.Cursor) *data.Iterator {
	t.Helper()
	l, err := data.NewLoader(d, cfg)
	if err != nil {
		t.Fatal(err)
	}
	it, err := l.From(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(it.Close)
	return it
}

// take returns the batches as text, "-" for the end of an epoch, and the cursors after them.
func take(t testing.TB, it *data.Iterator, epochs int) (out []string, cursors []data.Cursor) {
	t.Helper()
	for epochs > 0 {
		b, err := it.Next()
		if err == io.EOF {
			epochs--
			out, cursors = append(out, "-"), append(cursors, it.Cursor())
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if b.Next != it.Cursor() {
			t.Fatalf("batch ends at %v, iterator is at %v", b.Next, it.Cursor())
		}
		if b.N != len(b.Labels) || b.N != len(b.Lengths) || 2*b.N != len(b.Values) || b.N != len(b.Tokens) || b.N != len(b.Targets) {
			t.Fatalf("batch of %d: %+v", b.N, b)
		}
		out = append(out, fmt.Sprint(b.Indexes, b.Values, b.Tokens, b.Targets, b.Labels, b.Lengths))
		cursors = append(cursors, b.Next)
	}
	return out, cursors
}

// TestWorkersDoNotMatter compares the batches of several epochs for different numbers of
// workers and batches ahead, bad samples among them.
func TestWorkersDoNotMatter(t *testing.T) {
	t.Parallel()
	d := numbers{n: 103, bad: map[int]bool{5: true, 50: true, 51: true, 102: true}}
	cfg := data.LoaderConfig{Batch: 8, Shuffle: true, Seed: 3, Workers: 1, Ahead: 1, Epochs: 3}
	want, _ := take(t, iterate(t, d, cfg, data.Cursor{}), 3)
	if n := len(want); n != 3*(13+1) {
		t.Fatalf("got %d batches and ends of epochs, want 42", n)
	}
	if slices.Equal(want[:14], want[14:28]) {
		t.Error("two epochs are the same")
	}
	for _, workers := range []int{2, 3, 16} {
		for _, ahead := range []int{1, 2, 9} {
			cfg.Workers, cfg.Ahead = workers, ahead
			if got, _ := take(t, iterate(t, d, cfg, data.Cursor{}), 3); !slices.Equal(got, want) {
				t.Errorf("%d workers, %d ahead: got %v, want %v", workers, ahead, got, want)
			}
		}
	}
}

// TestEpochsDiffer checks apart that every epoch has an order of its own, and that a sample
// has other random draws in it.
func TestEpochsDiffer(t *testing.T) {
	t.Parallel()
	const n = 50
	epoch := func(it *data.Iterator) (indexes []int, values [][]float32) {
		values = make([][]float32, n)
		for {
			b, err := it.Next()
			if err == io.EOF {
				return indexes, values
			}
			if err != nil {
				t.Fatal(err)
			}
			for k, i := range b.Indexes {
				indexes = append(indexes, i)
				values[i] = slices.Clone(b.Values[2*k : 2*k+2])
			}
		}
	}
	it := iterate(t, numbers{n: n}, data.LoaderConfig{Batch: 8, Shuffle: true, Seed: 3, Workers: 2}, data.Cursor{})
	orders, draws := make([][]int, 3), make([][][]float32, 3)
	for e := range orders {
		orders[e], draws[e] = epoch(it)
		for before := range e {
			if slices.Equal(orders[before], orders[e]) {
				t.Errorf("epochs %d and %d have the same order", before, e)
			}
			same := 0
			for i := range n {
				if slices.Equal(draws[before][i], draws[e][i]) {
					same++
				}
			}
			if same > 0 {
				t.Errorf("epochs %d and %d have the same draws for %d samples", before, e, same)
			}
		}
	}
}

// TestResume begins anew at every cursor and expects what would have followed.
func TestResume(t *testing.T) {
	t.Parallel()
	for name, cfg := range map[string]data.LoaderConfig{
		"plain":    {Batch: 4, Workers: 2},
		"shuffled": {Batch: 7, Shuffle: true, Seed: 1, Workers: 2},
		"all full": {Batch: 7, Shuffle: true, Seed: 1, Workers: 2, Least: 7},
		"of two":   {Batch: 37, Shuffle: true, Seed: 1, Workers: 2, Least: 2},
		"a part":   {Batch: 3, Shuffle: true, Seed: 1, Rank: 1, Of: 3, Workers: 2, Epochs: 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := numbers{n: 41, bad: map[int]bool{0: true, 13: true, 40: true}}
			want, cursors := take(t, iterate(t, d, cfg, data.Cursor{}), 2)
			for i, at := range cursors[:len(cursors)-1] {
				left := 1
				if at.Epoch == 0 {
					left = 2
				}
				got, _ := take(t, iterate(t, d, cfg, at), left)
				if !slices.Equal(got, want[i+1:]) {
					t.Fatalf("from %v: got %v, want %v", at, got, want[i+1:])
				}
			}
		})
	}
}

// TestShards checks that the parts of all ranks are disjoint, whole and of equal size.
func TestShards(t *testing.T) {
	t.Parallel()
	for _, n := range []int{7, 8, 9, 100} {
		for of := 1; of <= 7; of++ {
			t.Run(fmt.Sprintf("%d of %d", of, n), func(t *testing.T) {
				t.Parallel()
				var all []int
				for rank := range of {
					it := iterate(t, numbers{n: n}, data.LoaderConfig{Batch: 1, Shuffle: true, Seed: 9, Rank: rank, Of: of, Workers: 1}, data.Cursor{})
					size := 0
					for b, err := it.Next(); err != io.EOF; b, err = it.Next() {
						if err != nil {
							t.Fatal(err)
						}
						all = append(all, b.Indexes...)
						size++
					}
					if size != n/of && size != n/of+1 {
						t.Errorf("rank %d has %d of %d samples", rank, size, n)
					}
				}
				slices.Sort(all)
				checkDivided(t, all, nil, n)
			})
		}
	}
}

func TestBadSamplesAreReported(t *testing.T) {
	t.Parallel()
	var seen []string
	d := numbers{n: 10, bad: map[int]bool{2: true, 3: true, 9: true}}
	it := iterate(t, d, data.LoaderConfig{Batch: 5, Workers: 3, OnBad: func(b data.Bad) { seen = append(seen, b.Error()) }}, data.Cursor{})
	got := []int{}
	for b, err := it.Next(); err != io.EOF; b, err = it.Next() {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, b.Indexes...)
	}
	if want := []int{0, 1, 4, 5, 6, 7, 8}; !slices.Equal(got, want) {
		t.Errorf("got samples %v, want %v", got, want)
	}
	if want := []string{"2: corrupt", "3: corrupt", "9: corrupt"}; !slices.Equal(seen, want) || it.Skipped() != 3 {
		t.Errorf("got %d skipped, %v, want %v", it.Skipped(), seen, want)
	}
}

// TestLeast leaves batches out that are too small.
func TestLeast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, least, batches, over int }{{7, 2, 2, 1}, {8, 2, 3, 0}, {8, 3, 2, 2}, {9, 3, 3, 0}, {7, 0, 3, 0}} {
		cfg := data.LoaderConfig{Batch: 3, Least: c.least, Workers: 2, Epochs: 2}
		l, err := data.NewLoader(numbers{n: c.n}, cfg)
		if err != nil || l.Batches() != c.batches {
			t.Errorf("%+v: %d batches, %v", c, l.Batches(), err)
		}
		it := iterate(t, numbers{n: c.n}, cfg, data.Cursor{})
		batches, _ := take(t, it, 2)
		if len(batches) != 2*(c.batches+1) || it.Over() != c.over || it.Skipped() != 2*c.over {
			t.Errorf("%+v: %d batches, %d samples left over, %d skipped", c, len(batches)-2, it.Over(), it.Skipped())
		}
	}
}

func TestLoaderErrors(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		d    numbers
		want error
	}{
		"all bad":      {numbers{n: 2, bad: map[int]bool{0: true, 1: true}}, data.ErrNoSamples},
		"no batch":     {numbers{n: 3, bad: map[int]bool{0: true, 1: true}}, data.ErrNoSamples},
		"one is fatal": {numbers{n: 2, fail: map[int]error{1: broken}}, broken},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			it := iterate(t, c.d, data.LoaderConfig{Batch: 2, Least: 2, Workers: 2}, data.Cursor{})
			for range 2 {
				if _, err := it.Next(); !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
		})
	}
	for name, cfg := range map[string]data.LoaderConfig{
		"batch":    {},
		"rank":     {Batch: 1, Rank: 2, Of: 2},
		"no part":  {Batch: 1, Rank: 5, Of: 9},
		"workers":  {Batch: 1, Workers: -1},
		"not full": {Batch: 4, Least: 4},
		"least":    {Batch: 2, Least: 3},
	} {
		if _, err := data.NewLoader(numbers{n: 3}, cfg); err == nil {
			t.Errorf("%s: want an error", name)
		}
	}
	l, err := data.NewLoader(numbers{n: 3}, data.LoaderConfig{Batch: 2})
	if err != nil || l.Batches() != 2 || l.Samples() != 3 || l.Shape().Values != 2 {
		t.Fatalf("got %v, %d batches of %d samples", err, l.Batches(), l.Samples())
	}
	for _, at := range []data.Cursor{{Position: 4}, {Position: -1}, {Epoch: -1}} {
		if _, err := l.From(t.Context(), at); err == nil {
			t.Errorf("cursor %v: want an error", at)
		}
	}
}

// TestEnds checks the end of the epochs, of the context and of the iterator.
func TestEnds(t *testing.T) {
	t.Parallel()
	it := iterate(t, numbers{n: 3}, data.LoaderConfig{Batch: 3, Epochs: 1}, data.Cursor{})
	if _, err := it.Next(); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := it.Next(); err != io.EOF {
			t.Errorf("after the last epoch: got %v, want io.EOF", err)
		}
	}
	it.Close()
	it.Close()
	if _, err := it.Next(); !errors.Is(err, context.Canceled) {
		t.Errorf("after Close: got %v, want canceled", err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	l, err := data.NewLoader(numbers{n: 3}, data.LoaderConfig{Batch: 1, Workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	it, err = l.From(ctx, data.Cursor{})
	if err != nil {
		t.Fatal(err)
	}
	defer it.Close()
	cancel()
	for err == nil || err == io.EOF { // what was ready may still come
		_, err = it.Next()
	}
	if !errors.Is(err, context.Canceled) {
		t.Errorf("after the context: got %v, want canceled", err)
	}
}

// TestNextAllocatesNothing is not parallel: it counts allocations.
func TestNextAllocatesNothing(t *testing.T) {
	it := iterate(t, numbers{n: 1000}, data.LoaderConfig{Batch: 16, Shuffle: true, Workers: 2}, data.Cursor{})
	next := func() {
		if _, err := it.Next(); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	for range 200 {
		next()
	}
	if n := testing.AllocsPerRun(500, next); n != 0 {
		t.Errorf("got %g allocations a batch, want 0", n)
	}
}
