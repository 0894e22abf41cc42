package node_test

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"

	cid "github.com/ipfs/go-cid"
)

// listed returns the names of /v1/models, which must be unique.
func listed(t *testing.T, c *api.Client) map[string]bool {
	t.Helper()
	var list struct {
		Data []struct{ ID string }
	}
	if err := c.Get(t.Context(), "/v1/models", nil, &list); err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range list.Data {
		if out[m.ID] {
			t.Errorf("%s is listed twice", m.ID)
		}
		out[m.ID] = true
	}
	return out
}

func TestImportOfATakenName(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), nil)
	importAs(t, c, "demo", "")
	_, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "demo", Quantize: "q8_0"}, func(api.Event) {})
	var refused *api.StatusError
	if !errors.As(err, &refused) || refused.Status != 409 || !strings.Contains(refused.Message, "--name") {
		t.Errorf("got %v", err)
	}
	var all []api.Model
	if err := c.Get(t.Context(), "/covey/v1/models", nil, &all); err != nil || len(all) != 1 {
		t.Errorf("models are %+v, %v", all, err)
	}
	importAs(t, c, "demo:q8", "q8_0")
	if got := listed(t, c); len(got) != 2 || !got["demo"] || !got["demo:q8"] {
		t.Errorf("models are %v", got)
	}
	if plain, latest := shown(t, c, "demo"), shown(t, c, "demo:latest"); plain.CID != latest.CID || shown(t, c, "demo:q8").CID == plain.CID {
		t.Errorf("demo is %s, demo:latest %s", plain.CID, latest.CID)
	}
}

// TestLatestIsTheName asks by the tag that every name has, of a model that is only in the program,
// of one that is here and of one that a peer has.
func TestLatestIsTheName(t *testing.T) {
	t.Parallel()
	first := start(t, t.TempDir(), online(""))
	m := shown(t, first, "demo:latest")
	if m.Name != "demo" || shown(t, first, "demo").CID != m.CID {
		t.Errorf("demo:latest is %+v", m)
	}
	second := start(t, t.TempDir(), func(c *node.Config) {
		online(invite(t, first))(c)
		c.Builtin = nil
	})
	until(t, "the model is heard of", func() bool { return known(t, second)["demo"].CID == m.CID })
	if got := shown(t, second, "demo:latest"); got.CID != m.CID || got.Name != "demo" {
		t.Errorf("demo:latest of a peer is %+v", got)
	}
	if err := first.Delete(t.Context(), "/covey/v1/models/demo:latest", nil); err != nil {
		t.Error(err)
	}
}

// TestOneNameInTwoPlaces has peers with different models of one name: each is listed once, the
// own one keeps the name, and the others are found by a tag and by their identifiers.
func TestOneNameInTwoPlaces(t *testing.T) {
	t.Parallel()
	first := start(t, t.TempDir(), online(""))
	importAs(t, first, "demo", "q8_0")
	token := invite(t, first)
	second := start(t, t.TempDir(), online(token))
	importAs(t, second, "demo", "")
	third := start(t, t.TempDir(), online(token))
	a, b := shown(t, first, "demo").CID, shown(t, second, "demo").CID
	if a == b {
		t.Fatal("it is one model")
	}
	tagged := func(text string) string { return catalog.Tagged("demo", cid.MustParse(text)) }
	until(t, "all have heard of both", func() bool {
		return len(known(t, first)) == 2 && len(known(t, second)) == 2 && len(known(t, third)) == 2
	})
	for _, n := range []struct {
		node       *api.Client
		own, other string
	}{{first, a, b}, {second, b, a}, {third, min(a, b), max(a, b)}} {
		models := known(t, n.node)
		if models["demo"].CID != n.own || models[tagged(n.other)].CID != n.other {
			t.Errorf("models are %+v, want demo for %s", models, n.own)
		}
	}
	for _, name := range []string{tagged(a), a[:16], a} {
		if m := shown(t, second, name); m.CID != a {
			t.Errorf("%s is %s", name, m.CID)
		}
	}
	var none *api.StatusError
	if err := second.Get(t.Context(), "/covey/v1/models/owner%2FDemo", nil, &api.Model{}); !errors.As(err, &none) || none.Status != 404 || !strings.Contains(none.Message, "owner/Demo is not here; did you mean demo?") {
		t.Errorf("the name on Hugging Face: %v", err)
	}
	if m := shown(t, second, "demo"); m.CID != b {
		t.Errorf("the name went to %s", m.CID)
	}
	listed(t, second)
}

// TestFullStore has a limit that leaves no room for a model: it is refused at once, without advice
// to remove one, as there is none, and the status tells when nothing more can be stored.
func TestFullStore(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.Limits.Disk = 1 << 10 })
	_, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Name: "demo"}, func(e api.Event) { t.Errorf("progress: %+v", e) })
	var refused *api.StatusError
	if !errors.As(err, &refused) || refused.Status != 507 || !strings.Contains(refused.Message, "raise the limit (covey up --disk") || strings.Contains(refused.Message, "covey model rm") {
		t.Errorf("got %v", err)
	}
	if st := status(t, c); !strings.Contains(st.DiskFull, "limit of 1 MiB is used up") || !strings.Contains(st.DiskFull, "; raise the limit (covey up --disk, or limits.disk in config.toml) by at least") {
		t.Errorf("status says %q", st.DiskFull)
	}
}

// renamed gives a model of a node that does not run another name.
func renamed(t *testing.T, dir, id, name string) {
	t.Helper()
	s, err := store.Open(store.Config{Dir: filepath.Join(dir, "store"), Links: wire.Links})
	if err != nil {
		t.Fatal(err)
	}
	c, err := catalog.New(catalog.Config{Store: s})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(c.Rename(cid.MustParse(id), name), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestPeersWithOtherNames has a peer that calls a model otherwise than the others, and one that
// has none of it: the model keeps the name that most have, and is found by the other one too.
func TestPeersWithOtherNames(t *testing.T) {
	t.Parallel()
	first := start(t, t.TempDir(), online(""))
	importAs(t, first, "demo", "q8_0")
	id, token := shown(t, first, "demo").CID, invite(t, first)
	pull := func(c *api.Client) {
		if _, err := c.Watch(t.Context(), "/covey/v1/models/pull", api.PullRequest{Model: id}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
	}
	pull(start(t, t.TempDir(), online(token)))
	for _, name := range []string{"aaa", "empty"} {
		dir := t.TempDir()
		c, stop := startStop(t, dir, online(token))
		if shown(t, c, id); name == "aaa" {
			pull(c)
		}
		stop()
		renamed(t, dir, id, name)
		start(t, dir, online(""))
	}
	last := start(t, t.TempDir(), online(token))
	until(t, "three have it", func() bool {
		all := known(t, last)
		return all["demo"].Peers == 3 || all["aaa"].Peers == 3
	})
	until(t, "all are heard", func() bool {
		n := 0
		for _, p := range peers(t, last) {
			n += len(p.Models)
		}
		return n == 4
	})
	if all := known(t, last); len(all) != 1 || all["demo"].CID != id || all["demo"].Peers != 3 {
		t.Errorf("models are %+v", all)
	}
	var none api.Model
	if err := last.Get(t.Context(), "/covey/v1/models/empty", nil, &none); err == nil {
		t.Errorf("a name of a peer without the model is of %+v", none)
	}
	for range 2 { // the second time the model is here, as demo
		if m := shown(t, last, "aaa"); m.CID != id || m.Name != "demo" {
			t.Errorf("aaa is %+v", m)
		}
	}
}

// TestOneVoiceForAToken has two peers of one token against one of another: they neither rename its
// model nor take its name for theirs.
func TestOneVoiceForAToken(t *testing.T) {
	t.Parallel()
	first := start(t, t.TempDir(), online(""))
	importAs(t, first, "demo", "q8_0")
	id := shown(t, first, "demo").CID
	var taken string
	token := invite(t, first)
	for range 2 {
		dir := t.TempDir()
		c, stop := startStop(t, dir, online(token))
		importAs(t, c, "demo", "")
		taken = shown(t, c, "demo").CID
		if _, err := c.Watch(t.Context(), "/covey/v1/models/pull", api.PullRequest{Model: id}, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
		stop()
		renamed(t, dir, id, "demo:renamed")
		start(t, dir, online(""))
	}
	if id > taken {
		t.Fatalf("%s is the last of equals: swap the types", id)
	}
	last := start(t, t.TempDir(), online(invite(t, first)))
	until(t, "all are heard", func() bool {
		n := 0
		for _, p := range peers(t, last) {
			n += len(p.Models)
		}
		return n == 5
	})
	all := known(t, last)
	if len(all) != 2 || all["demo"].CID != id || all["demo"].Peers != 3 || all[catalog.Tagged("demo", cid.MustParse(taken))].Peers != 2 {
		t.Errorf("models are %+v, want demo for %s", all, id)
	}
}

// peers returns what a node knows of the others.
func peers(t *testing.T, c *api.Client) (all []api.Peer) {
	t.Helper()
	if err := c.Get(t.Context(), "/covey/v1/peers", nil, &all); err != nil {
		t.Fatal(err)
	}
	return all
}
