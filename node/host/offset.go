package host

import (
	"errors"
	"fmt"
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

// far reports whether messages may be taken for outdated or not valid yet because of it.
func (o offset) far() bool { return o.known && o.by.Abs() > protocol.MaxClockSkew/2 }

// String tells the offset to the peer: it is about its clock.
func (o offset) String() string {
	way := "ahead of"
	if o.by < 0 {
		way = "behind"
	}
	return fmt.Sprintf("your clock is %v %s this peer's", o.by.Abs().Round(time.Second), way)
}

// explain adds to a refusal for a time that is over or has not come that it may be a matter
// of clocks.
func (o offset) explain(err error) error {
	if o.far() && (errors.Is(err, wire.ErrExpired) || errors.Is(err, wire.ErrNotYet)) {
		return fmt.Errorf("%w: %v", err, o)
	}
	return err
}

// noteIssued learns the offset of a member's clock from an advert that it hands in itself,
// if its hello told no time: one from the future shows it, and one that is long over.
func (r *running) noteIssued(from ID, a *wire.Advert, now time.Time) {
	if from == a.Peer {
		r.gate.noteClock(from, offsetOf(a.Issued, now))
	}
}
