package host

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// offset is how far a peer's clock is ahead of this one's.
type offset struct {
	by    time.Duration
	known bool
}

// offsetOf returns the offset of a peer's clock that said a time when this one said at.
func offsetOf(millis int64, at time.Time) offset {
	if millis == 0 {
		return offset{}
	}
	return offset{time.UnixMilli(millis).Sub(at), true}
}

// Clock returns how far the clock of a peer is ahead of this one's: 0 if nothing is known. Of one that is not
// connected it is what most of those say that are, if there are some: then it is this clock that is wrong.
func (h *Host) Clock(id ID) time.Duration {
	r, err := h.running()
	if err != nil {
		return 0
	}
	if m := r.gate.get(id); m != nil {
		return m.clock.by
	}
	var all []time.Duration
	for _, m := range r.gate.members() {
		all = append(all, m.clock.by)
	}
	if slices.Sort(all); len(all) > 2 {
		return all[(len(all)-1)/2]
	}
	return 0
}

// far reports whether messages may be taken for outdated or not valid yet because of it.
func (o offset) far() bool { return o.known && o.by.Abs() > protocol.MaxClockSkew/2 }

// The words that tell a peer how far its clock is from this one's. The answer to a hello has no
// other place for it.
const (
	wordsClock  = "your clock is "
	wordsAhead  = " ahead of this peer's"
	wordsBehind = " behind this peer's"
)

// String tells the offset to the peer: it is about its clock.
func (o offset) String() string {
	way := wordsAhead
	if o.by < 0 {
		way = wordsBehind
	}
	return wordsClock + o.by.Abs().Round(time.Second).String() + way
}

// seenFromHere tells the offset to the owner of this machine.
func (o offset) seenFromHere() string {
	way := "ahead of"
	if o.by < 0 {
		way = "behind"
	}
	return fmt.Sprintf("its clock is %s %s this machine's", o.by.Abs().Round(time.Second), way)
}

// toldOffset reads what String tells. It is the offset of the peer that said so.
func toldOffset(message string) offset {
	_, text, said := strings.Cut(message, wordsClock)
	if !said {
		return offset{}
	}
	if by, _, ok := strings.Cut(text, wordsAhead); ok {
		d, err := time.ParseDuration(by)
		return offset{-d, err == nil}
	}
	by, _, ok := strings.Cut(text, wordsBehind)
	d, err := time.ParseDuration(by)
	return offset{d, ok && err == nil}
}

// clockError is a refusal of a peer for a time that is over or has not come, where the clocks are
// apart.
type clockError struct {
	err   error
	clock offset // of the peer
}

// Error tells the peer.
func (e *clockError) Error() string { return fmt.Sprintf("%v: %v", e.err, e.clock) }

// Unwrap returns the refusal.
func (e *clockError) Unwrap() error { return e.err }

// explain adds to a refusal for a time that is over or has not come that it may be a matter
// of clocks.
func (o offset) explain(err error) error {
	if o.far() && (errors.Is(err, wire.ErrExpired) || errors.Is(err, wire.ErrNotYet)) {
		return &clockError{err, o}
	}
	return err
}

// ClocksApart reports whether a refusal, of a peer by this one or the other way round, may be for
// clocks that differ, and how far the peer's is ahead of this one's.
func ClocksApart(refused error) (ahead time.Duration, ok bool) {
	var here *clockError
	var there *wire.Error
	switch {
	case errors.As(refused, &here):
		return here.clock.by, true
	case errors.As(refused, &there) && there.Code == wire.CodeExpired:
		told := toldOffset(there.Message)
		return told.by, told.known
	}
	return 0, false
}

// noteIssued learns the offset of a member's clock from an advert that it hands in itself,
// if its hello told no time: one from the future shows it, and one that is long over.
func (r *running) noteIssued(from ID, a *wire.Advert, now time.Time) {
	if from == a.Peer {
		r.gate.noteClock(from, offsetOf(a.Issued, now))
	}
}
