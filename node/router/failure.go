package router

import (
	"cmp"
	"errors"
	"fmt"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// failure is an error of a chain as it is told to people. What the transport says of it is in
// the log.
type failure struct {
	text string
	err  error
}

// Error names the peer that failed, and how.
func (f *failure) Error() string { return f.text }

// Unwrap returns the error with what the transport says.
func (f *failure) Unwrap() error { return f.err }

// tell makes an error of a chain one for people. The peer that it names is the one whom it is
// about as far as is known.
func (o *opening) tell(err error) error {
	l := &o.chain.Links[o.examine(err, o.waitsFor()).at]
	return &failure{fmt.Sprintf("peer %s: %s", cmp.Or(l.Name, l.Peer.String()), how(err)), err}
}

// how tells in a few words in what way a peer failed.
func how(err error) string {
	var said *wire.Error
	why, unreached := host.Unreachable(err)
	switch {
	case errors.As(err, &said) && said.Code == wire.CodeUpstream:
		return "the peer before it got no answer from it"
	case said != nil && said.Message != "":
		return said.Code.String() + ": " + said.Message
	case said != nil:
		return said.Code.String()
	case unreached:
		return "unreachable: " + why
	case errors.Is(err, infer.ErrSilent):
		return "it was silent for too long"
	case tooSlow(err):
		return "it took too long"
	case errors.Is(err, host.ErrPathLost):
		return "the connection through a relay was lost"
	case faultOf(err) == faultGone:
		return "the connection was lost"
	}
	return err.Error()
}
