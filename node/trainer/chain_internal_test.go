package trainer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// TestChainIsServedWhole asks for a chain of which memory has the last certificates only, page by
// page from round 0: each follows the one before, as a peer that comes demands.
func TestChainIsServedWhole(t *testing.T) {
	t.Parallel()
	const n = keptChain + 3*protocol.MaxTrainChain/2
	c := newTestChain(t, n-1)
	dir := t.TempDir()
	s := c.session(t, dir)
	list := make([]*train.Sealed, 0, n)
	for _, cert := range c.all[:n-1] {
		list = append(list, s.passedOn(cert))
	}
	if err := s.files.writeChain(list); err != nil {
		t.Fatal(err)
	}
	s = c.session(t, dir)
	if err := s.note(c.all[n-1]); err != nil {
		t.Fatal(err)
	}
	if len(s.chain) != keptChain {
		t.Fatalf("%d certificates in memory, want %d", len(s.chain), keptChain)
	}
	tr := &Trainer{sessions: map[train.Hash]*session{c.id: s}}
	var last *train.Certificate
	for from := uint64(0); from < n; {
		page, err := tr.Chain("", &train.Chain{Job: c.id, From: from})
		if err != nil || len(page) == 0 || len(page) > protocol.MaxTrainChain {
			t.Fatalf("%d certificates from round %d on: %v", len(page), from, err)
		}
		for _, sealed := range page {
			b, err := sealed.Open()
			if err != nil {
				t.Fatal(err)
			}
			cert := b.(*train.Certificate)
			if err := s.follows(last, cert); err != nil || cert.Outcome.Round != from {
				t.Fatalf("round %d, want %d: %v", cert.Outcome.Round, from, err)
			}
			last, from = cert, from+1
		}
	}
	if page, err := tr.Chain("", &train.Chain{Job: c.id, From: n}); err != nil || len(page) != 0 {
		t.Errorf("%d certificates after the last: %v", len(page), err)
	}
}

// TestChainIsExtendedAtOnce takes in what a peer gives: those certificates that follow the end of the
// chain, up to one that does not, and no more when the job is over.
func TestChainIsExtendedAtOnce(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 6)
	end := newTestChain(t, 0)
	end.add(t, c.all[1].Outcome.State, func(o *train.Outcome) { o.End = train.EndRounds })
	end.add(t, c.all[2].Outcome.State, nil)
	for name, tt := range map[string]struct {
		of    *testChain
		give  []int
		want  []uint64
		fails bool
	}{
		"those that follow":     {c, []int{2, 3, 4, 5, 6}, []uint64{0, 1, 2, 3, 4, 5, 6}, false},
		"some are here already": {c, []int{0, 1, 2, 3}, []uint64{0, 1, 2, 3}, false},
		"a gap":                 {c, []int{2, 4, 5}, []uint64{0, 1, 2}, true},
		"nothing new":           {c, []int{0, 1}, []uint64{0, 1}, false},
		"too late":              {c, []int{4, 5}, []uint64{0, 1}, true},
		"none":                  {c, nil, []uint64{0, 1}, false},
		"after the end":         {end, []int{2}, []uint64{0, 1}, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := tt.of.session(t, dir)
			for _, cert := range tt.of.all[:2] {
				if err := s.note(cert); err != nil {
					t.Fatal(err)
				}
			}
			var sealed []*train.Sealed
			var list []*train.Certificate
			for _, i := range tt.give {
				sealed, list = append(sealed, s.passedOn(tt.of.all[i])), append(list, tt.of.all[i])
			}
			next, follows, err := s.extend(sealed, list)
			if err != nil || (follows != nil) != tt.fails || len(next) != len(tt.want)-2 {
				t.Errorf("%d certificates are new, %v, %v", len(next), follows, err)
			}
			if got := rounds(t, dir); !slices.Equal(got, tt.want) || s.tip.Outcome.Round != tt.want[len(tt.want)-1] {
				t.Errorf("rounds %v, want %v", got, tt.want)
			}
		})
	}
}

// BenchmarkExtendChain takes in one page of certificates, as a member that was away does.
func BenchmarkExtendChain(b *testing.B) {
	c := newTestChain(b, protocol.MaxTrainChain)
	for b.Loop() {
		s := c.session(b, b.TempDir())
		if err := s.note(c.all[0]); err != nil {
			b.Fatal(err)
		}
		var sealed []*train.Sealed
		for _, cert := range c.all[1:] {
			sealed = append(sealed, s.passedOn(cert))
		}
		if _, follows, err := s.extend(sealed, c.all[1:]); follows != nil || err != nil {
			b.Fatal(follows, err)
		}
	}
}

// TestFirstCertificate has what a peer that comes may be shown as the beginning of a job.
func TestFirstCertificate(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 2)
	s := c.session(t, t.TempDir())
	another, state, later := *c.all[0], *c.all[0], *c.all[1]
	later.Outcome.State = c.job.Genesis // nothing came of its round
	another.Peer = wire.PeerIDOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	state.Outcome.State = train.HashOf([]byte("another state"))
	for name, tt := range map[string]struct {
		cert *train.Certificate
		ok   bool
	}{"the initiator's": {c.all[0], true}, "a later one": {&later, false}, "another peer's": {&another, false}, "another state": {&state, false}} {
		if err := s.follows(nil, tt.cert); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.follows(c.all[0], c.all[2]) == nil {
		t.Error("a certificate follows one that is not its parent")
	}
}

// TestOutsidersAreHeardLittle gives a member bundles of others. A message behind the first one of
// an outsider has a bad signature: where the bundle is ignored, and not rejected, nobody looked.
func TestOutsidersAreHeardLittle(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 0)
	s := c.session(t, t.TempDir())
	ctx, end := context.WithCancel(t.Context())
	defer end()
	s.ctx, s.calls, s.changed = ctx, make(chan func(), maxCalls), make(chan struct{})
	s.view = view{last: c.all[0], members: []wire.PeerID{c.me}, member: true}
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))
	peer := wire.PeerIDOf(other.Public().(ed25519.PublicKey))
	seal := func(key ed25519.PrivateKey, b train.Body) train.Sealed {
		sealed, err := train.Seal(key, b)
		if err != nil {
			t.Fatal(err)
		}
		return *sealed
	}
	swarm := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, ed25519.SeedSize))
	leave := seal(other, &train.Leave{Job: c.id, Peer: peer, Round: 1})
	mine := seal(c.key, &train.Leave{Job: c.id, Peer: c.me, Round: 1})
	bad := mine
	bad.Signature = bytes.Repeat([]byte{1}, ed25519.SignatureSize)
	cert := *c.all[0]
	cert.Peer = peer
	shown := seal(other, &cert)
	join := seal(other, &train.Join{Job: c.id, Peer: peer, Membership: membershipOf(t, swarm, peer)})
	ours := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{10}, ed25519.SeedSize))
	s.job.Swarm = wire.SwarmIDOf(ours.Public().(ed25519.PublicKey))
	welcome := seal(other, &train.Join{Job: c.id, Peer: peer, Membership: membershipOf(t, ours, peer)})
	for name, tt := range map[string]struct {
		bundle []train.Sealed
		want   host.Verdict
	}{
		"a bad signature first":                {[]train.Sealed{bad}, host.Reject},
		"an outsider's message":                {[]train.Sealed{leave}, host.Ignore},
		"an outsider's certificate":            {[]train.Sealed{shown}, host.Accept},
		"more behind an outsider's":            {[]train.Sealed{shown, bad}, host.Ignore},
		"a member's":                           {[]train.Sealed{mine}, host.Accept},
		"a bad one behind a member's":          {[]train.Sealed{mine, bad}, host.Reject},
		"a wish of a peer of another swarm":    {[]train.Sealed{join}, host.Ignore},
		"such a wish behind a member's":        {[]train.Sealed{mine, join}, host.Ignore},
		"a certificate behind a member's word": {[]train.Sealed{mine, shown}, host.Accept},
		"a wish of a peer of the swarm":        {[]train.Sealed{welcome}, host.Accept},
	} {
		before := len(s.calls)
		if got := s.take(&train.Bundle{Messages: tt.bundle}); got != tt.want || (len(s.calls) > before) != (got == host.Accept) {
			t.Errorf("%s: verdict %v, want %v; %d calls", name, got, tt.want, len(s.calls)-before)
		}
	}
}

// TestJoinNeedsFolder has no folder to be made after a name that another peer chose.
func TestJoinNeedsFolder(t *testing.T) {
	t.Parallel()
	for _, folder := range []string{"", "a.run", "../a.run"} {
		if err := new(Trainer).submitJoin(t.Context(), new(Run), Request{Join: "a", Folder: folder}); !errors.Is(err, ErrUsage) {
			t.Errorf("folder %q: %v", folder, err)
		}
	}
}

// membershipOf is what a peer shows of its place in a swarm.
func membershipOf(t *testing.T, swarm ed25519.PrivateKey, peer wire.PeerID) wire.Membership {
	t.Helper()
	now := time.Now().Unix()
	sealed, err := wire.SignGrant(swarm, &wire.Grant{
		Swarm: wire.SwarmIDOf(swarm.Public().(ed25519.PublicKey)), ID: bytes.Repeat([]byte{1}, wire.GrantIDSize), Scopes: wire.Scopes(),
		NotBefore: now - 60, Expires: now + 3600, Peer: peer,
	})
	if err != nil {
		t.Fatal(err)
	}
	return wire.Membership{Grant: sealed}
}
