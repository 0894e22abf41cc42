package host

import (
	"errors"
	"io/fs"
	"net"
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

// TestContactsOfAnotherHouse lists no address of this machine for a peer that tells addresses of another
// network: nobody else's loopback leads there.
func TestContactsOfAnotherHouse(t *testing.T) {
	t.Parallel()
	const away, loop = "/ip4/172.31.254.9/tcp/24001", "/ip4/127.0.0.1/tcp/24001"
	for _, c := range []struct {
		name   string
		told   []wire.Addr
		want   []wire.Addr
		inside bool
	}{
		{"of another network", []wire.Addr{loop, away}, []wire.Addr{away}, true},
		{"of this machine alone", []wire.Addr{loop}, []wire.Addr{loop}, false},
		{"with a public one", []wire.Addr{loop, away, "/ip4/11.0.0.1/tcp/1"}, []wire.Addr{"/ip4/11.0.0.1/tcp/1"}, false},
	} {
		h := startPeer(t, foundSwarm(t, t.TempDir()), nil)
		h.book.add(foundSwarm(t, t.TempDir()).ID, c.told, true)
		got := h.Contacts()
		if len(got) != 1 || !slices.Equal(got[0].Addrs, c.want) || got[0].Inside != c.inside {
			t.Errorf("%s: %+v, want %q", c.name, got, c.want)
		}
	}
}

// TestIsPublic tells addresses of the internet from others.
func TestIsPublic(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"11.0.0.1": true, "2a0e::1": true,
		"127.0.0.1": false, "10.1.2.3": false, "192.168.1.2": false, "100.64.0.1": false, "169.254.1.2": false, "192.0.2.2": false, "203.0.113.7": false,
		"::1": false, "fd00::2": false, "fe80::1": false, "2001:db8::1": false, "": false,
	} {
		if got := IsPublic(net.ParseIP(text)); got != want {
			t.Errorf("%q: %v", text, got)
		}
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
