package sim_test

import (
	"flag"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/testnet/attack"
	"github.com/covey-network/covey/testnet/sim"
)

var seed = flag.Uint64("seed", 1, "of the runs")

// run lets a configuration run, and fails if something happens that must never happen.
func run(t *testing.T, change func(*sim.Config)) *sim.Report {
	t.Helper()
	c := sim.Default()
	c.Seed = *seed
	change(&c)
	r, err := sim.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if len(r.Violations) > 0 {
		t.Errorf("replay with -run '^%s$' -seed %d: %v", t.Name(), c.Seed, r.Violations)
	}
	return r
}

// TestReplay checks that a seed gives the same run again, whatever goes wrong in it, and that
// another one gives another.
func TestReplay(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{sim.Rounds, sim.Groups, sim.Gossip} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			trouble := func(s uint64) func(*sim.Config) {
				return func(c *sim.Config) {
					c.Mode, c.Seed, c.Nodes, c.For = mode, s, 24, 3*time.Minute
					c.Group, c.Loss, c.Dup, c.Churn, c.Kills = 8, 0.1, 0.1, 5, 5
					c.Cuts = []sim.Cut{{At: time.Minute, For: 30 * time.Second, Part: 0.3}}
					c.Liars, c.Attack, c.Slow, c.Skewed = 3, attack.ALIE, 1, 1
					if mode != sim.Gossip {
						c.Twins = 1
					}
				}
			}
			a, b, other := run(t, trouble(*seed)), run(t, trouble(*seed)), run(t, trouble(*seed+1))
			if a.Trace != b.Trace || fmt.Sprint(a) != fmt.Sprint(b) {
				t.Errorf("one seed, two runs:\n%v\n%v", a, b)
			}
			if a.Trace == other.Trace {
				t.Error("another seed gives the same run")
			}
		})
	}
}

// TestChurn lets 100 nodes learn while half of them go, and as many come, in an hour, and half of
// them are killed and come back: they reach the target.
func TestChurn(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{sim.Groups, sim.Gossip} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			r := run(t, func(c *sim.Config) {
				c.Mode, c.Nodes, c.For, c.Stop = mode, 100, 20*time.Minute, true
				c.Churn, c.Kills = 0.5, 0.5
			})
			if r.Reached == 0 {
				t.Errorf("the loss is %.4f after %v, the target is %v", r.Loss, r.Virtual, r.Config.Target)
			}
			if r.Joined == 0 || r.Left == 0 || r.Killed == 0 {
				t.Error("nobody came, went or was killed")
			}
		})
	}
}

// TestRoundsUnderFaults checks that rounds go on, and that nobody is brought to two results.
func TestRoundsUnderFaults(t *testing.T) {
	t.Parallel()
	const length = 5 * time.Minute
	calm := run(t, func(c *sim.Config) { c.For = length })
	if calm.Failed+calm.Partial > 0 || calm.LeftOut > 0 || calm.Silent > 0 {
		t.Errorf("without faults: %v", calm)
	}
	for _, c := range []struct {
		name   string
		change func(*sim.Config)
		check  func(*testing.T, *sim.Report)
	}{
		{"half and half", func(c *sim.Config) {
			c.Cuts = []sim.Cut{{At: 2 * time.Minute, For: time.Minute, Part: 0.5}}
		}, func(t *testing.T, r *sim.Report) {
			if r.Longest < time.Minute || r.Longest > 90*time.Second {
				t.Errorf("the longest round took %v: no half has a quorum for a minute, and 30 s after it all go on", r.Longest)
			}
			if r.Rounds < calm.Rounds*6/10 {
				t.Errorf("%d rounds, %d without a partition", r.Rounds, calm.Rounds)
			}
		}},
		{"three and two", func(c *sim.Config) {
			c.Nodes, c.Cuts = 5, []sim.Cut{{At: 2 * time.Minute, For: time.Minute, Part: 0.4}}
		}, func(t *testing.T, r *sim.Report) {
			if r.Longest > 30*time.Second {
				t.Errorf("three of five waited %v", r.Longest)
			}
			if last := r.Rounds; last < calm.Rounds*7/10 {
				t.Errorf("%d rounds, %d without a partition", last, calm.Rounds)
			}
		}},
		{"loss of 30 percent", func(c *sim.Config) { c.Loss, c.Dup, c.For = 0.3, 0.1, 2*length }, func(t *testing.T, r *sim.Report) {
			if float64(r.Slices-r.Partial) < 0.9*float64(r.Slices) || r.Failed > 0 || r.LeftOut > 0.1 || r.Rounds < 10 {
				t.Errorf("rounds fail: %v", r)
			}
		}},
		{"a peer at 1 percent", func(c *sim.Config) { c.Slow = 1 }, func(t *testing.T, r *sim.Report) {
			if r.Longest > 2*calm.Median {
				t.Errorf("the longest round took %v, without the slow peer one takes %v", r.Longest, calm.Median)
			}
			if r.LeftOut > 0.01 {
				t.Errorf("%.1f %% of the updates of others are left out", 100*r.LeftOut)
			}
		}},
		{"clocks an hour off", func(c *sim.Config) { c.Skewed, c.Churn = 3, 6 }, func(t *testing.T, r *sim.Report) {
			if r.Failed > 0 || r.Joined == 0 || r.Rounds < calm.Rounds*7/10 {
				t.Errorf("rounds fail: %v", r)
			}
		}},
		{"kills", func(c *sim.Config) { c.Kills, c.Loss, c.Dup = 20, 0.05, 0.1 }, func(t *testing.T, r *sim.Report) {
			if r.Killed < 10 || r.Rounds < calm.Rounds/3 {
				t.Errorf("%d killed, %d rounds, %d without kills", r.Killed, r.Rounds, calm.Rounds)
			}
		}},
		{"equivocators", func(c *sim.Config) { c.Twins, c.Quorum = 3, train.TwoThirds }, func(t *testing.T, r *sim.Report) {
			slices.Sort(r.Expelled)
			if want := []int{16, 18, 20}; !slices.Equal(r.Expelled, want) {
				t.Errorf("expelled are %v, want %v", r.Expelled, want)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.check(t, run(t, func(cfg *sim.Config) {
				cfg.For = length
				c.change(cfg)
			}))
		})
	}
}

// TestLiars lets 20 and 40 percent of 20 members lie: with the rule for as many the loss stays
// near that without liars, and the plain mean is harmed.
func TestLiars(t *testing.T) {
	t.Parallel()
	with := func(t *testing.T, mode, rule, name string, liars int) float64 {
		r := run(t, func(c *sim.Config) {
			c.Mode, c.Nodes, c.For, c.Rule, c.Attack, c.Liars = mode, 20, 5*time.Minute, rule, name, liars
		})
		return r.Loss
	}
	for _, c := range []struct {
		mode, rule, attack string
		liars              int
		times              float64 // of the loss without liars
	}{
		{sim.Rounds, "nnm+trimmed:4", attack.SignFlip10, 4, 1.25},
		{sim.Rounds, "nnm+trimmed:8", attack.SignFlip, 8, 1.6},
		{sim.Gossip, "gossip:2", attack.SignFlip10, 4, 1.5},
	} {
		t.Run(fmt.Sprint(c.mode, " ", c.attack), func(t *testing.T) {
			t.Parallel()
			honest := with(t, c.mode, "", attack.None, 0)
			if loss := with(t, c.mode, c.rule, c.attack, c.liars); !(loss < c.times*honest) {
				t.Errorf("loss %.4f, %.4f without liars, may be %v times as much", loss, honest, c.times)
			}
			if c.mode == sim.Rounds {
				if loss := with(t, c.mode, "mean", c.attack, c.liars); loss < 1.5*honest {
					t.Errorf("the mean comes to %.4f, %.4f without liars: the attack does not bite", loss, honest)
				}
			}
		})
	}
}

// TestGroupsDropEquivocators checks that what a group has proven keeps a peer off the next
// rosters.
func TestGroupsDropEquivocators(t *testing.T) {
	t.Parallel()
	r := run(t, func(c *sim.Config) {
		c.Mode, c.Nodes, c.Group, c.Twins, c.Quorum, c.For = sim.Groups, 40, 8, 2, train.TwoThirds, 5*time.Minute
	})
	slices.Sort(r.Expelled)
	if want := []int{40, 42}; !slices.Equal(r.Expelled, want) || r.Silent < 2 || r.Epochs < 2 {
		t.Errorf("expelled are %v, want %v; %d are off the roster, after %d epochs", r.Expelled, want, r.Silent, r.Epochs)
	}
}

// TestGossipIsFlat compares what a member sends in swarms of two sizes.
func TestGossipIsFlat(t *testing.T) {
	t.Parallel()
	sent := func(n int) float64 {
		r := run(t, func(c *sim.Config) { c.Mode, c.Nodes, c.For = sim.Gossip, n, time.Minute })
		return r.Headers + r.Votes + r.Data
	}
	if few, many := sent(100), sent(400); math.Abs(many/few-1) > 0.2 {
		t.Errorf("%.0f bytes a second of 100 nodes, %.0f of 400", few, many)
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*sim.Config){
		"mode":        func(c *sim.Config) { c.Mode = "tree" },
		"nobody":      func(c *sim.Config) { c.Nodes = 0 },
		"one round":   func(c *sim.Config) { c.Nodes = 65 },
		"attack":      func(c *sim.Config) { c.Attack = "bribe" },
		"rule":        func(c *sim.Config) { c.Rule = "gossip" },
		"codec":       func(c *sim.Config) { c.Codec = "zip" },
		"loss":        func(c *sim.Config) { c.Loss = 1 },
		"roles":       func(c *sim.Config) { c.Liars, c.Slow = 10, 10 },
		"gossip mean": func(c *sim.Config) { c.Mode, c.Rule = sim.Gossip, "mean" },
	} {
		c := sim.Default()
		change(&c)
		if _, err := sim.Run(c); err == nil {
			t.Errorf("%s: it runs", name)
		}
	}
}
