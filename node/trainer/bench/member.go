package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	system "github.com/shirou/gopsutil/v4/process"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/trainer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// looked is of how many numbers one is compared with the true mean.
const looked = 1009

// member is a process that averages.
type member struct {
	dir      string
	in       *json.Decoder
	out      *json.Encoder
	first    order
	creds    *host.Credentials
	host     *host.Host
	trainer  *trainer.Trainer
	registry *prometheus.Registry
	values   []float32
	before   []float64 // of those that are looked at
	profile  *os.File
}

// Member is one peer: it does what Run tells it on in, and answers on out, until it is told the
// end or in ends. dir is an empty folder.
func Member(ctx context.Context, dir string, in io.Reader, out io.Writer) error {
	m := &member{dir: dir, in: json.NewDecoder(in), out: json.NewEncoder(out), registry: prometheus.NewRegistry()}
	err := m.run(ctx)
	if err != nil {
		err = errors.Join(err, m.out.Encode(answer{Did: "failed", Problem: err.Error()}))
	}
	return err
}

func (m *member) run(ctx context.Context) (err error) {
	if err := m.in.Decode(&m.first); err != nil {
		return err
	}
	cfg := &m.first.Config
	if err := cfg.Validate(); err != nil {
		return err
	}
	s, err := m.open()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	g, inner := errgroup.WithContext(ctx)
	base, end := context.WithCancel(context.WithoutCancel(ctx))
	stored := make(chan error, 1)
	go func() { stored <- s.Run(base) }()
	g.Go(func() error { return m.host.Run(inner) })
	g.Go(func() error { return m.trainer.Run(inner) })
	defer func() {
		cancel()
		err = errors.Join(err, g.Wait())
		end()
		err = errors.Join(err, <-stored, s.Close())
	}()
	select {
	case <-m.host.Ready():
	case <-inner.Done():
		return context.Cause(inner)
	}
	return m.average(inner)
}

// open makes what a node makes, as far as training together needs it.
func (m *member) open() (*store.Store, error) {
	var token *wire.Token
	var err error
	if m.first.Token != "" {
		if token, err = wire.ParseToken(m.first.Token); err != nil {
			return nil, err
		}
	}
	if m.creds, err = host.OpenCredentials(m.dir, token, time.Now()); err != nil {
		return nil, err
	}
	c := host.Default()
	c.Credentials, c.Version, c.Listen, c.Registerer = m.creds, "bench", []string{"/ip4/127.0.0.1/tcp/0"}, m.registry
	c.MDNS, c.DHT, c.NAT = false, false, false
	if m.host, err = host.New(c); err != nil {
		return nil, err
	}
	s, err := store.Open(store.Config{Dir: filepath.Join(m.dir, "store")})
	if err != nil {
		return nil, err
	}
	x, err := exchange.New(exchange.Config{Store: s, Open: m.host.Open})
	if err == nil {
		m.trainer, err = trainer.New(trainer.Config{Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})), Net: &trainer.Network{
			Host: m.host, Exchange: x, Store: s, Key: m.creds.Key, Name: m.host.Name,
		}})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	m.host.Handle(protocol.Blocks, x.Serve)
	m.host.Handle(protocol.Train, m.trainer.Serve)
	m.host.Handle(protocol.Agree, m.trainer.Talk)
	return s, nil
}

// average takes part until the end.
func (m *member) average(ctx context.Context) (err error) {
	cfg := &m.first.Config
	o, err := m.meet(ctx)
	if err != nil {
		return err
	}
	m.values = make([]float32, cfg.Params)
	a := trainer.Averaging{
		Values: m.values, Peers: cfg.Peers, Rounds: warmup + cfg.Rounds, Codec: cfg.Codec, Rule: cfg.Rule, Dir: filepath.Join(m.dir, "average"), Job: o.Job,
	}
	if m.first.Index == 0 {
		var failed error
		a.Known = func(job train.Hash) { failed = m.out.Encode(answer{Did: "known", Job: job}) }
		defer func() { err = errors.Join(err, failed) }()
	} else {
		a.Initiator, _ = o.Peers[0].Peer()
	}
	averager, err := m.trainer.Average(ctx, a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, averager.Close()) }()
	defer m.profiled()
	if err := m.out.Encode(answer{Did: "begun"}); err != nil {
		return err
	}
	for {
		var o order
		if err := m.in.Decode(&o); err != nil {
			return err
		}
		var a answer
		switch o.Do {
		case "end":
			return nil
		case "change":
			m.change(o.Round)
			a.Did = "changed"
		case "round":
			if a, err = m.round(ctx, averager, o.Round); err != nil {
				return err
			}
		default:
			return fmt.Errorf("order %q", o.Do)
		}
		if err := m.out.Encode(a); err != nil {
			return err
		}
	}
}

// meet tells where this peer is and connects to those before it.
func (m *member) meet(ctx context.Context) (o order, err error) {
	a := answer{Did: "opened", Addr: m.host.Addrs()[0], Token: m.first.Token}
	if m.first.Index == 0 {
		token, err := m.host.Invite(host.Invitation{Addrs: m.host.Addrs()})
		if err != nil {
			return o, err
		}
		if a.Token, err = token.Text(); err != nil {
			return o, err
		}
	}
	if err := m.out.Encode(a); err != nil {
		return o, err
	}
	if err := m.in.Decode(&o); err != nil {
		return o, err
	}
	for i, addr := range o.Peers {
		if id, ok := addr.Peer(); ok {
			m.host.AddAddrs(id, []wire.Addr{addr})
		}
		if i < m.first.Index {
			if err := m.host.Connect(ctx, addr); err != nil {
				return o, err
			}
		}
	}
	return o, nil
}

// change is what a member learned in a round: other steps at each.
func (m *member) change(n int) {
	m.before = m.before[:0]
	for i := 0; i < len(m.values); i += looked {
		m.before = append(m.before, float64(m.values[i]))
	}
	for i := range m.values {
		m.values[i] += step(n, m.first.Index, i)
	}
}

// step is nearly normal, with a deviation of 0.01: the sum of four even numbers.
func step(round, member, i int) float32 {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(round)*0xd1342543de82ef95 + uint64(member)*0xda942042e4dd58b5
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	x *= 0xd6e8feb86659fd93
	x ^= x >> 32
	sum := int32(x&0xffff) + int32(x>>16&0xffff) + int32(x>>32&0xffff) + int32(x>>48)
	return float32(sum-2*0xffff) * (0.01 * 1.7320508 / 0x10000)
}

// round averages and compares.
func (m *member) round(ctx context.Context, averager *trainer.Averager, n int) (a answer, err error) {
	if n == warmup && m.first.Index == 0 && m.first.Config.Profile != "" {
		if m.profile, err = os.Create(m.first.Config.Profile); err != nil {
			return a, err
		}
		if err := pprof.StartCPUProfile(m.profile); err != nil {
			return a, err
		}
	}
	sent, err := m.sent()
	if err != nil {
		return a, err
	}
	before, err := cpu()
	if err != nil {
		return a, err
	}
	t := time.Now()
	if a.State, err = averager.Round(ctx); err != nil {
		return a, err
	}
	a.Did, a.Seconds = "averaged", time.Since(t).Seconds()
	used, err := cpu()
	if err != nil {
		return a, err
	}
	now, err := m.sent()
	a.CPU, a.Out = used-before, now-sent
	for k, before := range m.before {
		mean := 0.0
		for i := range m.first.Config.Peers {
			mean += float64(step(n, i, k*looked)) / float64(m.first.Config.Peers)
		}
		off := float64(m.values[k*looked]) - before - mean
		a.Square, a.Mean = a.Square+off*off, a.Mean+mean*mean
	}
	a.Square, a.Mean = math.Sqrt(a.Square), math.Sqrt(a.Mean)
	return a, err
}

// cpu returns how many seconds this process has had of all cores so far.
func cpu() (float64, error) {
	p, err := system.NewProcess(int32(os.Getpid()))
	if err != nil {
		return 0, err
	}
	t, err := p.Times()
	if err != nil {
		return 0, err
	}
	return t.User + t.System, nil
}

func (m *member) profiled() {
	if m.profile != nil {
		pprof.StopCPUProfile()
		_ = m.profile.Close()
	}
}

// sent returns how many bytes this peer's streams carried out.
func (m *member) sent() (total float64, err error) {
	families, err := m.registry.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		if f.GetName() != "host_stream_bytes_total" {
			continue
		}
		for _, x := range f.GetMetric() {
			for _, l := range x.GetLabel() {
				if l.GetName() == "direction" && l.GetValue() == "out" {
					total += x.GetCounter().GetValue()
				}
			}
		}
	}
	return total, nil
}
