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
	const (
		gone   = " by two, which has been gone for "
		advice = "start covey up there again"
		none   = "no peer that is reached has "
	)
	for _, tc := range []struct {
		command string
		code    int
		want    string
	}{
		{"run far hi", 4, none + "its blocks; it was served" + gone},
		{"route far", 4, "no chain: no peer serves any of it now"},
		{"host far", 4, none + "them; it was served" + gone},
		{"model pull far", 4, none + "them; it was served" + gone},
		{"run farther hi", 4, none + "it; it was held" + gone},
		{"route farther", 4, none + "it; it was held" + gone},
		{"host farther", 4, none + "it; it was held" + gone},
		{"model pull farther", 4, none + "it; it was held" + gone},
		{"run farthest hi", 3, "no peer advertises it"},
	} {
		out, messages, code := covey(t, dir, "", strings.Fields(tc.command)...)
		named := strings.Contains(messages, gone) && strings.Contains(messages, advice) && strings.Contains(messages, "its machine refuses the connection")
		if code != tc.code || !strings.Contains(messages, tc.want) || strings.Contains(messages, "serve it with") || strings.Contains(tc.want, gone) != named {
			t.Errorf("covey %s: exit code %d, %q, %s; want %d and %q", tc.command, code, out, messages, tc.code, tc.want)
		}
	}
}
