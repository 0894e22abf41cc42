package host

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// sybils makes adverts of peers that one token lets in, as large as adverts get, and calls
// each with them.
func sybils(t *testing.T, token *wire.Token, n int, each func(id ID, data []byte)) {
	t.Helper()
	now := time.Now()
	var models []wire.ModelAdvert
	for i := range protocol.MaxAdvertModels {
		m := wire.ModelAdvert{Model: wire.CIDOf([]byte{byte(i)}), Name: fmt.Sprintf("%0120d", i)}
		for j := range uint32(10) {
			m.Held = append(m.Held, wire.Range{First: j, Last: 4096})
		}
		models = append(models, m)
	}
	for i := range n {
		seed := make([]byte, ed25519.SeedSize)
		binary.LittleEndian.PutUint64(seed, uint64(i+1))
		key := ed25519.NewKeyFromSeed(seed)
		c := &Credentials{Key: key, ID: wire.PeerIDOf(public(key)), Swarm: openToken(t, token).Swarm}
		c.Membership = token.Admit(c.ID)
		each(c.ID, (&forger{c, now}).advert(t, func(a *wire.Advert) {
			a.Models = models
			a.Addrs = []wire.Addr{wire.Addr(fmt.Sprintf("/ip4/127.0.0.1/tcp/%d", 1+i%1000))}
		}))
	}
}

// TestSybils fills a peer with adverts of made-up peers of one token: what it keeps of them
// is bounded, and honest newcomers get in, also one that came with the same token.
func TestSybils(t *testing.T) {
	t.Parallel()
	a := startPeer(t, foundSwarm(t, t.TempDir()), func(c *Config) { c.PeersLow = 8 })
	token, err := a.creds.Invite(Invitation{Addrs: a.Addrs()}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	attacker := invited(t, a, t.TempDir(), Invitation{})
	sent := 0
	sybils(t, token, 200, func(_ ID, data []byte) {
		sent += len(data)
		if v := r.receive(attacker.ID, data); v == verdictReject {
			t.Fatal("an advert of a sybil is not valid")
		}
	})
	var rows, bytes, models int
	for _, ad := range a.Adverts() {
		rows++
		models += len(ad.Models)
		bytes += len(r.table.own(ad.Peer, time.Now())[0])
	}
	t.Logf("%d bytes sent; %d adverts, %d bytes, %d models kept", sent, rows, bytes, models)
	if rows == 0 || rows > protocol.MaxGrantAdverts || bytes > protocol.MaxGrantAdvertBytes || models > protocol.MaxGrantModels {
		t.Errorf("%d adverts with %d bytes and %d models are kept", rows, bytes, models)
	}
	creds, err := OpenCredentials(t.TempDir(), token, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string]*peerOf{"of the same token": startPeer(t, creds, nil), "of another": startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)} {
		until(t, name, knows(a, b))
		until(t, "a newcomer "+name+" is listed", func() bool {
			if err := b.PublishAdvert(t.Context(), capacity()); err != nil {
				t.Fatal(err)
			}
			return a.hasAdvert(b.ID())
		})
	}
}

// TestFullTable fills the table with adverts of many invitations.
func TestFullTable(t *testing.T) {
	t.Parallel()
	now := time.Now()
	worth := map[ID]int{"met": 1, "here": 2, "old": 2}
	tab := newTable(func(id ID) int { return worth[id] })
	put := func(id ID, grant string, n int) bool {
		return tab.put(&wire.Advert{Peer: id, Seq: 1, Issued: now.UnixMilli(), TTLSec: 60}, grant, make([]byte, n), false, now)
	}
	if !put("old", "small", 1000) {
		t.Fatal("the first one")
	}
	const one = 64 << 10
	for g := range protocol.MaxAdvertBytes / protocol.MaxGrantAdvertBytes {
		for i := range protocol.MaxGrantAdvertBytes/one + 1 {
			put(ID(fmt.Sprint(g, " ", i)), fmt.Sprint("g", g), one)
		}
	}
	if tab.all.bytes > protocol.MaxAdvertBytes || tab.all.bytes < protocol.MaxAdvertBytes-2*one {
		t.Errorf("%d bytes kept", tab.all.bytes)
	}
	for _, c := range []struct {
		id    ID
		grant string
		want  bool
	}{{"new", "g0", false}, {"new", "small", false}, {"met", "small", true}, {"here", "g0", true}} {
		if got := put(c.id, c.grant, one); got != c.want {
			t.Errorf("%s of %s: %v", c.id, c.grant, got)
		}
	}
	if tab.of("old", now) == nil {
		t.Error("a connected peer of a small invitation had to go")
	}
	// The sums are those of the rows, also after rows end in each way.
	tab.drop("met")
	tab.dropAll(func(a *wire.Advert) bool { return a.Peer < "1" })
	tab.sweep(now)
	sum, grants := size{}, map[string]size{}
	for _, r := range tab.rows {
		if r.size != (size{}) {
			sum, grants[r.grant] = sum.plus(r.size), grants[r.grant].plus(r.size)
		}
	}
	if sum != tab.all || len(grants) != len(tab.grants) || slices.ContainsFunc(tab.live(now), func(a *wire.Advert) bool { return a.Peer == "met" }) {
		t.Errorf("rows sum up to %+v, counted %+v", sum, tab.all)
	}
	tab.sweep(now.Add(time.Hour))
	if tab.all != (size{}) || len(tab.grants) != 0 || len(tab.rows) != 0 {
		t.Errorf("after all has run out: %+v, %d invitations, %d rows", tab.all, len(tab.grants), len(tab.rows))
	}
}

// TestBookKeepsWhoItMet floods the peers book with peers that others tell of.
func TestBookKeepsWhoItMet(t *testing.T) {
	t.Parallel()
	b := newBook(foundSwarm(t, t.TempDir()).ID, time.Second)
	addr := []wire.Addr{"/ip4/127.0.0.1/tcp/1"}
	b.verified("met", addr, time.Now())
	for i := range 2 * maxBook {
		b.add(ID(fmt.Sprint(i)), addr, false)
	}
	if n := len(b.peers); n > maxUnmet+1 || !b.met("met") {
		t.Errorf("%d peers, met %v", n, b.met("met"))
	}
	if d := b.due(time.Now(), byID); d[0].id != "met" {
		t.Errorf("%q is dialled first", d[0].id)
	}
	b.verified("newcomer", addr, time.Now())
	if !b.met("newcomer") {
		t.Error("a newcomer that was met has no place")
	}
}
