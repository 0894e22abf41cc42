package node_test

import (
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/protocol/wire"
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
