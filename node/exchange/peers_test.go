package exchange_test

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"
	"go.uber.org/goleak"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
)

// patience is how long a test waits for what must happen; it is not part of any result.
const patience = 60 * time.Second

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// swarm is some hosts of one swarm on loopback; the first founded it.
type swarm struct {
	tb    testing.TB
	owner *host.Credentials
	peers []*peer
}

// peer is a running host with a store and an exchange.
type peer struct {
	*host.Host
	store *store.Store
	ex    *exchange.Exchange
	stop  func()
}

func newSwarm(tb testing.TB) *swarm {
	tb.Helper()
	c, err := host.OpenCredentials(tb.TempDir(), nil, time.Now())
	if err != nil {
		tb.Fatal(err)
	}
	return &swarm{tb: tb, owner: c}
}

func logger(tb testing.TB) *slog.Logger {
	if os.Getenv("COVEY_TEST_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(tb.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// add starts another peer, which knows all there are. It serves its store honestly until
// the test handles protocol.Blocks otherwise.
func (s *swarm) add(edit func(*exchange.Config)) *peer {
	s.tb.Helper()
	return s.addHost(func(*host.Config) {}, edit)
}

// addHost is add of a host with another configuration.
func (s *swarm) addHost(configure func(*host.Config), edit func(*exchange.Config)) *peer {
	s.tb.Helper()
	c := s.owner
	if len(s.peers) > 0 {
		c = s.join()
	}
	cfg := host.Default()
	cfg.Credentials, cfg.Version, cfg.Log = c, "test", logger(s.tb)
	cfg.Listen = []string{"/ip4/127.0.0.1/tcp/0"}
	cfg.MDNS, cfg.DHT, cfg.NAT = false, false, false
	configure(&cfg)
	h, err := host.New(cfg)
	if err != nil {
		s.tb.Fatal(err)
	}
	p := &peer{Host: h, store: openStore(s.tb, s.tb.TempDir())}
	xc := exchange.Config{Store: p.store, Open: h.Open, Log: logger(s.tb)}
	if edit != nil {
		edit(&xc)
	}
	if p.ex, err = exchange.New(xc); err != nil {
		s.tb.Fatal(err)
	}
	h.Handle(protocol.Blocks, p.ex.Serve)
	p.stop = run(s.tb, h)
	for _, q := range s.peers {
		if len(q.Addrs()) == 0 {
			continue
		}
		if err := p.Connect(s.tb.Context(), q.Addrs()[0]); err != nil {
			s.tb.Fatal(err)
		}
	}
	s.peers = append(s.peers, p)
	return p
}

func (s *swarm) join() *host.Credentials {
	s.tb.Helper()
	token, err := s.owner.Invite(host.Invitation{Addrs: s.peers[0].Addrs()}, time.Now())
	if err != nil {
		s.tb.Fatal(err)
	}
	c, err := host.OpenCredentials(s.tb.TempDir(), token, time.Now())
	if err != nil {
		s.tb.Fatal(err)
	}
	return c
}

// run runs a host until the test ends or the function it returns is called.
func run(tb testing.TB, h *host.Host) (stop func()) {
	tb.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			tb.Errorf("run: %v", err)
		}
	}
	tb.Cleanup(stop)
	select {
	case <-h.Ready():
	case err := <-done:
		done <- err
		tb.Fatalf("run ended early: %v", err)
	case <-time.After(patience):
		tb.Fatal("not ready")
	}
	return stop
}

func openStore(tb testing.TB, dir string) *store.Store {
	tb.Helper()
	s, err := store.Open(store.Config{Dir: dir})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Errorf("close: %v", err)
		}
	})
	return s
}

// randomBlocks makes n blocks of size bytes from a seed.
func randomBlocks(tb testing.TB, seed byte, n, size int) []store.Block {
	tb.Helper()
	rng := rand.NewChaCha8([32]byte{seed})
	out := make([]store.Block, n)
	for i := range out {
		data := make([]byte, size)
		rng.Read(data)
		b, err := store.NewBlock(data)
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = b
	}
	return out
}

func (p *peer) put(tb testing.TB, blocks []store.Block) {
	tb.Helper()
	if _, err := p.store.PutMany(tb.Context(), blocks); err != nil {
		tb.Fatal(err)
	}
}

func cidsOf(blocks []store.Block) []cid.Cid {
	out := make([]cid.Cid, len(blocks))
	for i, b := range blocks {
		out[i] = b.CID()
	}
	return out
}

// holds fails the test unless the peer's store has all blocks, with the right bytes.
func (p *peer) holds(tb testing.TB, blocks []store.Block) {
	tb.Helper()
	for _, b := range blocks {
		if got, err := p.store.Get(tb.Context(), b.CID()); err != nil || string(got) != string(b.Data()) {
			tb.Fatalf("block %s: %d bytes, %v", b.CID(), len(got), err)
		}
	}
}
