package trainer

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

func normal(n int, seed uint64) []float32 {
	r := rand.New(rand.NewPCG(seed, 1))
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// TestCombine combines slices in parts: the bits are those of whole slices that are decoded and
// combined at once, on any number of cores, and a slice that does not decode has no part in it.
func TestCombine(t *testing.T) {
	t.Parallel()
	const lo, n, members = 4096, 150_001, 6
	for _, name := range []string{"f32", "f16", "int8", "topk:0.1:4", "powersgd:2"} {
		for _, ruleName := range []string{"mean", "weighted", "trimmed:1", "krum:1"} {
			c, err := codec.New(name, codec.Flat(lo+n+99))
			if err != nil {
				t.Fatal(err)
			}
			rule, err := robust.Parse(ruleName)
			if err != nil {
				t.Fatal(err)
			}
			var encoded [][]byte
			for i := range members {
				b, err := c.Encoder(false).Encode(nil, lo, normal(n, uint64(i)), uint64(i))
				if err != nil {
					t.Fatal(err)
				}
				encoded = append(encoded, b)
			}
			broken := slices.Clone(encoded[1])
			broken = broken[:len(broken)-1]
			if name == "f32" { // in the last part only
				broken = append(broken, encoded[1][len(broken)])
				copy(broken[len(broken)-4:], []byte{0, 0, 0xc0, 0x7f})
			}
			for _, bad := range []bool{false, true} {
				places, list, weights := []int{2, 3, 5, 7, 11, 13}, slices.Clone(encoded), []float64{1, 2, 3, 4, 5, 6}
				want := make([]float32, n)
				var rows [][]float32
				var rowWeights []float64
				for k, b := range list {
					if bad && k == 1 {
						list[k] = broken
						continue
					}
					rows, rowWeights = append(rows, make([]float32, n)), append(rowWeights, weights[k])
					if err := c.Decode(rows[len(rows)-1], lo, b); err != nil {
						t.Fatal(err)
					}
				}
				report, err := rule.Aggregate(want, rows, rowWeights, nil)
				if err != nil {
					t.Fatal(err)
				}
				codecs, err := newCodecs(name, codec.Flat(lo+n+99))
				if err != nil {
					t.Fatal(err)
				}
				back := codecs.result
				encodedWant, err := back.Encoder(false).Encode(nil, lo, want, 7)
				if err != nil {
					t.Fatal(err)
				}
				for workers := 1; workers <= 3; workers++ {
					s := &sums{rule: rule, codec: c, workers: workers, lo: lo, n: n, places: slices.Clone(places), slices: slices.Clone(list), weights: slices.Clone(weights)}
					got, out, err := s.result(make([]byte, back.Size(lo, n)), back, 7)
					if err != nil || !bytes.Equal(got, encodedWant) {
						t.Errorf("%s %s, %d workers, broken %v: not the bits of the whole; %v", name, ruleName, workers, bad, err)
					}
					left := len(report.Out)
					if bad {
						left++
					}
					if len(out) != left || bad && out[0] != places[1] {
						t.Errorf("%s %s, broken %v: left out %v, the rule leaves out %v", name, ruleName, bad, out, report.Out)
					}
				}
			}
		}
	}
}

// TestClipStartsFromTheLastResult combines slices by a rule that needs a reference: the last certified
// result, as far as it is finite, and zeros before there is one.
func TestClipStartsFromTheLastResult(t *testing.T) {
	t.Parallel()
	rule, err := ruleOf("clip:1")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{rule: rule, job: &train.Job{Values: 4}, id: train.HashOf([]byte("job")), threads: 1}
	if s.codecs, err = newCodecs("f32", codec.Flat(4)); err != nil {
		t.Fatal(err)
	}
	members := []wire.PeerID{"a", "b"}
	headers := map[wire.PeerID]*train.Header{"a": {Samples: 1}, "b": {Samples: 1}}
	slice, err := s.codecs.update.Encoder(false).Encode(nil, 0, []float32{16, 0}, 1)
	if err != nil {
		t.Fatal(err)
	}
	combine := func() float32 {
		t.Helper()
		d := &roundData{round: 1, members: members, me: 0, slices: map[wire.PeerID][]byte{"a": slice, "b": slice}}
		d.deal([][]wire.PeerID{members})
		b, _, err := s.combine(d, round.Reduce{Round: 1, From: train.All(2)}, headers)
		if err != nil {
			t.Fatal(err)
		}
		out := make([]float32, 2)
		if err := s.codecs.result.Decode(out, 0, b); err != nil || out[1] != 0 {
			t.Fatal(out, err)
		}
		return out[0]
	}
	if got := combine(); got != 3 { // three times a step of length 1
		t.Errorf("from zeros: %v, want 3", got)
	}
	s.refer([]float32{10, 0, 7, 7}, []span{{0, 2}})
	if got := combine(); got != 13 {
		t.Errorf("from 10: %v, want 13", got)
	}
	s.refer([]float32{float32(math.NaN()), 0, 7, 7}, []span{{0, 2}, {2, 4}})
	if got := combine(); got != 13 {
		t.Errorf("after a result that is not finite: %v, want 13", got)
	}
	if _, err := ruleOf("gossip"); err == nil {
		t.Error("the rule of another mode is taken")
	}
}

// TestCombineNothing says so if no slice decodes.
func TestCombineNothing(t *testing.T) {
	t.Parallel()
	c, err := codec.New("f32", codec.Flat(9))
	if err != nil {
		t.Fatal(err)
	}
	rule, err := robust.Parse("mean")
	if err != nil {
		t.Fatal(err)
	}
	s := &sums{rule: rule, codec: c, n: 9, places: []int{4}, slices: [][]byte{{1}}, weights: []float64{1}}
	if _, bad, err := s.result(make([]byte, c.Size(0, 9)), c, 7); err == nil || !slices.Equal(bad, []int{4}) {
		t.Errorf("left out %v, error %v", bad, err)
	}
}

// TestOuterStepWithGaps does the outer step as the formulas say it, with momentum and without, where a
// part of the vector has no result.
func TestOuterStepWithGaps(t *testing.T) {
	t.Parallel()
	const n, lr = 50_000, float32(0.7)
	changed := []span{{0, 10_000}, {20_000, 20_003}, {30_000, n}}
	inside := func(i int) bool {
		return slices.ContainsFunc(changed, func(s span) bool { return i >= s.lo && i < s.hi })
	}
	for _, momentum := range []float32{0, 0.9} {
		start := normal(n, 1)
		m := newNumbers(slices.Clone(start))
		d := newDiLoCo(m, lr, momentum)
		d.begin()
		want, moment := slices.Clone(start), make([]float32, n)
		for r := range uint64(3) {
			for i, v := range normal(n, 10+r) { // what this member learned plays no role in the result
				m.params.Values[i] += v
			}
			update := make([]float32, n)
			d.update(update, 0)
			if i := 77; update[i] != want[i]-m.params.Values[i] {
				t.Fatalf("update %v, want %v", update[i], want[i]-m.params.Values[i])
			}
			result := normal(n, 20+r)
			if err := d.apply(result, changed, true); err != nil {
				t.Fatal(err)
			}
			for i, g := range result {
				if inside(i) {
					moment[i] = float32(momentum*moment[i]) + g
					want[i] -= float32(lr * (g + float32(momentum*moment[i])))
				}
			}
			if !slices.Equal(m.params.Values, want) {
				t.Fatalf("momentum %v, round %d: other numbers", momentum, r)
			}
			vectors := d.vectors()
			if len(vectors) != 2 && momentum == 0 || momentum != 0 && (len(vectors) != 3 || !slices.Equal(vectors[2], moment)) {
				t.Fatalf("momentum %v: a state of %d vectors, or another momentum", momentum, len(vectors))
			}
			d.commit()
			if err := fits(d.kept(), vectors); err != nil || !slices.Equal(d.kept()[0], want) {
				t.Fatalf("momentum %v: the next round begins with something else: %v", momentum, err)
			}
		}
	}
}

// TestStateFiles writes states over old ones, longer and shorter, and reads them.
func TestStateFiles(t *testing.T) {
	t.Parallel()
	f := files{t.TempDir()}
	for i, n := range []int{5, 3_000_000, 7, 2_000_000, 2_000_000} {
		state := [][]float32{normal(n, uint64(i)), nil, normal(n/2, uint64(i)+99)}
		if err := f.writeState(candidateFile, state); err != nil {
			t.Fatal(err)
		}
		if err := f.promote(); err != nil {
			t.Fatal(err)
		}
		got, err := f.readState(stateFile, []int{n, 0, n / 2})
		if err != nil || !slices.Equal(got[0], state[0]) || !slices.Equal(got[2], state[2]) {
			t.Fatalf("state of %d: %v", n, err)
		}
		if _, err := f.readState(stateFile, []int{n, 1, n / 2}); err == nil {
			t.Error("a state of another layout is read")
		}
	}
}
