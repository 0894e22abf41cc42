// Command idle measures what swarms of real processes on this machine cost while they have
// nothing to do, and prints a table with a row for each size. As root on Linux it does so in a
// network namespace of its own. It exits with 1 if a figure is over its limit. The figures in
// seconds and of the CPU are those of a machine with nothing else to do.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/covey-network/covey/testnet/idle"
)

func main() {
	cfg := idle.Config{}
	flag.StringVar(&cfg.Binary, "covey", "bin/covey", "the program to run")
	sizes := flag.String("nodes", "8,32", "sizes of the swarms; 100 takes 6 GB of memory")
	flag.StringVar(&cfg.Listen, "listen", "/ip4/127.0.0.1/tcp/0", "where the nodes listen, as /ip4/127.0.0.1/udp/0/quic-v1")
	flag.DurationVar(&cfg.Settle, "settle", 30*time.Second, "from that all know all to the measurement")
	flag.DurationVar(&cfg.Over, "over", 210*time.Second, "length of the measurement; each node advertises anew every 150 to 210 s")
	flag.BoolVar(&cfg.FounderDies, "founder-dies", false, "kill the founder when all know all, and measure the others")
	out := flag.String("out", "", "keep data directories and logs here")
	flag.Parse()
	if err := idle.Isolate(); err != nil {
		fmt.Fprintf(os.Stderr, "idle: %v; others on this machine that use loopback add to the figures\n", err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	over, err := measure(ctx, cfg, *out, *sizes)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "idle:", err)
	}
	if err != nil || over > 0 {
		os.Exit(1)
	}
}

// measure prints the table and returns how many figures are over their limits.
func measure(ctx context.Context, cfg idle.Config, out, sizes string) (over int, err error) {
	if cfg.Binary, err = filepath.Abs(cfg.Binary); err != nil {
		return 0, err
	}
	if out == "" {
		if out, err = os.MkdirTemp("", "covey-idle-"); err != nil {
			return 0, err
		}
		defer os.RemoveAll(out)
	}
	start := time.Now()
	cfg.Say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%7.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	var why strings.Builder
	fmt.Println(idle.Head)
	for _, text := range strings.Split(sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil {
			return over, fmt.Errorf("-nodes %s: %w", sizes, err)
		}
		cfg.Dir = filepath.Join(out, text)
		row, err := idle.Measure(ctx, cfg, n)
		if err != nil {
			return over, fmt.Errorf("%d nodes: %w", n, err)
		}
		fmt.Println(row)
		for _, line := range row.Over() {
			over++
			fmt.Fprintln(&why, line)
		}
	}
	fmt.Printf("\n%d figures over their limits\n%s", over, why.String())
	return over, nil
}
