package router

import (
	"time"

	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// expectedAnswer is the most tokens of an answer that count for the choice of a chain: a
// request's limit is no forecast, answers mostly end by themselves long before it.
const expectedAnswer = 256

// work is what a request has a chain do. Its parts are chunks of the prompt, of which the
// last one gives the first token or the only result, and a step for each token after that.
type work struct {
	chunks []int // tokens of each
	steps  int
}

func workOf(req Request) work {
	w := work{steps: max(0, min(req.Answer, expectedAnswer)-1)}
	for left := max(1, req.Prompt); left > 0; {
		n := left
		if req.Answer > 0 { // else an encoder's text, which goes in one piece
			n = min(left, prefillChunk)
		}
		w.chunks = append(w.chunks, n)
		left -= n
	}
	return w
}

// prompt is how long a stage computes on the prompt, given its times for a step and for a
// token of a long prompt; 0 is unknown. A chunk takes a step at least, as all weights are
// read for it, and what has never been measured is no faster than that for each token.
func (w work) prompt(step, token time.Duration) (all time.Duration) {
	if token == 0 {
		token = step
	}
	for _, n := range w.chunks {
		if n == 1 {
			all = sum(all, step)
		} else {
			all = sum(all, max(step, times(token, n)))
		}
	}
	return all
}

// first is what a link adds to the time to the first token.
func (w work) first(l *Link) time.Duration {
	return sum(l.Prompt, times(sum(l.Queue, l.RTT), len(w.chunks)))
}

// step is what a link adds to the time of each token after the first.
func (l *Link) step() time.Duration { return sum(l.Compute, l.Queue, l.RTT) }

// The time that a chain is given beyond what the adverts let expect: adverts are some
// seconds old, and others come in between.
const (
	grace       = 2 * time.Second
	graceFactor = 8
	dialFactor  = 4         // round trips to a peer that must be dialled
	others      = 2         // chunks of other requests' prompts that may come before
	linkRate    = 256 << 10 // bytes a second of a slow uplink
)

// stepLimit returns how long a chain has for a step of n tokens, of which bytes go to its
// first stage and as many as their hidden states of a width from each to the next. It is
// twice as long after each time that it was too short.
func (c *Chain) stepLimit(n, width, bytes, tooShort int) time.Duration {
	most := infer.StepTimeout(n, len(c.Links))
	var expected, before time.Duration
	for i := range c.Links {
		l := &c.Links[i]
		if l.Compute == 0 || n > 1 && width == 0 && len(c.Links) > 1 {
			return most
		}
		expected = sum(expected, work{chunks: []int{n}}.prompt(l.Compute, l.token), l.Queue, l.RTT)
		before = sum(before, times(work{chunks: []int{prefillChunk}}.prompt(l.Compute, l.token), others))
	}
	bytes += 4 * n * width * (len(c.Links) - 1)
	moved := time.Duration(bytes) * time.Second / linkRate
	return min(times(sum(grace, times(expected, graceFactor), before, moved), 1<<min(tooShort, 10)), most)
}

// openTime is what the open of a session should take at most, if all its peers must be
// dialled.
func (c *Chain) openTime() time.Duration {
	var trips time.Duration
	for i := range c.Links {
		trips = sum(trips, c.Links[i].RTT)
	}
	return sum(grace, times(trips, dialFactor))
}

// maxCost is what costs end at, a year: what peers say must not overflow, or the worst stage
// would look like the best.
const maxCost = 365 * 24 * time.Hour

// ofBlocks returns the time of a range at so many nanoseconds a block. The embedding and the
// head alone count as a block.
func ofBlocks(r wire.Range, ns uint64) time.Duration {
	return times(time.Duration(min(ns, uint64(maxCost))), max(1, int(r.Last)-int(r.First)))
}

// times returns n times d, at most maxCost.
func times(d time.Duration, n int) time.Duration {
	if n > 0 && d > maxCost/time.Duration(n) {
		return maxCost
	}
	return d * time.Duration(n)
}

// sum adds times of at most maxCost each, up to maxCost.
func sum(all ...time.Duration) time.Duration {
	var s time.Duration
	for _, t := range all {
		s = min(s+min(t, maxCost), maxCost)
	}
	return s
}
