package hosting

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/covey-network/covey/protocol/wire"
)

// ErrRange means that a text names no range of the model.
var ErrRange = errors.New("not a range of this model")

// ErrNoRoom means that not even the smallest useful range fits into the memory lent.
var ErrNoRoom = errors.New("no range of the model fits into the memory that is lent")

// Choose returns the range that helps the swarm most and takes at most room bytes: the
// start of the first gap that nobody serves, as far as it fits, or else a copy of the
// range with the fewest copies. Ranges meet without overlap that way, so chains of them
// cover the model. size returns the bytes of a range; served lists what other peers serve.
func Choose(blocks int, served []wire.Range, size func(wire.Range) int64, room int64) (wire.Range, error) {
	if first, last, ok := gap(blocks, served); ok {
		r := rangeOf(first, last, blocks)
		for r.Last > r.First && size(r) > room {
			r = rangeOf(first, int(r.Last)-1, blocks)
		}
		if r.Last == r.First {
			return wire.Range{}, fmt.Errorf("%w: block %d alone takes %d bytes of %d", ErrNoRoom, first, size(rangeOf(first, first+1, blocks)), room)
		}
		return r, nil
	}
	counts := map[wire.Range]int{}
	for _, r := range served {
		counts[r]++
	}
	var fitting []wire.Range
	for r := range counts {
		if size(r) <= room {
			fitting = append(fitting, r)
		}
	}
	if len(fitting) == 0 {
		return wire.Range{}, fmt.Errorf("%w: %d bytes", ErrNoRoom, room)
	}
	return slices.MinFunc(fitting, func(a, b wire.Range) int {
		return cmp.Or(cmp.Compare(counts[a], counts[b]), cmp.Compare(b.Last-b.First, a.Last-a.First), cmp.Compare(a.First, b.First))
	}), nil
}

// rangeOf is the range of blocks [first, last) with what belongs to it at the model's ends.
func rangeOf(first, last, blocks int) wire.Range {
	return wire.Range{First: uint32(first), Last: uint32(last), Embed: first == 0, Head: last == blocks}
}

// gap returns the first run of blocks that no range covers. The embedding and the head go
// with the blocks beside them.
func gap(blocks int, served []wire.Range) (first, last int, ok bool) {
	covered := make([]bool, blocks)
	for _, r := range served {
		for b := r.First; b < r.Last && int(b) < blocks; b++ {
			covered[b] = true
		}
	}
	first = slices.Index(covered, false)
	if first < 0 {
		return 0, 0, false
	}
	for last = first; last < blocks && !covered[last]; last++ {
	}
	return first, last, true
}

// ParseRange reads "all", or "a-b" with both blocks included, as a range of a model.
func ParseRange(text string, blocks int) (wire.Range, error) {
	if text == "all" {
		return rangeOf(0, blocks, blocks), nil
	}
	a, b, ok := strings.Cut(text, "-")
	if !ok {
		b = a
	}
	first, err1 := strconv.Atoi(a)
	last, err2 := strconv.Atoi(b)
	if err1 != nil || err2 != nil || first < 0 || last < first || last >= blocks {
		return wire.Range{}, fmt.Errorf("blocks %.40q: %w: want all, auto, or first-last within 0-%d", text, ErrRange, blocks-1)
	}
	return rangeOf(first, last+1, blocks), nil
}
