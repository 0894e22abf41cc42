package host

import (
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
	peersFile      = "peers.json"
)

// ErrOtherSwarm means that the data directory belongs to another swarm than the token.
var ErrOtherSwarm = errors.New("already a member of another swarm")

// ErrNotOwner means that an invitation needs the swarm's key, which only the peer that
// founded the swarm has.
var ErrNotOwner = errors.New("this peer does not hold the swarm's key")

// ErrScope means that an invitation is for a scope that does not exist.
var ErrScope = errors.New("unknown scope")

// Credentials are who this peer is and by what right. They are read-only after
// OpenCredentials.
type Credentials struct {
	Key        ed25519.PrivateKey
	ID         ID
	Swarm      wire.SwarmID
	SwarmKey   ed25519.PrivateKey // nil unless this peer founded the swarm
	Membership wire.Membership
	Grant      wire.Grant // within Membership
	Name       string     // of the swarm, for people
	Bootstrap  []wire.Addr
}

// stored is the membership file.
type stored struct {
	Swarm      wire.SwarmID    `cbor:"1,keyasint"`
	Membership wire.Membership `cbor:"2,keyasint"`
	Name       string          `cbor:"3,keyasint,omitempty"`
	Bootstrap  []wire.Addr     `cbor:"4,keyasint,omitempty"`
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
// swarm of its own. A token of the swarm that dir belongs to already renews the
// membership; one of another swarm is ErrOtherSwarm.
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
		err = c.resume(dir, s, now)
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
		err = createFile(path, []byte(hex.EncodeToString(seed)+"\n"))
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
	seed, err := hex.DecodeString(strings.TrimSpace(string(data)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("key %q is damaged: want %d hex digits", path, 2*ed25519.SeedSize)
	}
	return ed25519.NewKeyFromSeed(seed), nil
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
		err = c.adopt("", s, now, false)
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
	return c.adopt(dir, s, now, true)
}

// start makes this peer's membership of the swarm whose key it holds.
func (c *Credentials) start(now time.Time) (*stored, error) {
	g := &wire.Grant{
		Swarm: wire.SwarmIDOf(public(c.SwarmKey)), ID: randomBytes(wire.GrantIDSize), Scopes: wire.Scopes(), Peer: c.ID,
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
	if old != nil && old.Swarm != g.Swarm {
		return ErrOtherSwarm
	}
	return c.adopt(dir, &stored{Swarm: g.Swarm, Membership: token.Admit(c.ID), Name: token.Name, Bootstrap: token.Bootstrap}, now, true)
}

// resume takes up what the directory holds. The founder renews its own grant.
func (c *Credentials) resume(dir string, s *stored, now time.Time) error {
	key, err := openKey(filepath.Join(dir, swarmFile), false)
	if err == nil && wire.SwarmIDOf(public(key)) == s.Swarm {
		c.SwarmKey = key
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	err = c.adopt(dir, s, now, false)
	if errors.Is(err, wire.ErrExpired) && c.SwarmKey != nil {
		return c.found(dir, now)
	}
	return err
}

// adopt checks a membership and takes it over.
func (c *Credentials) adopt(dir string, s *stored, now time.Time, write bool) error {
	g, err := s.Membership.Verify(s.Swarm, c.ID, now)
	if err != nil {
		return fmt.Errorf("membership of swarm %s: %w", s.Swarm, err)
	}
	if write {
		b, err := wire.Encode(s)
		if err != nil {
			return err
		}
		if err := writeFile(filepath.Join(dir, membershipFile), b); err != nil {
			return err
		}
	}
	c.Swarm, c.Membership, c.Grant, c.Name, c.Bootstrap = s.Swarm, s.Membership, *g, s.Name, s.Bootstrap
	return nil
}

// Invitation says what an invitation allows. The zero value of each field has a default.
type Invitation struct {
	Name   string        // of the swarm, for people; may be empty
	Addrs  []wire.Addr   // where to find this peer; see Host.Addrs
	Scopes []string      // all, if empty
	TTL    time.Duration // a week, if 0
}

// DefaultInvitation is how long an invitation lasts unless told otherwise.
const DefaultInvitation = 7 * 24 * time.Hour

// Invite makes a join token. Whoever has its text can join until it expires, and peers that
// joined with it stay members until then.
func (c *Credentials) Invite(in Invitation, now time.Time) (*wire.Token, error) {
	if c.SwarmKey == nil {
		return nil, fmt.Errorf("invite: %w", ErrNotOwner)
	}
	if in.TTL == 0 {
		in.TTL = DefaultInvitation
	}
	scopes := slices.Clone(in.Scopes)
	if len(scopes) == 0 {
		scopes = wire.Scopes()
	}
	slices.Sort(scopes)
	for _, s := range scopes {
		if !slices.Contains(wire.Scopes(), s) {
			return nil, fmt.Errorf("invite: %w: %.40q, there are %s", ErrScope, s, strings.Join(wire.Scopes(), ", "))
		}
	}
	seed := randomBytes(ed25519.SeedSize)
	g := &wire.Grant{
		Swarm: c.Swarm, ID: randomBytes(wire.GrantIDSize), Scopes: slices.Compact(scopes),
		NotBefore: now.Unix(), Expires: now.Add(in.TTL).Unix(), Holder: public(ed25519.NewKeyFromSeed(seed)),
	}
	signed, err := wire.SignGrant(c.SwarmKey, g)
	if err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	t := &wire.Token{Name: in.Name, Bootstrap: in.Addrs, Grant: signed, Seed: seed}
	if err := t.Validate(); err != nil {
		return nil, fmt.Errorf("invite: %w", err)
	}
	return t, nil
}

// randomBytes returns n bytes of the system's generator, which does not fail.
func randomBytes(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never errs since Go 1.24
	return b
}
