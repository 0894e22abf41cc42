// Command covey is the program of the swarm: a peer (covey up) and its command line.
//
// Each subcommand is a file. A command talks to the node that runs on this data directory;
// if none does, it starts one without a network for its own time.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
)

// version is set by the build: -ldflags "-X main.version=…".
var version string

// The exit codes, as the help of covey tells them.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUnavailable = 4
	exitNotAdmitted = 5
	exitInterrupted = 130
)

const exitHelp = `Exit codes: 0 done; 1 failed; 2 wrong usage; 3 model or file not found;
4 the node or the swarm cannot answer now; 5 the join token has expired or is of another swarm;
130 interrupted.`

func main() {
	o := &options{}
	err := run(o)
	if err == nil {
		return
	}
	code := exitCode(err)
	switch {
	case code == exitInterrupted && term.IsTerminal(int(os.Stderr.Fd())):
		fmt.Fprintln(os.Stderr) // after the ^C that the terminal shows
	case code != exitInterrupted:
		fmt.Fprintln(os.Stderr, "covey:", o.message(err))
	}
	os.Exit(code)
}

func run(o *options) error {
	if err := kernel.CheckCPU(); err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	signals := make(chan os.Signal, 1) // 1: as many as there are between two looks at it
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	defer signal.Stop(signals)
	go func() {
		for s := range signals { // until the process ends
			if ctx.Err() != nil { // it was told to end, and does not: what is on disk stands a kill
				if !o.hurryUp() {
					os.Exit(exitInterrupted)
				}
				continue
			}
			if s != os.Interrupt || !o.interrupt() {
				cancel()
			}
		}
	}()
	return rootCommand(o).ExecuteContext(ctx)
}

// usageError is a command line that makes no sense.
type usageError struct{ error }

// missingFile is an error about a file that does not exist.
type missingFile struct{ error }

// Is makes it os.ErrNotExist.
func (missingFile) Is(target error) bool { return target == os.ErrNotExist }

func exitCode(err error) int {
	var status *api.StatusError
	var usage usageError
	switch {
	case errors.Is(err, context.Canceled): // nothing but a signal cancels
		return exitInterrupted
	case errors.As(err, &usage), errors.As(err, &status) && status.Status == 400:
		return exitUsage
	case errors.Is(err, os.ErrNotExist), errors.As(err, &status) && status.Status == 404:
		return exitNotFound
	case errors.Is(err, node.ErrTokenOver), errors.Is(err, host.ErrOtherSwarm):
		return exitNotAdmitted
	case errors.Is(err, store.ErrInUse), errors.As(err, &status) && (status.Status == 429 || status.Status >= 502):
		return exitUnavailable
	}
	return exitFailed
}

// ownCommand is a command about the models of a node, as its errors advise it.
var ownCommand = regexp.MustCompile(`\bcovey (?:model (?:gc|ls)|(?:model (?:rm|pull)|host) (?:'[^']*'|[^\s'"\x60),;]+)(?: --off)?)`)

// message is the text of an error. What a node advises is about its own data directory, which
// the command that was run may have named.
func (o *options) message(err error) string {
	var status *api.StatusError
	text := err.Error()
	if flag := o.dataFlag(); flag != "" && errors.As(err, &status) && !strings.Contains(text, flag) {
		text = ownCommand.ReplaceAllStringFunc(text, func(command string) string { return command + flag })
	}
	return text
}

// options are the flags that all commands have.
type options struct {
	data   string
	json   bool
	answer atomic.Pointer[context.CancelFunc] // ends what an interrupt ends instead of the command; nil: nothing
	hurry  atomic.Pointer[func()]             // makes the end of the command come sooner; nil: nothing does
}

// hurryTime is how long a command may take to end from when it was told to hurry.
const hurryTime = 3 * time.Second

// hurryUp makes the command end within hurryTime. It reports whether there was a way.
func (o *options) hurryUp() bool {
	hurry := o.hurry.Swap(nil)
	if hurry != nil {
		(*hurry)()
		time.AfterFunc(hurryTime, func() { os.Exit(exitInterrupted) })
	}
	return hurry != nil
}

// interrupt ends the answer that is being given. It reports whether there was one that ends
// alone.
func (o *options) interrupt() bool {
	end := o.answer.Swap(nil)
	if end != nil {
		(*end)()
	}
	return end != nil
}

func rootCommand(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "covey",
		Short: "Turn your machines into one AI computer with no centre",
		Long:  "Covey turns the machines people already own into one AI computer with no centre: a swarm of\npeers that store and serve models together, through an OpenAI API on every one of them.\n\n" + exitHelp,
		Args:  noCommand, RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
		SilenceErrors: true, SilenceUsage: true, SuggestionsMinimumDistance: 2, Version: programVersion(),
	}
	var text strings.Builder
	if printVersion(&text, false) == nil {
		root.SetVersionTemplate(text.String())
	}
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		return usageError{fmt.Errorf("%w (see %s --help)", err, c.CommandPath())}
	})
	root.PersistentFlags().StringVar(&o.data, "data", node.DefaultDataDir(), "data directory (environment: COVEY_DATA)")
	root.PersistentFlags().BoolVar(&o.json, "json", false, "print JSON")
	root.AddCommand(
		upCommand(o), inviteCommand(o), peersCommand(o), statusCommand(o), doctorCommand(o), modelCommand(o), hostCommand(o), routeCommand(o),
		runCommand(o), embedCommand(o), trainCommand(o), benchCommand(o), versionCommand(o),
	)
	addCompletion(root)
	return root
}

// args checks the number of arguments and says what they are.
func args(least, most int, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, given []string) error {
		if len(given) < least || most >= 0 && len(given) > most {
			return usageError{fmt.Errorf("%s takes %s, got %d (see %s --help)", c.CommandPath(), what, len(given), c.CommandPath())}
		}
		return nil
	}
}

// programVersion is the version of the build, or of the module's commit.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return s.Value[:12]
			}
		}
	}
	return "unknown"
}
