// Command hostile starts one peer that means harm, for experiments with a swarm of your own:
//
//	go run ./testnet/cmd/hostile -join TOKEN -mode huge-token -model demo
//
// It prints what it does as lines of JSON, and goes on until it is interrupted. Peers that
// lie serve the model named; the other modes attack the first peer that the token names.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/hostile"
)

// exitUsage is the exit code of wrong usage, as of the flag package.
const exitUsage = 2

// sayEvery is how often a peer that lies tells how often it did.
const sayEvery = time.Second

// strangersPatience is how long strangers wait to be turned away.
const strangersPatience = time.Minute

// floods are the modes that do not serve, and what each does once.
var floods = []struct {
	name, story string
	run         func(ctx context.Context, p *hostile.Peer, o *options, to host.ID) (any, error)
}{
	{"sybils", "hands over adverts of -n identities of the one token (4200)", func(ctx context.Context, p *hostile.Peer, o *options, _ host.ID) (any, error) {
		bytes, err := p.Sybils(ctx, o.number(4200), protocol.MaxAdvertModels)
		return map[string]any{"bytes": bytes}, err
	}},
	{"hog", "keeps -n sessions of context 32,768 (40)", func(ctx context.Context, p *hostile.Peer, o *options, to host.ID) (any, error) {
		got, tokens, err := p.Hog(ctx, to, o.model, o.number(40), 32768)
		return map[string]any{"sessions": got, "tokens": tokens}, err
	}},
	{"streams", "opens -n silent streams (70000)", func(ctx context.Context, p *hostile.Peer, o *options, to host.ID) (any, error) {
		return map[string]any{"streams": p.Streams(ctx, to, o.number(70000))}, nil
	}},
	{"frames", "sends -n rounds of frames that no protocol has (10)", func(ctx context.Context, p *hostile.Peer, o *options, to host.ID) (any, error) {
		n, err := p.Frames(ctx, to, o.number(10))
		return map[string]any{"streams": n}, err
	}},
}

type options struct {
	join, mode, model, blocks, victim string
	after, n                          int
}

func (o *options) number(usual int) int {
	if o.n > 0 {
		return o.n
	}
	return usual
}

// check reports what is missing.
func (o *options) check() error {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("%q is no flag", flag.Arg(0))
	case o.join == "":
		return errors.New("no swarm to attack: give the token of one with -join or in COVEY_JOIN")
	case o.mode == "":
		return errors.New("nothing to do: give one of the modes below with -mode")
	case !slices.Contains(modes(), o.mode):
		return fmt.Errorf("no mode %q: give one of those below", o.mode)
	}
	return nil
}

// modes returns the names of all modes.
func modes() []string {
	out := append(hostile.Names(), "strangers", "gossip")
	for _, f := range floods {
		out = append(out, f.name)
	}
	return out
}

func main() {
	o := &options{}
	flag.StringVar(&o.join, "join", os.Getenv("COVEY_JOIN"), "join token (environment: COVEY_JOIN)")
	flag.StringVar(&o.mode, "mode", "", "what to do; see below")
	flag.StringVar(&o.model, "model", "demo", "the model to claim")
	flag.StringVar(&o.blocks, "blocks", "all", "the blocks to claim, first-last or all")
	flag.StringVar(&o.victim, "victim", "", "the honest peer to blame")
	flag.IntVar(&o.after, "after", 0, "honest results in each session before the harm")
	flag.IntVar(&o.n, "n", 0, "how many of what the mode sends")
	flag.Usage = usage
	flag.Parse()
	if err := o.check(); err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		usage()
		os.Exit(exitUsage)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "hostile:", err)
		os.Exit(1)
	}
}

func usage() {
	out := flag.CommandLine.Output()
	fmt.Fprintln(out, "usage: hostile -join TOKEN -mode MODE [flags]")
	flag.PrintDefaults()
	fmt.Fprintln(out, "modes:")
	for _, m := range hostile.Modes() {
		fmt.Fprintf(out, "  %-16s %s\n", m.Name, m.Story)
	}
	for _, f := range floods {
		fmt.Fprintf(out, "  %-16s %s\n", f.name, f.story)
	}
	fmt.Fprintf(out, "  %-16s %s\n", "strangers", "connects -n peers without a token, each with 20 silent streams (600)")
	fmt.Fprintf(out, "  %-16s %s\n", "gossip", "gossips -n messages of random bytes (10000)")
}

func run(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp("", "covey-hostile-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	token, err := wire.ParseToken(o.join)
	if err != nil {
		return err
	}
	if len(token.Bootstrap) == 0 {
		return errors.New("the token names no peer")
	}
	at := token.Bootstrap[0]
	cfg := hostile.Config{Token: o.join, Dir: dir}
	switch o.mode {
	case "strangers":
		stay, err := hostile.Strangers(ctx, at, o.number(600), 20, strangersPatience)
		say("done", map[string]any{"streams": stay.Streams, "longest_s": stay.Longest.Seconds()})
		return err
	case "gossip":
		err := hostile.Gossip(ctx, cfg, at, o.number(10_000))
		say("done", nil)
		return err
	}
	for _, f := range floods {
		if f.name == o.mode {
			return attack(ctx, cfg, at, func(ctx context.Context, p *hostile.Peer, to host.ID) (any, error) { return f.run(ctx, p, o, to) })
		}
	}
	cfg.Claim = &hostile.Claim{Model: o.model, Blocks: o.blocks, Mode: o.mode, After: o.after}
	if o.victim != "" {
		if cfg.Claim.Victim, err = host.ParseID(o.victim); err != nil {
			return err
		}
	}
	return attack(ctx, cfg, at, func(ctx context.Context, p *hostile.Peer, _ host.ID) (any, error) {
		for {
			say("harm", map[string]any{"asked": p.Asked(), "harm": p.Harm()})
			select {
			case <-ctx.Done():
				return nil, nil
			case <-time.After(sayEvery):
			}
		}
	})
}

// attack joins, does harm, and stays until it is interrupted.
func attack(ctx context.Context, cfg hostile.Config, at wire.Addr, harm func(context.Context, *hostile.Peer, host.ID) (any, error)) error {
	p, err := hostile.New(cfg)
	if err != nil {
		return err
	}
	to, _ := at.Peer() // a token's addresses name their peers
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return p.Run(ctx) })
	g.Go(func() error {
		select {
		case <-p.Ready():
		case <-ctx.Done():
			return nil
		}
		say("joined", map[string]any{"peer": p.ID()})
		done, err := harm(ctx, p, to)
		say("done", done)
		return err
	})
	return g.Wait()
}

func say(event string, more any) {
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{"time": time.Now().UTC(), "event": event, "of": more}) // a closed pipe ends nothing
}
