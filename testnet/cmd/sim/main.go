// Command sim lets many peers train together in virtual time, see testnet/sim, and prints what
// came of it. It exits with 1 if something happened that must never happen, and says with which
// seed.
package main

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/testnet/sim"
)

func main() {
	c := sim.Default()
	c.Alone = true
	flag.Uint64Var(&c.Seed, "seed", c.Seed, "of everything: the same one gives the same run")
	flag.IntVar(&c.Nodes, "nodes", c.Nodes, "members at the beginning")
	mode := flag.String("mode", "", "rounds, groups or gossip, several with commas; none: all that are for so many nodes")
	flag.DurationVar(&c.For, "for", c.For, "virtual time")
	flag.Float64Var(&c.Target, "target", c.Target, "loss to be reached")
	flag.BoolVar(&c.Stop, "stop", false, "end at the target")
	flag.BoolVar(&c.Sorted, "sorted", false, "each member has two of the ten classes only")
	flag.IntVar(&c.Inner, "inner", c.Inner, "steps between two exchanges")
	flag.StringVar(&c.Codec, "codec", "", "of updates; none: int8 in rounds, else f16")
	flag.StringVar(&c.Rule, "rule", "", "that combines updates; none: mean, or gossip")
	quorum := flag.String("quorum", string(c.Quorum), "majority or two-thirds")
	flag.IntVar(&c.Group, "group", c.Group, "most members of a group")
	flag.IntVar(&c.Degree, "degree", c.Degree, "neighbours in gossip")
	flag.DurationVar(&c.Latency, "latency", c.Latency, "of a message")
	flag.DurationVar(&c.Jitter, "jitter", c.Jitter, "most that is added to it")
	flag.Float64Var(&c.Loss, "loss", 0, "part of the messages that are lost")
	flag.Float64Var(&c.Dup, "dup", 0, "part of the messages that come twice")
	flag.Float64Var(&c.Churn, "churn", 0, "nodes that go, and as many come, per node and hour")
	flag.Float64Var(&c.Kills, "kills", 0, "nodes that are killed and come back, per node and hour")
	flag.IntVar(&c.Slow, "slow", 0, "nodes at 1 % of the speed")
	flag.IntVar(&c.Skewed, "skewed", 0, "nodes whose clock is an hour off")
	flag.IntVar(&c.Liars, "liars", 0, "nodes that lie")
	flag.StringVar(&c.Attack, "attack", c.Attack, "what they do")
	flag.IntVar(&c.Twins, "twins", 0, "members that are two machines with one key")
	cuts := flag.String("cuts", "", "partitions, AT+FOR:PART, with commas: 2m+1m:0.5")
	verbose := flag.Bool("v", false, "print what happens")
	flag.Parse()
	c.Quorum = train.Quorum(*quorum)
	if *verbose {
		c.Log = os.Stdout
	}
	var err error
	if c.Cuts, err = parseCuts(*cuts); err != nil {
		fmt.Fprintln(os.Stderr, "sim:", err)
		os.Exit(2)
	}
	modes := strings.Split(*mode, ",")
	if *mode == "" {
		if modes = []string{sim.Groups, sim.Gossip}; c.Nodes+c.Twins <= protocol.MaxTrainMembers {
			modes = []string{sim.Rounds, sim.Gossip}
		}
	}
	bad := false
	for _, m := range modes {
		c.Mode = m
		start := time.Now()
		r, err := sim.Run(c)
		if err != nil {
			fmt.Fprintln(os.Stderr, "sim:", err)
			os.Exit(2)
		}
		fmt.Printf("%s  took                  %.1f s\n\n", r, time.Since(start).Seconds())
		bad = bad || len(r.Violations) > 0
	}
	if bad {
		fmt.Fprintf(os.Stderr, "sim: something happened that must never happen; the same flags with -seed %d -v replay it\n", c.Seed)
		os.Exit(1)
	}
}

// parseCuts reads partitions.
func parseCuts(text string) ([]sim.Cut, error) {
	var list []sim.Cut
	for part := range strings.SplitSeq(text, ",") {
		if part == "" {
			continue
		}
		times, share, ok1 := strings.Cut(part, ":")
		at, length, ok2 := strings.Cut(times, "+")
		a, err1 := time.ParseDuration(at)
		l, err2 := time.ParseDuration(length)
		p, err3 := strconv.ParseFloat(share, 64)
		if !ok1 || !ok2 || err1 != nil || err2 != nil || err3 != nil {
			return nil, fmt.Errorf("partition %q, want something like 2m+1m:0.5", part)
		}
		list = append(list, sim.Cut{At: a, For: l, Part: p})
	}
	return list, nil
}
