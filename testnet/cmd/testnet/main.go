// Command testnet runs a manifest: it starts a swarm of processes on loopback, hosts
// models, asks a question over and over while it kills, restarts and pauses peers as the
// manifest says, saves each node's log and metrics, and stops all. It exits with 1 if the
// swarm did not do what the manifest wants, and with 2 if the manifest makes no sense.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/covey-network/covey/testnet/runner"
)

func main() {
	binary := flag.String("covey", "bin/covey", "the program to run")
	out := flag.String("out", "", "folder for logs and metrics (default: a new one)")
	flag.Usage = func() {
		fmt.Fprintln(flag.CommandLine.Output(), "usage: testnet [flags] MANIFEST")
		flag.PrintDefaults()
	}
	flag.Parse()
	if flag.NArg() != 1 {
		flag.Usage()
		os.Exit(2)
	}
	m, err := runner.Read(flag.Arg(0))
	if err != nil {
		fmt.Fprintln(os.Stderr, "testnet:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err = run(ctx, m, *binary, *out)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "testnet:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, m *runner.Manifest, binary, out string) error {
	binary, err := filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "covey-testnet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if out == "" {
		if out, err = os.MkdirTemp("", "covey-testnet-out-"); err != nil {
			return err
		}
	}
	start := time.Now()
	say := func(format string, args ...any) {
		fmt.Printf("%6.2f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	r, err := runner.Run(ctx, runner.Config{Binary: binary, Dir: dir, Say: say}, m, out)
	say("%s: %d answers as the first, %d different, %d failed; logs and metrics are in %s", m.Name, r.Answered, r.Different, r.Failed, out)
	return err
}
