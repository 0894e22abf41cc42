package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/protocol/wire"
)

func doctorCommand(o *options) *cobra.Command {
	u := &upOptions{options: o}
	speed := false
	c := &cobra.Command{
		Use: "doctor", Short: "Say what is wrong with this node, and what to do",
		Long: `Say what is wrong with this node and its way to other peers, and what to do about it. What fails comes
first. It asks the node that runs on the data directory; if none does it looks from outside, and with
--join whether the swarm of a token can be joined from here. It connects to the addresses of known peers,
and where one is silent to ports 443, 80 and 22 of its machine; it changes nothing.

Exit codes: 0 if nothing fails, 1 if something does or could not be looked at.`,
		Example: "  covey doctor\n  covey doctor --speed\n  covey doctor --join covey1abc…",
		Args:    args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			d, err := u.diagnose(c, speed)
			if err != nil {
				return err
			}
			if o.json {
				err = printJSON(c.OutOrStdout(), d)
			} else {
				err = printDiagnosis(c.OutOrStdout(), d)
			}
			if failed := d.Failed(); err == nil && len(failed) > 0 {
				err = fmt.Errorf("%s: %s", countText(len(failed), "check")+" failed", checkNames(failed))
			}
			return err
		},
	}
	u.cmd = c
	f := c.Flags()
	f.BoolVar(&speed, "speed", false, "measure how fast connected peers send: up to 8 MiB and 4 s for each of at most 8")
	f.StringVar(&u.join, "join", "", "join token, or @FILE or -, to see whether its swarm can be joined (environment: COVEY_JOIN)")
	f.StringVar(&u.joinFile, "join-file", "", "file with the join token; - is standard input")
	return c
}

// diagnose asks the node that runs, or looks from outside if none answers.
func (u *upOptions) diagnose(c *cobra.Command, speed bool) (*api.Diagnosis, error) {
	ctx := c.Context()
	text, err := u.joinToken(c.InOrStdin())
	if err != nil {
		return nil, err
	}
	var token *wire.Token
	if text != "" {
		if token, err = parseToken(text); err != nil {
			return nil, err
		}
	}
	client, err := u.starting(ctx, newWait(startingTime))
	if err == nil {
		var d api.Diagnosis
		return &d, client.Get(ctx, "/covey/v1/doctor", url.Values{"speed": {fmt.Sprint(speed)}}, &d)
	}
	var status *api.StatusError
	if ctx.Err() != nil || !errors.Is(err, node.ErrNotRunning) && !errors.As(err, &status) {
		return nil, err
	}
	cfg, err := node.ReadConfig(u.data)
	if err != nil {
		return nil, err
	}
	cfg.Version = programVersion()
	return node.Diagnose(ctx, cfg, token)
}

// checkNames lists the checks of findings, each once.
func checkNames(all []api.Finding) string {
	var out []string
	for _, f := range all {
		if !slices.Contains(out, f.Check) {
			out = append(out, f.Check)
		}
	}
	return strings.Join(out, ", ")
}

// findingStates are the states in the order in which findings are shown, and their marks.
var findingStates = []struct{ state, mark string }{
	{api.FindingFail, "FAIL"}, {api.FindingWarn, "warn"}, {api.FindingUnknown, "?"}, {api.FindingOK, "ok"},
}

func printDiagnosis(w io.Writer, d *api.Diagnosis) error {
	var b strings.Builder
	for _, s := range findingStates {
		for _, f := range d.Findings {
			if f.State != s.state {
				continue
			}
			fmt.Fprintf(&b, "%-5s %-11s %s\n", s.mark, f.Check, f.What)
			if f.Do != "" {
				fmt.Fprintf(&b, "%-17s → %s\n", "", f.Do)
			}
		}
	}
	if len(d.Failed()) == 0 {
		b.WriteString("nothing fails\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}
