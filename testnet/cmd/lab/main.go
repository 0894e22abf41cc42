// Command lab builds a small internet in network namespaces of this machine, with homes
// behind routers of some kinds, and prints a table of which pairs reach each other in a swarm
// with one public node. It needs Linux, root and nftables. It exits with 1 if a pair fails.
//
//	lab [flags]          measure the pairs of the kinds public, endpoint and symmetric, or of others
//	lab clean            remove what a crashed run left
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/covey-network/covey/testnet/lab"
)

func main() {
	binary := flag.String("covey", "bin/covey", "the program to run")
	out := flag.String("out", "", "keep data directories and logs here")
	kinds := flag.String("kinds", "public,endpoint,symmetric", "the kinds to pair, of "+fmt.Sprint(lab.Kinds()))
	publics := flag.Int("publics", 1, "public nodes: 1 or 2")
	from := flag.String("model", "testnet/demo/model", "the folder of the demo model, which is given a longer context")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var failed int
	var err error
	switch flag.Arg(0) {
	case "clean":
		var n int
		n, err = lab.Clean(ctx)
		fmt.Printf("%d namespaces removed\n", n)
	case "proxy": // how a lab starts this program on a router
		err = lab.ServeProxy(ctx, flag.Arg(1))
	default:
		failed, err = measure(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: *publics}, strings.Split(*kinds, ","))
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

// measure prints the table and returns how many pairs fail. Without a Dir the data is removed.
func measure(ctx context.Context, r *lab.Reach, kinds []string) (failed int, err error) {
	if r.Dir == "" {
		if r.Dir, err = os.MkdirTemp("", "covey-lab-"); err != nil {
			return 0, err
		}
		defer os.RemoveAll(r.Dir)
	}
	start := time.Now()
	r.Say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%7.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	if err := r.Prepare(); err != nil {
		return 0, err
	}
	var why strings.Builder
	fmt.Println(lab.Head)
	for i, a := range kinds {
		for _, b := range kinds[i:] {
			r.Say("%s and %s", a, b)
			c, err := r.Run(ctx, lab.Kind(a), lab.Kind(b))
			if err != nil {
				return failed, err
			}
			fmt.Println(c)
			if c.Err() != nil {
				failed++
				why.WriteString(c.Why())
			}
		}
	}
	fmt.Printf("\n%d pairs fail\n%s", failed, why.String())
	return failed, nil
}
