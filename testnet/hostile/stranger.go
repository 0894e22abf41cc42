package hostile

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p"
	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/crypto"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	libprotocol "github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// strangersAtOnce is how many strangers arrive at a time.
const strangersAtOnce = 16

// Stay is how long strangers could stay.
type Stay struct {
	Streams int           // that they could open
	Longest time.Duration // from a stranger's arrival until it was cut off, or gave up
}

// Strangers lets peers without a token connect to an address, each of which opens so many
// streams of all protocols and says nothing on them. It returns when the last one was turned
// away, or has waited for as long as patience.
func Strangers(ctx context.Context, at wire.Addr, strangers, streams int, patience time.Duration) (Stay, error) {
	info, err := peer.AddrInfoFromString(string(at))
	if err != nil {
		return Stay{}, fmt.Errorf("send strangers: %w", err)
	}
	var mu sync.Mutex
	var all Stay
	var g errgroup.Group
	arrive := make(chan struct{}, strangersAtOnce)
	for range strangers {
		g.Go(func() error {
			arrive <- struct{}{}
			h, err := rawHost(nil)
			if err != nil {
				<-arrive
				return err
			}
			defer h.Close()
			err = h.Connect(ctx, *info)
			start := time.Now()
			opened := 0
			if err == nil {
				opened = silentStreams(ctx, h, info.ID, streams)
			}
			<-arrive
			if err != nil {
				return nil //nolint:nilerr // the victim may take no more
			}
			waiting, cancel := context.WithTimeout(ctx, patience)
			defer cancel()
			_ = until(waiting, func() bool { return len(h.Network().Conns()) == 0 })
			mu.Lock()
			defer mu.Unlock()
			all.Streams += opened
			all.Longest = max(all.Longest, time.Since(start))
			return nil
		})
	}
	err = g.Wait()
	return all, err
}

func silentStreams(ctx context.Context, h p2phost.Host, to peer.ID, n int) (opened int) {
	protocols := []string{protocol.Infer, protocol.Blocks, protocol.Adverts, protocol.Hello, "/meshsub/1.1.0", protocol.DHTPrefix + "/kad/1.0.0"}
	for i := range n {
		opening, cancel := context.WithTimeout(ctx, openTimeout)
		if _, err := h.NewStream(opening, to, libprotocol.ID(protocols[i%len(protocols)])); err == nil {
			opened++
		}
		cancel()
	}
	return opened
}

// Gossip joins the topic of the swarm's adverts from a bare libp2p host with this peer's
// identity, which must not run, and publishes messages of random bytes to a peer.
func Gossip(ctx context.Context, cfg Config, at wire.Addr, messages int) error {
	p, err := New(cfg)
	if err != nil {
		return err
	}
	info, err := peer.AddrInfoFromString(string(at))
	if err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	key, err := crypto.UnmarshalEd25519PrivateKey(p.creds.Key)
	if err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	h, err := rawHost(key)
	if err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	defer h.Close()
	ps, err := pubsub.NewGossipSub(ctx, h, pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign), pubsub.WithFloodPublish(true))
	if err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	topic, err := ps.Join(protocol.AdvertTopic(p.host.Swarm().String()))
	if err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	if err := errors.Join(h.Connect(ctx, *info), p.hello(ctx, h, info.ID)); err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	if err := until(ctx, func() bool { return len(topic.ListPeers()) > 0 }); err != nil {
		return fmt.Errorf("gossip garbage: %w", err)
	}
	for i := range messages {
		b := make([]byte, 16+i%4096)
		rand.Read(b) // never errs since Go 1.24
		if err := topic.Publish(ctx, b); err != nil {
			return fmt.Errorf("gossip garbage: %w", err)
		}
	}
	return nil
}

// hello proves the membership by hand.
func (p *Peer) hello(ctx context.Context, h p2phost.Host, to peer.ID) error {
	s, err := h.NewStream(ctx, to, protocol.Hello)
	if err != nil {
		return err
	}
	raw, err := messageFrame(wire.TypeHello, &wire.Hello{
		Capability: protocol.Capability, MinCapability: protocol.MinCapability, Version: "hostile",
		Swarm: p.creds.Swarm, Membership: p.creds.Membership,
	})
	if err == nil {
		_, err = s.Write(raw)
	}
	if err == nil {
		var t frame.Type
		if t, _, err = frame.NewReader(s, wire.HelloLimits()).Next(); err == nil && t != wire.TypeHello {
			err = errors.New("turned away")
		}
	}
	return errors.Join(err, s.Close())
}

// rawHost makes a host of the library that does not listen; without a key it is a new one.
func rawHost(key crypto.PrivKey) (p2phost.Host, error) {
	opts := []libp2p.Option{
		libp2p.NoListenAddrs, libp2p.Transport(tcp.NewTCPTransport), libp2p.DefaultSecurity, libp2p.DefaultMuxers,
		libp2p.DisableRelay(), libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}),
	}
	if key != nil {
		opts = append(opts, libp2p.Identity(key))
	}
	return libp2p.New(opts...)
}
