package hostile

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// advertsAtOnce is how many adverts go over one stream: what an honest peer takes of one.
const advertsAtOnce = 1000

// Sybils hands every connected peer adverts of as many identities as it is told, all
// admitted by the one token, each with so many models, or as many as an advert holds. It
// returns the number of bytes handed to each.
func (p *Peer) Sybils(ctx context.Context, identities, models int) (size int64, err error) {
	victims, err := p.victims()
	if err != nil {
		return 0, err
	}
	for done := 0; done < identities; done += advertsAtOnce {
		var adverts [][]byte
		for range min(advertsAtOnce, identities-done) {
			b, err := p.sybil(models)
			if err != nil {
				return size, fmt.Errorf("make a sybil: %w", err)
			}
			adverts = append(adverts, b)
			size += int64(len(b))
		}
		for _, v := range victims {
			if err := p.handAdverts(ctx, v, adverts); err != nil {
				return size, fmt.Errorf("hand adverts to %s: %w", v, err)
			}
			p.harm.Add(int64(len(adverts)))
		}
	}
	return size, nil
}

// sybil makes an identity and an advert of it.
func (p *Peer) sybil(models int) ([]byte, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return nil, err
	}
	id := wire.PeerIDOf(key.Public().(ed25519.PublicKey))
	now := time.Now().UnixMilli()
	a := &wire.Advert{
		Swarm: p.host.Swarm(), Peer: id, Seq: uint64(now), Issued: now, TTLSec: uint32(protocol.MaxAdvertTTL / time.Second),
		Capability: protocol.Capability, Version: "sybil", Membership: p.token.Admit(id), Addrs: []wire.Addr{"/ip4/127.0.0.1/tcp/9"},
	}
	for len(a.Models) < min(models, protocol.MaxAdvertModels) {
		m := wire.ModelAdvert{Model: randomCID(), Name: "model of a sybil with a rather long name " + id.String()}
		for i := range uint32(protocol.MaxAdvertRanges) {
			m.Held = append(m.Held, wire.Range{First: i, Last: i + 1})
			m.Served = append(m.Served, wire.Served{Range: wire.Range{First: i, Last: i + 1}, StepNs: 1_000_000, PrefillNs: 1_000_000, FreeSessions: 64, FreeTokens: 1 << 40})
		}
		a.Models = append(a.Models, m)
	}
	b, err := wire.SignAdvert(key, a)
	for errors.Is(err, wire.ErrInvalid) && len(a.Models) > 1 { // too large
		a.Models = a.Models[:len(a.Models)-1]
		b, err = wire.SignAdvert(key, a)
	}
	return b, err
}

func randomCID() cid.Cid {
	var b [32]byte
	rand.Read(b[:]) // never errs since Go 1.24
	return wire.CIDOf(b[:])
}

func (p *Peer) handAdverts(ctx context.Context, to host.ID, adverts [][]byte) error {
	s, err := p.host.Open(ctx, to, protocol.Adverts)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = s.Reset() })
	defer stop()
	w := frame.NewWriter(s)
	for _, a := range adverts {
		if err := w.Write(wire.TypeAdvert, a); err != nil {
			break // the peer has had enough of them, as it may
		}
	}
	_ = errors.Join(w.Flush(), s.CloseWrite())
	discard(s)
	return s.Close()
}
