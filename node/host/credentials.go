package host

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// The files in the data directory. Keys are hex of the 32-byte Ed25519 seed.
const (
	identityFile   = "identity.key"
	swarmFile      = "swarm.key"
	membershipFile = "membership.cbor"
	revokedFile    = "revoked.cbor"
	invitedFile    = "invited"
	peersFile      = "peers.json"
)

// ErrOtherSwarm means that the data directory belongs to another swarm than the token.
var ErrOtherSwarm = errors.New("already a member of another swarm")

// ErrNotOwner means that this peer neither founded the swarm nor is a deputy of who did.
var ErrNotOwner = errors.New("this peer neither holds the swarm's key nor is a deputy")

// ErrScope means that an invitation is for a scope that does not exist, or that this peer
// cannot give.
var ErrScope = errors.New("unknown scope")

// Credentials are who this peer is and by what right. They are read-only after
// OpenCredentials: a Host goes on from them to renewed memberships.
type Credentials struct {
	Key        ed25519.PrivateKey
	ID         ID
	Swarm      wire.SwarmID
	SwarmKey   ed25519.PrivateKey // nil unless this peer founded the swarm
	Membership wire.Membership
	Grant      wire.Grant // within Membership; its time may be over
	Name       string     // of the swarm, for people
	Bootstrap  []wire.Addr
	Accepted   bool // a peer of the swarm has let this one in, or it founded the swarm
}

// stored is the membership file.
type stored struct {
	Swarm      wire.SwarmID    `cbor:"1,keyasint"`
	Membership wire.Membership `cbor:"2,keyasint"`
	Name       string          `cbor:"3,keyasint,omitempty"`
	Bootstrap  []wire.Addr     `cbor:"4,keyasint,omitempty"`
	Accepted   bool            `cbor:"5,keyasint,omitempty"` // a peer of the swarm has let this one in with it
}

// Validate checks form.
func (s *stored) Validate() error {
	for _, a := range s.Bootstrap {
		if err := a.Validate(); err != nil {
			return err
		}
	}
	return s.Membership.Validate()
}

// OpenCredentials reads the credentials in dir and makes what is missing: an identity on
// first use, then with a token the membership of the token's swarm, and without one a new
// swarm of its own.
//
// A token is needed until a peer of the swarm has let this one in: if it expires before, the
// error is wire.ErrExpired. With one that dir's membership came from, or that has expired, a
// member of that swarm goes on with its membership; another one replaces it. A token of
// another swarm is ErrOtherSwarm. A membership that has been accepted and is over is no error: its peer is
// of no swarm's use, but still of its owner's.
func OpenCredentials(dir string, token *wire.Token, now time.Time) (*Credentials, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open credentials: %w", err)
	}
	key, err := openKey(filepath.Join(dir, identityFile), true)
	if err != nil {
		return nil, fmt.Errorf("open credentials: %w", err)
	}
	c := &Credentials{Key: key, ID: wire.PeerIDOf(public(key))}
	s, err := readMembership(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && token == nil:
		err = c.found(dir, now)
	case err != nil && !errors.Is(err, fs.ErrNotExist):
	case token != nil:
		err = c.join(dir, s, token, now)
	default:
		err = c.resume(dir, s, nil, now)
	}
	if err != nil {
		return nil, fmt.Errorf("open credentials: %w", err)
	}
	return c, nil
}

func public(key ed25519.PrivateKey) ed25519.PublicKey { return key.Public().(ed25519.PublicKey) }

// openKey reads a key file, or makes it.
func openKey(path string, create bool) (ed25519.PrivateKey, error) {
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && create {
		seed := make([]byte, ed25519.SeedSize)
		if _, err := rand.Read(seed); err != nil {
			return nil, err
		}
		err = createFile(path, []byte(hex.EncodeToString(seed)+"\n"), os.Link)
		if err != nil && !errors.Is(err, fs.ErrExist) { // another process was first: take its key
			return nil, err
		}
		data, err = readFile(path)
	}
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return nil, fmt.Errorf("key %q has mode %o and can be read by others: chmod 600 it", path, info.Mode().Perm())
	}
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, emptyKey(path)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("key %q is damaged: want %d hex digits", path, 2*ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

// emptyKey says what to do about a key file with nothing in it, which a crash or a full disk may
// have left.
func emptyKey(path string) error {
	_, err := os.Stat(filepath.Join(filepath.Dir(path), membershipFile))
	advice := "remove it: the next start makes a new one"
	switch {
	case err != nil:
	case filepath.Base(path) == swarmFile:
		advice = "remove it: this peer stays a member of its swarm, and can invite nobody"
	default:
		advice = "remove it and " + membershipFile + " beside it: the next start makes new ones, and needs a token to join its swarm again"
	}
	return fmt.Errorf("key %q is empty: make room on the disk if it is full, and put a copy of the key back, or if there is none, %s", path, advice)
}

func readMembership(dir string) (*stored, error) {
	path := filepath.Join(dir, membershipFile)
	data, err := readFile(path)
	if err != nil {
		return nil, err
	}
	s := new(stored)
	if err := wire.Decode(data, s); err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	return s, nil
}

// EphemeralCredentials makes credentials of a peer that meets no other, in memory: an
// identity and a swarm of its own.
func EphemeralCredentials(now time.Time) (*Credentials, error) {
	key := ed25519.NewKeyFromSeed(randomBytes(ed25519.SeedSize))
	c := &Credentials{Key: key, ID: wire.PeerIDOf(public(key)), SwarmKey: ed25519.NewKeyFromSeed(randomBytes(ed25519.SeedSize))}
	s, err := c.start(now)
	if err == nil {
		err = c.adopt(s)
	}
	if err != nil {
		return nil, fmt.Errorf("make credentials: %w", err)
	}
	return c, nil
}

// found starts a swarm: its key and this peer's grant in it. The membership is written
// last, so that a crash before it only leaves a key that the next start takes up.
func (c *Credentials) found(dir string, now time.Time) error {
	var err error
	if c.SwarmKey, err = openKey(filepath.Join(dir, swarmFile), true); err != nil {
		return err
	}
	s, err := c.start(now)
	if err != nil {
		return err
	}
	return c.begin(dir, s)
}

// start makes this peer's membership of the swarm whose key it holds.
func (c *Credentials) start(now time.Time) (*stored, error) {
	g := &wire.Grant{
		Swarm: wire.SwarmIDOf(public(c.SwarmKey)), ID: randomBytes(wire.GrantIDSize), Scopes: wire.AllScopes(), Peer: c.ID,
		NotBefore: now.Add(-protocol.MaxClockSkew).Unix(),
	}
	g.Expires = g.NotBefore + int64(protocol.MaxGrant/time.Second)
	signed, err := wire.SignGrant(c.SwarmKey, g)
	if err != nil {
		return nil, err
	}
	return &stored{Swarm: g.Swarm, Membership: wire.Membership{Grant: signed}}, nil
}

// join takes up a token. old is nil in a fresh directory.
func (c *Credentials) join(dir string, old *stored, token *wire.Token, now time.Time) error {
	g, err := token.Open()
	if err != nil {
		return err
	}
	if old != nil {
		if old.Swarm != g.Swarm {
			return ErrOtherSwarm
		}
		if c.stays(dir, old, g, now) {
			return c.resume(dir, old, token.Bootstrap, now)
		}
	}
	if err := g.At(now); err != nil {
		return fmt.Errorf("token of swarm %s: %w", g.Swarm, err)
	}
	return c.begin(dir, &stored{Swarm: g.Swarm, Membership: token.Admit(c.ID), Name: token.Name, Bootstrap: token.Bootstrap})
}

// stays reports whether a member goes on with the membership that it has, although it was
// given the token of a grant of the same swarm.
func (c *Credentials) stays(dir string, old *stored, g *wire.Grant, now time.Time) bool {
	has, err := old.Membership.Open(old.Swarm, c.ID)
	switch {
	case err != nil:
		return false
	case c.ownsSwarm(dir, old.Swarm):
		return true
	case has.At(now) == nil && bytes.Equal(has.Invitation(), g.ID):
		return true
	}
	return errors.Is(g.At(now), wire.ErrExpired)
}

// ownsSwarm reports whether dir has the key of a swarm.
func (c *Credentials) ownsSwarm(dir string, swarm wire.SwarmID) bool {
	key, err := openKey(filepath.Join(dir, swarmFile), false)
	return err == nil && wire.SwarmIDOf(public(key)) == swarm
}

// resume takes up what the directory holds, and further addresses to dial. The founder
// renews its own grant.
func (c *Credentials) resume(dir string, s *stored, more []wire.Addr, now time.Time) error {
	key, err := openKey(filepath.Join(dir, swarmFile), false)
	if err == nil && wire.SwarmIDOf(public(key)) == s.Swarm {
		c.SwarmKey = key
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, a := range more {
		if !slices.Contains(s.Bootstrap, a) && len(s.Bootstrap) < protocol.MaxAddrs {
			s.Bootstrap = append(s.Bootstrap, a)
		}
	}
	if err := c.adopt(s); err != nil {
		return err
	}
	if err := c.Grant.At(now); !c.Accepted && c.SwarmKey == nil && errors.Is(err, wire.ErrExpired) {
		return fmt.Errorf("token of swarm %s, which no peer has accepted: %w", s.Swarm, err)
	}
	if c.SwarmKey != nil && (c.Grant.Peer == "" || !c.Grant.Admits() || !now.Before(renewsAt(&c.Grant))) {
		return c.found(dir, now)
	}
	return nil
}

// adopt checks a membership, but for its time, and takes it over.
func (c *Credentials) adopt(s *stored) error {
	g, err := s.Membership.Open(s.Swarm, c.ID)
	if err != nil {
		return fmt.Errorf("membership of swarm %s: %w", s.Swarm, err)
	}
	c.Swarm, c.Membership, c.Grant, c.Name, c.Bootstrap = s.Swarm, s.Membership, *g, s.Name, s.Bootstrap
	c.Accepted = s.Accepted || g.Peer != "" // who has a grant of its own was let in
	return nil
}

// begin takes up a new membership.
func (c *Credentials) begin(dir string, s *stored) error {
	if err := c.adopt(s); err != nil {
		return err
	}
	return writeMembership(dir, s)
}

func writeMembership(dir string, s *stored) error {
	b, err := wire.Encode(s)
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, membershipFile), b)
}

// randomBytes returns n bytes of the system's generator, which does not fail.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never errs since Go 1.24
	return b
}
