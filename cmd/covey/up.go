package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

const (
	// joinNote is when a node that joins and has reached nobody says so: settling has taken
	// some time before.
	joinNote = 2 * time.Second
	// joinPoll is how often that is looked at.
	joinPoll = 200 * time.Millisecond
	// stoppingNote is how long a node may take to end in silence.
	stoppingNote = time.Second
)

type upOptions struct {
	*options
	join, joinFile                 string
	name, api, logLevel, logFormat string
	relay                          string
	listen, announce, bootstrap    []string
	cores                          int
	memory, disk, upload           string
	mdns, dht, nat, printConfig    bool
	cmd                            *cobra.Command
}

func upCommand(o *options) *cobra.Command {
	u := &upOptions{options: o}
	c := &cobra.Command{
		Use:   "up",
		Short: "Run a node: join a swarm, lend this machine, answer on the local API",
		Long: `Run a node. Without --join it founds a swarm of its own on the first start, and goes on in the
swarm it belongs to later. A token is needed once: a node that has joined renews its membership, and
starts with the same --join as before even if the token has expired. Settings come from flags, then COVEY_… variables, then config.toml
in the data directory, then the defaults; --print-config shows the result.`,
		Example: "  covey up\n  covey up --join covey1abc… --memory 4GiB --cores 2",
		Args:    args(0, 0, "no arguments"),
		RunE:    func(c *cobra.Command, _ []string) error { return u.run(c.Context(), c.InOrStdin(), c.OutOrStdout()) },
	}
	u.cmd = c
	f := c.Flags()
	f.StringVar(&u.join, "join", "", "join token from covey invite, or @FILE or - (environment: COVEY_JOIN)")
	f.StringVar(&u.joinFile, "join-file", "", "file with the join token, which then does not show in lists of processes; - is standard input")
	f.StringVar(&u.name, "name", "", "name of this machine, for people; default: its host name")
	f.StringVar(&u.api, "api", "", "address of the API (default 127.0.0.1:8420)")
	f.StringSliceVar(&u.listen, "listen", nil, "multiaddrs to listen on for peers; port 0 is one that this node chooses once and keeps (default: that port on all addresses, TCP and QUIC)")
	f.StringSliceVar(&u.announce, "announce", nil, "multiaddrs to tell peers instead of those listened at, for a port that is forwarded, such as /ip4/203.0.113.7/tcp/24001")
	f.StringSliceVar(&u.bootstrap, "bootstrap", nil, "multiaddrs of peers to dial first")
	f.IntVar(&u.cores, "cores", 0, "processor cores to lend (default all)")
	f.StringVar(&u.memory, "memory", "", "memory to lend, such as 4GiB (default half)")
	f.StringVar(&u.disk, "disk", "", "disk to lend, such as 50GiB (default: what is free, less a reserve)")
	f.StringVar(&u.upload, "upload", "", "upload rate to lend per second, such as 10MiB (default no limit)")
	f.BoolVar(&u.mdns, "mdns", true, "find peers on the local network")
	f.BoolVar(&u.dht, "dht", true, "find peers through the swarm's routing table")
	f.BoolVar(&u.nat, "nat", true, "map ports and punch holes through routers")
	f.StringVar(&u.relay, "relay", host.RelayAuto, "carry connections of members that cannot reach each other: auto (while others can reach this node), on or off")
	f.StringVar(&u.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&u.logFormat, "log-format", "text", "text or json")
	f.BoolVar(&u.printConfig, "print-config", false, "print the settings in force and exit")
	return c
}

// config puts flags over the file and the environment.
func (u *upOptions) config() (*node.Config, error) {
	cfg, err := node.ReadConfig(u.data)
	if err != nil {
		return nil, err
	}
	given := u.cmd.Flags().Changed
	set := func(flag, from string, to *string) {
		if given(flag) {
			*to = from
		}
	}
	set("name", u.name, &cfg.Name)
	set("api", u.api, &cfg.API.Addr)
	set("relay", u.relay, &cfg.Network.Relay)
	if given("listen") {
		cfg.Network.Listen = u.listen
	}
	if given("announce") {
		cfg.Network.Announce = u.announce
	}
	if given("bootstrap") {
		cfg.Network.Bootstrap = u.bootstrap
	}
	if given("cores") {
		cfg.Limits.Cores = u.cores
	}
	for _, s := range []struct {
		flag, from string
		to         *node.Size
	}{{"memory", u.memory, &cfg.Limits.Memory}, {"disk", u.disk, &cfg.Limits.Disk}, {"upload", u.upload, &cfg.Limits.Upload}} {
		if !given(s.flag) {
			continue
		}
		if err := s.to.UnmarshalText([]byte(s.from)); err != nil {
			return nil, usageError{fmt.Errorf("--%s: %w", s.flag, err)}
		}
		if *s.to == 0 && s.to != &cfg.Limits.Upload {
			return nil, usageError{fmt.Errorf("--%s is 0: give what to lend, or leave it out for the default", s.flag)}
		}
	}
	for _, b := range []struct {
		flag string
		from bool
		to   *bool
	}{{"mdns", u.mdns, &cfg.Network.MDNS}, {"dht", u.dht, &cfg.Network.DHT}, {"nat", u.nat, &cfg.Network.NAT}} {
		if given(b.flag) {
			*b.to = b.from
		}
	}
	cfg.Version, cfg.Builtin = programVersion(), demo.Write
	cfg.Log, err = newLog(os.Stderr, u.logLevel, u.logFormat)
	return cfg, err
}

func (u *upOptions) run(ctx context.Context, in io.Reader, out io.Writer) (err error) {
	cfg, err := u.config()
	if err != nil {
		return err
	}
	if cfg.Join, err = u.joinToken(in); err != nil {
		return err
	}
	if err := u.check(cfg); err != nil {
		return err
	}
	if u.printConfig {
		return cfg.Print(out)
	}
	host.LogLibraries(cfg.Log)
	claim, err := u.claim(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, claim.Release()) }()
	for w := newWait(upWait); ; {
		err := u.serve(ctx, cfg, out)
		if !errors.Is(err, store.ErrInUse) {
			return err
		}
		if err := w.pause(ctx, "another covey process that uses "+u.data, err); err != nil {
			return err
		}
	}
}

// serve runs the node until it ends.
func (u *upOptions) serve(ctx context.Context, cfg *node.Config, out io.Writer) error {
	n, err := node.New(*cfg)
	if err != nil {
		return err
	}
	hurry := n.Hurry
	u.hurry.Store(&hurry)
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return stopped(ended)
	case <-n.Ready():
	}
	fmt.Fprintf(out, "covey is up: %s/v1 speaks the OpenAI API\n", n.Endpoint().URL)
	telling, done := context.WithCancel(ctx)
	var told sync.WaitGroup
	told.Go(func() { u.tellMembership(telling, cfg.Join, n.Endpoint(), out) })
	defer told.Wait()
	defer done()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return stopped(ended)
	}
}

// stopped waits for the end of a node that was told to end, and says so if that takes long:
// answers that run are finished.
func stopped(ended <-chan error) error {
	t := time.NewTimer(stoppingNote)
	defer t.Stop()
	select {
	case err := <-ended:
		return err
	case <-t.C:
	}
	fmt.Fprintln(os.Stderr, "stopping: answers that run are finished first, for up to 10 s; Ctrl-C again ends at once")
	return <-ended
}

// tellMembership says that the disk is full, what is wrong with the node's membership, or else when no peer of the
// swarm that a token leads to can be reached, why, and when one can then.
func (u *upOptions) tellMembership(ctx context.Context, join string, at *node.Endpoint, out io.Writer) {
	c := &api.Client{Base: at.URL, Key: at.Key}
	var st api.Status
	err := c.Get(ctx, "/covey/v1/status", nil, &st)
	if err == nil && st.DiskFull != "" {
		fmt.Fprintln(out, "no model can be stored: "+st.DiskFull)
	}
	if err == nil && st.Membership.Ended() {
		fmt.Fprintln(out, st.Membership.Problem)
		return
	}
	if token, err := wire.ParseToken(join); err == nil { // the node has refused a bad one
		tellJoin(ctx, token, c, out)
	}
}

func tellJoin(ctx context.Context, token *wire.Token, c *api.Client, out io.Writer) {
	t := time.NewTicker(joinPoll)
	defer t.Stop()
	start, told, reach := time.Now(), false, ""
	for {
		var st api.Status
		err := c.Get(ctx, "/covey/v1/status", nil, &st)
		switch {
		case err != nil: // busy, or at its end
		case st.Membership.Ended():
			fmt.Fprintln(out, st.Membership.Problem)
			return
		case st.Peers > 0:
			if told {
				fmt.Fprintln(out, "a peer of the swarm answers")
			}
			return
		case !told && time.Since(start) > joinNote:
			waits := "no peer of the swarm is connected yet"
			if st.Membership.State == "joining" {
				waits = "no peer has let this machine in yet"
			}
			fmt.Fprintf(out, "%s: still trying swarm %s at %s\n", waits, swarmName(token, &st), joinAddrs(token))
			told = true
		case told && st.Reach != "" && st.Reach != reach:
			fmt.Fprintln(out, st.Reach)
			reach = st.Reach
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

func swarmName(t *wire.Token, st *api.Status) string {
	if t.Name != "" {
		return t.Name
	}
	return st.Swarm.String()
}

// joinAddrs lists where a token leads to, without the peers' identities.
func joinAddrs(t *wire.Token) string {
	var out []string
	for _, a := range t.Bootstrap {
		text, _, _ := strings.Cut(string(a), "/p2p/")
		out = append(out, text)
	}
	if len(out) == 0 {
		return "no address (the token has none)"
	}
	return strings.Join(out, ", ")
}

// check refuses settings that make no sense.
func (u *upOptions) check(cfg *node.Config) error {
	if err := cfg.Validate(); err != nil {
		return usageError{fmt.Errorf("check settings: %w", err)}
	}
	if cfg.Join != "" {
		if _, err := parseToken(cfg.Join); err != nil {
			return err
		}
	}
	return nil
}

func parseToken(text string) (*wire.Token, error) {
	t, err := wire.ParseToken(text)
	if err != nil {
		why := strings.ReplaceAll(err.Error(), "\n", ": ")
		return nil, usageError{fmt.Errorf("join token %.16q: %s; it is the whole line that covey invite prints", text, why)}
	}
	return t, nil
}

// claim claims the data directory, after a node that ends there, and refuses one that runs.
func (u *upOptions) claim(ctx context.Context) (*node.Claim, error) {
	for w := newWait(startingTime); ; {
		if other, err := u.running(ctx); ctx.Err() != nil {
			return nil, ctx.Err()
		} else if !errors.Is(err, node.ErrNotRunning) {
			return nil, u.alreadyRuns(ctx, other)
		}
		c, err := node.NewClaim(u.data)
		if !errors.Is(err, node.ErrClaimed) {
			return c, err
		}
		if err := w.pause(ctx, "the node that starts or ends on "+u.data, err); err != nil {
			return nil, err
		}
	}
}

// alreadyRuns is the error of a second node. The first one is told, which covey doctor asks.
func (u *upOptions) alreadyRuns(ctx context.Context, other *api.Client) error {
	if other != nil {
		ctx, cancel := context.WithTimeout(ctx, probeTimeout)
		defer cancel()
		_ = other.Post(ctx, "/covey/v1/doctor/second", api.SecondNode{PID: os.Getpid()}, nil) // no more than a hint
	}
	at, err := node.ReadEndpoint(u.data)
	if err != nil {
		return err
	}
	return fmt.Errorf("a node already runs on %s (pid %d): end it first, or give this one another --data and --api", u.data, at.PID)
}

func newLog(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usageError{fmt.Errorf("log level %q: want debug, info, warn or error", level)}
	}
	o := &slog.HandlerOptions{Level: l}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), nil
	}
	return nil, usageError{fmt.Errorf("log format %q: want text or json", format)}
}
