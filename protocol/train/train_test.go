package train_test

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

func key(n byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{n}, ed25519.SeedSize))
}

func id(n byte) wire.PeerID { return wire.PeerIDOf(key(n).Public().(ed25519.PublicKey)) }

func hash(n byte) train.Hash { return train.HashOf([]byte{n}) }

func membership(t testing.TB, n byte) wire.Membership {
	t.Helper()
	swarm := key(200)
	g := &wire.Grant{
		Swarm: wire.SwarmIDOf(swarm.Public().(ed25519.PublicKey)), ID: bytes.Repeat([]byte{n}, wire.GrantIDSize), Scopes: wire.Scopes(),
		NotBefore: 1_800_000_000, Expires: 1_800_000_000 + int64(30*24*time.Hour/time.Second), Peer: id(n),
	}
	s, err := wire.SignGrant(swarm, g)
	if err != nil {
		t.Fatal(err)
	}
	return wire.Membership{Grant: s}
}

// members returns the ids of keys 1 to n, sorted, with their keys.
func members(n int) ([]wire.PeerID, map[wire.PeerID]ed25519.PrivateKey) {
	list, keys := []wire.PeerID{}, map[wire.PeerID]ed25519.PrivateKey{}
	for i := range n {
		p := id(byte(i + 1))
		list, keys[p] = append(list, p), key(byte(i+1))
	}
	slices.Sort(list)
	return list, keys
}

func settings() train.Settings {
	return train.Settings{
		Mode: train.DiLoCo, Rounds: 100, InnerSteps: 50, Codec: "int8", Rule: "mean", Group: 16, Quorum: train.Majority, MinPeers: 2,
		OuterLR: 0.7, OuterMomentum: 0.9,
	}
}

func outcome(round uint64, list []wire.PeerID) train.Outcome {
	o := train.Outcome{Job: hash(1), Round: round, State: hash(3), Members: list, Samples: 100, Loss: 1.5}
	if round > 0 {
		o.Base, o.Parent, o.Slices, o.Senders = hash(2), hash(4), make([]train.Hash, len(list)), train.All(len(list))
		o.Slices[0] = hash(5)
	}
	return o
}

// bodies returns one message of each kind, all of peer 1.
func bodies(t testing.TB) []train.Body {
	list, _ := members(3)
	return []train.Body{
		&train.Job{
			Swarm: wire.SwarmID{1}, Initiator: id(1), Name: "letters", Issued: 1, Spec: []byte("version = 1"), Schema: []byte("{}"),
			Settings: settings(), Values: 10, Genesis: hash(1), Seed: 7,
		},
		&train.Announce{Swarm: wire.SwarmID{1}, Peer: id(1), Job: hash(1), Initiator: id(1), Name: "letters", Issued: 5, Phase: train.PhaseRunning, Round: 3, Members: 2, Membership: membership(t, 1)},
		&train.Join{Job: hash(1), Peer: id(1), Round: 2, State: hash(2), Samples: 5, Membership: membership(t, 1)},
		&train.Leave{Job: hash(1), Peer: id(1), Round: 2},
		&train.Stop{Job: hash(1), Peer: id(1)},
		&train.Header{Job: hash(1), Round: 1, Peer: id(1), Base: hash(2), Samples: 32, Steps: 4, Millis: 100, Loss: 2.5, Slices: []train.Hash{hash(3), hash(4)}},
		&train.Reduced{Job: hash(1), Round: 1, Peer: id(1), Slice: 1, Result: hash(9), Bytes: 10, From: 3},
		&train.Proposal{Job: hash(1), Round: 1, View: 2, ValidView: -1, Peer: id(1), Outcome: outcome(1, list)},
		&train.Vote{Job: hash(1), Round: 1, View: 2, Step: train.Prevote, Peer: id(1)},
		&train.Certificate{Peer: id(1), Outcome: outcome(0, list)},
		&train.Vector{Job: hash(1), Turn: 4, Peer: id(1), Base: hash(2), Samples: 32, Loss: 2.5, Data: []byte{1, 2}},
	}
}

// TestSealed checks that each kind of message comes out as it went in, and that no changed
// byte, other signer or other kind passes.
func TestSealed(t *testing.T) {
	t.Parallel()
	for _, b := range bodies(t) {
		s, err := train.Seal(key(1), b)
		if err != nil {
			t.Fatalf("%T: %v", b, err)
		}
		raw, err := wire.Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		back := new(train.Sealed)
		if err := wire.Decode(raw, back); err != nil {
			t.Fatalf("%T: %v", b, err)
		}
		got, err := back.Open()
		if err != nil {
			t.Fatalf("%T: %v", b, err)
		}
		again, err := wire.Encode(got)
		if err != nil || !bytes.Equal(again, s.Payload) {
			t.Errorf("%T comes out as %x, went in as %x: %v", b, again, s.Payload, err)
		}
		if _, err := train.Seal(key(2), b); !errors.Is(err, wire.ErrBound) {
			t.Errorf("%T sealed with another key: %v", b, err)
		}
		back.Signature[5] ^= 1
		if _, err := back.Open(); !errors.Is(err, wire.ErrSignature) {
			t.Errorf("%T with a changed signature: %v", b, err)
		}
		back.Signature[5] ^= 1
		for k := train.KindJob; k <= train.KindVector; k++ {
			if other := *back; k != back.Kind {
				other.Kind = k
				if _, err := other.Open(); err == nil {
					t.Errorf("%T passes for kind %d", b, k)
				}
			}
		}
	}
}

// TestNames has names that would control a terminal or turn the writing around.
func TestNames(t *testing.T) {
	t.Parallel()
	for name, ok := range map[string]bool{
		"letters": true, "Zählung 7": true, "文字": true, "שלום": true, "": false, "a\x1b[2J": false, "a\x7f": false, "a\u0080": false, "a\u009b2J": false, "a\u009f": false,
		"a\u202eb": false, "a\u2066b": false, "a\u200fb": false,
	} {
		j := bodies(t)[0].(*train.Job)
		j.Name = name
		if err := j.Validate(); (err == nil) != ok {
			t.Errorf("name %q: %v", name, err)
		}
	}
}

// certify returns a certificate of an outcome by some of its round's members.
func certify(t *testing.T, o train.Outcome, view uint64, list []wire.PeerID, keys map[wire.PeerID]ed25519.PrivateKey, signers train.Set) *train.Certificate {
	t.Helper()
	oid, err := o.ID()
	if err != nil {
		t.Fatal(err)
	}
	c := &train.Certificate{Peer: list[0], Outcome: o, View: view, Signers: signers}
	for i, m := range list {
		if !signers.Has(i) {
			continue
		}
		s, err := train.Seal(keys[m], &train.Vote{Job: o.Job, Round: o.Round, View: view, Step: train.Precommit, Outcome: oid, Peer: m})
		if err != nil {
			t.Fatal(err)
		}
		c.Signatures = append(c.Signatures, s.Signature)
	}
	return c
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	list, keys := members(5)
	o := outcome(3, list)
	good := certify(t, o, 1, list, keys, 0b10110)
	if err := good.Verify(list, train.Majority); err != nil {
		t.Error(err)
	}
	if err := good.Verify(list, train.TwoThirds); err == nil {
		t.Error("3 of 5 count as two thirds")
	}
	if err := good.Verify(list[:4], train.Majority); err == nil {
		t.Error("a signer that is no member counts")
	}
	if err := certify(t, o, 1, list, keys, 0b00110).Verify(list, train.Majority); err == nil {
		t.Error("2 of 5 count as a majority")
	}
	for name, change := range map[string]func(c *train.Certificate){
		"another view":           func(c *train.Certificate) { c.View++ },
		"another state":          func(c *train.Certificate) { c.Outcome.State = hash(77) },
		"another round":          func(c *train.Certificate) { c.Outcome.Round++ },
		"others' names":          func(c *train.Certificate) { c.Signers = 0b01011 },
		"a signature twice":      func(c *train.Certificate) { c.Signatures[1] = c.Signatures[0] },
		"a signature is missing": func(c *train.Certificate) { c.Signatures = c.Signatures[1:] },
	} {
		c := *good
		c.Signatures = slices.Clone(good.Signatures)
		if change(&c); c.Verify(list, train.Majority) == nil {
			t.Errorf("a certificate with %s passes", name)
		}
	}
}

// FuzzOpen checks that what opens is canonical, and that nothing panics.
func FuzzOpen(f *testing.F) {
	for _, b := range bodies(f) {
		s, err := train.Seal(key(1), b)
		if err != nil {
			f.Fatal(err)
		}
		raw, err := wire.Encode(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s := new(train.Sealed)
		if wire.Decode(data, s) != nil {
			return
		}
		b, err := s.Open()
		if err != nil {
			return
		}
		if again, err := wire.Encode(b); err != nil || !bytes.Equal(again, s.Payload) {
			t.Fatalf("%T: %x becomes %x: %v", b, s.Payload, again, err)
		}
	})
}
