package node_test

import (
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

func peersOf(t *testing.T, c *api.Client, query url.Values) (peers []api.Peer) {
	t.Helper()
	if err := c.Get(t.Context(), "/covey/v1/peers", query, &peers); err != nil {
		t.Fatal(err)
	}
	return peers
}

// TestPeersTellPaths has a peer that is there and then ends: the lists, the counts and the
// metrics tell how it is reached, and why not.
func TestPeersTellPaths(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	dir := t.TempDir()
	named := func(c *node.Config) { c.Name = "attic" }
	_, stop := startStop(t, dir, func(c *node.Config) { online(invite(t, owner))(c); named(c) })
	until(t, "the peer is listed", func() bool {
		p := peersOf(t, owner, nil)
		return len(p) == 1 && p[0].Name == "attic" && p[0].Path.State == "direct" && p[0].RTT > 0
	})
	if st := status(t, owner); st.Peers != 1 || st.Paths != (api.Paths{Direct: 1}) || st.Reach != "" {
		t.Errorf("status: %d peers, %+v, %q", st.Peers, st.Paths, st.Reach)
	}
	stop()
	const why = "its machine refuses the connection"
	until(t, "the peer is unreachable", func() bool {
		return status(t, owner).Paths == api.Paths{Unreachable: 1}
	})
	if p := peersOf(t, owner, nil); len(p) != 0 {
		t.Errorf("connected: %+v", p)
	}
	p := peersOf(t, owner, url.Values{"all": {"true"}})
	if len(p) != 1 || p[0].Name != "attic" || p[0].Path.State != "unreachable" || !strings.Contains(p[0].Path.Reason, why) || p[0].Path.Since.IsZero() {
		t.Errorf("all: %+v", p)
	}
	if st := status(t, owner); !strings.Contains(st.Reach, "attic: "+why) {
		t.Errorf("status says %q", st.Reach)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", owner.Base+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if want := `covey_peers{path="unreachable"} 1`; err != nil || !strings.Contains(string(text), want) {
		t.Errorf("metrics lack %s, %v", want, err)
	}
}

// TestErrorsNameTheFinding asks for models that nobody has when the only other peer is gone:
// the errors tell what was found of it, in a line.
func TestErrorsNameTheFinding(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), online(""))
	_, stop := startStop(t, t.TempDir(), func(c *node.Config) { online(invite(t, owner))(c); c.Name = "attic" })
	until(t, "the peer is heard of", func() bool { p := peersOf(t, owner, nil); return len(p) == 1 && p[0].Expected })
	stop()
	until(t, "the peer is unreachable", func() bool { return status(t, owner).Paths == api.Paths{Unreachable: 1} })
	for _, model := range []string{"ghost", wire.CIDOf([]byte("ghost")).String()} {
		_, pulled := owner.Watch(t.Context(), "/covey/v1/models/pull", api.PullRequest{Model: model}, func(api.Event) {})
		for what, err := range map[string]error{
			"complete": owner.Post(t.Context(), "/v1/completions", map[string]any{"model": model, "prompt": "a"}, nil), "pull": pulled,
		} {
			if err == nil || !strings.Contains(err.Error(), "attic: its machine refuses the connection") || strings.Contains(err.Error(), "\n") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// TestRevokedPeerIsNotSentToOthers takes a peer off the swarm: it is not told to start covey up on the
// machine that has the model, which runs.
func TestRevokedPeerIsNotSentToOthers(t *testing.T) {
	t.Parallel()
	owner := start(t, t.TempDir(), func(c *node.Config) { online("")(c); c.Name, c.Builtin = "attic", demo.Write })
	importAs(t, owner, "demo", "q8_0")
	id := known(t, owner)["demo"].CID
	peer := start(t, t.TempDir(), online(invite(t, owner)))
	until(t, "the peer hears of the model", func() bool { return known(t, peer)["demo"].Peers == 1 })
	if err := owner.Post(t.Context(), "/covey/v1/revoke", api.RevokeRequest{Peers: []wire.PeerID{status(t, peer).Peer}}, nil); err != nil {
		t.Fatal(err)
	}
	var err error
	until(t, "the owner is gone for it", func() bool {
		err = peer.Post(t.Context(), "/v1/completions", map[string]any{"model": id, "prompt": "a"}, nil)
		return err != nil && strings.Contains(err.Error(), "by attic, which has been gone for ") && status(t, peer).Membership.State == "revoked"
	})
	if text := err.Error(); !strings.Contains(text, "): this machine's membership was revoked; covey doctor says what to do") || strings.Contains(text, "start covey up") {
		t.Errorf("says %q", text)
	}
}

// TestHomesWithoutRelay has two peers that cannot be dialled, and no relay. The model of one is
// not planned with by the other, and the errors say why, while the third peer plans with it.
func TestHomesWithoutRelay(t *testing.T) {
	t.Parallel()
	public := start(t, t.TempDir(), online(""))
	home := func(name string) *api.Client {
		return start(t, t.TempDir(), func(c *node.Config) {
			online(invite(t, public))(c)
			c.Name, c.Network.Listen, c.Network.Announce, c.Builtin = name, nil, []string{"/ip4/127.0.0.1/tcp/1"}, demo.Write
		})
	}
	attic, barn := home("attic"), home("barn")
	importAs(t, attic, "demo", "q8_0")
	id := known(t, attic)["demo"].CID
	if _, err := attic.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: id, Blocks: "all"}, func(api.Event) {}); err != nil {
		t.Fatal(err)
	}
	const why = "attic has it, but is unreachable: its machine refuses the connection"
	until(t, "the home is unreachable from the other", func() bool { return known(t, barn)["demo"].Serving == 1 && status(t, barn).Paths.Unreachable == 1 })
	for what, err := range map[string]error{
		"complete": barn.Post(t.Context(), "/v1/completions", map[string]any{"model": id, "prompt": "a"}, nil),
		"route":    barn.Get(t.Context(), "/covey/v1/route", url.Values{"model": {id}}, nil),
	} {
		var status *api.StatusError
		if !errors.As(err, &status) || status.Status < http.StatusBadGateway || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want one of a swarm that cannot answer now", what, err)
		}
	}
	until(t, "the public peer plans with it", func() bool {
		var choice router.Choice
		err := public.Get(t.Context(), "/covey/v1/route", url.Values{"model": {id}}, &choice)
		return err == nil && choice.Chain != nil && choice.Chain.Links[0].Path == host.PathDirect
	})
}
