package host

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// rumourSpread is within what time the neighbours of a dead peer say so: the later ones have
	// heard it by then and say nothing.
	rumourSpread = 200 * time.Millisecond
	// refuteTime is how long a lost peer may take to advertise anew before those that are not
	// connected to it believe that it is gone.
	refuteTime = time.Second
	// rumourWindow is for how long the peers of one invitation may name a peer up to one of its adverts,
	// maxTold times, and one peer may name maxRumours: liars cost no more probes and adverts than that.
	rumourWindow = time.Minute
	maxTold      = 5
	maxRumours   = 64
	// toldApart is how much later word of a peer that was told to be lost is a repeat, and not of another
	// one who has lost it, too.
	toldApart = time.Second
	// maxHeard bounds what is remembered of a window.
	maxHeard = 8192
)

// lostAgain are the pauses after which it is told again that a peer is lost. Two neighbours have a link of
// gossip's mesh a second or so after they have met: what is told before comes to its end there.
var lostAgain = []time.Duration{2 * time.Second, 8 * time.Second}

// rumours are the peers that others have told to be lost.
type rumours struct {
	mu     sync.Mutex
	window time.Time      // when it began
	heard  map[rumour]int // in it, how often
	by     map[ID]int     // how many of whom
	last   map[ID]word    // of each peer that was told to be lost in it
}

// rumour is that the peers of an invitation have lost a peer.
type rumour struct {
	grant string
	peer  ID
}

// word is up to which advert of it a peer was told to be lost, and when.
type word struct {
	seq uint64
	at  time.Time
}

// take notes what a peer tells and reports whether it is to be believed and passed on. What was told is so
// again when it is repeated. Newest is the last advert of the lost peer that this one knows: what a peer says of
// later ones, which may be a lie, does not count.
func (u *rumours) take(l *wire.Lost, newest uint64, grant string, now time.Time) bool {
	seq := min(l.Seq, newest)
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.heard == nil || now.Sub(u.window) > rumourWindow {
		u.window, u.heard, u.by, u.last = now, make(map[rumour]int), make(map[ID]int), make(map[ID]word)
	}
	key, last := rumour{grant, l.Peer}, u.last[l.Peer]
	times := u.heard[key]
	switch {
	case u.by[l.By] >= maxRumours, times == 0 && len(u.heard) >= maxHeard:
		return false
	case seq <= last.seq && now.Sub(last.at) < toldApart: // another one has lost it, too
		return false
	case times > 0 && (seq > last.seq || times >= maxTold): // it has contradicted already
		return false
	}
	u.heard[key]++
	u.by[l.By]++
	u.last[l.Peer] = word{max(seq, last.seq), now}
	return true
}

// told reports whether a peer with this advert has been told to be lost a moment ago.
func (u *rumours) told(id ID, seq uint64) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.last[id].seq >= seq
}

// validateLost decides on what a peer tells of a lost one, as validate does on adverts.
func (r *running) validateLost(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	// [REJECT] more than protocol.MaxLost, not canonical, not valid, another swarm's, not signed
	// by its peer.
	l, err := wire.OpenLost(m.GetData(), r.Swarm())
	if err != nil {
		r.log.Debug("bad word of a lost peer", "from", ID(from), "err", err)
		return pubsub.ValidationReject
	}
	now := r.now()
	// [IGNORE] not of this moment.
	if age := now.Sub(l.IssuedAt()); age.Abs() > protocol.MaxClockSkew {
		return pubsub.ValidationIgnore
	}
	g, err := l.Grant(now)
	switch {
	// [IGNORE] grants that are over or not valid yet, or revoked: others may not know yet.
	case errors.Is(err, wire.ErrExpired), errors.Is(err, wire.ErrNotYet):
		return pubsub.ValidationIgnore
	// [REJECT] no membership.
	case err != nil:
		return pubsub.ValidationReject
	case r.revoked(g, l.By):
		return pubsub.ValidationIgnore
	}
	// [IGNORE] a peer that has advertised since, that nothing is known of, or that was named a
	// moment ago.
	if seq := r.table.seq(l.Peer); seq == 0 || seq > l.Seq || !r.rumours.take(l, seq, string(g.Invitation()), now) {
		return pubsub.ValidationIgnore
	}
	r.suspect(l)
	return pubsub.ValidationAccept
}

// suspect finds out whether a peer is lost: one that is connected is asked, one that is not has
// some time to contradict. That is this peer itself if it is the one.
func (r *running) suspect(l *wire.Lost) {
	switch {
	case l.By == r.ID():
	case l.Peer == r.ID():
		r.tasks.start(r.contradict)
	case r.gate.get(l.Peer) != nil && r.prober.doubts(l.Peer):
		r.tasks.start(func() { r.gone(l.Peer) })
	case r.gate.get(l.Peer) != nil:
		r.check(l.Peer)
		r.probeAll() // others may have died with it
	default:
		seq := r.table.seq(l.Peer) // liars name one that is yet to come
		r.tasks.start(func() {
			if sleep(r.ctx, refuteTime) && r.gate.get(l.Peer) == nil && r.table.seq(l.Peer) == seq && r.forsake(l.Peer) {
				r.log.Info("peer lost, its advert is dropped", "peer", l.Peer, "by", l.By)
				r.events.emit(EvtAdvertExpired{Peer: l.Peer})
			}
		})
	}
}

// contradict publishes this peer's advert anew, and once more for those that the first one did not reach,
// unless it is at it.
func (r *running) contradict() {
	if !r.contradicts.CompareAndSwap(false, true) {
		return
	}
	defer r.contradicts.Store(false)
	for _, pause := range []time.Duration{0, lostAgain[0]} {
		if !sleep(r.ctx, pause) {
			return
		}
		r.mu.Lock()
		last := r.last
		r.mu.Unlock()
		if last == nil {
			return
		}
		if err := r.PublishAdvert(r.ctx, *last); err != nil && r.ctx.Err() == nil {
			r.log.Warn("advert not published", "err", err)
		}
	}
}

// tellLost tells the others that a peer is lost, unless one of them does.
func (r *running) tellLost(id ID, seq uint64) {
	if !sleep(r.ctx, rand.N(rumourSpread)) || r.rumours.told(id, seq) || r.table.of(id, r.now()) != nil {
		return
	}
	r.publishLost(id, seq)
	r.repeatLost(id, seq)
}

// repeatLost tells the others again that a peer was lost, while it has not contradicted. It may be back:
// then it hears of it now.
func (r *running) repeatLost(id ID, seq uint64) {
	for _, pause := range lostAgain {
		if !sleep(r.ctx, pause+rand.N(rumourSpread)) || r.table.seq(id) > seq {
			return
		}
		r.publishLost(id, seq)
	}
}

// publishLost gossips that a peer is lost.
func (r *running) publishLost(id ID, seq uint64) {
	if r.Membership().Over != nil {
		return
	}
	l := &wire.Lost{Swarm: r.Swarm(), By: r.ID(), Peer: id, Seq: seq, Issued: r.now().UnixMilli()} // so no two are equal, of which gossip drops the second
	r.mu.Lock()
	l.Membership = r.own.membership
	r.mu.Unlock()
	data, err := wire.SignLost(r.cfg.Credentials.Key, l)
	if err == nil {
		err = r.lostTopic.Publish(r.ctx, data)
	}
	if err != nil && r.ctx.Err() == nil {
		r.log.Debug("lost peer not told", "peer", id, "err", err)
	}
}
