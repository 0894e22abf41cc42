package node_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// online gives a node a network on loopback.
func online(join string) func(*node.Config) {
	return func(c *node.Config) {
		c.Offline, c.Join = false, join
		c.Network = node.Network{Listen: []string{"/ip4/127.0.0.1/tcp/0"}, Relay: host.RelayOff}
	}
}

func invite(t *testing.T, c *api.Client, scopes ...string) string {
	t.Helper()
	var in api.Invite
	if err := c.Post(t.Context(), "/covey/v1/invite", api.InviteRequest{TTL: time.Hour, Scopes: scopes}, &in); err != nil {
		t.Fatal(err)
	}
	return in.Token
}

func status(t *testing.T, c *api.Client) (st api.Status) {
	t.Helper()
	if err := c.Get(t.Context(), "/covey/v1/status", nil, &st); err != nil {
		t.Fatal(err)
	}
	return st
}

func importAs(t *testing.T, c *api.Client, name, quantize string) {
	t.Helper()
	if _, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: name, Quantize: quantize}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
}

// known returns what a node knows of the models of a swarm, by name.
func known(t *testing.T, c *api.Client) map[string]api.Model {
	t.Helper()
	var all []api.Model
	if err := c.Get(t.Context(), "/covey/v1/models", nil, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]api.Model{}
	for _, m := range all {
		out[m.Name] = m
	}
	return out
}

func until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	late := time.After(30 * time.Second)
	for !cond() {
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("never: %s", what)
		}
	}
}

// TestJoinAfterOfflineUse uses a model without a network first, then joins a swarm with the
// same data.
func TestJoinAfterOfflineUse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := startStop(t, dir, nil)
	importAs(t, c, "demo", "")
	want := complete(t, c, nil).Choices[0].Text
	stop()
	for _, file := range []string{"identity.key", "swarm.key", "membership.cbor"} {
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			t.Errorf("offline use made %s", file)
		}
	}
	owner := start(t, t.TempDir(), online(""))
	joined := start(t, dir, online(invite(t, owner)))
	if got, want := status(t, joined).Swarm, status(t, owner).Swarm; got != want {
		t.Errorf("in swarm %s, want %s", got, want)
	}
	if got := complete(t, joined, nil).Choices[0].Text; got != want {
		t.Errorf("says %q, before %q", got, want)
	}
}

// TestLocalUseIsNotHosting answers from a model that is here, which others do not hear of
// until the owner hosts it.
func TestLocalUseIsNotHosting(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	dir := t.TempDir()
	c := start(t, dir, online(invite(t, owner)))
	importAs(t, c, "demo", "")
	complete(t, c, nil)
	var choice router.Choice
	if err := c.Get(t.Context(), "/covey/v1/route", url.Values{"model": {"demo"}}, &choice); err != nil || choice.Chain == nil {
		t.Errorf("local route: %+v, %v", choice, err)
	}
	if h := status(t, c).Hosted; len(h) != 0 {
		t.Errorf("hosts %+v", h)
	}
	if _, err := os.Stat(filepath.Join(dir, "hosting.json")); err == nil {
		t.Error("local use is kept for the next start")
	}
	importAs(t, c, "later", "q8_0") // and is advertised after what came before it
	until(t, "the owner hears of both", func() bool { m := known(t, owner); return m["later"].CID != "" && m["demo"].CID != "" })
	if m := known(t, owner)["demo"]; m.Serving != 0 || m.Peers != 1 {
		t.Errorf("%d peers serve what is in local use, %d hold it", m.Serving, m.Peers)
	}
	if _, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	until(t, "the owner hears that it is hosted", func() bool { return known(t, owner)["demo"].Serving == 1 })
}

// TestLocalModelsShareMemory uses two models in turn of which one fits at a time, then hosts
// one of them.
func TestLocalModelsShareMemory(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.Limits.Memory = 22 << 20 })
	importAs(t, c, "demo", "")
	importAs(t, c, "small", "q8_0")
	first := complete(t, c, nil).Choices[0].Text
	complete(t, c, map[string]any{"model": "small"})
	if again := complete(t, c, nil).Choices[0].Text; again != first {
		t.Errorf("says %q, before %q", again, first)
	}
	if _, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "small", Blocks: "auto"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	if code, body := request(t, c, "POST", "/v1/completions", `{"model":"demo","prompt":"x"}`, nil); code < 500 || !strings.Contains(body, "memory") {
		t.Errorf("a model that does not fit beside a hosted one: %d %s", code, body)
	}
	complete(t, c, map[string]any{"model": "small"})
}

// TestScopes joins with a token that only lets use the swarm.
func TestScopes(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	if code, body := request(t, owner, "POST", "/covey/v1/invite", `{"ttl_ns":1000000000,"scopes":["foo"]}`, nil); code != 400 || !strings.Contains(body, "foo") {
		t.Errorf("unknown scope: %d %s", code, body)
	}
	importAs(t, owner, "demo", "")
	if _, err := owner.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	user := start(t, t.TempDir(), online(invite(t, owner, wire.ScopeUse)))
	until(t, "the user hears of the model", func() bool { return known(t, user)["demo"].Serving == 1 })
	complete(t, user, nil)
	if code, body := request(t, user, "POST", "/covey/v1/host", `{"model":"demo","blocks":"all"}`, nil); code != 403 || !strings.Contains(body, "serve") {
		t.Errorf("host without the scope: %d %s", code, body)
	}
}

// TestInvitations joins with a token that is over, and invites without the swarm's key.
func TestInvitations(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	peer := start(t, t.TempDir(), online(invite(t, owner)))
	if code, body := request(t, peer, "POST", "/covey/v1/invite", "{}", nil); code != 403 || !strings.Contains(body, "only the node that founded the swarm can invite") {
		t.Errorf("invitation by a peer: %d %s", code, body)
	}
	var in api.Invite
	if err := owner.Post(t.Context(), "/covey/v1/invite", api.InviteRequest{TTL: time.Second}, &in); err != nil {
		t.Fatal(err)
	}
	until(t, "the token is over", func() bool { return time.Now().After(in.Expires) })
	cfg, err := node.ReadConfig(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	cfg.API.Addr = "127.0.0.1:0"
	online(in.Token)(cfg)
	n, err := node.New(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Run(t.Context()); !errors.Is(err, node.ErrTokenOver) {
		t.Errorf("joined with a token that is over: %v", err)
	}
}

// TestTokenIsNeededOnce starts a member with a token that is over, as a unit file does.
func TestTokenIsNeededOnce(t *testing.T) {
	t.Parallel()
	dir, ownerDir := t.TempDir(), t.TempDir()
	founder, err := host.OpenCredentials(ownerDir, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	old, err := founder.Invite(host.Invitation{TTL: time.Hour}, time.Now().Add(-2*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	over, err := old.Text()
	if err != nil {
		t.Fatal(err)
	}
	owner := start(t, ownerDir, online(""))
	var in api.Invite
	if err := owner.Post(t.Context(), "/covey/v1/invite", api.InviteRequest{TTL: time.Hour}, &in); err != nil {
		t.Fatal(err)
	}
	c, stop := startStop(t, dir, online(in.Token))
	until(t, "renewed", func() bool { return status(t, c).Membership.State == "member" })
	m := status(t, c).Membership
	if m.Expires.Before(time.Now().Add(80*24*time.Hour)) || m.RenewsAt.Before(time.Now().Add(20*24*time.Hour)) || m.Reached.IsZero() || m.Problem != "" || m.Invitation != in.ID {
		t.Errorf("membership: %+v", m)
	}
	if own := status(t, owner).Membership; own.State != "founder" || own.Problem != "" {
		t.Errorf("the founder's membership: %+v", own)
	}
	for _, token := range []string{in.Token, over, ""} {
		stop()
		c, stop = startStop(t, dir, online(token))
		until(t, "the owner is there", func() bool { return status(t, c).Peers == 1 })
		if again := status(t, c).Membership; again.Expires != m.Expires || again.State != "member" {
			t.Errorf("after a restart: %+v, before %+v", again, m)
		}
	}
}

// TestMembershipOver starts a node whose membership has ended: it stays up for its owner,
// over restarts, and says what is wrong; a new token mends it.
func TestMembershipOver(t *testing.T) {
	t.Parallel()
	ownerDir, dir, past := t.TempDir(), t.TempDir(), time.Now().Add(-48*time.Hour)
	founder, err := host.OpenCredentials(ownerDir, nil, past)
	if err != nil {
		t.Fatal(err)
	}
	joined := func(ttl time.Duration) string {
		token, err := founder.Invite(host.Invitation{TTL: ttl}, past)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := host.OpenCredentials(dir, token, past); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "membership.cbor")
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		b[0]++ // one more entry in the map: key 5, true: a peer has let it in
		if err := os.WriteFile(file, append(b, 0x05, 0xf5), 0o600); err != nil {
			t.Fatal(err)
		}
		text, err := token.Text()
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	joined(72 * time.Hour)
	c, stop := startStop(t, dir, online(""))
	if m := status(t, c).Membership; m.State != "joining" || !strings.Contains(m.Problem, "no peer that renews it was reached") {
		t.Errorf("membership: %+v", m)
	}
	stop()
	over := joined(time.Hour)
	for _, token := range []string{over, ""} {
		c, stop := startStop(t, dir, online(token))
		if m := status(t, c).Membership; m.State != "over" || !strings.Contains(m.Problem, "covey up --join") {
			t.Errorf("membership: %+v", m)
		}
		importAs(t, c, "demo", "")
		complete(t, c, nil)
		stop()
	}
	owner, _ := startStop(t, ownerDir, online(""))
	c, _ = startStop(t, dir, online(invite(t, owner)))
	until(t, "a member again", func() bool { return status(t, c).Membership.State == "member" })
}

// TestRevoke takes back an invitation and a peer over the control API.
func TestRevoke(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	var in api.Invite
	if err := owner.Post(t.Context(), "/covey/v1/invite", api.InviteRequest{TTL: time.Hour}, &in); err != nil {
		t.Fatal(err)
	}
	first := start(t, t.TempDir(), online(in.Token))
	second := start(t, t.TempDir(), online(invite(t, owner)))
	until(t, "both are there", func() bool { return status(t, owner).Peers == 2 })
	if code, body := request(t, second, "POST", "/covey/v1/revoke", `{"invitations":["`+in.ID+`"]}`, nil); code != 403 || !strings.Contains(body, "founded") {
		t.Errorf("revoked by a member: %d %s", code, body)
	}
	if code, body := request(t, owner, "POST", "/covey/v1/revoke", `{"invitations":["xyz"]}`, nil); code != 400 || !strings.Contains(body, "hex") {
		t.Errorf("no invitation: %d %s", code, body)
	}
	if err := owner.Post(t.Context(), "/covey/v1/revoke", api.RevokeRequest{Invitations: []string{in.ID}}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the first is out", func() bool { return status(t, owner).Peers == 1 && status(t, first).Peers == 0 })
	if err := owner.Post(t.Context(), "/covey/v1/revoke", api.RevokeRequest{Peers: []wire.PeerID{status(t, second).Peer}}, nil); err != nil {
		t.Fatal(err)
	}
	until(t, "the second is out", func() bool { return status(t, owner).Peers == 0 })
	until(t, "it knows", func() bool {
		m := status(t, second).Membership
		return m.State == "revoked" && strings.Contains(m.Problem, "taken this machine off the swarm")
	})
}

// TestHostOffWithoutAModel turns off a range of a model of which nothing is here.
func TestHostOffWithoutAModel(t *testing.T) {
	t.Parallel()
	id := wire.CIDOf([]byte("a manifest that is nowhere")).String()
	for _, path := range []string{"/covey/v1/host/ghost", "/covey/v1/host/" + id, "/covey/v1/models/ghost"} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "hosting.json"), `[{"model":"`+id+`","name":"ghost","range":{"first":0,"last":2,"embed":true}}]`)
		c, stop := startStop(t, dir, nil)
		if h := status(t, c).Hosted; len(h) != 1 || h[0].Name != "ghost" {
			t.Errorf("hosts %+v", h)
		}
		if err := c.Delete(t.Context(), path, nil); err != nil {
			t.Errorf("DELETE %s: %v", path, err)
		}
		stop()
		if h := status(t, start(t, dir, nil)).Hosted; len(h) != 0 {
			t.Errorf("after DELETE %s and a restart: %+v", path, h)
		}
	}
}

// TestGCAfterLostPins damages both copies of the pins.
func TestGCAfterLostPins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c, stop := startStop(t, dir, nil)
	importAs(t, c, "demo", "")
	stop()
	for _, file := range []string{"roots.json", "roots.bak.json"} {
		writeFile(t, filepath.Join(dir, "store", file), "lost")
	}
	c = start(t, dir, nil)
	if code, body := request(t, c, "POST", "/covey/v1/gc", "{}", nil); code != 409 || !strings.Contains(body, "--accept-lost-pins") {
		t.Errorf("gc without pins: %d %s", code, body)
	}
	var done api.Collected
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{AcceptLostPins: true}, &done); err != nil || done.Blocks == 0 {
		t.Errorf("gc: %+v, %v", done, err)
	}
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{}, &done); err != nil || done.Blocks != 0 {
		t.Errorf("gc after that: %+v, %v", done, err)
	}
}

// TestGCKeepsWhatIsServed reclaims space while a model is served that is not pinned: it stays whole
// until it is not served any more.
func TestGCKeepsWhatIsServed(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	importAs(t, c, "demo", "")
	if _, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	var m api.Model
	if err := c.Post(t.Context(), "/covey/v1/models/pin", api.PinRequest{Model: "demo"}, &m); err != nil || m.Pinned || !m.Served {
		t.Fatalf("unpinned: %+v, %v", m, err)
	}
	var done api.Collected
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{}, &done); err != nil || done.Blocks != 0 || len(done.Models) != 0 {
		t.Errorf("gc of what is served: %+v, %v", done, err)
	}
	if m := known(t, c)["demo"]; m.Bytes == 0 || m.BytesHere != m.Bytes {
		t.Errorf("after gc: %+v", m)
	}
	if err := c.Delete(t.Context(), "/covey/v1/host/demo", nil); err != nil {
		t.Fatal(err)
	}
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{}, &done); err != nil || len(done.Models) != 1 || done.Models[0].Name != "demo" || done.Models[0].Bytes != m.Bytes {
		t.Errorf("gc of what is not served any more: %+v, %v", done, err)
	}
}

// TestEndBeforeTheMeasurement runs a node that is to end at once: it does not measure the
// machine first.
func TestEndBeforeTheMeasurement(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cfg, err := node.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	online("")(cfg)
	cfg.API.Addr = "127.0.0.1:0"
	n, err := node.New(*cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "speeds.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the machine was measured: %v", err)
	}
}

// TestStopsWithoutTelling ends a node that cannot write down that it ends.
func TestStopsWithoutTelling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, stop := startStop(t, dir, online(""))
	if err := os.Mkdir(filepath.Join(dir, "api.json.new"), 0o700); err != nil {
		t.Fatal(err)
	}
	stop() // fails the test if the node ends with an error
	if _, err := os.Stat(filepath.Join(dir, "api.json")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the endpoint is left behind: %v", err)
	}
}

// TestInviteAddrs invites with addresses that name no peer, as covey up --announce takes them.
func TestInviteAddrs(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	ask := func(addr wire.Addr) (*wire.Token, error) {
		var in api.Invite
		if err := owner.Post(t.Context(), "/covey/v1/invite", api.InviteRequest{TTL: time.Hour, Addrs: []wire.Addr{addr}}, &in); err != nil {
			return nil, err
		}
		return wire.ParseToken(in.Token)
	}
	self := "/p2p/" + status(t, owner).Peer.String()
	for _, addr := range []string{"/ip4/203.0.113.7/tcp/24001", "/ip4/203.0.113.7/tcp/24001" + self} {
		token, err := ask(wire.Addr(addr))
		if err != nil {
			t.Fatal(err)
		}
		if want := wire.Addr("/ip4/203.0.113.7/tcp/24001" + self); !slices.Contains(token.Bootstrap, want) {
			t.Errorf("invited with %s, the token leads to %v", addr, token.Bootstrap)
		}
	}
	many := start(t, t.TempDir(), func(cfg *node.Config) { // with as many addresses as a token takes
		online("")(cfg)
		for i := range protocol.MaxAddrs {
			cfg.Network.Announce = append(cfg.Network.Announce, fmt.Sprintf("/ip4/203.0.113.%d/tcp/1", i+100))
		}
	})
	var in api.Invite
	if err := many.Post(t.Context(), "/covey/v1/invite", api.InviteRequest{TTL: time.Hour, Addrs: []wire.Addr{"/ip4/203.0.113.7/tcp/24001"}}, &in); err != nil {
		t.Fatal(err)
	}
	if token, err := wire.ParseToken(in.Token); err != nil || !strings.HasPrefix(string(token.Bootstrap[0]), "/ip4/203.0.113.7/tcp/24001/p2p/") {
		t.Errorf("of many addresses the one that was named does not come first: %v, %v", token.Bootstrap, err)
	}
	for _, addr := range []wire.Addr{"1.2.3.4:24001", "24001"} {
		if _, err := ask(addr); err == nil || !strings.Contains(err.Error(), "/ip4/203.0.113.7/tcp/24001") {
			t.Errorf("invited with %s: %v", addr, err)
		}
	}
}

// TestStatusTellsNetwork asks nodes that relay and do not whether they do.
func TestStatusTellsNetwork(t *testing.T) {
	t.Parallel()
	for relay, want := range map[string]string{host.RelayOn: "; relays for others", host.RelayOff: "; does not relay"} {
		c := start(t, t.TempDir(), func(cfg *node.Config) {
			online("")(cfg)
			cfg.Network.Relay = relay
		})
		until(t, relay+" is told", func() bool { return strings.Contains(status(t, c).Network, want) })
	}
}
