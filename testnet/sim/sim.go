package sim

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/testnet/attack"
	"github.com/covey-network/covey/testnet/toy"
)

// The modes.
const (
	Rounds = "rounds"
	Groups = "groups"
	Gossip = "gossip"
)

// Owner is the attack that testnet/attack does not have: the liar is honest as a sender, and
// gives -10 times the result of its slice as its owner.
const Owner = "owner"

// Cut is a partition: a part of the nodes hears nothing of the others for a while.
type Cut struct {
	At, For time.Duration
	Part    float64 // of the nodes: 0 to 1
}

// Config is one run. Rates are of each node in an hour.
type Config struct {
	Seed  uint64
	Nodes int    // members at the beginning
	Mode  string // Rounds, Groups or Gossip
	For   time.Duration
	// Target is the loss that is to be reached; with Stop the run ends there.
	Target float64
	Stop   bool
	Alone  bool      // train one machine with the data of all, too
	Log    io.Writer // what happens, in words; nil: nowhere

	Inner         int           // steps of each member between two exchanges
	Step          time.Duration // that one takes at a node of middle speed; others: 0.75 to 1.5 times it
	Sorted        bool          // each member has two of the ten classes only; else data by chance
	Codec, Rule   string
	Quorum        train.Quorum
	OuterRate     float64 // Rounds
	OuterMomentum float64 // Rounds
	Group         int     // Groups: most members of one
	Degree        int     // Gossip: to how many each sends

	Tick, Retry     time.Duration // of the machines; of a question without an answer
	Latency, Jitter time.Duration // of a message: Latency and up to Jitter more
	Loss, Dup       float64       // part of the messages that are lost, and that come twice
	Rate            float64       // bytes per second of a link; 0: no bound
	Cuts            []Cut

	Churn  float64 // nodes that go for good, half of them without a word, while as many come
	Kills  float64 // nodes that are killed, and come back from disk after 5 to 60 s
	Slow   int     // nodes at 1 % of the speed
	Skewed int     // nodes whose clock is an hour ahead or behind
	Liars  int     // of Nodes
	Attack string  // what liars do: of testnet/attack, or Owner
	Twins  int     // liars that are two machines with one key each, beside Nodes
}

// Default is the setting that other ones are told apart from.
func Default() Config {
	return Config{
		Seed: 1, Nodes: 16, Mode: Rounds, For: 10 * time.Minute, Target: 0.62,
		Inner: 16, Step: 500 * time.Millisecond, OuterRate: 0.7, OuterMomentum: 0.6, Group: 16, Degree: 8,
		Quorum: train.Majority, Attack: attack.None,
		Tick: 500 * time.Millisecond, Retry: time.Second, Latency: 20 * time.Millisecond, Jitter: 100 * time.Millisecond, Rate: 5e6,
	}
}

// defaults fills in what depends on the mode.
func (c *Config) defaults() {
	if c.Codec == "" {
		c.Codec = map[string]string{Rounds: "int8", Groups: "f16", Gossip: "f16"}[c.Mode]
	}
	if c.Rule == "" {
		c.Rule = map[string]string{Rounds: "mean", Groups: "mean", Gossip: "gossip"}[c.Mode]
	}
}

// Validate says what makes no sense.
func (c *Config) Validate() error {
	var errs []error
	add := func(bad bool, format string, args ...any) {
		if bad {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	add(!slices.Contains([]string{Rounds, Groups, Gossip}, c.Mode), "mode %q, want %s, %s or %s", c.Mode, Rounds, Groups, Gossip)
	add(c.Nodes < 1 || c.Nodes > protocol.MaxTrainPeers, "%d nodes, want 1 to %d", c.Nodes, protocol.MaxTrainPeers)
	add(c.Mode == Rounds && c.Nodes+c.Twins > protocol.MaxTrainMembers, "%d nodes in one round, at most %d: use mode %s or %s", c.Nodes+c.Twins, protocol.MaxTrainMembers, Groups, Gossip)
	add(c.For <= 0 || c.Inner < 1 || c.Step <= 0 || c.Tick <= 0 || c.Retry <= 0, "a time or number of steps that is not above 0")
	add(c.Loss < 0 || c.Loss >= 1 || c.Dup < 0 || c.Dup > 1, "loss %v and doubles %v, want parts from 0 to 1", c.Loss, c.Dup)
	add(c.Liars < 0 || c.Slow < 0 || c.Skewed < 0 || c.Twins < 0 || c.Liars+c.Slow+c.Skewed > c.Nodes, "%d liars, %d slow and %d with wrong clocks of %d nodes", c.Liars, c.Slow, c.Skewed, c.Nodes)
	add(c.Attack != Owner && !slices.Contains(attack.Attacks, c.Attack), "attack %q is not one of %s, %s", c.Attack, strings.Join(attack.Attacks, ", "), Owner)
	add(c.Group < 2 || c.Group > robust.MaxUpdates, "groups of %d, want 2 to %d", c.Group, robust.MaxUpdates)
	add(c.Mode == Gossip && c.Twins > 0, "equivocators say different things to those who vote, and nobody votes in mode %s", Gossip)
	_, err := codec.New(c.Codec, codec.Flat(toy.Params))
	errs = append(errs, err)
	rule, err := robust.Parse(c.Rule)
	errs = append(errs, err)
	add(err == nil && (c.Mode == Gossip) != (rule.Weighted() && rule.Referenced()), "rule %q is not for mode %s", c.Rule, c.Mode)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("simulation: %w", err)
	}
	return nil
}

// Report is what a run came to.
type Report struct {
	Config  Config
	Virtual time.Duration // how long the run took in its own time
	Trace   uint64        // of all that happened: equal runs have equal ones

	Single float64 // least loss of one machine with the data of all, with as many samples (bounded), if Alone
	Loss   float64 // at the end: mean of some honest members
	Worst  float64 // of them
	Best   float64 // least mean on the way
	// Reached is when the target was reached, and in which round or turn; 0: never.
	Reached      time.Duration
	ReachedRound int

	Rounds  int // certified rounds; Groups: of all groups; Gossip: turns of the member with the most
	Failed  int // Rounds: certified without any change. Groups: rounds that a member gave up, by members
	Tries   int // Rounds: as Rounds. Groups: rounds that a member began
	Partial int // slices that were not changed in certified rounds
	Slices  int // of all certified rounds
	// Longest and Median are of the rounds' lengths.
	Longest, Median time.Duration
	LeftOut         float64 // part of the updates of live honest members that no round counted

	// Headers, Votes and Data are bytes sent by a node in a second, mean of all.
	Headers, Votes, Data float64

	Joined, Left, Killed, Silent int // nodes; Silent: members that rounds dropped
	Expelled                     []int
	Epochs                       int      // Groups: rosters after the first
	Behind                       int      // Gossip: vectors that were refused as too old, or of no edge
	Violations                   []string // what must never happen
}

// Run lets a job be trained, and returns an error only if the configuration makes no sense.
func Run(cfg Config) (*Report, error) {
	cfg.defaults()
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	w := newWorld(cfg)
	w.run(cfg.For)
	return w.finish(), nil
}

// jobOf names the job of a run.
func jobOf(seed uint64) train.Hash {
	return train.HashOf(binary.BigEndian.AppendUint64([]byte("sim"), seed))
}

// finish sums up.
func (w *world) finish() *Report {
	r := w.report
	r.Virtual, r.Trace = w.now, w.trace.sum
	if !w.over {
		r.Virtual = w.cfg.For
		w.now = w.cfg.For
	}
	w.look()
	var sent [sorts]uint64
	seconds := 0.0
	for _, n := range w.nodes {
		end := r.Virtual
		if n.gone {
			end = n.until
		}
		seconds += (end - n.since).Seconds()
		for i, s := range n.sent {
			sent[i] += s
		}
	}
	r.Headers, r.Votes, r.Data = float64(sent[headers])/seconds, float64(sent[votes])/seconds, float64(sent[bulk])/seconds
	if w.spans != nil {
		slices.Sort(w.spans)
		r.Median, r.Longest = w.spans[len(w.spans)/2], w.spans[len(w.spans)-1]
	}
	if w.counted+w.missed > 0 {
		r.LeftOut = float64(w.missed) / float64(w.counted+w.missed)
	}
	if w.cfg.Alone {
		r.Single = w.task.single(w.cfg.Nodes, int(r.Virtual/w.cfg.Step))
	}
	return r
}

// look measures what some honest members have learned.
func (w *world) look() {
	const some = 8
	var list []*node
	for _, n := range w.nodes {
		if n.up && !n.liar && !n.twin && n.step < 10*w.cfg.Step && n.actor.params() != nil {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return
	}
	k := min(some, len(list))
	sum, worst, turn := 0.0, 0.0, 0
	for i := range k {
		n := list[i*len(list)/k]
		v := w.lossOf(n.actor.params())
		sum += v
		worst = max(worst, v)
		turn = max(turn, n.actor.turn())
	}
	r, mean := w.report, sum/float64(k)
	r.Loss, r.Worst = mean, worst
	r.Best = min(r.Best, mean)
	if w.cfg.Mode == Gossip {
		r.Rounds = max(r.Rounds, turn)
	}
	w.trace.add(math.Float64bits(mean))
	if r.Reached == 0 && mean <= w.cfg.Target {
		r.Reached, r.ReachedRound = w.now, turn
		w.over = w.over || w.cfg.Stop
	}
	w.say("loss %.4f, worst %.4f, round %d, %d nodes", mean, worst, turn, len(list))
}

// lossOf remembers: many members have the same parameters.
func (w *world) lossOf(p []float32) float64 {
	b := make([]byte, 0, 4*len(p))
	for _, v := range p {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	h := train.Hash(sha256.Sum256(b))
	v, ok := w.losses[h]
	if !ok {
		if len(w.losses) > 64 {
			clear(w.losses)
		}
		v = w.task.loss(p)
		w.losses[h] = v
	}
	return v
}

// String is the report in lines.
func (r *Report) String() string {
	var b strings.Builder
	c := &r.Config
	fmt.Fprintf(&b, "%d nodes, mode %s, seed %d, %v of virtual time\n", c.Nodes, c.Mode, c.Seed, r.Virtual.Round(time.Second))
	reached := "not reached"
	if r.Reached > 0 {
		reached = fmt.Sprintf("after %v, in round %d", r.Reached.Round(time.Second), r.ReachedRound)
	}
	fmt.Fprintf(&b, "  target loss %.3f     %s\n", c.Target, reached)
	fmt.Fprintf(&b, "  loss                  %.4f (worst member %.4f, best on the way %.4f)\n", r.Loss, r.Worst, r.Best)
	if c.Alone {
		fmt.Fprintf(&b, "  one machine, all data %.4f\n", r.Single)
	}
	fmt.Fprintf(&b, "  bytes per node per s  %.0f: headers %.0f, votes %.0f, data %.0f\n", r.Headers+r.Votes+r.Data, r.Headers, r.Votes, r.Data)
	switch c.Mode {
	case Gossip:
		fmt.Fprintf(&b, "  turns                 %d; %d vectors refused as too old or of no edge\n", r.Rounds, r.Behind)
	default:
		fmt.Fprintf(&b, "  rounds                %d certified; %d of %d tries failed; %d of %d slices unchanged; %.1f %% of updates left out\n", r.Rounds, r.Failed, r.Tries, r.Partial, r.Slices, 100*r.LeftOut)
		fmt.Fprintf(&b, "  length of a round     median %v, longest %v\n", r.Median.Round(time.Millisecond), r.Longest.Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "  nodes                 %d joined, %d left, %d killed, %d dropped as silent, expelled %v", r.Joined, r.Left, r.Killed, r.Silent, r.Expelled)
	if c.Mode == Groups {
		fmt.Fprintf(&b, ", %d new rosters", r.Epochs)
	}
	fmt.Fprintf(&b, "\n  trace                 %016x\n", r.Trace)
	for _, v := range r.Violations {
		fmt.Fprintf(&b, "  VIOLATION %s\n", v)
	}
	return b.String()
}
