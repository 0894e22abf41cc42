// Command lab builds a small internet in network namespaces of this machine, with homes
// behind routers of some kinds, and prints a table of which pairs reach each other in a swarm
// with one or two public nodes. It needs Linux, root and nftables. It exits with 1 if a pair fails.
//
//	lab [flags]          measure the pairs of the kinds public, endpoint and symmetric, or of others
//	lab doctor           set up networks that do not work, print what covey doctor says there, and fail if
//	                     it does not name the cause
//	lab lan              let nodes find each other on local networks, without internet and in homes that look
//	                     alike, and fail if it takes too long
//	lab outage           take away public nodes in the middle of answers, and fail if one breaks off or pauses long
//	lab train [FAULT]    break lines and slow machines down while nodes train together, by each fault that has a
//	                     word in its name, and fail if rounds fork or the members do not go on
//	lab distance [flags] compare what covey model pull and one QUIC stream bring over 80 ms and 3 % of loss
//	lab ci               a pair and lan, in about a minute; where no lab can be built it says why and exits with 0
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
	kinds := flag.String("kinds", "public,endpoint,symmetric", "the kinds to pair, of "+fmt.Sprint(lab.Kinds())+", or all")
	publics := flag.Int("publics", 1, "public nodes: 1 or 2")
	from := flag.String("model", "testnet/demo/model", "the folder of the demo model, which is given a longer context")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	var failed int
	var err error
	switch flag.Arg(0) {
	case "ci":
		failed, err = small(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: 1})
	case "clean":
		var n int
		n, err = lab.Clean(ctx)
		fmt.Printf("%d namespaces removed\n", n)
	case "doctor":
		failed, err = examine(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: 1})
	case "lan":
		failed, err = lan(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: 1})
	case "proxy": // how a lab starts this program on a router
		err = lab.ServeProxy(ctx, flag.Arg(1))
	case "outage":
		failed, err = outage(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: 2})
	case "train":
		failed, err = trains(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: 1}, strings.Join(flag.Args()[1:], " "))
	case "distance":
		failed, err = distance(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: 1}, flag.Args()[1:])
	default:
		failed, err = measure(ctx, &lab.Reach{Binary: *binary, Dir: *out, Model: *from, Publics: *publics}, choose(*kinds))
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "lab:", err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

// small runs what continuous integration does, and returns how much fails.
func small(ctx context.Context, r *lab.Reach) (failed int, err error) {
	if err := lab.Possible(ctx); err != nil {
		fmt.Printf("NOT RUN: no lab can be built here: %v\n", err)
		return 0, nil
	}
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	c, err := r.Run(ctx, lab.Endpoint, lab.Symmetric)
	if err != nil {
		return 0, err
	}
	fmt.Printf("%s\n%s\n%s\n", lab.Head, c, c.Why())
	failed, err = meet(ctx, r)
	if c.Err() != nil {
		failed++
	}
	return failed, err
}

// prepare gives r a folder, if it has none, and a voice; clean removes the former.
func prepare(r *lab.Reach) (clean func(), err error) {
	clean, r.Keep = func() {}, r.Dir != ""
	if !r.Keep {
		if r.Dir, err = os.MkdirTemp("", "covey-lab-"); err != nil {
			return clean, err
		}
		dir := r.Dir
		clean = func() { _ = os.RemoveAll(dir) }
	}
	start := time.Now()
	r.Say = func(format string, args ...any) {
		fmt.Fprintf(os.Stderr, "%7.1f s  %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
	}
	return clean, r.Prepare()
}

// examine prints what covey doctor says of each patient, and returns of how many it does not name
// the cause.
func examine(ctx context.Context, r *lab.Reach) (failed int, err error) {
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	var missed strings.Builder
	for _, p := range lab.Patients() {
		r.Say("%s", p.Name)
		seen, err := r.Doctor(ctx, &p)
		if err != nil {
			return failed, err
		}
		fmt.Printf("## %s, after %.0f s\n\n%s\n", p.Name, seen.After.Seconds(), seen.Text)
		if seen.Err != nil {
			failed++
			fmt.Fprintf(&missed, "%s: %v\n", p.Name, seen.Err)
		}
	}
	fmt.Printf("%d causes not named\n%s", failed, missed.String())
	return failed, nil
}

// lan is meet with a prepared r.
func lan(ctx context.Context, r *lab.Reach) (failed int, err error) {
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	return meet(ctx, r)
}

// meet prints how nodes on local networks find each other, and returns how often not in time.
func meet(ctx context.Context, r *lab.Reach) (failed int, err error) {
	var why strings.Builder
	fmt.Println(lab.MeetingHead)
	err = r.LAN(ctx, func(m *lab.Meeting) {
		fmt.Println(m)
		if m.Err != nil {
			failed++
			fmt.Fprintf(&why, "%s: %v\n", m.What, m.Err)
		}
	})
	fmt.Printf("\n%d not found in time\n%s", failed, why.String())
	return failed, err
}

// choose returns the kinds of a list with commas.
func choose(list string) (kinds []lab.Kind) {
	if list == "all" {
		return lab.Kinds()
	}
	for k := range strings.SplitSeq(list, ",") {
		kinds = append(kinds, lab.Kind(k))
	}
	return kinds
}

// measure prints the table and returns how many pairs fail.
func measure(ctx context.Context, r *lab.Reach, kinds []lab.Kind) (failed int, err error) {
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	var why strings.Builder
	fmt.Println(lab.Head)
	for i, a := range kinds {
		for _, b := range kinds[i:] {
			r.Say("%s and %s", a, b)
			c, err := r.Run(ctx, a, b)
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

// outage prints what the deaths of public nodes cost, and returns how much of it costs too much.
func outage(ctx context.Context, r *lab.Reach) (failed int, err error) {
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	fmt.Println(lab.OutageHead)
	var why strings.Builder
	err = r.Outages(ctx, func(o *lab.Outage) {
		fmt.Println(o)
		if err := o.Err(); err != nil {
			failed++
			fmt.Fprintln(&why, err)
		}
	})
	fmt.Printf("\n%d over their limit\n%s", failed, why.String())
	return failed, err
}

// trains prints what faults do to a training, and returns how much of it is not as it should be.
func trains(ctx context.Context, r *lab.Reach, pick string) (failed int, err error) {
	clean, err := prepare(r)
	defer clean()
	if err != nil {
		return 0, err
	}
	fmt.Println(lab.TrainedHead)
	var why strings.Builder
	err = r.Train(ctx, pick, func(t *lab.Trained) {
		fmt.Println(t)
		if err := t.Err(); err != nil {
			failed++
			fmt.Fprintln(&why, err)
		}
	})
	fmt.Printf("\n%d not as they should be\n%s", failed, why.String())
	return failed, err
}
