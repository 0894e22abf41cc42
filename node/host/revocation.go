package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/covey-network/covey/protocol/wire"
)

// storedRevocation is the revocations file: a signed list.
type storedRevocation struct{ wire.Signed }

// Validate leaves the check to wire.OpenRevocation.
func (*storedRevocation) Validate() error { return nil }

// Revoke takes over a list of revocations signed with the swarm's key, if it is newer than
// the one before, keeps it and cuts off the peers on it.
func (h *Host) Revoke(s wire.Signed) error {
	list, err := wire.OpenRevocation(s, h.Swarm())
	if err != nil {
		return fmt.Errorf("revoke: %w", err)
	}
	h.mu.Lock()
	if h.revoke != nil && list.Seq <= h.revoke.Seq {
		h.mu.Unlock()
		return nil
	}
	h.revoke = list
	r := h.run
	h.mu.Unlock()
	if h.cfg.Dir != "" {
		b, err := wire.Encode(&storedRevocation{s})
		if err == nil {
			err = writeFile(filepath.Join(h.cfg.Dir, revokedFile), b)
		}
		if err != nil {
			return fmt.Errorf("revoke: %w", err)
		}
	}
	if r != nil {
		for id, m := range r.gate.members() {
			if list.Revokes(&m.grant, id) {
				r.expel(id, wire.ErrRevoked)
			}
		}
	}
	return nil
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
	var s storedRevocation
	if err := wire.Decode(b, &s); err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	if h.revoke, err = wire.OpenRevocation(s.Signed, h.Swarm()); err != nil {
		return fmt.Errorf("read revocations: %w", err)
	}
	return nil
}

// revoked reports whether a grant or its bearer has been taken off.
func (h *Host) revoked(g *wire.Grant, id ID) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.revoke.Revokes(g, id)
}
