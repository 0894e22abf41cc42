package harm

import (
	"context"
	"crypto/ed25519"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/protocol/wire"
)

// AttackNobody points attacks at a peer that is not there and returns what each says.
func AttackNobody(ctx context.Context, l *Lab) (map[string]error, error) {
	s, err := l.startServed(ctx)
	if err != nil {
		return nil, err
	}
	nobody := wire.PeerIDOf(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	f := &flooded{l: l, s: s, victim: api.Status{Peer: nobody}, at: wire.Addr("/ip4/127.0.0.1/tcp/9/p2p/" + nobody.String())}
	said := map[string]error{}
	_, said["streams"] = f.streams(ctx)
	_, said["strangers"] = f.strangers(ctx)
	said["hog"] = f.with(ctx, nil, func(a *attacker) error { return hogs(ctx, l, a, nobody, "demo") })
	return said, s.Stop()
}
