package node

import (
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol/wire"
)

func TestNews(t *testing.T) {
	t.Parallel()
	base := func() telling {
		return telling{
			advert: wire.Advert{
				Memory: wire.Space{Total: 100, Lent: 100, Free: 100}, Disk: wire.Space{Total: 1000, Lent: 1000, Free: 1000},
				Models: []wire.ModelAdvert{{Model: wire.CIDOf([]byte("m")), Served: []wire.Served{{Range: wire.Range{Last: 2}, StepNs: 100, FreeSessions: 8, FreeTokens: 4096}}}},
			},
			addrs: []wire.Addr{"/ip4/127.0.0.1/tcp/1"}, measured: []host.ID{"a", "b"}, unreached: []host.ID{"c"}, at: time.Unix(1000, 0),
		}
	}
	served := func(n *telling) *wire.Served { return &n.advert.Models[0].Served[0] }
	soon, later := time.Second, advertMinor
	for _, c := range []struct {
		name  string
		after time.Duration
		edit  func(*telling)
		want  bool
	}{
		{"nothing", later, func(*telling) {}, false},
		{"another address", soon, func(n *telling) { n.addrs = nil }, true},
		{"a renewed membership", soon, func(n *telling) { n.ends = time.Unix(5000, 0) }, true},
		{"speeds", soon, func(n *telling) { n.advert.Speeds.DotOpsPerSec = 1 }, true},
		{"no model", soon, func(n *telling) { n.advert.Models = nil }, true},
		{"another range", soon, func(n *telling) { served(n).Range.Last = 3 }, true},
		{"held", soon, func(n *telling) { n.advert.Models[0].Held = []wire.Range{{Last: 1}} }, true},
		{"full, too soon", soon, func(n *telling) { served(n).FreeSessions = 0 }, false},
		{"full", later, func(n *telling) { served(n).FreeSessions = 0 }, true},
		{"a session", later, func(n *telling) { served(n).FreeSessions = 7 }, false},
		{"few tokens", later, func(n *telling) { served(n).FreeTokens = 1000 }, true},
		{"one waits", later, func(n *telling) { served(n).Queue = 1 }, false},
		{"many wait", later, func(n *telling) { served(n).Queue = 3 }, true},
		{"slower", later, func(n *telling) { served(n).StepNs = 250 }, true},
		{"some memory", later, func(n *telling) { n.advert.Memory.Free = 60 }, false},
		{"much memory", later, func(n *telling) { n.advert.Memory.Free = 40 }, true},
		{"much disk", later, func(n *telling) { n.advert.Disk.Free = 400 }, true},
		{"one more to hand over to, too soon", soon, func(n *telling) { n.measured = []host.ID{"a", "b", "d"} }, false},
		{"one more to hand over to", later, func(n *telling) { n.measured = []host.ID{"a", "b", "d"} }, true},
		{"one less", later, func(n *telling) { n.measured = []host.ID{"a"} }, false},
		{"one dialled in vain", later, func(n *telling) { n.unreached = []host.ID{"b", "c"} }, true},
		{"one reached again", later, func(n *telling) { n.unreached = nil }, true},
		{"little of little", later, func(n *telling) { n.advert.Disk.Free = 950 }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			told, now := base(), base()
			now.at = told.at.Add(c.after)
			c.edit(&now)
			if got := told.news(now); got != c.want {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}
