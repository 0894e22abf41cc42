package trainer

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// partUnits is of how many units of a codec the parts are that are decoded and combined at a
// time: what that reads and writes stays in the cache.
const partUnits = 2

// sums are the encoded slices that a result is made of.
type sums struct {
	rule    robust.Rule
	codec   *codec.Codec
	workers int
	lo      int // where the slice begins in the vector
	places  []int
	slices  [][]byte
	weights []float64
	// reference is what the rule starts from, if it has to: the result of the round before.
	reference []float32
}

// combine applies the job's rule to the slices of some members.
func (s *session) combine(d *roundData, r round.Reduce, headers map[wire.PeerID]*train.Header) (result []byte, rejected train.Set, err error) {
	n := len(d.members)
	lo, hi := bound(d.me, n, int(s.job.Values)), bound(d.me+1, n, int(s.job.Values))
	update, back := s.codecs.of(n)
	sum := &sums{rule: s.rule, codec: update, workers: s.workers(), lo: lo}
	d.mu.Lock()
	for i, p := range d.members {
		data := d.slices[p]
		if i == d.me && d.own != nil {
			data = d.own[i]
		}
		switch {
		case !r.From.Has(i):
		case data == nil:
			rejected = rejected.With(i)
		default:
			sum.places, sum.slices, sum.weights = append(sum.places, i), append(sum.slices, data), append(sum.weights, float64(headers[p].Samples))
		}
	}
	d.mu.Unlock()
	if ref := s.reference(); ref != nil {
		sum.reference = ref[lo:hi]
	}
	out := make([]float32, hi-lo)
	bad, err := sum.combine(out)
	if err != nil {
		return nil, 0, err
	}
	for _, i := range bad {
		rejected = rejected.With(i)
	}
	result, err = back.Encoder(false).Encode(nil, lo, out, seedOf(s.id, d.round, d.me))
	return result, rejected, err
}

// combine writes the result, and returns the places of those who have no part in it. A slice that
// does not decode is left out whole, as if it had not come.
func (s *sums) combine(out []float32) (bad []int, err error) {
	for {
		report, failed, err := s.parts(out)
		if !slices.Contains(failed, true) {
			for _, o := range report.Out {
				bad = append(bad, s.places[o.Sender])
			}
			return bad, err
		}
		left := 0
		for k, f := range failed {
			if f {
				bad = append(bad, s.places[k])
				continue
			}
			s.places[left], s.slices[left], s.weights[left] = s.places[k], s.slices[k], s.weights[k]
			left++
		}
		s.places, s.slices, s.weights = s.places[:left], s.slices[:left], s.weights[:left]
	}
}

// parts decodes and combines part after part, on several cores, where rule and codec have parts,
// else the whole. failed tells which slices do not decode: then out is undefined.
func (s *sums) parts(out []float32) (report robust.Report, failed []bool, err error) {
	size := max(1, len(out))
	if unit := s.codec.Unit(); unit > 0 && s.rule.Separable() {
		size = partUnits * unit
	}
	count := max(1, (len(out)+size-1)/size)
	wrong := make([]atomic.Bool, len(s.slices))
	share(s.workers, count, func(each func(f func(i int))) {
		rows, views := make([][]float32, len(s.slices)), make([][]float32, len(s.slices))
		for k := range rows {
			rows[k] = make([]float32, min(size, len(out)))
		}
		each(func(i int) {
			part := out[i*size : min((i+1)*size, len(out))]
			ok := true
			for k, data := range s.slices {
				views[k] = rows[k][:len(part)]
				if s.decode(views[k], len(out), i*size, data) != nil {
					wrong[k].Store(true)
					ok = false
				}
			}
			if !ok {
				return
			}
			r, e := s.rule.Aggregate(part, views, s.weights, s.reference)
			if i == 0 { // all parts have the same one
				report, err = r, e
			}
		})
	})
	failed = make([]bool, len(wrong))
	for k := range wrong {
		failed[k] = wrong[k].Load()
	}
	return report, failed, err
}

func (s *sums) decode(dst []float32, n, off int, data []byte) error {
	if len(dst) == n {
		return s.codec.Decode(dst, s.lo, data)
	}
	return s.codec.DecodePart(dst, s.lo, n, off, data)
}

// share does count tasks on up to workers goroutines, which have ended when it returns. Each
// goroutine runs body once, which calls each once with what does a task.
func share(workers, count int, body func(each func(f func(i int)))) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range max(1, min(workers, count)) {
		wg.Go(func() {
			body(func(f func(i int)) {
				for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
					f(i)
				}
			})
		})
	}
	wg.Wait()
}

// seedOf returns the seed of the random roundings of one slice of one round.
func seedOf(job train.Hash, n uint64, place int) uint64 {
	h := train.HashOf(fmt.Appendf(nil, "%x/%d/%d", job, n, place))
	return binary.LittleEndian.Uint64(h[:])
}
