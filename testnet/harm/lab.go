package harm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

// Lab is where checks run.
type Lab struct {
	Binary string // the covey program
	Dir    string // for the nodes' data; every swarm gets a folder below it
	Short  bool   // smaller numbers, for tests
	Seed   uint64
	Runs   int                              // of checks that are repeated; 0: their own number
	Say    func(format string, args ...any) // nil: says nothing

	swarms int
}

// Check is one kind of harm.
type Check struct {
	Name, Story string
	Run         func(ctx context.Context, l *Lab) ([]Figure, error)
}

// Checks lists all.
func Checks() []Check {
	return []Check{
		{"liars", "peers that lie and hang, each asked by an honest one", Liars},
		{"death", "8 streams on the only holder, which dies and comes back", Death},
		{"pause", "one of two holders is stopped in the middle of a stream", Pause},
		{"sybils", "adverts of 4,200 identities of one token", Sybils},
		{"hog", "a peer reserves 40 sessions of context 32,768", Hog},
		{"floods", "70,000 streams, 600 strangers, garbage as gossip, frames and blocks", Floods},
		{"bodies", "32 bodies of 4 MiB full of empty lists", Bodies},
		{"clients", "128 slow bodies and 3,000 idle connections", Clients},
		{"keys", "control routes with a client's key, a model name of 1 MB", Keys},
		{"training", "members of a training die, come back, come late and leave, each run in another way", Training},
		{"churn", "4 nodes, 8 streams, one node killed every 10 s for 3 minutes", Churn},
	}
}

// Figure is one measured number and the most it may be.
type Figure struct {
	Name  string
	Value float64
	Most  float64
	Unit  string
}

// OK reports whether the limit holds.
func (f Figure) OK() bool { return f.Value <= f.Most }

// String is a line of a table.
func (f Figure) String() string {
	verdict := "ok"
	if !f.OK() {
		verdict = "OVER"
	}
	return fmt.Sprintf("%-62s %10.4g %-8s (at most %g) %s", f.Name, f.Value, f.Unit, f.Most, verdict)
}

// size returns a number of the full check, or that of a short one.
func (l *Lab) size(full, short int) int {
	if l.Short {
		return short
	}
	return full
}

// runs returns how often a check is repeated.
func (l *Lab) runs(otherwise int) int {
	if l.Runs > 0 {
		return l.Runs
	}
	return otherwise
}

func (l *Lab) say(format string, args ...any) {
	if l.Say != nil {
		l.Say(format, args...)
	}
}

// dir makes a folder for a swarm or a hostile peer.
func (l *Lab) dir(name string) (string, error) {
	l.swarms++
	dir := filepath.Join(l.Dir, fmt.Sprintf("%s-%d", name, l.swarms))
	return dir, os.MkdirAll(dir, 0o700)
}

// start starts the nodes of a manifest.
func (l *Lab) start(ctx context.Context, m *runner.Manifest) (*runner.Swarm, error) {
	dir, err := l.dir("swarm")
	if err != nil {
		return nil, err
	}
	return runner.Start(ctx, runner.Config{Binary: l.Binary, Dir: dir}, m)
}

// startServed starts a node that serves the demo model and one that asks.
func (l *Lab) startServed(ctx context.Context) (*runner.Swarm, error) {
	return l.start(ctx, &runner.Manifest{
		Nodes: nodes("one", asking),
		Model: []runner.Model{{Name: "demo", On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "all"}}}},
	})
}

func nodes(names ...string) (out []runner.Node) {
	for _, n := range names {
		out = append(out, runner.Node{Name: n, Cores: 1, Memory: "256MiB"})
	}
	return out
}

// attacker is a hostile peer that runs.
type attacker struct {
	*hostile.Peer
	stop func() error // ends it and waits
}

// attack starts a hostile peer with a token of its own and waits until it has met all nodes
// and, if it claims a model, said so.
func (l *Lab) attack(ctx context.Context, s *runner.Swarm, founder string, claim *hostile.Claim) (*attacker, error) {
	cfg, err := l.invited(ctx, s, founder)
	if err != nil {
		return nil, err
	}
	cfg.Claim = claim
	p, err := hostile.New(cfg)
	if err != nil {
		return nil, err
	}
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- p.Run(life) }()
	a := &attacker{Peer: p, stop: func() error {
		end()
		return <-ended
	}}
	select {
	case <-p.Ready():
		err := s.Wait(ctx, "the hostile peer to meet all", func(context.Context) (bool, error) { return p.Met() >= s.Running(), nil })
		if err != nil {
			return nil, errors.Join(err, a.stop())
		}
		return a, nil
	case err := <-ended:
		end()
		return nil, fmt.Errorf("the hostile peer ended at its start: %w", err)
	case <-ctx.Done():
	case <-time.After(joinTimeout):
	}
	return nil, errors.Join(errors.New("the hostile peer does not get in"), a.stop())
}

// joinTimeout is how long a hostile peer may take to join and to load what it claims.
const joinTimeout = 30 * time.Second

// invited returns what a hostile peer needs to join.
func (l *Lab) invited(ctx context.Context, s *runner.Swarm, founder string) (cfg hostile.Config, err error) {
	var in api.Invite
	if err := s.Node(founder).API().Post(ctx, "/covey/v1/invite", api.InviteRequest{}, &in); err != nil {
		return cfg, fmt.Errorf("invite the hostile peer: %w", err)
	}
	dir, err := l.dir("hostile")
	return hostile.Config{Token: in.Token, Dir: dir}, err
}

// happened returns an error if there was none of what an attack consists of: then its
// figures say nothing.
func happened(n int, what string) error {
	if n == 0 {
		return fmt.Errorf("the attack did not take place: no %s", what)
	}
	return nil
}

// metric returns a metric of a node, summed over its labels unless its name, a regular
// expression, has some; ok is false if there is none of that name.
func metric(ctx context.Context, p *runner.Process, name string) (sum float64, ok bool, err error) {
	res, err := p.API().Do(ctx, "GET", "/metrics", nil)
	if err != nil {
		return 0, false, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, false, err
	}
	for _, m := range regexp.MustCompile(`(?m)^`+name+`(?:\{.*\})? (\S+)$`).FindAllStringSubmatch(string(text), -1) {
		v, err := strconv.ParseFloat(m[1], 64)
		if err != nil {
			return 0, false, err
		}
		sum, ok = sum+v, true
	}
	return sum, ok, nil
}

// memory returns a line of /proc/PID/status in MiB: VmRSS is what a process has in memory
// now, VmHWM the most it ever had.
func memory(p *runner.Process, line string) (float64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	if err != nil {
		return 0, fmt.Errorf("read the memory of a process: %w", err)
	}
	for text := range strings.Lines(string(data)) {
		var kib float64
		if rest, ok := strings.CutPrefix(text, line+":"); ok {
			if _, err := fmt.Sscanf(strings.TrimSpace(rest), "%g kB", &kib); err != nil {
				return 0, fmt.Errorf("read the memory of a process: %w", err)
			}
			return kib / 1024, nil
		}
	}
	return 0, fmt.Errorf("read the memory of a process: no %s", line)
}

// peak runs f and returns the most memory that a process had meanwhile, in MiB.
func peak(p *runner.Process, f func()) (float64, error) {
	// proc(5): 5 lets VmHWM begin anew.
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.PID()), []byte("5"), 0); err != nil {
		return 0, fmt.Errorf("measure the peak of a process's memory: %w", err)
	}
	f()
	return memory(p, "VmHWM")
}
