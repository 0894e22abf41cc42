// Command harm lets hostile peers and clients loose on swarms of real processes on this
// machine, and prints what they could do: one line each with its limit. It exits with 1 if
// a limit does not hold. The figures in seconds are those of a machine with nothing else to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"time"

	"github.com/covey-network/covey/testnet/harm"
)

func main() {
	binary := flag.String("covey", "bin/covey", "the program to run")
	only := flag.String("run", "", "only the checks whose name matches this regular expression")
	short := flag.Bool("short", false, "smaller numbers")
	runs := flag.Int("runs", 0, "how often a check that is repeated runs; 0: its own number")
	seed := flag.Uint64("seed", 1, "for what is random")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: harm [flags]")
		flag.PrintDefaults()
		for _, c := range harm.Checks() {
			fmt.Fprintf(flag.CommandLine.Output(), "  %-10s %s\n", c.Name, c.Story)
		}
	}
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	over, err := run(ctx, *binary, *only, *short, *runs, *seed)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "harm:", err)
	}
	if err != nil || over > 0 {
		os.Exit(1)
	}
}

// run prints the figures and returns how many are over their limits. A check that breaks
// off counts as one, and the others go on.
func run(ctx context.Context, binary, only string, short bool, runs int, seed uint64) (over int, err error) {
	name, err := regexp.Compile(only)
	if err != nil {
		return 0, err
	}
	if binary, err = filepath.Abs(binary); err != nil {
		return 0, err
	}
	dir, err := os.MkdirTemp("", "covey-harm-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	start := time.Now()
	l := &harm.Lab{Binary: binary, Dir: dir, Short: short, Runs: runs, Seed: seed, Say: func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%7.2f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}}
	total := 0
	for _, c := range harm.Checks() {
		if !name.MatchString(c.Name) || ctx.Err() != nil {
			continue
		}
		figures, err := c.Run(ctx, l)
		for _, f := range figures {
			fmt.Println(f)
			if !f.OK() {
				over++
			}
		}
		total += len(figures)
		if err != nil {
			fmt.Printf("%-62s broke off: %v\n", c.Name, err)
			over++
		}
	}
	fmt.Printf("%d figures, %d over their limits, in %.0f s\n", total, over, time.Since(start).Seconds())
	return over, ctx.Err()
}
