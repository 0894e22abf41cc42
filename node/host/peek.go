package host

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// PeekCredentials returns what OpenCredentials would, and makes and writes nothing: without an
// identity in dir the peer is a new one, of this call. Times that are over are no error. It is
// fs.ErrNotExist if dir is of no swarm and there is no token.
func PeekCredentials(dir string, token *wire.Token, now time.Time) (*Credentials, error) {
	key, err := openKey(filepath.Join(dir, identityFile), false)
	if errors.Is(err, fs.ErrNotExist) && token != nil {
		var c *Credentials
		if c, err = EphemeralCredentials(now); err == nil {
			key = c.Key
		}
	}
	if err != nil {
		return nil, fmt.Errorf("look at credentials: %w", err)
	}
	c := &Credentials{Key: key, ID: wire.PeerIDOf(public(key))}
	s, err := readMembership(dir)
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && token != nil) {
		return nil, fmt.Errorf("look at credentials: %w", err)
	}
	if token != nil {
		if s, err = c.peekToken(dir, s, token, now); err != nil {
			return nil, fmt.Errorf("look at credentials: %w", err)
		}
	}
	if err := c.adopt(s); err != nil {
		return nil, fmt.Errorf("look at credentials: %w", err)
	}
	if key, err := openKey(filepath.Join(dir, swarmFile), false); err == nil && wire.SwarmIDOf(public(key)) == c.Swarm {
		c.SwarmKey = key
	}
	return c, nil
}

// peekToken returns the membership that a token leads to; old is nil if there is none yet.
func (c *Credentials) peekToken(dir string, old *stored, token *wire.Token, now time.Time) (*stored, error) {
	g, err := token.Open()
	if err != nil {
		return nil, err
	}
	if old == nil || old.Swarm == g.Swarm && !c.stays(dir, old, g, now) {
		return &stored{Swarm: g.Swarm, Membership: token.Admit(c.ID), Name: token.Name, Bootstrap: token.Bootstrap}, nil
	}
	if old.Swarm != g.Swarm {
		return nil, ErrOtherSwarm
	}
	for _, a := range token.Bootstrap {
		if !slices.Contains(old.Bootstrap, a) && len(old.Bootstrap) < protocol.MaxAddrs {
			old.Bootstrap = append(old.Bootstrap, a)
		}
	}
	return old, nil
}

// KeptPort returns the port that a node on dir listens on unless told otherwise; 0: none yet.
func KeptPort(dir string) int {
	port, _ := readPort(dir) // 0 with an error
	return port
}

// PeekOver returns why the membership of a directory's credentials does not count: wire.ErrExpired,
// ErrNotYet, or a revocation that this machine has heard of; nil if it does.
func PeekOver(dir string, c *Credentials, now time.Time) error {
	if err := c.Grant.At(now); err != nil {
		return err
	}
	h := &Host{cfg: Config{Credentials: c, Dir: dir}}
	if err := h.loadRevocation(); err != nil {
		return nil // then nothing is known of any
	}
	return h.checkRevoked(&c.Grant, c.ID)
}

// RenewsAt returns from when on a longer membership than this one is asked for.
func (c *Credentials) RenewsAt() time.Time { return renewsAt(&c.Grant) }

// AddBook notes the peers that an earlier run on a directory has met. It is not written to.
func (h *Host) AddBook(dir string) error { return h.book.load(filepath.Join(dir, peersFile)) }
