package node

import (
	"testing"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
)

// TestAdviceOnPeersThatAreGone sends the owner to another machine only where that one may be the cause.
func TestAdviceOnPeersThatAreGone(t *testing.T) {
	t.Parallel()
	const again, look = "start covey up there again", "covey doctor says what to do"
	for _, c := range []struct {
		name, state, reason string
		alone               bool
		want                string
	}{
		{"it has left", "member", "", true, again},
		{"it refuses", "member", host.ReasonRefused, true, again},
		{"it ends connections", "member", host.ReasonEnded, true, again},
		{"it alone is silent", "member", host.ReasonNoAnswer, false, again},
		{"all are silent", "member", host.ReasonNoAnswer, true, "nothing comes back from any peer; " + look},
		{"another reason", "member", "its relay does not reach it", false, look},
		{"revoked", "revoked", host.ReasonRefused, true, "this machine's membership was revoked; " + look},
		{"expired", "over", "", true, "this machine's membership is not valid now; " + look},
	} {
		if got := goneAdvice(&api.Membership{State: c.state}, &host.Path{Reason: c.reason}, c.alone); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
