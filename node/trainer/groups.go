package trainer

import (
	"slices"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// groupSize is how many members average at once in a mode, 0: all of them. The sum of gradients has
// one order for all, and the certified states of gossip are made of all that the members have.
func groupSize(s *train.Settings) int {
	if s.Mode != train.DiLoCo {
		return 0
	}
	return int(max(2, s.Group))
}

// smallest is how many members average at once at least when a job begins.
func smallest(s *train.Settings) int {
	n, size := int(s.MinPeers), groupSize(s)
	if size == 0 || n <= size {
		return n
	}
	return n / ((n + size - 1) / size)
}

// lot is where a member stands in the groups of a round.
type lot struct {
	group int
	at, n int // its place in the group, of n members
}

// deal notes the groups of the round.
func (d *roundData) deal(groups [][]wire.PeerID) {
	d.groups, d.lots = groups, make([]lot, len(d.members))
	for g, list := range groups {
		for at, p := range list {
			d.lots[train.Place(d.members, p)] = lot{g, at, len(list)}
		}
	}
}

// span is the slice that the member at a place owns of a vector.
func (d *roundData) span(place, values int) (lo, hi int) {
	l := d.lots[place]
	return bound(l.at, l.n, values), bound(l.at+1, l.n, values)
}

// together reports whether a peer is in the group of this one, which is a member.
func (d *roundData) together(p wire.PeerID) bool {
	i := train.Place(d.members, p)
	return i >= 0 && d.lots[i].group == d.lots[d.me].group
}

// merge writes the mean of what the groups made, each weighing as many as have sent in it, and
// returns the parts that have one, ascending. The round's results are held.
func (l *learner) merge(d *roundData, o *train.Outcome, back *codec.Codec) ([]span, error) {
	values := len(l.vector)
	cuts := []int{values}
	weights := make([]float32, len(d.groups))
	for i, h := range o.Slices {
		lo, _ := d.span(i, values)
		cuts = append(cuts, lo)
		if o.Senders.Has(i) {
			weights[d.lots[i].group]++
		}
		if !h.IsZero() && d.results[h] == nil {
			return nil, errCannot
		}
	}
	slices.Sort(cuts)
	cuts = slices.Compact(cuts)
	total := make([]float32, len(cuts)-1) // of what is between two cuts
	clear(l.vector)
	for g, list := range d.groups {
		share(l.s.workers(), len(list), func(each func(func(int))) {
			var part []float32
			each(func(at int) {
				i := train.Place(d.members, list[at])
				h := o.Slices[i]
				if h.IsZero() {
					return
				}
				lo, hi := d.span(i, values)
				part = slices.Grow(part[:0], hi-lo)[:hi-lo]
				if err := back.Decode(part, lo, d.results[h]); err != nil {
					l.s.log.Warn("a certified result that does not decode", "round", o.Round, "slice", i, "err", err)
					clear(part) // all members see the same bytes, and do the same
				}
				vec.AddScaled(l.vector[lo:hi], weights[g], part)
				for k, _ := slices.BinarySearch(cuts, lo); cuts[k] < hi; k++ {
					total[k] += weights[g]
				}
			})
		})
	}
	var changed []span
	for k, w := range total {
		if w == 0 {
			continue
		}
		for i := cuts[k]; i < cuts[k+1]; i++ {
			l.vector[i] /= w
		}
		changed = append(changed, span{cuts[k], cuts[k+1]})
	}
	return changed, nil
}
