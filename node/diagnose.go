package node

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/shirou/gopsutil/v4/mem"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/doctor"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// probedPeers and probedAddrs bound what covey doctor tries: peers, and addresses of each.
	probedPeers = 16
	probedAddrs = 8
	// secondShown is how long a second node on the data directory is told of.
	secondShown = 10 * time.Minute
)

// second is a node that was started on the data directory of one that runs.
type second struct {
	pid int
	at  time.Time
}

// postSecond takes note of a second node, which tells of itself.
func (r *running) postSecond(w http.ResponseWriter, req *http.Request) error {
	var in api.SecondNode
	if err := read(req, &in); err != nil {
		return err
	}
	r.log.Warn("a second node was started on the data directory, and refused", "pid", in.PID)
	r.second.Store(&second{in.PID, time.Now()})
	return answer(w, in)
}

// getDoctor says what is wrong with this node, and with speed=true how fast peers send.
func (r *running) getDoctor(w http.ResponseWriter, req *http.Request) error {
	start := time.Now()
	f, err := r.facts(req.Context(), req.URL.Query().Get("speed") == "true")
	if err != nil {
		return err
	}
	return answer(w, api.Diagnosis{Running: true, DataDir: r.cfg.DataDir, Findings: doctor.Examine(f), Took: time.Since(start)})
}

// facts gathers what can be found by a node that runs.
func (r *running) facts(ctx context.Context, speed bool) (*doctor.Facts, error) {
	now := time.Now()
	m := r.membership()
	lent, used := r.worker.Memory()
	f := &doctor.Facts{
		Running: true, Now: now, Membership: &m, Data: doctor.Data{Dir: r.cfg.DataDir, Flag: DataFlag(r.cfg.DataDir), PID: pid()},
		Memory: memoryFacts(lent, used), CPU: cpuFacts(), Network: r.network(), Ports: r.ports(),
	}
	if s := r.second.Load(); s != nil && now.Sub(s.at) < secondShown {
		f.Data.Second, f.Data.SecondAgo = s.pid, now.Sub(s.at)
	}
	d, err := diskFacts(r.cfg)
	if err != nil {
		return nil, err
	}
	stat := r.store.Stat()
	d.Used, d.Room, d.Full, d.Mend, d.Damaged = stat.DiskBytes, stat.Free, stat.Full, stat.Mend, stat.Quarantined
	f.Disk = d
	f.Peers = r.peerFacts(ctx, speed)
	return f, nil
}

func cpuFacts() doctor.CPU {
	return doctor.CPU{Arch: runtime.GOARCH, Set: worker.CPU(), Best: worker.BestCPU()}
}

// memoryFacts are nil if the system tells nothing.
func memoryFacts(lent, used int64) *doctor.Memory {
	v, err := mem.VirtualMemory()
	if err != nil {
		return nil
	}
	return &doctor.Memory{Total: int64(v.Total), Available: int64(v.Available), Lent: lent, Free: max(0, lent-used)}
}

func diskFacts(cfg *Config) (*doctor.Disk, error) {
	s, err := store.Look(store.Config{Dir: filepath.Join(cfg.DataDir, "store"), Limit: int64(cfg.Limits.Disk)})
	if err != nil {
		return nil, err
	}
	return &doctor.Disk{
		Free: s.Free, Total: s.Total, Margin: s.Margin, Used: s.Used, Room: s.Room, Limit: int64(cfg.Limits.Disk),
		Models: s.Models, Full: s.Full, Mend: s.Mend,
	}, nil
}

func (r *running) ports() []doctor.Port {
	n := r.host.Network()
	out := []doctor.Port{{Addr: "tcp " + r.gateway.Addr().String(), For: "API", Open: true}}
	for _, a := range n.Listen {
		if ip := hostOf(a); len(n.Listen) <= 4 || !ip.IsLoopback() {
			out = append(out, doctor.Port{Addr: a, For: "peers", Open: true})
		}
	}
	if n.Taken != 0 && len(n.Listen) > 0 {
		out = append(out, doctor.Port{Addr: fmt.Sprintf("port %d", n.Taken), For: "peers", Instead: n.Listen[0]})
	}
	return out
}

// hostOf returns the IP of PROTOCOL HOST:PORT, nil if there is none.
func hostOf(at string) net.IP {
	_, at, _ = strings.Cut(at, " ")
	text, _, err := net.SplitHostPort(at)
	if err != nil {
		return nil
	}
	return net.ParseIP(text)
}

// network is the way to the world as the host knows it.
func (r *running) network() doctor.Network {
	n := r.host.Network()
	out := localNetwork(r.cfg)
	out.Reachable, out.Unreachable, out.Private = n.Reachable, n.Unreachable, n.Private
	out.Gateway, out.Mapped = n.Gateway, n.Mapped
	out.Relaying, out.RelayOffered = n.Relaying, n.Offered
	for _, id := range n.Relays {
		out.Relays = append(out.Relays, r.called(id))
	}
	for _, s := range n.Seen {
		out.Seen = append(out.Seen, doctor.Seen{Proto: s.Proto, Local: s.Local, As: s.As, Public: isPublic(s.As), Peer: r.called(s.Peer), At: s.At})
	}
	return out
}

// localNetwork is what this machine tells of its network.
func localNetwork(cfg *Config) doctor.Network {
	out := doctor.Network{NAT: cfg.Network.NAT, Off: cfg.Offline}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return out
	}
	for _, a := range addrs {
		n, ok := a.(*net.IPNet)
		if !ok || !n.IP.IsGlobalUnicast() {
			continue
		}
		switch four := n.IP.To4() != nil; {
		case four:
			out.Addrs4 = append(out.Addrs4, n.IP.String())
			if out.Public4 == "" && host.IsPublic(n.IP) {
				out.Public4 = n.IP.String()
			}
		case host.IsPublic(n.IP):
			out.Addrs6 = append(out.Addrs6, n.IP.String())
		}
	}
	return out
}

// isPublic reports whether HOST:PORT is at a public address.
func isPublic(at string) bool {
	text, _, err := net.SplitHostPort(at)
	return err == nil && host.IsPublic(net.ParseIP(text))
}

// peerFacts describes the known peers and probes the addresses of some.
func (r *running) peerFacts(ctx context.Context, speed bool) []doctor.Peer {
	paths, clocks := r.host.Paths(), map[host.ID]time.Duration{}
	for _, p := range r.host.Peers() {
		clocks[p.ID] = p.Clock
	}
	quic := r.host.Network().QUIC
	contacts := r.host.Contacts()
	out := make([]doctor.Peer, len(contacts))
	for i, c := range contacts {
		p := paths[c.ID]
		v := doctor.Peer{Name: r.called(c.ID), First: c.First, Inside: c.Inside, State: string(p.State), Reason: p.Reason, Refused: p.Clock, RTT: p.RTT, QUIC: quic[c.ID]}
		if p.Via != "" {
			v.Via = r.called(p.Via)
		}
		v.Clock, v.Timed = clocks[c.ID]
		out[i] = v
	}
	probe(ctx, contacts, out)
	if speed {
		r.rates(ctx, contacts, out)
	}
	return out
}

// probe tries the addresses of peers: first of those that the owner named, then of those that are
// not connected.
func probe(ctx context.Context, contacts []host.Contact, peers []doctor.Peer) {
	order := make([]int, len(peers))
	for i := range order {
		order[i] = i
	}
	rank := func(i int) int {
		switch p := &peers[i]; {
		case p.First:
			return 0
		case !p.Connected():
			return 1
		}
		return 2
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank(a), rank(b)) })
	order = order[:min(len(order), probedPeers)]
	targets := make([][]doctor.Target, len(order))
	for i, n := range order {
		for _, a := range contacts[n].Addrs {
			if t, ok := doctor.ParseTarget(a); ok && len(targets[i]) < probedAddrs && !slices.Contains(targets[i], t) {
				targets[i] = append(targets[i], t)
			}
		}
	}
	for i, found := range (doctor.Prober{}).Probe(ctx, targets) {
		peers[order[i]].Probes = found
	}
}

// tokenFacts describe a join token.
func tokenFacts(t *wire.Token) *doctor.Token {
	g, err := t.Open()
	if err != nil {
		return nil
	}
	return &doctor.Token{Expires: g.ExpiresAt(), Addrs: len(t.Bootstrap)}
}
