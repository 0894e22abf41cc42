package main

import (
	"context"
	"flag"
	"fmt"
	"time"

	"github.com/covey-network/covey/testnet/lab"
)

// share is what a pull is to bring at least of what one QUIC stream does.
const share = 0.6

// distance prints what comes over a long wire, and returns 1 if a pull brings too little of it.
func distance(ctx context.Context, r *lab.Reach, args []string) (failed int, err error) {
	f := flag.NewFlagSet("distance", flag.ContinueOnError)
	var w lab.Wire
	f.DurationVar(&w.Delay, "delay", 40*time.Millisecond, "each way")
	f.Float64Var(&w.Loss, "loss", 0.03, "the part of the packets that is lost, each way")
	f.Uint64Var(&w.Seed, "seed", 1, "of what is lost")
	mib := f.Int64("mib", 8, "MiB by which the model is made larger")
	listen := f.String("listen", "", "a multiaddr that nodes listen at, such as /ip4/0.0.0.0/tcp/0 for TCP alone")
	if err := f.Parse(args); err != nil {
		return 0, err
	}
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	if err := r.Widen(*mib<<20, w.Seed); err != nil {
		return 0, err
	}
	d, err := r.Distance(ctx, w, *listen)
	if err != nil {
		return 0, err
	}
	ratio := d.Pull / d.Stream
	fmt.Printf("one QUIC stream %.0f KB/s, a pull %.0f KB/s: %.2f of it, wanted %.1f\n", d.Stream/1000, d.Pull/1000, ratio, share)
	if ratio < share {
		failed = 1
	}
	return failed, nil
}
