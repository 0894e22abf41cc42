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
	lo, n   int // where the slice begins in the vector, and how many numbers it has
	places  []int
	slices  [][]byte
	weights []float64
	// reference is what the rule starts from, if it has to: the result of the round before.
	reference []float32
}

// combine applies the job's rule to the slices of some members.
func (s *session) combine(d *roundData, r round.Reduce, headers map[wire.PeerID]*train.Header) (result []byte, rejected train.Set, err error) {
	n := len(d.members)
	lo, hi := d.span(d.me, int(s.job.Values))
	update, back := s.codecs.of(n)
	sum := &sums{rule: s.rule, codec: update, workers: s.workers(), lo: lo, n: hi - lo}
	d.mu.Lock()
	for i, p := range d.members {
		data := d.slices[p]
		if i == d.me && d.own != nil {
			data = d.own[d.lots[i].at]
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
	result, bad, err := sum.result(s.room.get(back.Size(lo, hi-lo)), back, seedOf(s.id, d.round, d.me))
	for _, i := range bad {
		rejected = rejected.With(i)
	}
	return result, rejected, err
}

// result combines and encodes into dst, which has the size of the result; part after part, while it
// is in the cache, where it is made so.
func (s *sums) result(dst []byte, back *codec.Codec, seed uint64) (result []byte, bad []int, err error) {
	encoder := back.Encoder(false)
	if s.inParts() && back.Unit() > 0 {
		bad, err = s.combine(nil, func(off int, part []float32) error {
			_, err := encoder.EncodePart(dst, s.lo, s.n, off, part, seed)
			return err
		})
		return dst, bad, err
	}
	out := make([]float32, s.n)
	if bad, err = s.combine(out, nil); err == nil {
		result, err = encoder.Encode(dst[:0], s.lo, out, seed)
	}
	return result, bad, err
}

// inParts reports whether rule and codec have parts.
func (s *sums) inParts() bool { return s.codec.Unit() > 0 && s.rule.Separable() }

// combine writes the result to out or, if that is nil, hands it to take part by part, and returns the
// places of those who have no part in it. A slice that does not decode is left out whole, as if it
// had not come: then take gets all parts again.
func (s *sums) combine(out []float32, take func(off int, part []float32) error) (bad []int, err error) {
	for {
		report, failed, err := s.parts(out, take)
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
func (s *sums) parts(out []float32, take func(off int, part []float32) error) (report robust.Report, failed []bool, err error) {
	size := max(1, s.n)
	if s.inParts() {
		size = partUnits * s.codec.Unit()
	}
	count := max(1, (s.n+size-1)/size)
	wrong := make([]atomic.Bool, len(s.slices))
	var mu sync.Mutex
	share(s.workers, count, func(each func(f func(i int))) {
		rows, views := make([][]float32, len(s.slices)), make([][]float32, len(s.slices))
		for k := range rows {
			rows[k] = make([]float32, min(size, s.n))
		}
		var room []float32
		if out == nil {
			room = make([]float32, min(size, s.n))
		}
		each(func(i int) {
			off := i * size
			part := room[:min(size, s.n-off, len(room))]
			if out != nil {
				part = out[off:min(off+size, s.n)]
			}
			ok := true
			for k, data := range s.slices {
				views[k] = rows[k][:len(part)]
				if s.decode(views[k], off, data) != nil {
					wrong[k].Store(true)
					ok = false
				}
			}
			if !ok {
				return
			}
			r, e := s.rule.Aggregate(part, views, s.weights, s.reference)
			if e == nil && take != nil {
				e = take(off, part)
			}
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				err = e
			}
			if i == 0 { // all parts have the same one
				report = r
			}
		})
	})
	failed = make([]bool, len(wrong))
	for k := range wrong {
		failed[k] = wrong[k].Load()
	}
	return report, failed, err
}

func (s *sums) decode(dst []float32, off int, data []byte) error {
	if len(dst) == s.n {
		return s.codec.Decode(dst, s.lo, data)
	}
	return s.codec.DecodePart(dst, s.lo, s.n, off, data)
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
