package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

func statusCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "status", Short: "Show what this node is and does", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			var st api.Status
			if err := client.Get(c.Context(), "/covey/v1/status", nil, &st); err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), st)
			}
			rows := [][]string{
				{"peer", st.Peer.String()},
				{"name", st.Name},
				{"swarm", st.Swarm.String()},
				{"version", st.Version},
				{"api", st.API + "/v1"},
				{"data", st.DataDir},
				{"up for", st.Uptime.Round(time.Second).String()},
				{"member", membershipText(&st.Membership, time.Now())},
				{"peers", pathsText(&st.Paths)},
				{"network", st.Network},
				{"sessions", fmt.Sprint(st.Sessions)},
				{"cpu", fmt.Sprintf("%d cores, %s", st.Cores, st.CPU)},
				{"memory", spaceText(st.Memory)},
				{"disk", spaceText(st.Disk)},
			}
			if st.Membership.Problem != "" {
				rows = append(rows, []string{"warning", st.Membership.Problem})
			}
			if st.Reach != "" {
				rows = append(rows, []string{"warning", st.Reach})
			}
			if st.Clock != "" {
				rows = append(rows, []string{"warning", st.Clock})
			}
			if st.DiskFull != "" {
				rows = append(rows, []string{"disk full", "read-only: " + st.DiskFull})
			}
			if text := damageText(st.Damage); text != "" {
				rows = append(rows, []string{"damage", text})
			}
			for _, h := range st.Hosted {
				text := fmt.Sprintf("%s %s: %s", h.Name, rangeText(h.Range), h.State)
				if h.Error != "" {
					text += ": " + h.Error
				}
				rows = append(rows, []string{"hosts", text})
			}
			return table(c.OutOrStdout(), rows)
		},
	}
}

// damageText tells what the disk has lost; it is empty if that is nothing.
func damageText(d api.Damage) string {
	var parts []string
	if d.Found+d.Open > 0 {
		parts = append(parts, fmt.Sprintf("%d damaged blocks found since the start, %d not fetched again yet", d.Found, d.Open))
	}
	if d.Moved != "" {
		parts = append(parts, "the store could not be read and lies in "+d.Moved)
	}
	return strings.Join(parts, "; ")
}

// pathsText counts peers by the way to them; those connected come first.
func pathsText(p *api.Paths) string {
	text := fmt.Sprint(p.Direct + p.Relayed)
	if p.Relayed > 0 {
		text += fmt.Sprintf(", %d of them relayed", p.Relayed)
	}
	if p.Unreachable > 0 {
		text += fmt.Sprintf("; %d unreachable", p.Unreachable)
	}
	if p.Lost > 0 {
		text += fmt.Sprintf("; %d lost a moment ago", p.Lost)
	}
	if p.Untried > 0 {
		text += fmt.Sprintf("; %d not tried yet", p.Untried)
	}
	return text
}

func spaceText(s wire.Space) string {
	return fmt.Sprintf("%s lent, %s free", store.BytesText(int64(s.Lent)), store.BytesText(int64(s.Free)))
}

func rangeText(r wire.Range) string {
	text := fmt.Sprintf("blocks %d-%d", r.First, int(r.Last)-1)
	if r.Embed {
		text = "embedding, " + text
	}
	if r.Head {
		text += ", head"
	}
	return text
}

func routeCommand(o *options) *cobra.Command {
	var prompt, tokens int
	c := &cobra.Command{
		Use: "route MODEL", Short: "Show the chain of peers a request would take, and why",
		Long: "Show the chain of peers that is expected to answer a request soonest, by what they have measured:\nPROMPT is their time for the prompt, COMPUTE for each token of the answer; QUEUE and RTT come on top\nof each step. PATH is the way from the peer before: direct, relayed, or untried, whose RTT is a guess.", Args: args(1, 1, "a model"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			for _, f := range []struct {
				flag string
				n    int
			}{{"prompt", prompt}, {"tokens", tokens}} {
				if f.n < 1 || f.n > protocol.MaxSessionTokens {
					return usageError{fmt.Errorf("--%s is %d, want 1 to %d", f.flag, f.n, protocol.MaxSessionTokens)}
				}
			}
			client, err := o.needRunning(c.Context())
			if err != nil {
				return err
			}
			var choice router.Choice
			query := url.Values{"model": {a[0]}}
			for flag, n := range map[string]int{"prompt": prompt, "tokens": tokens} {
				if c.Flags().Changed(flag) {
					query.Set(flag, fmt.Sprint(n))
				}
			}
			if err := client.Get(c.Context(), "/covey/v1/route", query, &choice); err != nil {
				return err
			}
			var none error
			if choice.Chain == nil && !choice.Alone {
				none = &api.StatusError{Status: http.StatusServiceUnavailable, Message: "no chain: " + choice.Missing}
			}
			if o.json {
				return errors.Join(printJSON(c.OutOrStdout(), choice), none)
			}
			rows := [][]string{{"PEER", "NAME", "STAGE", "PROMPT", "COMPUTE", "QUEUE", "RTT", "PATH"}}
			if choice.Chain != nil {
				for _, l := range choice.Chain.Links {
					rows = append(rows, []string{l.Peer.String(), l.Name, rangeText(l.Range), l.Prompt.String(), l.Compute.String(), l.Queue.String(), l.RTT.String(), linkPath(&l)})
				}
			}
			for _, l := range choice.LeftOut {
				rows = append(rows, []string{l.Peer.String(), "", rangeText(l.Range), "left out: " + l.Reason})
			}
			if choice.Alone {
				fmt.Fprintf(c.ErrOrStderr(), "no chain: %s; this node would answer alone, as it has the whole model\n", choice.Missing)
			}
			if err := table(c.OutOrStdout(), rows); err != nil || choice.Chain == nil {
				return errors.Join(err, none)
			}
			expected := fmt.Sprintf("expected: %s to the first token", choice.Chain.First.Round(time.Microsecond))
			if choice.Chain.Total > choice.Chain.First {
				expected += fmt.Sprintf(", then %s each", choice.Chain.Token.Round(time.Microsecond))
			}
			fmt.Fprintln(c.ErrOrStderr(), expected)
			return nil
		},
	}
	c.Flags().IntVar(&prompt, "prompt", 256, "tokens of the prompt to plan for")
	c.Flags().IntVar(&tokens, "tokens", 256, "most tokens of the answer to plan for")
	return c
}

// linkPath tells the way to a stage.
func linkPath(l *router.Link) string {
	switch {
	case l.Path == "":
		return "the same peer"
	case l.Via != "":
		return fmt.Sprintf("%s via %s", l.Path, l.Via)
	}
	return string(l.Path)
}

func versionCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error { return printVersion(c.OutOrStdout(), o.json) },
	}
}
