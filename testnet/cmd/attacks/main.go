// Command attacks prints how well a small network learns from twenty senders of whom some
// lie, in percent of test data classified right: a row for each rule, a column for each
// attack, and the plain mean beside the rules. It exits with 1 if a rule that is the default
// for its data loses more than it may.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"text/tabwriter"

	"github.com/covey-network/covey/testnet/attack"
)

func main() {
	seed := flag.Uint64("seed", 1, "of the data, the first weights and the batches")
	only := flag.String("run", "", "only rules whose names have this in them, and the plain mean")
	parallel := flag.Int("parallel", 2, "trainings at the same time")
	flag.Parse()
	over := 0
	for _, t := range attack.Tables() {
		n, err := table(t, *seed, *only, *parallel)
		if err != nil {
			fmt.Fprintln(os.Stderr, "attacks:", err)
			os.Exit(2)
		}
		over += n
	}
	if over > 0 {
		fmt.Fprintf(os.Stderr, "attacks: %d figures are over their limits\n", over)
		os.Exit(1)
	}
}

// table prints one table and returns how many figures are over its limit.
func table(t attack.Table, seed uint64, only string, parallel int) (int, error) {
	rules := slices.DeleteFunc(slices.Clone(t.Rules), func(r string) bool {
		return r != attack.Plain && !strings.Contains(r, only)
	})
	figures, errs := make([][]float64, len(rules)), make([]error, len(rules))
	places := make(chan struct{}, parallel)
	var wg sync.WaitGroup
	for i, r := range rules {
		figures[i] = make([]float64, len(attack.Attacks))
		for k, a := range attack.Attacks {
			places <- struct{}{}
			wg.Go(func() {
				defer func() { <-places }()
				v, err := attack.Run(attack.Config{Rule: r, Attack: a, Liars: t.Liars, Sorted: t.Sorted, Seed: seed})
				figures[i][k] = 100 * v
				if err != nil {
					errs[i] = err
				}
			})
		}
		wg.Wait()
		if errs[i] != nil {
			return 0, errs[i]
		}
	}
	fmt.Printf("%s; at most %.0f points below the plain mean without liars for the default, %s\n", t.Name, t.Limit, t.Default)
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintf(w, "rule\t%s\tworst\t\n", strings.Join(attack.Attacks, "\t"))
	over := 0
	for i, r := range rules {
		fmt.Fprintf(w, "%s\t", r)
		for _, v := range figures[i] {
			fmt.Fprintf(w, "%.1f\t", v)
			if r == t.Default && v < figures[0][0]-t.Limit {
				over++
			}
		}
		fmt.Fprintf(w, "%.1f\t\n", slices.Min(figures[i]))
	}
	fmt.Fprintln(w)
	return over, w.Flush()
}
