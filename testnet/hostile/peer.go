package hostile

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	cid "github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// advertEvery is how often a hostile peer advertises: more often than honest ones, as it
	// wants to be asked.
	advertEvery = time.Second
	advertTTL   = time.Minute
	// look is how often it looks for peers and models that it waits for.
	look = 20 * time.Millisecond
)

// Config says who attacks whom, and how.
type Config struct {
	Token string // join token of the swarm
	Dir   string // for its identity and its store; the caller removes it
	Claim *Claim // nil: it only joins
}

// Claim is what a hostile peer says that it serves, and what it does when it is asked.
type Claim struct {
	Model  string  // name, as honest peers advertise it
	Blocks string  // "first-last", or "all"
	Mode   string  // a name in Modes; "" answers honestly
	Victim host.ID // the honest peer that it blames, if its mode blames one
	After  int     // honest results in each session before the harm
}

// Peer is one hostile peer.
type Peer struct {
	cfg   Config
	mode  *Mode
	token *wire.Token
	creds *host.Credentials
	host  *host.Host
	ready chan struct{}
	asked atomic.Int64 // sessions that honest peers wanted to open
	harm  atomic.Int64

	life context.Context // of Run
	down chan struct{}   // closed when the host has ended, and so all streams
}

// New checks cfg and makes the peer's identity. It starts nothing.
func New(cfg Config) (*Peer, error) {
	p := &Peer{cfg: cfg, ready: make(chan struct{}), down: make(chan struct{})}
	if c := cfg.Claim; c != nil && c.Mode != "" {
		if p.mode = Find(c.Mode); p.mode == nil {
			return nil, fmt.Errorf("make hostile peer: no mode %q: there are %s", c.Mode, strings.Join(Names(), ", "))
		}
		if p.mode.Blames && c.Victim == "" {
			return nil, fmt.Errorf("make hostile peer: mode %s needs a victim", c.Mode)
		}
	}
	var err error
	if p.token, err = wire.ParseToken(cfg.Token); err != nil {
		return nil, fmt.Errorf("make hostile peer: %w", err)
	}
	if p.creds, err = host.OpenCredentials(filepath.Join(cfg.Dir, "identity"), p.token, time.Now()); err != nil {
		return nil, fmt.Errorf("make hostile peer: %w", err)
	}
	h := host.Default()
	h.Credentials, h.Version, h.Roles = p.creds, "hostile", []string{wire.RoleServe}
	h.Listen, h.MDNS, h.DHT, h.NAT = []string{"/ip4/127.0.0.1/tcp/0"}, false, false, false
	h.Times.Dial = 200 * time.Millisecond
	if p.host, err = host.New(h); err != nil {
		return nil, fmt.Errorf("make hostile peer: %w", err)
	}
	return p, nil
}

// ID returns the peer's identity.
func (p *Peer) ID() host.ID { return p.creds.ID }

// Ready is closed once the peer is a member and, if it claims a model, has said so.
func (p *Peer) Ready() <-chan struct{} { return p.ready }

// Met returns how many peers it is connected to.
func (p *Peer) Met() int { return len(p.host.Peers()) }

// Asked returns how many sessions other peers wanted of it.
func (p *Peer) Asked() int { return int(p.asked.Load()) }

// Harm returns how often it did what its mode says.
func (p *Peer) Harm() int { return int(p.harm.Load()) }

// Run joins the swarm and does harm until ctx ends.
func (p *Peer) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	p.life = ctx
	g.Go(func() error {
		defer close(p.down)
		return p.host.Run(ctx)
	})
	g.Go(func() error {
		err := p.join(ctx)
		if ctx.Err() != nil {
			return nil
		}
		return err
	})
	return g.Wait()
}

func (p *Peer) join(ctx context.Context) error {
	if err := until(ctx, func() bool { return len(p.host.Peers()) > 0 }); err != nil {
		return fmt.Errorf("join the swarm: %w", err)
	}
	c := p.cfg.Claim
	if c == nil {
		close(p.ready)
		<-ctx.Done()
		return nil
	}
	id, whole, err := p.Find(ctx, c.Model)
	if err != nil {
		return err
	}
	claimed, err := rangeOf(c.Blocks, whole)
	if err != nil {
		return err
	}
	if p.mode != nil && p.mode.blocks {
		p.host.Handle(protocol.Blocks, p.wrongBlocks)
		return p.advertise(ctx, wire.ModelAdvert{Model: id, Name: c.Model, Held: []wire.Range{whole}})
	}
	w, err := p.newWorker(id)
	if err != nil {
		return err
	}
	return w.run(ctx, claimed, func() error {
		p.host.Handle(protocol.Infer, w.serve)
		return p.advertise(ctx, wire.ModelAdvert{
			Model: id, Name: c.Model, Held: []wire.Range{whole},
			Served: []wire.Served{{Range: claimed, StepNs: 1000, PrefillNs: 10, FreeSessions: 64, FreeTokens: 1 << 30}},
		})
	})
}

// advertise tells what the peer claims, again and again.
func (p *Peer) advertise(ctx context.Context, m wire.ModelAdvert) error {
	space := wire.Space{Total: 64 << 30, Lent: 64 << 30, Free: 64 << 30}
	for first := true; ; first = false {
		a := wire.Advert{
			TTLSec: uint32(advertTTL / time.Second), Name: "hostile", Cores: 64, Models: []wire.ModelAdvert{m},
			Speeds: wire.Speeds{MemBytesPerSec: 1 << 40, DotOpsPerSec: 1 << 50, Engine: "fast"}, Memory: space, Disk: space,
		}
		if err := p.host.PublishAdvert(ctx, a); err != nil && ctx.Err() == nil {
			return err
		}
		if first {
			close(p.ready)
		}
		if Pause(ctx, advertEvery) != nil {
			return nil
		}
	}
}

// Find waits until an honest peer advertises a model of a name, and returns its identity
// and the range of all of it.
func (p *Peer) Find(ctx context.Context, name string) (id cid.Cid, whole wire.Range, err error) {
	err = until(ctx, func() bool {
		for _, a := range p.host.Adverts() {
			for _, m := range a.Models {
				i := slices.IndexFunc(m.Held, func(r wire.Range) bool { return r.Embed && r.Head })
				if m.Name == name && i >= 0 {
					id, whole = m.Model, m.Held[i]
					return true
				}
			}
		}
		return false
	})
	if err != nil {
		return id, whole, fmt.Errorf("find model %s: %w", name, err)
	}
	return id, whole, nil
}

// rangeOf reads "first-last" as covey host does.
func rangeOf(blocks string, whole wire.Range) (wire.Range, error) {
	if blocks == "" || blocks == "all" {
		return whole, nil
	}
	var first, last uint32
	if n, err := fmt.Sscanf(blocks, "%d-%d", &first, &last); n != 2 || err != nil || first > last || last >= whole.Last {
		return whole, fmt.Errorf("blocks %q: want first-last below %d, or all", blocks, whole.Last)
	}
	return wire.Range{First: first, Last: last + 1, Embed: first == 0, Head: last+1 == whole.Last}, nil
}

// until waits for a condition.
func until(ctx context.Context, ok func() bool) error {
	for !ok() {
		if err := Pause(ctx, look); err != nil {
			return err
		}
	}
	return nil
}

// Pause waits for a time, or until ctx ends, which is its error.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// victims returns the connected honest peers.
func (p *Peer) victims() ([]host.ID, error) {
	var out []host.ID
	for _, v := range p.host.Peers() {
		if v.Version != "hostile" {
			out = append(out, v.ID)
		}
	}
	if len(out) == 0 {
		return nil, errors.New("no peer is connected")
	}
	return out, nil
}
