package host

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// maxInvited bounds the invitations that are remembered: the newest.
const maxInvited = 4096

// Invited reports whether an invitation is known here by its ID: this peer made it, or a member
// that is connected or whose advert is known came by it.
func (h *Host) Invited(id []byte) (bool, error) {
	h.saving.Lock()
	made, err := h.invitations()
	h.saving.Unlock()
	if err != nil || slices.Contains(made, hex.EncodeToString(id)) {
		return err == nil, err
	}
	for _, p := range h.Peers() {
		if string(p.Invitation) == string(id) {
			return true, nil
		}
	}
	return h.table.knowsGrant(string(id)), nil
}

// rememberInvitation writes down that this peer made an invitation.
func (h *Host) rememberInvitation(id []byte) error {
	if h.cfg.Dir == "" {
		return nil
	}
	h.saving.Lock()
	defer h.saving.Unlock()
	made, err := h.invitations()
	if err != nil {
		return err
	}
	made = append(made, hex.EncodeToString(id))
	made = made[max(0, len(made)-maxInvited):]
	return writeFile(filepath.Join(h.cfg.Dir, invitedFile), []byte(strings.Join(made, "\n")+"\n"))
}

// invitations are the IDs of the invitations that this peer made, in hex, the oldest first. The
// caller holds saving.
func (h *Host) invitations() ([]string, error) {
	if h.cfg.Dir == "" {
		return nil, nil
	}
	b, err := readFile(filepath.Join(h.cfg.Dir, invitedFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read invitations: %w", err)
	}
	return strings.Fields(string(b)), nil
}
