package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/libp2p/go-libp2p/core/sec"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	"github.com/multiformats/go-multiaddr"

	"github.com/covey-network/covey/protocol/wire"
)

// Why a peer is unreachable that covey up may not run at.
const (
	ReasonRefused  = "its machine refuses the connection: covey up does not run there, or a firewall rejects it"
	ReasonEnded    = "its machine ends the connection at once: covey up is stopping there, or another program answers at its port"
	ReasonNoAnswer = "no answer: its machine is off or away, or a firewall drops the connection"
)

// Other reasons why a peer is unreachable, and where to look.
const (
	reasonNoAddress = "it tells no address at which it can be dialled from here"
	reasonOther     = "another program than covey answers at its address"
	reasonIdentity  = "another peer answers at its address, or its machine was set up anew"
	reasonNoRoute   = "no route to its machine: this one may be offline"
	reasonRelay     = "its relay does not reach it"
)

// reasonBetween is ReasonNoAnswer of a peer that others hear of.
const reasonBetween = "no answer, though others heard of it a moment ago: a router or firewall drops the connection, and no relay carries it"

// maxFinding bounds the text of a reason that comes from others.
const maxFinding = 200

// finding is finding of what is known of a peer besides.
func (r *running) finding(id ID, err error) string {
	why := finding(err)
	if why == ReasonNoAnswer && r.table.of(id, r.now()) != nil {
		return reasonBetween
	}
	return why
}

// finding tells in a line why a peer was not reached.
func finding(err error) string {
	var refused *wire.Error
	var dial *swarm.DialError
	var clocks *clockError
	switch {
	case errors.As(err, &refused):
		return clip("it turned this peer away: " + refused.Message)
	case errors.As(err, &dial):
		return dialFinding(dial, subnets())
	case errors.As(err, &clocks): // whose words are for the peer
		validity := "not valid yet"
		if errors.Is(clocks.err, wire.ErrExpired) {
			validity = "over"
		}
		return fmt.Sprintf("it answers, but %s, so that its membership is %s here", clocks.clock.seenFromHere(), validity)
	case errors.Is(err, wire.ErrForeign), errors.Is(err, wire.ErrExpired), errors.Is(err, wire.ErrNotYet), errors.Is(err, wire.ErrRevoked), errors.Is(err, wire.ErrPeerRevoked):
		return clip(fmt.Sprintf("it answers, but is no member: %v", err))
	case errors.Is(err, ErrUnverified):
		return "it answers, but did not prove its membership in time"
	case silent(err):
		return ReasonNoAnswer
	}
	return clip(err.Error())
}

// dialFinding takes what was found at the address that tells most. Addresses in other private
// networks tell nothing if there are others, and relays little: whoever answers there may be
// somebody else.
func dialFinding(e *swarm.DialError, own []netip.Prefix) string {
	rank := func(a multiaddr.Multiaddr) int {
		switch {
		case foreign(a, own):
			return 0
		case isRelayed(a):
			return 1
		}
		return 2
	}
	best, reason, weight := -1, "", -1
	for _, t := range e.DialErrors {
		if errors.Is(t.Cause, swarm.ErrGaterDisallowedConnection) || errors.Is(t.Cause, swarm.ErrDialRefusedBlackHole) || errors.Is(t.Cause, context.Canceled) {
			continue // it was not dialled
		}
		s, w := causeFinding(t.Cause)
		r := rank(t.Address)
		if r == 1 {
			s = reasonRelay
		}
		if r > best || r == best && w > weight {
			best, reason, weight = r, s, w
		}
	}
	switch {
	case reason != "":
		return reason
	case e.Cause != nil && silent(e.Cause):
		return ReasonNoAnswer
	}
	return reasonNoAddress // that was dialled
}

// How much what was found at an address tells: others less.
const (
	weightOther = iota
	weightNoRoute
	weightNoAnswer
	weightRefused
	weightIdentity
)

func causeFinding(err error) (reason string, weight int) {
	var other sec.ErrPeerIDMismatch
	switch {
	case errors.As(err, &other):
		return reasonIdentity, weightIdentity
	case strings.Contains(err.Error(), "message did not have trailing newline"), strings.Contains(err.Error(), "message was too large"): // the library has no error for these
		return reasonOther, weightIdentity
	case isErrno(err, refusedErrnos):
		return ReasonRefused, weightRefused
	case errors.Is(err, io.EOF), isErrno(err, endedErrnos):
		return ReasonEnded, weightRefused
	case silent(err):
		return ReasonNoAnswer, weightNoAnswer
	case isErrno(err, noRouteErrnos):
		return reasonNoRoute, weightNoRoute
	}
	return clip(err.Error()), weightOther
}

func isErrno(err error, of []syscall.Errno) bool {
	for _, e := range of {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// silent reports whether an error is that time was over.
func silent(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, swarm.ErrDialTimeout) ||
		errors.As(err, &n) && n.Timeout()
}

// clip makes a line of at most maxFinding bytes.
func clip(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if len(text) > maxFinding {
		text = strings.ToValidUTF8(text[:maxFinding], "") + "…"
	}
	return text
}
