package trainer

import (
	"log/slog"
	"math"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// TestGroups has more members than average at once: they stand in groups, of sizes that differ, and
// all certify the mean of all, in the same bits.
func TestGroups(t *testing.T) { // alone: many peers are work enough for a small machine
	const n, size, values, rounds = groupPeers, groupMost, 3001, 3
	peers := testPeers(t, n)
	known := make(chan train.Hash, n)
	sums, ends := make([]float64, values), make([][]float32, n)
	steps := make([][]float32, n)
	for i := range steps {
		steps[i] = normal(values, uint64(i))
		for k, v := range steps[i] {
			sums[k] += float64(v)
		}
	}
	var all sync.WaitGroup
	for i, p := range peers {
		all.Go(func() {
			cfg := Averaging{
				Values: make([]float32, values), Peers: n, Group: size, Rounds: rounds, Codec: "f32", Rule: "mean", Dir: filepath.Join(p.dir, "average"), Threads: 1,
			}
			if i == 0 {
				cfg.Known = func(h train.Hash) {
					for range n - 1 {
						known <- h
					}
				}
			} else {
				cfg.Job, cfg.Initiator = <-known, peers[0].host.ID()
			}
			a, err := p.trainer.Average(t.Context(), cfg)
			if err != nil {
				t.Error(err)
				return
			}
			if v := a.l.s.now(); len(v.members) != n {
				t.Errorf("%d members begin", len(v.members))
			}
			for range rounds {
				for k, v := range steps[i] {
					cfg.Values[k] += v
				}
				if _, err := a.Round(t.Context()); err != nil {
					t.Error(err)
				}
			}
			ends[i] = slices.Clone(cfg.Values)
			if err := a.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for i := range ends {
		if !slices.Equal(ends[i], ends[0]) {
			t.Errorf("member %d has other bits", i)
		}
	}
	for k, v := range ends[0] {
		if want := rounds * sums[k] / n; math.Abs(float64(v)-want) > 1e-4 {
			t.Fatalf("value %d is %v, the mean is %v", k, v, want)
		}
	}
}

// TestMerge has groups of different sizes, one of which lacks a slice, and a slice that none has.
func TestMerge(t *testing.T) {
	t.Parallel()
	const values = 12
	c, err := newCodecs("f32", codec.Flat(values))
	if err != nil {
		t.Fatal(err)
	}
	l := &learner{vector: make([]float32, values), s: &session{threads: 2, codecs: c, log: slog.New(slog.DiscardHandler)}}
	d := &roundData{members: []wire.PeerID{"a", "b", "c", "d", "e"}, results: map[train.Hash][]byte{}}
	d.deal([][]wire.PeerID{{"a", "c", "e"}, {"b", "d"}})
	o := &train.Outcome{Round: 1, Slices: make([]train.Hash, 5), Senders: train.All(5).Without(4)}
	for i, v := range []float32{1, 10, 0, 20, 4} { // of c there is none
		if v == 0 {
			continue
		}
		lo, hi := d.span(i, values)
		row := make([]float32, hi-lo)
		for k := range row {
			row[k] = v
		}
		data, err := c.result.Encoder(false).Encode(nil, lo, row, 1)
		if err != nil {
			t.Fatal(err)
		}
		o.Slices[i] = train.HashOf(data)
		d.results[o.Slices[i]] = data
	}
	changed, err := l.merge(d, o, c.result)
	if err != nil {
		t.Fatal(err)
	}
	// Group one has slices of 4, two senders, and none from 4 to 8; group two has slices of 6.
	want := []float32{5.5, 5.5, 5.5, 5.5, 10, 10, 20, 20, 12, 12, 12, 12}
	if !slices.Equal(l.vector, want) {
		t.Errorf("got %v, want %v", l.vector, want)
	}
	if last := len(changed) - 1; changed[0].lo != 0 || changed[last].hi != values {
		t.Errorf("changed: %v", changed)
	}
	o.Slices[1], o.Slices[3] = train.Hash{}, train.Hash{}
	if changed, err = l.merge(d, o, c.result); err != nil || !slices.Equal(changed, []span{{0, 4}, {8, 12}}) {
		t.Errorf("changed without group two: %v: %v", changed, err)
	}
	delete(d.results, o.Slices[0])
	if _, err := l.merge(d, o, c.result); err == nil {
		t.Error("a result that is not here is merged")
	}
}
