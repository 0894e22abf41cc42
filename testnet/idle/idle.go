package idle

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/testnet/runner"
)

const (
	// startsAtOnce is how many nodes start at a time: more only wait for each other's cores.
	startsAtOnce = 4
	// poll is how often nodes are asked what they know; they tell no other way.
	poll = 100 * time.Millisecond
	// patience bounds each wait for all nodes to know or forget something.
	patience = 2 * time.Minute
)

// Config is what Measure runs.
type Config struct {
	Binary string        // the covey program
	Dir    string        // data directories and logs; must be empty
	Listen string        // multiaddr of the nodes; empty: TCP on loopback
	Settle time.Duration // between that all know all and the measurement
	Over   time.Duration // how long traffic and work are measured
	// FounderDies kills the founder, whose addresses the token has, once all know all: the row is that
	// of the others.
	FounderDies bool
	// Say is told what happens; nil: nobody is.
	Say func(format string, args ...any)
}

// Row is what one swarm cost.
type Row struct {
	Nodes         int
	Known         time.Duration      // from the start of the last until all knew all
	BytesPerSec   float64            // that a node sent, mean
	Streams       map[string]float64 // the same without packets, by protocol; needs no Linux
	CPU           float64            // share of a core that a node used, mean
	ConnsMedian   int
	ConnsMax      int
	ResidentBytes int64 // median
	Killed        int
	Forgotten     time.Duration // from the kill until no survivor planned with a dead one
}

// Head is the head of a table of rows.
const Head = "nodes  all know all  sent/node  CPU/node  connections      resident  killed  forgotten\n" +
	"                  s      KB/s         %  median   max  MB, median               s"

// String returns the row for a table below Head.
func (r *Row) String() string {
	return fmt.Sprintf("%5d  %12.1f  %9.2f  %8.2f  %6d  %4d  %10.0f  %6d  %9.1f", r.Nodes, r.Known.Seconds(),
		r.BytesPerSec/1e3, r.CPU*100, r.ConnsMedian, r.ConnsMax, float64(r.ResidentBytes)/1e6, r.Killed, r.Forgotten.Seconds())
}

// Over lists the limits that the row does not keep.
func (r *Row) Over() []string {
	var out []string
	check := func(what string, got, limit float64, unit string) {
		if got > limit {
			out = append(out, fmt.Sprintf("%d nodes: %s %.2f %s, at most %g", r.Nodes, what, got, unit, limit))
		}
	}
	traffic := 1.0
	if r.Nodes > 32 {
		traffic = 3
	}
	check("all know all after", r.Known.Seconds(), 5, "s")
	check("each sends", r.BytesPerSec/1e3, traffic, "KB/s")
	check("each uses", r.CPU*100, 0.5, "% of a core")
	check("connections", float64(r.ConnsMax), 40, "at one node")
	check("resident", float64(r.ResidentBytes)/1e6, 80, "MB")
	check("forgotten after", r.Forgotten.Seconds(), 5, "s")
	return out
}

// swarm is a swarm that is being measured.
type swarm struct {
	cfg   *Config
	run   *runner.Swarm
	names []string
}

// Measure runs a swarm of n nodes, which all join by one token.
func Measure(ctx context.Context, cfg Config, n int) (_ *Row, err error) {
	least := 2
	if cfg.FounderDies {
		least = 3
	}
	if n < least {
		return nil, fmt.Errorf("measure a swarm of %d nodes: it takes at least %d", n, least)
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	s := &swarm{cfg: &cfg}
	defer func() { err = errors.Join(err, s.end()) }()
	if err := s.start(ctx, n); err != nil {
		return nil, err
	}
	row := &Row{Nodes: n, Streams: map[string]float64{}}
	if err := s.knowing(ctx, s.names, n-1); err != nil {
		return nil, err
	}
	var last time.Time
	for _, name := range s.names {
		if at := s.run.Node(name).Began(); at.After(last) {
			last = at
		}
	}
	row.Known = time.Since(last)
	cfg.Say("%d nodes know each other %.1f s after the last start", n, row.Known.Seconds())
	if cfg.FounderDies {
		if err := s.killFounder(ctx); err != nil {
			return nil, err
		}
		row.Nodes = len(s.names)
	}
	if err := wait(ctx, cfg.Settle); err != nil {
		return nil, err
	}
	if err := s.measure(ctx, row); err != nil {
		return nil, err
	}
	cfg.Say("%d nodes send %.2f KB/s each", n, row.BytesPerSec/1e3)
	for _, proto := range slices.Sorted(maps.Keys(row.Streams)) {
		if v := row.Streams[proto]; v > 0 {
			cfg.Say("  %8.1f B/s  %s", v, proto)
		}
	}
	return row, s.kill(ctx, row)
}

func wait(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// start starts the founder, and when it has measured the machine's speeds all others, which
// take its figures: that is work of a first start and not of being idle.
func (s *swarm) start(ctx context.Context, n int) (err error) {
	node := func(i int) runner.Node {
		s.names = append(s.names, fmt.Sprintf("n%03d", i))
		return runner.Node{Name: s.names[i], Listen: s.cfg.Listen, Memory: "256MiB"}
	}
	s.run, err = runner.Start(ctx, runner.Config{Binary: s.cfg.Binary, Dir: s.cfg.Dir}, &runner.Manifest{Name: "idle", Nodes: []runner.Node{node(0)}})
	if err != nil {
		return err
	}
	const speeds = "speeds.json"
	var measured []byte
	if err := until(ctx, "the founder to measure its speeds", func() (ok bool, err error) {
		measured, err = os.ReadFile(filepath.Join(s.cfg.Dir, s.names[0], speeds))
		return len(measured) > 0, err
	}); err != nil {
		return err
	}
	var rest []runner.Node
	for i := 1; i < n; i++ {
		rest = append(rest, node(i))
		dir := filepath.Join(s.cfg.Dir, s.names[i])
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, speeds), measured, 0o600); err != nil {
			return err
		}
	}
	return s.run.JoinAll(ctx, rest, startsAtOnce)
}

// end ends all nodes; those that idled have nothing to bring to an end.
func (s *swarm) end() error {
	if s.run == nil {
		return nil
	}
	var errs []error
	for _, n := range s.names {
		if p := s.run.Node(n); p != nil {
			errs = append(errs, p.Kill())
		}
	}
	return errors.Join(append(errs, s.run.Stop())...)
}

// until asks again and again until done says so. An error of done may pass.
func until(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		ok, err := done()
		if ok && err == nil {
			return nil
		}
		if ctxErr := wait(ctx, poll); ctxErr != nil {
			return fmt.Errorf("wait for %s: %w (last error: %v)", what, ctxErr, err)
		}
	}
}

// each calls f for each of some nodes, several at a time.
func (s *swarm) each(names []string, f func(name string, p *runner.Process) error) error {
	var g errgroup.Group
	g.SetLimit(startsAtOnce)
	for _, n := range names {
		g.Go(func() error {
			if err := f(n, s.run.Node(n)); err != nil {
				return fmt.Errorf("node %s: %w", n, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// knowing waits until each of some nodes has heard of as many others as want says.
func (s *swarm) knowing(ctx context.Context, names []string, want int) error {
	return s.each(names, func(name string, p *runner.Process) error {
		return until(ctx, fmt.Sprintf("%d peers that it has heard of", want), func() (bool, error) {
			n, err := known(ctx, p)
			return n == want, err
		})
	})
}

// known returns of how many other peers an advert counts at a node.
func known(ctx context.Context, p *runner.Process) (n int, err error) {
	err = eachMetric(ctx, p, "host_adverts", func(_ string, v float64) { n = int(v) })
	return n, err
}

// measure fills in what the nodes cost while they idle. Nobody is asked meanwhile.
func (s *swarm) measure(ctx context.Context, row *Row) error {
	cpu := func() (sum time.Duration, err error) {
		for _, n := range s.names {
			d, err := cpuTime(s.run.Node(n).PID())
			if err != nil {
				return 0, err
			}
			sum += d
		}
		return sum, nil
	}
	streams0, err := s.streams(ctx)
	if err != nil {
		return err
	}
	bytes0, err := loopback()
	if err != nil {
		return err
	}
	cpu0, err := cpu()
	if err != nil {
		return err
	}
	start := time.Now()
	if err := wait(ctx, s.cfg.Over); err != nil {
		return err
	}
	over := time.Since(start)
	bytes1, err := loopback()
	if err != nil {
		return err
	}
	cpu1, err := cpu()
	if err != nil {
		return err
	}
	streams1, err := s.streams(ctx)
	if err != nil {
		return err
	}
	per := over.Seconds() * float64(row.Nodes)
	for proto := range streams1 {
		row.Streams[proto] = (streams1[proto] - streams0[proto]) / per
	}
	row.BytesPerSec, row.CPU = float64(bytes1-bytes0)/per, (cpu1-cpu0).Seconds()/per
	var conns []int
	var sizes []int64
	for _, n := range s.names {
		c, err := connections(ctx, s.run.Node(n))
		if err != nil {
			return err
		}
		size, err := resident(s.run.Node(n).PID())
		if err != nil {
			return err
		}
		conns, sizes = append(conns, c), append(sizes, size)
	}
	slices.Sort(conns)
	slices.Sort(sizes)
	row.ConnsMedian, row.ConnsMax, row.ResidentBytes = conns[len(conns)/2], conns[len(conns)-1], sizes[len(sizes)/2]
	return nil
}

// connections returns how many connections to peers a node has, by its metrics.
func connections(ctx context.Context, p *runner.Process) (int, error) {
	n, found := 0.0, false
	err := eachMetric(ctx, p, "libp2p_rcmgr_connections", func(labels string, v float64) {
		if strings.Contains(labels, `scope="system"`) {
			n, found = n+v, true
		}
	})
	if err == nil && !found {
		err = errors.New("its metrics do not tell its connections")
	}
	return int(n), err
}

// streams returns the bytes that all nodes have sent over streams, by protocol.
func (s *swarm) streams(ctx context.Context) (map[string]float64, error) {
	out := map[string]float64{}
	for _, n := range s.names {
		err := eachMetric(ctx, s.run.Node(n), "host_stream_bytes_total", func(labels string, v float64) {
			if _, after, ok := strings.Cut(labels, `protocol="`); ok && strings.Contains(labels, `direction="out"`) {
				proto, _, _ := strings.Cut(after, `"`)
				out[proto] += v
			}
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// eachMetric calls f for each value of a metric of a node.
func eachMetric(ctx context.Context, p *runner.Process, name string, f func(labels string, v float64)) error {
	res, err := p.API().Do(ctx, "GET", "/metrics", nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	for lines.Scan() {
		labels, ok := strings.CutPrefix(lines.Text(), name)
		labels, value, _ := strings.Cut(labels, " ")
		if ok && (labels == "" || labels[0] == '{') {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return fmt.Errorf("metric %s: %w", name, err)
			}
			f(labels, v)
		}
	}
	return lines.Err()
}

// killFounder kills the founder and waits until all others have forgotten it.
func (s *swarm) killFounder(ctx context.Context) error {
	founder := s.names[0]
	s.names = s.names[1:]
	start := time.Now()
	if err := s.run.Node(founder).Kill(); err != nil {
		return err
	}
	if err := s.knowing(ctx, s.names, len(s.names)-1); err != nil {
		return err
	}
	s.cfg.Say("the founder is forgotten %.1f s after its death", time.Since(start).Seconds())
	return nil
}

// kill kills a third of the nodes at once, not the founder, and waits until all others have forgotten
// them, and none of each other.
func (s *swarm) kill(ctx context.Context, row *Row) error {
	row.Killed = row.Nodes / 3
	survivors, dead := s.names[:row.Nodes-row.Killed], s.names[row.Nodes-row.Killed:]
	start := time.Now()
	var g errgroup.Group
	for _, n := range dead {
		g.Go(s.run.Node(n).Kill)
	}
	if err := g.Wait(); err != nil {
		return err
	}
	err := s.knowing(ctx, survivors, len(survivors)-1)
	row.Forgotten = time.Since(start)
	return err
}
