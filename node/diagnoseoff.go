package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/doctor"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// visitTime is how long covey doctor without a node tries to be let in by peers.
const visitTime = 6 * time.Second

// Diagnose says what is wrong on a machine where no node answers on the data directory of cfg, as
// far as that can be found from outside. With a token it looks whether its swarm can be joined.
// It writes nothing, and founds and joins nothing, but it says hello to peers as this machine's node.
func Diagnose(ctx context.Context, cfg *Config, token *wire.Token) (*api.Diagnosis, error) {
	start := time.Now()
	f := &doctor.Facts{Now: start, CPU: cpuFacts(), Network: localNetwork(cfg), Data: dataFacts(cfg.DataDir)}
	if lent, _, err := lentMemory(int64(cfg.Limits.Memory)); err == nil {
		f.Memory = memoryFacts(lent, 0)
	}
	if d, err := diskFacts(cfg); err == nil {
		f.Disk = d
	} else if f.Data.Err == "" {
		f.Data.Err = err.Error()
	}
	if !f.Data.Held {
		f.Ports = freePorts(ctx, cfg)
	}
	if token != nil {
		f.Token = tokenFacts(token)
	}
	creds, err := host.PeekCredentials(cfg.DataDir, token, start)
	switch {
	case errors.Is(err, host.ErrOtherSwarm):
		f.Token.Other = true
	case err != nil && !errors.Is(err, fs.ErrNotExist) && f.Data.Err == "":
		f.Data.Err = err.Error()
	case err == nil:
		f.Membership = peekMembership(cfg.DataDir, creds, start)
		if err := visit(ctx, cfg, creds, f); err != nil {
			return nil, err
		}
	}
	return &api.Diagnosis{DataDir: cfg.DataDir, Findings: doctor.Examine(f), Took: time.Since(start)}, nil
}

func dataFacts(dir string) doctor.Data {
	d := doctor.Data{Dir: dir, Flag: DataFlag(dir)}
	info, err := os.Stat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		d.Missing = true
		return d
	case err != nil:
		d.Err = err.Error()
		return d
	case !info.IsDir():
		d.Err = dir + " is no directory"
		return d
	}
	if d.Claimed, err = Claimed(dir); err != nil {
		d.Err = err.Error()
		return d
	}
	s, err := store.Look(store.Config{Dir: filepath.Join(dir, "store")})
	if err != nil {
		d.Err = err.Error()
		return d
	}
	d.Held = d.Claimed || s.Held
	return d
}

// winAddrInUse is what Windows calls syscall.EADDRINUSE; no other system has an error so high.
const winAddrInUse = syscall.Errno(10048)

func isTaken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, winAddrInUse)
}

// freePorts tries the ports that a node would listen on.
func freePorts(ctx context.Context, cfg *Config) (out []doctor.Port) {
	add := func(at, use string, err error) {
		p := doctor.Port{Addr: at, For: use, Taken: isTaken(err)}
		if err != nil && !p.Taken {
			p.Err = err.Error()
		}
		out = append(out, p)
	}
	var l net.ListenConfig
	s, err := l.Listen(ctx, "tcp", cfg.API.Addr)
	if err == nil {
		err = s.Close()
	}
	add("tcp "+cfg.API.Addr, "API", err)
	kept := host.KeptPort(cfg.DataDir)
	for _, text := range cfg.Network.Listen {
		at, err := host.Listenable(ctx, text, kept)
		if err != nil && !isTaken(err) && strings.HasPrefix(text, "/ip6/") { // there may be no IPv6
			continue
		}
		if kept == 0 && strings.HasSuffix(at, ":0") {
			continue // chosen at the first start
		}
		add(at, "peers", err)
	}
	return out
}

func peekMembership(dir string, c *host.Credentials, now time.Time) *api.Membership {
	over := host.PeekOver(dir, c, now)
	m := &api.Membership{State: "member", Scopes: c.Grant.Scopes, Expires: c.Grant.ExpiresAt(), RenewsAt: c.RenewsAt()}
	switch {
	case errors.Is(over, wire.ErrRevoked), errors.Is(over, wire.ErrPeerRevoked):
		m.State = "revoked"
	case over != nil:
		m.State = "over"
	case c.SwarmKey != nil:
		m.State = "founder"
	case c.Grant.Admits():
		m.State = "deputy"
	case c.Grant.Peer == "":
		m.State = "joining"
	}
	return m
}

// visit says hello to the peers that the credentials and the book know, and probes their
// addresses. What it finds of them, of the book and of the membership goes into f.
func visit(ctx context.Context, cfg *Config, creds *host.Credentials, f *doctor.Facts) (err error) {
	hc := host.Default()
	hc.Credentials, hc.Version, hc.Listen, hc.MDNS, hc.DHT, hc.NAT = creds, cfg.Version, nil, false, false, false
	for _, b := range cfg.Network.Bootstrap {
		hc.Bootstrap = append(hc.Bootstrap, wire.Addr(b))
	}
	if hc.Proxy, err = cfg.proxy(); err != nil {
		return err
	}
	h, err := host.New(hc)
	if err != nil {
		return err
	}
	if err := h.AddBook(cfg.DataDir); err != nil {
		f.Data.Book = err.Error() // a node starts without, too
	}
	ctx, cancel := context.WithTimeout(ctx, visitTime)
	defer cancel()
	life, stop := context.WithCancel(context.WithoutCancel(ctx)) // its end is waited for below
	var run errgroup.Group
	run.Go(func() error {
		defer cancel() // what waits for it
		return h.Run(life)
	})
	defer func() {
		stop()
		if failed := run.Wait(); failed != nil && err == nil {
			err = fmt.Errorf("look at the network: %w", failed)
		}
	}()
	select {
	case <-h.Ready():
	case <-ctx.Done():
		return ctx.Err()
	}
	contacts := h.Contacts()
	f.Peers = make([]doctor.Peer, len(contacts))
	for i, c := range contacts {
		f.Peers[i] = doctor.Peer{Name: cmp.Or(h.Name(c.ID), c.ID.String()), First: c.First, Inside: c.Inside}
	}
	probe(ctx, contacts, f.Peers)
	settled(ctx, h, contacts)
	paths, peers, quic := h.Paths(), h.Peers(), h.Network().QUIC
	for i, c := range contacts {
		p, v := paths[c.ID], &f.Peers[i]
		v.State, v.Reason, v.Refused, v.RTT, v.QUIC = string(p.State), p.Reason, p.Clock, p.RTT, quic[c.ID]
		if n := slices.IndexFunc(peers, func(p host.Peer) bool { return p.ID == c.ID }); n >= 0 {
			v.Clock, v.Timed = peers[n].Clock, true
		}
	}
	now := h.Membership()
	if errors.Is(now.Refused, wire.ErrRevoked) || errors.Is(now.Refused, wire.ErrPeerRevoked) || errors.Is(now.Over, wire.ErrRevoked) {
		f.Membership.State = "revoked"
	}
	f.Membership.Trouble = membershipTrouble(&now, time.Now())
	f.Membership.Problem = f.Membership.Trouble.String()
	return nil
}

// settled waits until each peer is connected or was dialled in vain.
func settled(ctx context.Context, h *host.Host, contacts []host.Contact) {
	for {
		open := false
		for _, c := range contacts {
			s := h.Path(c.ID).State
			open = open || s == host.PathUntried || s == host.PathLost
		}
		if !open || !sleep(ctx, settleAgain) {
			return
		}
	}
}
