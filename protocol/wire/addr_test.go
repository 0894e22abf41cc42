package wire_test

import (
	"bytes"
	"testing"

	"github.com/covey-network/covey/protocol/wire"
)

// Two peers of the libp2p specification's examples.
const (
	onePeer   = "12D3KooWGzxzKZYveHXtpG6AsrUJBcWxHBFS2HsEoGTxrMLvKXtf"
	otherPeer = "12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA"
)

// TestAddrPeer checks whom an address leads to: over a relay not to the relay.
func TestAddrPeer(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"/ip4/10.0.0.1/tcp/4001/p2p/" + onePeer:                                   onePeer,
		"/ip4/10.0.0.1/tcp/4001/p2p/" + onePeer + "/p2p-circuit/p2p/" + otherPeer: otherPeer,
		"/ip4/10.0.0.1/tcp/4001/p2p/" + onePeer + "/p2p-circuit":                  "",
		"/ip4/10.0.0.1/tcp/4001":                                                  "",
		"nothing":                                                                 "",
	} {
		id, ok := wire.Addr(addr).Peer()
		if ok != (want != "") || ok && id.String() != want {
			t.Errorf("%s: got %s, %v, want %q", addr, id, ok, want)
		}
	}
}

// TestEmptyLists checks that a list without elements is written as one.
func TestEmptyLists(t *testing.T) {
	t.Parallel()
	b, err := wire.Encode(&wire.Revocation{Swarm: wire.SwarmIDOf(public(swarmKey)), Seq: 1})
	if err != nil {
		t.Fatal(err)
	}
	if want := []byte{3, 0x80}; !bytes.HasSuffix(b, want) { // key 3, a list of none
		t.Errorf("got %x, want it to end with %x", b, want)
	}
}
