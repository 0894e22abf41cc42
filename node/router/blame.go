package router

import (
	"context"
	"errors"
	"os"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// fault is what a peer is blamed for.
type fault uint8

const (
	faultGone    fault = iota // cannot be reached, or its stream broke: over once it is heard of again
	faultRefused              // it said no, or somebody did not find it so
	faultFailing              // it hangs, is far slower than it says, or reports an error of its own
	faultAccuser              // it blamed a peer that works, or passed on what no other had done
	faultWrong                // what it sent cannot be
)

// The time a peer is left out for a first fault, and the longest: it doubles with each
// incident in a row.
var avoidTimes = [...]struct{ first, most time.Duration }{
	faultGone:    {2 * time.Second, 2 * time.Minute},
	faultRefused: {2 * time.Second, 2 * time.Minute},
	faultFailing: {2 * time.Second, 2 * time.Minute},
	faultAccuser: {10 * time.Second, 10 * time.Minute},
	faultWrong:   {time.Minute, time.Hour},
}

// forgetAfter is how long after it is used again a peer's incidents count as in a row.
const forgetAfter = 10 * time.Minute

// maxReturns is how many times in a row, with nothing done in between, a peer that was gone or
// hung is asked again at once when it is back: one that goes at each request and comes back
// would cost each a retry.
const maxReturns = 2

// maxRecords bounds the records kept: what is over is dropped beyond it.
const maxRecords = 1024

// blameKey is a peer, or one model on it.
type blameKey struct {
	peer  host.ID
	model cid.Cid // Undef: all of the peer
}

// record is the last incident of a peer.
type record struct {
	fault fault
	count int // incidents in a row
	until time.Time
	at    uint64 // epoch
	seq   uint64 // of the peer's last advert then
}

// faultOf tells what an error of the peer that was talked to is to be blamed as.
func faultOf(err error) fault {
	var size *frame.SizeError
	var unknown *frame.TypeError
	var said *wire.Error
	switch {
	case errors.As(err, &said):
		switch said.Code {
		case wire.CodeBusy, wire.CodeNoMemory, wire.CodeNotHosting:
			return faultRefused
		case wire.CodeClosed:
			return faultGone
		}
		return faultFailing
	case errors.Is(err, infer.ErrAnswer), errors.Is(err, wire.ErrInvalid), errors.Is(err, frame.ErrMalformed), errors.As(err, &size), errors.As(err, &unknown):
		return faultWrong
	case errors.Is(err, infer.ErrSilent), tooSlow(err):
		return faultFailing
	}
	return faultGone
}

// tooSlow reports whether the time was over that a chain was given.
func tooSlow(err error) bool {
	return !errors.Is(err, infer.ErrSilent) &&
		(errors.Is(err, errSlow) || errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded))
}

// currentEpoch returns the epoch: failures of what was opened in it and recorded later are one
// incident.
func (r *Router) currentEpoch() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.epoch
}

// blame leaves a peer out for a while, or a model on it. opened is the epoch in which the
// session was opened that failed: if an incident of the peer is known that is later, the
// session was part of it, and counts only if its fault is graver.
func (r *Router) blame(key blameKey, f fault, seq, opened uint64) {
	for _, a := range r.cfg.Adverts() {
		if a.Peer == key.peer {
			seq = max(seq, a.Seq)
		}
	}
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	old, known := r.records[key]
	if known && old.at > opened {
		if f <= old.fault {
			return
		}
		old.count-- // the same incident
	}
	if now.After(old.until.Add(forgetAfter)) {
		old.count = 0
	}
	if len(r.records) >= maxRecords {
		for k, v := range r.records {
			if now.After(v.until) {
				delete(r.records, k)
			}
		}
	}
	r.epoch++
	t := avoidTimes[f]
	r.records[key] = record{fault: f, count: old.count + 1, until: now.Add(min(t.first<<min(old.count, 10), t.most)), at: r.epoch, seq: seq}
}

// blamedSince reports whether a peer had an incident after an epoch.
func (r *Router) blamedSince(p host.ID, opened uint64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.records[blameKey{peer: p}].at > opened
}

// works ends what peers that work are left out for. What they said that was not so stays. That
// they hung is over only by work of a session opened since.
func (r *Router) works(t *trial) {
	now := r.cfg.Now()
	r.mended(t, func(key blameKey, _ record) { r.end(key, now) })
}

// worked forgets it, as they did all that a session asked of them: one that fails in the
// middle of each has begun all of them well. That one hung still counts if it hangs again.
func (r *Router) worked(t *trial) {
	r.mended(t, func(key blameKey, rec record) {
		if rec.fault < faultFailing {
			delete(r.records, key)
		}
	})
}

// mended calls f, which holds mu, with the records of a chain's peers that work can mend.
func (r *Router) mended(t *trial, f func(blameKey, record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.records) == 0 {
		return
	}
	for _, l := range t.chain.Links {
		for _, key := range []blameKey{{peer: l.Peer}, {l.Peer, t.chain.Model}} {
			rec, known := r.records[key]
			if known && (rec.fault < faultFailing || rec.fault == faultFailing && rec.at <= t.opened) {
				f(key, rec)
			}
		}
	}
}

// end lets a peer be used again. Its incident counts if there is another one. The caller
// holds mu.
func (r *Router) end(key blameKey, now time.Time) {
	if rec := r.records[key]; now.Before(rec.until) {
		rec.until = now
		r.records[key] = rec
	}
}

// returns reports whether the peer is believed to be back, when it is heard of again.
func (rec *record) returns() bool { return rec.count <= maxReturns }

// Joined tells that a peer has been met anew: that it was gone is over, and so is what it
// hung on.
func (r *Router) Joined(p host.ID) {
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	key := blameKey{peer: p}
	switch rec, known := r.records[key]; {
	case !known:
	case (rec.fault == faultGone || rec.fault == faultFailing) && rec.returns():
		r.end(key, now)
	}
}

// demerits says how much speaks against a peer, 0 for nothing, and how much of that is not
// known yet, as it is being looked into. An advert that the peer made
// after it was gone shows that it is back.
func (r *Router) demerits(a *wire.Advert, model cid.Cid) (n, suspected int) {
	now := r.cfg.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.checking {
		suspected += s[a.Peer]
	}
	n = suspected
	for _, key := range []blameKey{{peer: a.Peer}, {a.Peer, model}} {
		rec, known := r.records[key]
		switch {
		case !known || !now.Before(rec.until):
		case rec.fault == faultGone && rec.returns() && a.Seq > rec.seq:
		default:
			n += min(rec.count, 10) * (1 + int(rec.fault))
		}
	}
	return n, suspected
}
