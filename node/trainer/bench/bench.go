// Package bench measures the averaging of numbers between peers on this machine: processes of
// their own that find each other on loopback and average over all that training together is
// made of (commitments, slices, the rule, results, votes, certificates, the state on disk).
//
// [Run] starts the processes and tells them when to do what; [Member] is what each of them
// does. The command covey may import it.
package bench

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// warmup is how many rounds come before those that count: connections, buffers and measured
// times of the members are then as they stay.
const warmup = 2

// Config says what to measure.
type Config struct {
	Peers  int // 2 or more
	Params int // numbers that are averaged
	Codec  string
	Rule   string
	Rounds int // that are timed
	// Dir is where the members keep their state, removed at the end; empty: the system's folder
	// for temporary files.
	Dir string
	// Profile is a file for the CPU profile of the first member in the timed rounds; empty: none.
	Profile string
	// Command is the command line of a process that runs Member.
	Command []string
	// Progress, if not nil, is told what goes on.
	Progress func(string) `json:"-"`
}

// Validate returns all that is wrong with c.
func (c *Config) Validate() error {
	var errs []error
	if c.Peers < 2 || c.Peers > protocol.MaxTrainMembers {
		errs = append(errs, fmt.Errorf("%d peers, want 2 to %d", c.Peers, protocol.MaxTrainMembers))
	}
	if c.Params < c.Peers || c.Params > codec.MaxValues {
		errs = append(errs, fmt.Errorf("%d parameters, want %d to %d", c.Params, c.Peers, codec.MaxValues))
	}
	if c.Rounds < 1 {
		errs = append(errs, fmt.Errorf("%d rounds, want 1 or more", c.Rounds))
	}
	if _, err := codec.New(c.Codec, codec.Flat(max(1, min(c.Params, codec.MaxValues)))); err != nil {
		errs = append(errs, err)
	}
	if _, err := robust.Parse(c.Rule); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Result is what was measured.
type Result struct {
	Peers   int     `json:"peers"`
	Params  int     `json:"params"`
	Codec   string  `json:"codec"`
	Rule    string  `json:"rule"`
	Rounds  []Round `json:"rounds"`
	Median  float64 `json:"median_seconds"`
	Min     float64 `json:"min_seconds"`
	Max     float64 `json:"max_seconds"`
	CPU     float64 `json:"cpu_seconds"` // of all peers in a round, the mean
	Out     float64 `json:"bytes_out"`   // of one peer in a round, the mean
	Error   float64 `json:"error"`       // the largest of all rounds
	SameBit bool    `json:"same_state"`  // all members certified the same state in every round
}

// Round is one timed round.
type Round struct {
	Seconds float64 `json:"seconds"`     // from the call of the slowest peer to its certified mean
	CPU     float64 `json:"cpu_seconds"` // of all peers together
	Out     float64 `json:"bytes_out"`   // that a peer sent, the mean
	Error   float64 `json:"error"`       // root of the mean squared difference from the mean of what was brought, in units of the latter's own
}

// order is what a member is told; answer what it says then.
type order struct {
	Do     string // open, begin, change, round, end
	Index  int
	Config Config
	Token  string      // of the swarm; none: the first member founds it
	Peers  []wire.Addr // all members
	Job    train.Hash
	Round  int
}

type answer struct {
	Did     string // opened, known (the job), begun, changed, averaged, failed
	Token   string
	Addr    wire.Addr
	Job     train.Hash
	State   train.Hash
	Seconds float64
	CPU     float64
	Out     float64
	Square  float64 // of the difference from the true mean, and
	Mean    float64 // of the true mean, over the numbers that were looked at
	Problem string
}

// process is a member that runs.
type process struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *json.Decoder
}

func (p *process) tell(o order) error { return json.NewEncoder(p.in).Encode(o) }

// hear reads the next answer, which is of a kind.
func (p *process) hear(did string) (a answer, err error) {
	if err := p.out.Decode(&a); err != nil {
		return a, fmt.Errorf("a member ended: %w", err)
	}
	if a.Did != did {
		return a, fmt.Errorf("a member failed: %s", a.Problem)
	}
	return a, nil
}

// Run measures.
func Run(ctx context.Context, cfg Config) (r Result, err error) {
	if err := cfg.Validate(); err != nil {
		return r, err
	}
	dir, err := os.MkdirTemp(cfg.Dir, "covey-average-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	ctx, cancel := context.WithCancel(ctx)
	var list []*process
	defer func() {
		if err != nil {
			cancel()
		}
		for _, p := range list {
			err = errors.Join(err, p.in.Close(), p.cmd.Wait())
		}
		cancel()
	}()
	say := cfg.Progress
	if say == nil {
		say = func(string) {}
	}
	first := order{Do: "open", Config: cfg}
	for i := range cfg.Peers {
		say(fmt.Sprintf("starting peer %d of %d", i+1, cfg.Peers))
		p, err := start(ctx, &cfg, filepath.Join(dir, strconv.Itoa(i)))
		if err != nil {
			return r, err
		}
		list = append(list, p)
		o := first
		o.Index = i
		if err := p.tell(o); err != nil {
			return r, err
		}
		a, err := p.hear("opened")
		if err != nil {
			return r, err
		}
		first.Token, first.Peers = cmp.Or(first.Token, a.Token), append(first.Peers, a.Addr)
	}
	if err := meet(list, first.Peers); err != nil {
		return r, err
	}
	r = Result{Peers: cfg.Peers, Params: cfg.Params, Codec: cfg.Codec, Rule: cfg.Rule, SameBit: true}
	for n := range warmup + cfg.Rounds {
		if err := r.round(list, n, say); err != nil {
			return r, err
		}
	}
	for _, p := range list {
		if err := p.tell(order{Do: "end"}); err != nil {
			return r, err
		}
	}
	r.sum()
	return r, nil
}

// meet lets the members begin to average.
func meet(list []*process, peers []wire.Addr) error {
	o := order{Do: "begin", Peers: peers}
	for i, p := range list {
		if err := p.tell(o); err != nil {
			return err
		}
		if i == 0 {
			a, err := p.hear("known")
			if err != nil {
				return err
			}
			o.Job = a.Job
		}
	}
	_, err := each(list, "begun")
	return err
}

// start starts a member.
func start(ctx context.Context, cfg *Config, dir string) (*process, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, cfg.Command[0], append(slices.Clone(cfg.Command[1:]), dir)...)
	cmd.Stderr, cmd.WaitDelay = os.Stderr, 10*time.Second
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a member: %w", err)
	}
	return &process{cmd, in, json.NewDecoder(bufio.NewReader(out))}, nil
}

// each reads an answer of each member.
func each(list []*process, did string) ([]answer, error) {
	out := make([]answer, len(list))
	for i, p := range list {
		var err error
		if out[i], err = p.hear(did); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// round lets the members change their numbers, and then average them.
func (r *Result) round(list []*process, n int, say func(string)) error {
	for _, do := range []struct{ order, did string }{{"change", "changed"}, {"round", "averaged"}} {
		for _, p := range list {
			if err := p.tell(order{Do: do.order, Round: n}); err != nil {
				return err
			}
		}
		answers, err := each(list, do.did)
		if err != nil {
			return err
		}
		if do.order == "change" {
			continue
		}
		var out Round
		for i := range answers {
			a := &answers[i]
			out.Seconds, out.Out = max(out.Seconds, a.Seconds), out.Out+a.Out/float64(len(answers))
			out.CPU += a.CPU
			out.Error = max(out.Error, a.Square/a.Mean)
			r.SameBit = r.SameBit && a.State == answers[0].State
		}
		what := "warm-up"
		if n >= warmup {
			r.Rounds = append(r.Rounds, out)
			what = fmt.Sprintf("round %d", n-warmup+1)
		}
		say(fmt.Sprintf("%s: %.3f s, %.2f s of CPU, each peer sent %.1f MB", what, out.Seconds, out.CPU, out.Out/1e6))
	}
	return nil
}

// sum makes the figures of all rounds.
func (r *Result) sum() {
	var seconds []float64
	for _, x := range r.Rounds {
		seconds = append(seconds, x.Seconds)
		r.CPU += x.CPU / float64(len(r.Rounds))
		r.Out += x.Out / float64(len(r.Rounds))
		r.Error = max(r.Error, x.Error)
	}
	slices.Sort(seconds)
	n := len(seconds)
	r.Min, r.Max, r.Median = seconds[0], seconds[n-1], (seconds[n/2]+seconds[(n-1)/2])/2
}
