package node_test

import (
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// loseManifest takes the manifest of a model out of a node's store, as if the disk had lost it, and
// leaves all else: its pin and name too.
func loseManifest(t *testing.T, dir, model string, others ...string) {
	t.Helper()
	var use []cid.Cid
	s, err := store.Open(store.Config{
		Dir: filepath.Join(dir, "store"), InUse: func() []cid.Cid { return use },
		Links: func([]byte) (nodes, leaves []cid.Cid, err error) { return nil, nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	lost := cid.MustParse(model)
	for _, text := range append(others, model) {
		root := cid.MustParse(text)
		data, err := s.Get(t.Context(), root)
		if err != nil {
			t.Fatal(err)
		}
		lists, leaves, err := wire.Links(data)
		if err != nil {
			t.Fatal(err)
		}
		use = append(append(use, lists...), leaves...)
		for _, l := range lists {
			data, err := s.Get(t.Context(), l)
			if err != nil {
				t.Fatal(err)
			}
			_, leaves, err := wire.Links(data)
			if err != nil {
				t.Fatal(err)
			}
			use = append(use, leaves...)
		}
		if root != lost {
			use = append(use, root)
		}
	}
	if err := s.Unpin(lost); err != nil {
		t.Fatal(err)
	}
	if st, err := s.GC(t.Context()); err != nil || st.Removed != 1 {
		t.Fatalf("removed %+v, %v", st, err)
	}
	if err := s.Pin(lost); err != nil {
		t.Fatal(err)
	}
}

// stored returns how many blocks a node has.
func stored(t *testing.T, c *api.Client) int {
	t.Helper()
	_, text := request(t, c, "GET", "/metrics", "", nil)
	_, after, found := strings.Cut(text, "\ncovey_store_blocks ")
	value, _, _ := strings.Cut(after, "\n")
	n, err := strconv.ParseFloat(value, 64)
	if !found || err != nil {
		t.Fatalf("blocks: %q, %v", value, err)
	}
	return int(n)
}

// withLostManifest returns a node with the models a and b, of which a lost its manifest.
func withLostManifest(t *testing.T) (c *api.Client, a api.Model) {
	t.Helper()
	dir := t.TempDir()
	c, stop := startStop(t, dir, nil)
	importAs(t, c, "a", "q8_0")
	importAs(t, c, "b", "")
	all := known(t, c)
	stop()
	loseManifest(t, dir, all["a"].CID, all["b"].CID)
	return start(t, dir, nil), all["a"]
}

// TestRemovingPastALostManifest removes models of which one cannot be read, by name and by
// identifier, and gets the space of all of them back.
func TestRemovingPastALostManifest(t *testing.T) {
	t.Parallel()
	c, _ := withLostManifest(t)
	before := stored(t, c)
	for _, way := range [][2]string{{"DELETE", "/covey/v1/models/b"}, {"POST", "/covey/v1/gc"}} {
		if code, body := request(t, c, way[0], way[1], "{}", nil); code == 200 || !strings.Contains(body, "covey model rm a") || !strings.Contains(body, "covey model pull a") {
			t.Errorf("%v while a cannot be read: %d %s", way, code, body)
		}
	}
	var done api.Collected
	if err := c.Delete(t.Context(), "/covey/v1/models/a", &done); err != nil || done.Blocks != before || len(done.Models) != 1 || done.Models[0].Name != "a" || stored(t, c) != 0 {
		t.Errorf("rm of what cannot be read: %+v of %d blocks, %d stay, %v", done, before, stored(t, c), err)
	}
	if code, body := request(t, c, "DELETE", "/covey/v1/models/a", "", nil); code != 404 {
		t.Errorf("rm of nothing: %d %s", code, body)
	}
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{}, &done); err != nil || done.Blocks != 0 {
		t.Errorf("gc after that: %+v, %v", done, err)
	}
}

// TestUnpinOfALostManifest unpins a model that cannot be read, by identifier: gc then removes what
// it had, and nothing of the other.
func TestUnpinOfALostManifest(t *testing.T) {
	t.Parallel()
	c, a := withLostManifest(t)
	var m api.Model
	if err := c.Post(t.Context(), "/covey/v1/models/pin", api.PinRequest{Model: a.CID[:12]}, &m); err != nil || m.Pinned || m.Name != "a" || m.CID != a.CID {
		t.Fatalf("unpin: %+v, %v", m, err)
	}
	var done api.Collected
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{}, &done); err != nil || done.Blocks == 0 {
		t.Errorf("gc: %+v, %v", done, err)
	}
	if b := known(t, c)["b"]; b.Bytes == 0 || b.BytesHere != b.Bytes {
		t.Errorf("the other model: %+v", b)
	}
	if err := c.Delete(t.Context(), "/covey/v1/models/"+a.CID, nil); err != nil { // there is a name left
		t.Errorf("rm by identifier: %v", err)
	}
}

// TestFailedImportPastALostManifest has an import fail while a model cannot be read: nothing of it
// stays.
func TestFailedImportPastALostManifest(t *testing.T) {
	t.Parallel()
	c, _ := withLostManifest(t)
	before := stored(t, c)
	dir := filepath.Join(t.TempDir(), "bert")
	unzip(t, "../engine/model/testdata/bert.zip", dir)
	_, err := c.Watch(t.Context(), "/covey/v1/models/import", api.ImportRequest{Path: dir, Name: "a"}, func(api.Event) {})
	if err == nil {
		t.Fatal("an import takes the name of another model")
	}
	if got := stored(t, c); got != before || strings.Contains(err.Error(), "discard") {
		t.Errorf("%d blocks after a failed import, %d before; %v", got, before, err)
	}
}

// TestPullPinsAgain asks for a model that is here, named and not pinned: pull and host pin it, as
// they do one that they bring, and gc leaves it.
func TestPullPinsAgain(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), online(""))
	importAs(t, c, "demo", "")
	for _, way := range []struct {
		path string
		body any
	}{
		{"/covey/v1/models/pull", api.PullRequest{Model: "demo"}},
		{"/covey/v1/host", api.HostRequest{Model: "demo", Blocks: "all"}},
	} {
		var m api.Model
		if err := c.Post(t.Context(), "/covey/v1/models/pin", api.PinRequest{Model: "demo"}, &m); err != nil || m.Pinned {
			t.Fatalf("unpin: %+v, %v", m, err)
		}
		if _, err := c.Watch(t.Context(), way.path, way.body, func(api.Event) {}); err != nil {
			t.Fatal(err)
		}
		if m := known(t, c)["demo"]; !m.Pinned {
			t.Errorf("%s: %+v", way.path, m)
		}
	}
	if err := c.Delete(t.Context(), "/covey/v1/host/demo", nil); err != nil {
		t.Fatal(err)
	}
	var done api.Collected
	if err := c.Post(t.Context(), "/covey/v1/gc", api.GCRequest{}, &done); err != nil || done.Blocks != 0 || len(done.Models) != 0 {
		t.Errorf("gc: %+v, %v", done, err)
	}
}
