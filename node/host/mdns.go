package host

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"

	"github.com/covey-network/covey/protocol"
)

// localEvery is how often the addresses of this machine are looked at, besides when the library
// tells that they have changed: it does not tell of each.
const localEvery = 5 * time.Second

// local is the discovery on the local network. What it tells others of this peer is fixed when
// it starts, so it starts again when the addresses of this machine change: after a sleep, on
// another network, with a VPN.
type local struct {
	r       *running
	addrs   []string     // of this machine when it was last started or tried
	service mdns.Service // nil: it is off
	tried   bool
	warned  bool
}

// loop keeps local discovery going until ctx ends.
func (l *local) loop(ctx context.Context) error {
	changes, err := l.r.host.EventBus().Subscribe(new(event.EvtLocalAddressesUpdated), eventbus.Name("covey local discovery"))
	if err != nil {
		return err
	}
	defer changes.Close()
	defer l.stop()
	t := time.NewTicker(localEvery)
	defer t.Stop()
	for {
		l.refresh()
		select {
		case <-ctx.Done():
			return nil
		case <-changes.Out():
		case <-t.C:
		}
	}
}

// refresh starts discovery if it has not with the addresses that are this machine's now.
func (l *local) refresh() {
	found, err := l.r.host.Network().InterfaceListenAddresses()
	addrs := make([]string, len(found))
	for i, a := range found {
		addrs[i] = a.String()
	}
	slices.Sort(addrs)
	if err == nil && l.tried && slices.Equal(addrs, l.addrs) {
		return
	}
	l.stop()
	l.tried, l.addrs = true, addrs
	service := mdns.NewMdnsService(l.r.host, protocol.MDNSService(l.r.Swarm().String()), lookout{l.r})
	if err == nil {
		err = service.Start()
	}
	if err != nil { // no multicast here, as in many containers, or no network yet
		_ = service.Close()
		level := slog.LevelWarn
		if l.warned {
			level = slog.LevelDebug
		}
		l.r.log.Log(l.r.ctx, level, "local discovery is off until this machine is on a network with multicast", "err", err)
		l.warned = true
		return
	}
	l.service, l.warned = service, false
	l.r.log.Debug("local discovery is on", "addrs", addrs)
}

func (l *local) stop() {
	if l.service != nil {
		_ = l.service.Close()
	}
	l.service = nil
}
