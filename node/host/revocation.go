package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// ErrTooManyRevoked means that a list of revocations is full.
var ErrTooManyRevoked = fmt.Errorf("a swarm revokes at most %d invitations and %d peers", wire.MaxRevoked, wire.MaxRevoked)

// ErrNotRevoked means that a peer that is to come back was not taken off.
var ErrNotRevoked = errors.New("this peer was not taken off")

// revocations are what was taken back in the swarm: the list, and as it was signed. The
// zero value is nothing.
type revocations struct {
	list   *wire.Revocation
	signed wire.Signed
}

// Revoke takes over a list of revocations signed with the swarm's key, if it is newer than
// the one before, keeps it, cuts off the peers on it and tells the others.
func (h *Host) Revoke(s wire.Signed) error { return h.revokeFrom(s, h.ID()) }

// revokeFrom is Revoke of a list that a peer has sent.
func (h *Host) revokeFrom(s wire.Signed, from ID) error {
	list, err := wire.OpenRevocation(s, h.Swarm())
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	h.mu.Lock()
	if h.revoke.list != nil && list.Seq <= h.revoke.list.Seq {
		h.mu.Unlock()
		return nil
	}
	h.revoke = revocations{list, s}
	r := h.run
	h.mu.Unlock()
	h.log.Info("revocations", "sequence", list.Seq, "invitations", len(list.Grants), "peers", len(list.Peers))
	if r != nil {
		r.obey(list, from)
	}
	if h.cfg.Dir == "" {
		return nil
	}
	if err := h.saveRevocation(); err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return nil
}

// saveRevocation writes down the newest list, whichever of those that came at a time is last
// to get here.
func (h *Host) saveRevocation() error {
	h.saving.Lock()
	defer h.saving.Unlock()
	h.mu.Lock()
	s := h.revoke.signed
	h.mu.Unlock()
	b, err := wire.Encode(&wire.SignedRevocation{Signed: s})
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(h.cfg.Dir, revokedFile), b)
}

// obey cuts off the members on a list and passes it on to the others.
func (r *running) obey(list *wire.Revocation, from ID) {
	for id, m := range r.gate.members() {
		if list.Revokes(&m.grant, id) {
			r.expel(id, wire.ErrRevoked)
		} else if id != from {
			r.tasks.start(func() { r.tellRevoked(id) })
		}
	}
	r.table.dropAll(func(a *wire.Advert) bool { return r.advertRevoked(a) })
}

// advertRevoked reports whether who sent an advert was taken off.
func (r *running) advertRevoked(a *wire.Advert) bool {
	g, err := a.Membership.Open(a.Swarm, a.Peer)
	return err != nil || r.revoked(g, a.Peer)
}

// RevokeMore takes back invitations, with all memberships that go back to them, and the
// memberships of peers. Only the founder can: else the error is ErrNotOwner.
func (h *Host) RevokeMore(invitations [][]byte, peers []ID) error {
	return h.changeRevoked(invitations, peers, nil)
}

// Readmit takes peers off the list of those whose identity was taken off: a newer list
// without them replaces it everywhere. Peers that are not on it are an error.
func (h *Host) Readmit(peers []ID) error { return h.changeRevoked(nil, nil, peers) }

func (h *Host) changeRevoked(invitations [][]byte, peers, back []ID) error {
	c := h.cfg.Credentials
	if c.SwarmKey == nil {
		return fmt.Errorf("revoke: %w", ErrNotOwner)
	}
	next := &wire.Revocation{Swarm: h.Swarm(), Seq: uint64(h.now().UnixMilli()), Grants: slices.Clone(invitations), Peers: slices.Clone(peers)}
	h.mu.Lock()
	if old := h.revoke.list; old != nil {
		next.Seq = max(next.Seq, old.Seq+1)
		next.Grants, next.Peers = append(next.Grants, old.Grants...), append(next.Peers, old.Peers...)
	}
	own := h.own.grant
	h.mu.Unlock()
	for _, id := range back {
		if !slices.Contains(next.Peers, id) {
			return fmt.Errorf("readmit %s: %w", id, ErrNotRevoked)
		}
	}
	next.Peers = slices.DeleteFunc(next.Peers, func(id ID) bool { return slices.Contains(back, id) })
	slices.SortFunc(next.Grants, bytes.Compare)
	slices.Sort(next.Peers)
	next.Grants, next.Peers = slices.CompactFunc(next.Grants, bytes.Equal), slices.Compact(next.Peers)
	switch {
	case next.Revokes(&own, h.ID()):
		return errors.New("revoke: that would be this node, the swarm's founder")
	case len(next.Grants) > wire.MaxRevoked || len(next.Peers) > wire.MaxRevoked:
		return fmt.Errorf("revoke: %w", ErrTooManyRevoked)
	}
	signed, err := wire.SignRevocation(c.SwarmKey, next)
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	return h.Revoke(signed)
}

// tellRevoked sends a member the list of revocations, if there is one.
func (r *running) tellRevoked(id ID) {
	m := r.gate.get(id)
	r.mu.Lock()
	list, signed := r.revoke.list, r.revoke.signed
	r.mu.Unlock()
	if list == nil || m == nil || m.hello.Capability < protocol.RenewCapability {
		return
	}
	ctx, cancel := context.WithTimeout(r.ctx, protocol.StreamOpenTimeout)
	defer cancel()
	s, err := r.open(ctx, id, protocol.Revoke)
	if err == nil {
		w := frame.NewWriter(s)
		err = errors.Join(s.SetDeadline(time.Now().Add(r.cfg.Times.Hello)),
			writeMessage(w, wire.TypeRevocation, &wire.SignedRevocation{Signed: signed}), w.Flush(), s.CloseWrite())
		if err == nil {
			_, err = s.Read(make([]byte, 1)) // the end comes when it has the list
		}
		_ = s.Close()
	}
	if err != nil {
		r.log.Debug("revocations told", "peer", id, "end", err)
	}
}

// handleRevoke takes the list that a member passes on.
func (r *running) handleRevoke(_ context.Context, s Stream) {
	err := s.SetDeadline(time.Now().Add(r.cfg.Times.Hello))
	var list wire.SignedRevocation
	if err == nil {
		var typ frame.Type
		var payload []byte
		typ, payload, err = frame.NewReader(s, wire.RevokeLimits()).Next()
		if err == nil && typ != wire.TypeRevocation {
			err = fmt.Errorf("frame of type %d, want a revocation", typ)
		}
		if err == nil {
			err = wire.Decode(payload, &list)
		}
	}
	if err == nil {
		err = r.revokeFrom(list.Signed, s.Peer())
	}
	if err != nil {
		r.log.Warn("revocations not taken", "from", s.Peer(), "err", err)
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// loadRevocation reads the list of an earlier run. A damaged list is an error: starting
// without it would let the revoked back in.
func (h *Host) loadRevocation() error {
	b, err := readFile(filepath.Join(h.cfg.Dir, revokedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var s wire.SignedRevocation
	if err := wire.Decode(b, &s); err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	list, err := wire.OpenRevocation(s.Signed, h.Swarm())
	if err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	h.revoke = revocations{list, s.Signed}
	return nil
}

// revoked reports whether a grant or its bearer has been taken off.
func (h *Host) revoked(g *wire.Grant, id ID) bool { return h.checkRevoked(g, id) != nil }

// checkRevoked returns by what a grant or its bearer has been taken off, nil if neither was.
func (h *Host) checkRevoked(g *wire.Grant, id ID) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revoke.list.Check(g, id)
}
