package node_test

import (
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/router"
)

func shown(t *testing.T, c *api.Client, name string) (m api.Model) {
	t.Helper()
	if err := c.Get(t.Context(), "/covey/v1/models/"+name, nil, &m); err != nil {
		t.Fatal(err)
	}
	return m
}

// TestBuiltinModel uses the model in the program on fresh nodes that were told nothing of it.
func TestBuiltinModel(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	if _, body := request(t, c, "GET", "/v1/models", "", nil); !strings.Contains(body, `"id":"demo"`) {
		t.Errorf("listed: %s", body)
	}
	if m := known(t, c)["demo"]; !m.Builtin || m.BytesHere != 0 {
		t.Errorf("before its use %+v", m)
	}
	var tasks sync.WaitGroup
	for range 2 {
		tasks.Go(func() {
			if status, body := request(t, c, "POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":"hi"}],"max_tokens":2}`, nil); status != 200 {
				t.Errorf("first chat: %d %s", status, body)
			}
		})
	}
	tasks.Wait()
	if _, body := request(t, c, "GET", "/v1/models", "", nil); strings.Count(body, `"id"`) != 1 {
		t.Errorf("listed after its use: %s", body)
	}
	if m := known(t, c)["demo"]; m.Builtin || m.BytesHere != m.Bytes || m.Bytes == 0 {
		t.Errorf("after its use %+v", m)
	}
	for name, use := range map[string]func(*api.Client) error{
		"show": func(c *api.Client) error { return c.Get(t.Context(), "/covey/v1/models/demo", nil, &api.Model{}) },
		"route": func(c *api.Client) error {
			return c.Get(t.Context(), "/covey/v1/route", url.Values{"model": {"demo"}}, &router.Choice{})
		},
		"pull": func(c *api.Client) error {
			_, err := c.Watch(t.Context(), "/covey/v1/models/pull", api.PullRequest{Model: "demo"}, func(api.Event) {})
			return err
		},
		"host": func(c *api.Client) error {
			_, err := c.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}, func(api.Event) {})
			return err
		},
	} {
		if err := use(start(t, t.TempDir(), nil)); err != nil {
			t.Errorf("%s on a fresh node: %v", name, err)
		}
	}
	none := start(t, t.TempDir(), func(cfg *node.Config) { cfg.Builtin = nil })
	if status, body := request(t, none, "POST", "/v1/completions", `{"model":"demo","prompt":"x"}`, nil); status != 404 {
		t.Errorf("a program without a model: %d %s", status, body)
	}
}

// TestBuiltinModelYieldsToPeers has peers with a model of that name.
func TestBuiltinModelYieldsToPeers(t *testing.T) {
	t.Parallel()
	t.Run("another model", func(t *testing.T) {
		t.Parallel()
		owner := start(t, t.TempDir(), online(""))
		importAs(t, owner, "demo", "q8_0")
		peer := start(t, t.TempDir(), online(invite(t, owner)))
		until(t, "the peers meet", func() bool { return status(t, peer).Peers == 1 })
		if got, want := shown(t, peer, "demo"), shown(t, owner, "demo"); got.CID != want.CID || got.BytesHere != 0 {
			t.Errorf("a peer has the model %s, shown is %+v", want.CID, got)
		}
		if status, body := request(t, peer, "POST", "/v1/completions", `{"model":"demo","prompt":"x"}`, nil); status != 503 || !strings.Contains(body, "covey host demo") {
			t.Errorf("that nobody serves: %d %s", status, body)
		}
		if got := shown(t, peer, "demo"); got.CID != shown(t, owner, "demo").CID {
			t.Errorf("now the name is for %s", got.CID)
		}
	})
	t.Run("the same model", func(t *testing.T) {
		t.Parallel()
		owner := start(t, t.TempDir(), online(""))
		importAs(t, owner, "demo", "")
		token := invite(t, owner)
		first := start(t, t.TempDir(), online(token))
		until(t, "the first peer hears of it", func() bool { return known(t, first)["demo"].CID != "" })
		if shown(t, first, "demo").BytesHere != 0 {
			t.Error("looking at it brought it here")
		}
		want := complete(t, first, nil).Choices[0].Text // nobody serves it
		if _, err := owner.Watch(t.Context(), "/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
		second := start(t, t.TempDir(), online(token))
		until(t, "the second peer hears of the chain", func() bool { return known(t, second)["demo"].Serving == 1 })
		if got := complete(t, second, nil).Choices[0].Text; got != want {
			t.Errorf("the chain says %q, alone %q", got, want)
		}
		if m := shown(t, second, "demo"); m.BytesHere != 0 {
			t.Errorf("%d bytes are here though a peer serves it", m.BytesHere)
		}
	})
}
