package wire_test

import (
	"bytes"
	"testing"

	"github.com/covey-network/covey/protocol/wire"
)

// FuzzDecode feeds the same bytes to every message: what decodes must be valid, and must
// encode to bytes that decode to the same bytes again.
func FuzzDecode(f *testing.F) {
	for _, e := range examples(f) {
		b, err := wire.Encode(e.made)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, m := range empties() {
			if wire.Decode(data, m) != nil {
				continue
			}
			b, err := wire.Encode(m)
			if err != nil {
				t.Fatalf("%T decodes but does not encode: %v", m, err)
			}
			if err := wire.Decode(b, m); err != nil {
				t.Fatalf("%T: %x does not decode: %v", m, b, err)
			}
			again, err := wire.Encode(m)
			if err != nil || !bytes.Equal(again, b) {
				t.Fatalf("%T: %x becomes %x: %v", m, b, again, err)
			}
		}
	})
}

func empties() []wire.Message {
	return []wire.Message{
		new(wire.Grant), new(wire.Membership), new(wire.Hello), new(wire.Token), new(wire.Revocation), new(wire.SignedRevocation), new(wire.Error),
		new(wire.BlocksRequest), new(wire.BlocksMissing), new(wire.InferOpen), new(wire.InferOpened), new(wire.InferStep),
		new(wire.InferResult), new(wire.InferClose), new(wire.Advert),
	}
}

// FuzzParseToken checks that what parses has one text form.
func FuzzParseToken(f *testing.F) {
	text, err := token(f).Text()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add("covey1")
	f.Fuzz(func(t *testing.T, in string) {
		tok, err := wire.ParseToken(in)
		if err != nil {
			return
		}
		if _, err := tok.Text(); err != nil {
			t.Fatalf("parses but has no text: %v", err)
		}
	})
}

// FuzzOpenAdvert looks for panics behind the signature check.
func FuzzOpenAdvert(f *testing.F) {
	b, err := wire.SignAdvert(key(peerA), advert())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := wire.OpenAdvert(data, wire.SwarmIDOf(public(swarmKey)))
		if err == nil && a.Validate() != nil {
			t.Fatal("an invalid advert opens")
		}
	})
}

// FuzzOpenRevocation looks for panics behind the signature check.
func FuzzOpenRevocation(f *testing.F) {
	s, err := wire.SignRevocation(key(swarmKey), &wire.Revocation{
		Swarm: wire.SwarmIDOf(public(swarmKey)), Seq: 1, Grants: [][]byte{bytes.Repeat([]byte{7}, wire.GrantIDSize)},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(s.Payload, s.Signature)
	f.Fuzz(func(t *testing.T, payload, signature []byte) {
		r, err := wire.OpenRevocation(wire.Signed{Payload: payload, Signature: signature}, wire.SwarmIDOf(public(swarmKey)))
		if err == nil && r.Validate() != nil {
			t.Fatal("an invalid list opens")
		}
	})
}

// FuzzVerify checks that no membership but the one that was granted lets a peer in.
func FuzzVerify(f *testing.F) {
	g, err := wire.SignGrant(key(swarmKey), grant(nil))
	if err != nil {
		f.Fatal(err)
	}
	a := wire.PeerIDOf(public(peerA))
	m := wire.Admit(g, key(holderKey), a)
	f.Add(m.Grant.Payload, m.Grant.Signature, m.Proof)
	f.Fuzz(func(t *testing.T, payload, signature, proof []byte) {
		x := wire.Membership{Grant: wire.Signed{Payload: payload, Signature: signature}, Proof: proof}
		got, err := x.Verify(wire.SwarmIDOf(public(swarmKey)), a, start)
		if (err == nil) != (got != nil) {
			t.Fatalf("grant %v, error %v", got, err)
		}
		if err == nil && !(bytes.Equal(payload, m.Grant.Payload) && bytes.Equal(proof, m.Proof)) {
			t.Fatalf("admitted with %x, %x, %x", payload, signature, proof)
		}
	})
}

// FuzzIDs reads text and bytes as each kind of name: what passes has one form.
func FuzzIDs(f *testing.F) {
	f.Add([]byte(wire.PeerIDOf(public(peerA)).String()))
	f.Add([]byte(wire.PeerIDOf(public(peerA))))
	f.Add([]byte(wire.SwarmIDOf(public(swarmKey)).String()))
	f.Add([]byte("/ip4/192.168.1.2/tcp/4001/p2p/" + wire.PeerIDOf(public(peerA)).String()))
	if b, err := wire.Addr("/ip6/::1/udp/4001/quic-v1").MarshalBinary(); err == nil {
		f.Add(b)
	}
	f.Add(wire.BlockHead(wire.CIDOf(nil)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if p, err := wire.ParsePeerID(string(data)); err == nil && p.String() != string(data) {
			t.Fatalf("peer %q is written %q", data, p)
		}
		if s, err := wire.ParseSwarmID(string(data)); err == nil && s.String() != string(data) {
			t.Fatalf("swarm %q is written %q", data, s)
		}
		if c, err := wire.BlockCID(data); err == nil && (wire.ValidCID(c) != nil || !bytes.Equal(wire.BlockHead(c), data)) {
			t.Fatalf("block %x becomes %s", data, c)
		}
		var p wire.PeerID
		if p.UnmarshalBinary(data) == nil && len(p.PublicKey()) != 32 {
			t.Fatalf("peer %x has no key", data)
		}
		var a wire.Addr
		if a.UnmarshalBinary(data) == nil {
			if err := a.Validate(); err != nil {
				t.Fatalf("%x becomes an address that is not valid: %v", data, err)
			}
			a.Peer()
			if b, err := a.MarshalBinary(); err != nil || !bytes.Equal(b, data) {
				t.Fatalf("%x becomes %s and %x: %v", data, a, b, err)
			}
		}
		wire.Addr(data).Peer()
	})
}

// FuzzOpenLost looks for panics behind the signature check.
func FuzzOpenLost(f *testing.F) {
	b, err := wire.SignLost(key(peerA), lost())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, data []byte) {
		l, err := wire.OpenLost(data, wire.SwarmIDOf(public(swarmKey)))
		if err == nil && l.Validate() != nil {
			t.Fatal("an invalid word of a lost peer opens")
		}
	})
}
