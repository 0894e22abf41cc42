package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

// TestNetwork looks at what two peers know of their way to each other.
func TestNetwork(t *testing.T) {
	t.Parallel()
	owner := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.Relay = RelayOn })
	b := startPeer(t, invited(t, owner, t.TempDir(), Invitation{}), nil)
	until(t, "both know each other", func() bool { return knows(owner, b)() && knows(b, owner)() })
	until(t, "b is told how it is seen", func() bool { return len(b.Network().Seen) == 1 })
	n := b.Network()
	if s := n.Seen[0]; s.Peer != owner.ID() || s.Proto != "tcp" || s.At != "127.0.0.1" || s.Local != s.As {
		t.Errorf("seen %+v", s)
	}
	if len(n.Listen) != 1 || n.Relaying || n.QUIC[owner.ID()] || n.Taken != 0 {
		t.Errorf("network %+v", n)
	}
	until(t, "the owner relays", func() bool { return owner.Network().Relaying })
	contacts := b.Contacts()
	if len(contacts) != 1 || contacts[0].ID != owner.ID() || !contacts[0].First || contacts[0].Inside || len(contacts[0].Addrs) == 0 {
		t.Errorf("contacts %+v", contacts)
	}
	owner.stop()
	if n := owner.Network(); len(n.Listen) > 0 {
		t.Errorf("after its end: %+v", n)
	}
}

// TestPeekCredentials looks at directories and leaves them as they were.
func TestPeekCredentials(t *testing.T) {
	t.Parallel()
	now := time.Now()
	owner := foundSwarm(t, t.TempDir())
	token, err := owner.Invite(Invitation{TTL: time.Hour}, now)
	if err != nil {
		t.Fatal(err)
	}
	empty, member, other := filepath.Join(t.TempDir(), "none"), t.TempDir(), t.TempDir()
	joined, err := OpenCredentials(member, token, now)
	if err != nil {
		t.Fatal(err)
	}
	foundSwarm(t, other)
	later := now.Add(2 * time.Hour)
	for _, c := range []struct {
		name, dir string
		token     *wire.Token
		at        time.Time
		id        ID // "" any
		err, over error
	}{
		{"no directory", empty, nil, now, "", fs.ErrNotExist, nil},
		{"a token alone", empty, token, now, "", nil, nil},
		{"a token that is over", empty, token, later, "", nil, wire.ErrExpired},
		{"a member", member, nil, now, joined.ID, nil, nil},
		{"a member whose time is over", member, nil, later, joined.ID, nil, wire.ErrExpired},
		{"a member with the token", member, token, now, joined.ID, nil, nil},
		{"a member of another swarm", other, token, now, "", ErrOtherSwarm, nil},
	} {
		before, _ := os.ReadDir(c.dir)
		got, err := PeekCredentials(c.dir, c.token, c.at)
		if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
			t.Errorf("%s: %v, want %v", c.name, err, c.err)
			continue
		}
		if err == nil {
			if c.id != "" && got.ID != c.id || got.Swarm != owner.Swarm {
				t.Errorf("%s: %s of swarm %s", c.name, got.ID, got.Swarm)
			}
			if over := PeekOver(c.dir, got, c.at); !errors.Is(over, c.over) || (over == nil) != (c.over == nil) {
				t.Errorf("%s: over for %v, want %v", c.name, over, c.over)
			}
		}
		after, _ := os.ReadDir(c.dir)
		if !slices.EqualFunc(before, after, func(a, b os.DirEntry) bool { return a.Name() == b.Name() }) {
			t.Errorf("%s: files changed from %v to %v", c.name, before, after)
		}
	}
}
