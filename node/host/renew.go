package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// maxRenewWait is the longest wait between two askings for a renewal.
	maxRenewWait = time.Hour
	// grantersAsked bounds the peers that are asked at one time.
	grantersAsked = 8
)

// errNoGranter means that nobody who may renew a membership was there to ask.
var errNoGranter = errors.New("no peer that renews memberships was reached: the founder's, or one invited with the scope admit")

// renewal is how it stands with this peer's own membership.
type renewal struct {
	membership wire.Membership
	grant      wire.Grant // within membership
	accepted   bool       // a peer of the swarm has let this one in, with this membership or one before
	unsaved    bool       // the file has an older one
	next       time.Time  // no asking before
	wait       time.Duration
	reached    time.Time // when a peer that renews last answered
	err        error     // of the last asking
	refused    error     // why a peer turned this one away, nil if one let it in since
}

// Membership is by what right this peer is in its swarm, and how it renews that.
type Membership struct {
	Grant    wire.Grant // read-only
	Founder  bool       // holds the swarm's key: renews its own
	RenewsAt time.Time  // from then on a longer one is asked for
	Reached  time.Time  // when a peer that renews memberships last answered; zero: not since the start
	Over     error      // why it does not count: wire.ErrExpired, ErrNotYet or ErrRevoked; nil if it does
	Err      error      // why the last asking failed, nil if it did not
	Next     time.Time  // when it is asked again after that, unless a peer that renews is met before
	Refused  error      // why a peer turned this one away since one last let it in, nil if none did
}

// Membership returns how it stands with this peer's membership.
func (h *Host) Membership() Membership {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := &h.own
	m := Membership{
		Grant: s.grant, Founder: h.cfg.Credentials.SwarmKey != nil, RenewsAt: renewsAt(&s.grant),
		Reached: s.reached, Err: s.err, Next: s.next, Refused: s.refused, Over: s.grant.At(h.now()),
	}
	if m.Over == nil {
		m.Over = h.revoke.list.Check(&s.grant, h.ID())
	}
	return m
}

// Proof returns what proves this peer's membership to others.
func (h *Host) Proof() wire.Membership {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.own.membership
}

// Invite makes a join token that leads to this peer and further addresses, and remembers its ID.
func (h *Host) Invite(in Invitation) (*wire.Token, error) {
	t, err := h.granter().invite(in, h.now())
	if err != nil {
		return nil, err
	}
	g, err := t.Open()
	if err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	if err := h.rememberInvitation(g.ID); err != nil { // the disk may be full; the token is good
		h.log.Warn("invitation not remembered: revoking it will ask whether it was ever made", "err", err)
	}
	return t, nil
}

// granter returns who gives grants here, nil if this peer may not.
func (h *Host) granter() *granter {
	h.mu.Lock()
	defer h.mu.Unlock()
	own := h.own.grant
	return h.cfg.Credentials.granter(&own, &wire.Membership{Grant: h.own.membership.Grant})
}

// handleRenew gives a member a longer grant.
func (r *running) handleRenew(_ context.Context, s Stream) {
	if err := s.SetDeadline(time.Now().Add(r.cfg.Times.Hello)); err != nil {
		_ = s.Reset()
		return
	}
	typ, payload, err := frame.NewReader(s, wire.RenewServerLimits()).Next()
	if err != nil || typ != wire.TypeRenew {
		_ = s.Reset()
		return
	}
	var has wire.Membership
	var m *wire.Membership
	if err = wire.Decode(payload, &has); err == nil {
		m, err = r.renewFor(s.Peer(), &has)
	}
	w := frame.NewWriter(s)
	if err != nil {
		r.log.Info("membership not renewed", "peer", s.Peer(), "err", err)
		err = writeMessage(w, wire.TypeError, refusal(err))
	} else {
		err = writeMessage(w, wire.TypeRenewed, m)
	}
	if errors.Join(err, w.Flush()) != nil {
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// renewFor makes a longer membership for the one that a peer has.
func (r *running) renewFor(peer ID, has *wire.Membership) (*wire.Membership, error) {
	if over := r.Membership().Over; over != nil {
		return nil, wire.Errorf(wire.CodeClosed, "the membership of this peer is over: %v", over)
	}
	g, err := has.Verify(r.Swarm(), peer, r.now())
	if err != nil {
		return nil, err
	}
	if err := r.checkRevoked(g, peer); err != nil {
		return nil, err
	}
	m, err := r.granter().renew(g, peer, r.now())
	if err == nil {
		r.log.Info("membership renewed", "peer", peer)
	}
	return m, err
}

// renewOwn asks for a longer membership when that is due.
func (r *running) renewOwn(ctx context.Context) {
	r.saveMembership()
	now := r.now()
	r.mu.Lock()
	due := r.cfg.Credentials.SwarmKey == nil && !now.Before(renewsAt(&r.own.grant)) && !now.Before(r.own.next)
	has, enough := r.own.membership, now.Add(leastLife(&r.own.grant)*2/3)
	r.mu.Unlock()
	if !due {
		return
	}
	err, asked, taken := errNoGranter, false, false
	for _, id := range r.granters(now) {
		if ctx.Err() != nil {
			return
		}
		answered, failed := r.askRenewal(ctx, id, &has)
		// A deputy may give less than another peer does for the same membership; the founder gives
		// no more than the deputy for what the deputy gave.
		if failed == nil {
			if taken = true; r.lasts(enough) {
				return
			}
			continue
		}
		if answered || !asked {
			err = fmt.Errorf("peer %s: %w", id, failed)
		}
		asked = asked || answered
	}
	if taken {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own.err = err
	level := slog.LevelWarn
	if errors.Is(err, errNoLonger) { // the one there is outlives all that others may give now
		level = slog.LevelDebug
	}
	if asked { // who was not there is asked when it comes
		r.own.wait = min(max(2*r.own.wait, r.cfg.Times.Renew), maxRenewWait)
		r.own.next = now.Add(r.own.wait)
		r.log.Log(r.ctx, level, "membership not renewed", "err", err, "ends", r.own.grant.ExpiresAt())
	}
}

// lasts reports whether the membership does not end before a time.
func (r *running) lasts(until time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.own.grant.ExpiresAt().Before(until)
}

// granters returns the peers that may renew memberships: first those that are connected.
func (r *running) granters(now time.Time) []ID {
	var out []ID
	for id, m := range r.gate.members() {
		if m.grant.Admits() && m.hello.Capability >= protocol.RenewCapability {
			out = append(out, id)
		}
	}
	slices.Sort(out)
	for _, a := range r.table.live(now) {
		if a.Capability < protocol.RenewCapability || a.Peer == r.ID() || slices.Contains(out, a.Peer) {
			continue
		}
		if g, err := a.Grant(now); err == nil && g.Admits() {
			out = append(out, a.Peer)
		}
	}
	return out[:min(len(out), grantersAsked)]
}

// askRenewal asks a peer for a longer membership than has and takes it. answered tells that the
// peer was there.
func (r *running) askRenewal(ctx context.Context, id ID, has *wire.Membership) (answered bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, protocol.StreamOpenTimeout)
	defer cancel()
	if _, err := r.reach(ctx, id); err != nil {
		return false, err
	}
	s, err := r.open(ctx, id, protocol.Renew)
	if err != nil {
		return false, err
	}
	m, err := r.exchangeRenewal(s, has)
	r.mu.Lock()
	r.own.reached = r.now()
	r.mu.Unlock()
	var refused *wire.Error
	if err != nil && !errors.As(err, &refused) {
		return true, errors.Join(err, s.Reset())
	}
	_ = s.Close() // the answer is read
	if err == nil {
		err = r.takeMembership(m, id)
	}
	return true, err
}

func (r *running) exchangeRenewal(s Stream, has *wire.Membership) (*wire.Membership, error) {
	if err := s.SetDeadline(time.Now().Add(r.cfg.Times.Hello)); err != nil {
		return nil, err
	}
	w := frame.NewWriter(s)
	if err := errors.Join(writeMessage(w, wire.TypeRenew, has), w.Flush(), s.CloseWrite()); err != nil {
		return nil, err
	}
	m := new(wire.Membership)
	return m, readAnswer(s, wire.RenewClientLimits(), m)
}

// errNoLonger is of a renewal that is no longer than the membership there is.
var errNoLonger = errors.New("renewed membership is no longer than the one there is")

// leastLife is how long a renewal of a grant lets the renewals after it be: a deputy's, who gave
// the grant, may be shorter than its own.
func leastLife(g *wire.Grant) time.Duration {
	life := g.RenewalLife()
	if g.Issuer != nil {
		life = min(life, g.Issuer.RenewalLife())
	}
	return life
}

// takeMembership takes over a membership that a peer gave, if it is better than the one
// there is, keeps it and shows it to the connected peers. One that ends earlier is not, also in
// the place of an invitation: a deputy whose own membership ends soon, or that means harm, gives
// such.
func (r *running) takeMembership(m *wire.Membership, from ID) error {
	now := r.now()
	g, err := m.Verify(r.Swarm(), r.ID(), now)
	if err != nil {
		return fmt.Errorf("check renewed membership: %w", err)
	}
	r.mu.Lock()
	has := &r.own.grant
	switch {
	case slices.ContainsFunc(has.Scopes, func(s string) bool { return !g.Allows(s) }):
		err = errors.New("renewed membership lacks a scope")
	case g.Peer == "" || has.Peer != "" && g.Expires <= has.Expires, g.Expires < has.Expires-int64(protocol.MaxClockSkew/time.Second):
		err = errNoLonger
	case g.RenewalLife() < leastLife(has):
		err = errors.New("renewed membership makes the renewals after it shorter")
	default:
		r.own = renewal{membership: *m, grant: *g, accepted: true, unsaved: true, reached: now}
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	r.log.Info("membership renewed", "by", from, "ends", g.ExpiresAt())
	r.saveMembership()
	for id := range r.gate.members() {
		r.tasks.start(func() {
			if err := r.helloAgain(id); err != nil { // it learns from the next advert
				r.log.Debug("renewed membership not shown", "peer", id, "err", err)
			}
		})
	}
	return nil
}

// saveMembership writes down a membership that is not yet: the disk may have been full.
func (r *running) saveMembership() {
	r.mu.Lock()
	unsaved, m, accepted := r.own.unsaved, r.own.membership, r.own.accepted
	r.mu.Unlock()
	if !unsaved || r.cfg.Dir == "" {
		return
	}
	c := r.cfg.Credentials
	if err := writeMembership(r.cfg.Dir, &stored{Swarm: c.Swarm, Membership: m, Name: c.Name, Bootstrap: c.Bootstrap, Accepted: accepted}); err != nil {
		r.log.Warn("renewed membership not saved", "err", err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.own.unsaved = r.own.accepted != accepted // only this loop renews
}

// noteAccepted keeps that a peer of the swarm has let this one in: its token was needed once.
func (r *running) noteAccepted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.own.accepted {
		r.own.accepted, r.own.unsaved = true, true
	}
}

// helloAgain shows a member the membership that this peer has now.
func (r *running) helloAgain(id ID) error {
	h, at, err := r.exchangeHello(id)
	if err != nil {
		return err
	}
	return r.verify(id, h, at)
}

// renewed returns the grant that a member shows in its adverts if it is valid and outlasts
// the one of its hello, else nil.
func (r *running) renewed(id ID, m *member, now time.Time) *wire.Grant {
	a := r.table.of(id, now)
	if a == nil {
		return nil
	}
	g, err := a.Grant(now)
	if err != nil || g.Expires <= m.grant.Expires || r.revoked(g, id) {
		return nil
	}
	return g
}
