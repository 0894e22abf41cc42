//go:build !linux

package runner_test

import (
	"errors"
	"testing"

	"github.com/covey-network/covey/testnet/runner"
)

// TestLinksNeedLinux starts a swarm with a link: it says at once that there can be none.
func TestLinksNeedLinux(t *testing.T) {
	t.Parallel()
	m := &runner.Manifest{Nodes: []runner.Node{{Name: "one"}, {Name: "two"}}, Links: []runner.Link{{Node: "one", To: "two", Rate: 1}}}
	if _, err := runner.Start(t.Context(), runner.Config{Binary: "covey", Dir: t.TempDir()}, m); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}
