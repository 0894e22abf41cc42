// Command quality trains models by eight nodes of this machine, each with data of its own, and by
// one process that has all of it, and prints how much worse or better the validation is, and how
// many bytes the nodes sent: a table in Markdown. It exits with 1 if a limit does not hold.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"

	"github.com/covey-network/covey/testnet/quality"
)

func main() {
	l := &quality.Lab{}
	flag.StringVar(&l.Binary, "covey", "bin/covey", "the program to run")
	flag.StringVar(&l.Lossy, "lossy", "bin/covey-lossy", "the program built with the tag lossy, for runs that lose updates")
	flag.StringVar(&l.Examples, "examples", "docs/examples", "the folder of the job files")
	flag.StringVar(&l.Data, "data", "", "folder with digits and wine.csv; what is not there is made there, by Python (default: a temporary one)")
	flag.StringVar(&l.Python, "python", "python3", "a Python that has scikit-learn and pillow")
	flag.StringVar(&l.Swarm, "swarm", "", "lines of TOML for section swarm of all jobs")
	flag.Uint64Var(&l.Seed, "seed", 1, "of first weights, batches, and how data is dealt out")
	flag.BoolVar(&l.Choose, "choose", false, "hold out other samples than those of the table, and leave those out: to choose a default by")
	only := flag.String("run", "", "only tasks whose names have this in them")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	over, err := run(ctx, l, *only)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "quality:", err)
	}
	if err != nil || over > 0 {
		os.Exit(1)
	}
}

// run prints the rows and returns how many are over a limit.
func run(ctx context.Context, l *quality.Lab, only string) (over int, err error) {
	for _, p := range []*string{&l.Binary, &l.Lossy} {
		if *p, err = filepath.Abs(*p); err != nil {
			return 0, err
		}
	}
	if l.Dir, err = os.MkdirTemp("", "covey-quality-"); err != nil {
		return 0, err
	}
	defer os.RemoveAll(l.Dir)
	if l.Data == "" {
		l.Data = filepath.Join(l.Dir, "data")
	}
	start := time.Now()
	l.Say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%6.0f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	fmt.Println(quality.Head)
	for _, t := range quality.Tasks() {
		if !strings.Contains(t.Name, only) {
			continue
		}
		err := l.Rows(ctx, t, func(r *quality.Row) {
			fmt.Println(r)
			over += min(1, len(r.Over()))
		})
		if err != nil {
			return over, err
		}
	}
	return over, nil
}
