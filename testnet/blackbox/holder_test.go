package blackbox_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/runner"
)

// TestOnlyHolderGone asks for a model whose only holder dies in an answer, which says so in plain
// words, and for one that was heard of from that peer alone. Nothing advises to fetch them.
func TestOnlyHolderGone(t *testing.T) {
	t.Parallel()
	s := swarm(t, &runner.Manifest{Nodes: nodes("one", "two"), Model: []runner.Model{
		{Name: "far", On: "two", Hosts: []runner.Host{{Node: "two", Blocks: "all"}}}, {Name: "farther", On: "two"},
	}})
	for _, model := range []string{"far", "farther"} {
		if err := s.Hear(t.Context(), "one", model); err != nil {
			t.Fatal(err)
		}
	}
	dir := s.Node("one").Dir()
	_, err := complete(t.Context(), s.Node("one").API(), "far", 200, func(n int) {
		if n == 2 {
			if err := s.Node("two").Kill(); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil || !strings.HasSuffix(err.Error(), ", after: peer two: the connection was lost") {
		t.Errorf("an answer of a peer that dies ends with %v", err)
	}
	waitFor(t, s, "the holder's advert is dropped", func(ctx context.Context) (bool, error) {
		var models []api.Model
		err := s.Node("one").API().Get(ctx, "/covey/v1/models", nil, &models)
		return err == nil && !slices.ContainsFunc(models, func(m api.Model) bool { return m.Peers > 0 }), err
	})
	const refused = "two: its machine refuses the connection"
	for _, tc := range []struct {
		command string
		code    int
		want    string
	}{
		{"run far hi", 4, "no peer that is reached has its blocks; no peer of the swarm is reached: " + refused},
		{"route far", 4, "no chain: no peer serves any of it now"},
		{"host far", 4, "covey: far (bafkrei"},
		{"host far", 4, " blocks could not be fetched; no peer of the swarm is reached: " + refused},
		{"model pull far", 4, "covey: far (bafkrei"},
		{"model pull far", 4, " blocks could not be fetched; no peer of the swarm is reached: " + refused},
		{"run farther hi", 3, refused},
		{"route farther", 3, refused},
		{"host farther", 3, refused},
		{"model pull farther", 3, refused},
	} {
		out, messages, code := covey(t, dir, "", strings.Fields(tc.command)...)
		if code != tc.code || !strings.Contains(messages, tc.want) || strings.Contains(messages, "serve it with") {
			t.Errorf("covey %s: exit code %d, %q, %s; want %d and %q", tc.command, code, out, messages, tc.code, tc.want)
		}
	}
}
