package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node/trainer/bench"
)

// memberCommand is the hidden command of the processes that covey bench average starts.
const memberCommand = "average-member"

func benchAverageCommand(o *options) *cobra.Command {
	cfg := bench.Config{}
	var params string
	c := &cobra.Command{
		Use: "average", Short: "Measure how fast peers on this machine average the updates of a training",
		Long: `Start peers on this machine, processes of their own that find each other over loopback, and measure
rounds of averaging between them: all that training together does but the training, which is
commitments, slices, the rule, results, votes and certificates, and the state on disk. A round lasts
from the first call to the mean that the slowest peer has certified.`,
		Example: "  covey bench average --peers 4 --params 25M --codec int8",
		Args:    args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			var err error
			if cfg.Params, err = parseCount(params); err != nil {
				return usageError{fmt.Errorf("--params: %w", err)}
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			cfg.Command = []string{self, "bench", memberCommand}
			if err := cfg.Validate(); err != nil {
				return usageError{err}
			}
			if cfg.Profile != "" {
				if cfg.Profile, err = filepath.Abs(cfg.Profile); err != nil {
					return err
				}
			}
			if !o.json {
				cfg.Progress = func(what string) { fmt.Fprintln(os.Stderr, what) }
			}
			r, err := bench.Run(c.Context(), cfg)
			if err != nil {
				return err
			}
			if o.json {
				return printJSON(c.OutOrStdout(), r)
			}
			return printAverage(c, r)
		},
	}
	f := c.Flags()
	f.IntVar(&cfg.Peers, "peers", 4, "peers that average")
	f.StringVar(&params, "params", "25M", "how many numbers: 25000000, 25M or 0.5G")
	f.StringVar(&cfg.Codec, "codec", "f32", "how updates are sent: f32, f16, int8, sign, topk:DENSITY:BITS")
	f.StringVar(&cfg.Rule, "rule", "mean", "how they are combined")
	f.IntVar(&cfg.Rounds, "rounds", 5, "rounds that are timed")
	f.StringVar(&cfg.Profile, "profile", "", "write a CPU profile of the first peer to this file")
	return c
}

// benchMemberCommand is one peer of the measurement, told what to do on its standard input.
func benchMemberCommand() *cobra.Command {
	return &cobra.Command{
		Use: memberCommand + " DIR", Hidden: true, Args: args(1, 1, "a folder"),
		RunE: func(c *cobra.Command, a []string) error {
			return bench.Member(c.Context(), a[0], c.InOrStdin(), c.OutOrStdout())
		},
	}
}

// parseCount reads a number such as 25M.
func parseCount(s string) (int, error) {
	digits, factor := s, 1.0
	for suffix, f := range map[string]float64{"K": 1e3, "M": 1e6, "G": 1e9} {
		if d, ok := strings.CutSuffix(strings.ToUpper(s), suffix); ok {
			digits, factor = d, f
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if n *= factor; err != nil || !(n >= 1 && n <= 1e12) || n != float64(int(n)) {
		return 0, errors.Join(fmt.Errorf("%q is no number such as 25M", s))
	}
	return int(n), nil
}

func printAverage(c *cobra.Command, r bench.Result) error {
	same := "all peers hold the same bits"
	if !r.SameBit {
		same = "PEERS HOLD DIFFERENT BITS"
	}
	rows := [][]string{
		{"PEERS", "PARAMETERS", "CODEC", "RULE", "S A ROUND", "MIN", "MAX", "S OF CPU", "MB SENT BY A PEER", "ERROR"},
		{
			fmt.Sprint(r.Peers), fmt.Sprint(r.Params), r.Codec, r.Rule, fmt.Sprintf("%.3f", r.Median), fmt.Sprintf("%.3f", r.Min), fmt.Sprintf("%.3f", r.Max),
			fmt.Sprintf("%.2f", r.CPU), fmt.Sprintf("%.1f", r.Out/1e6), fmt.Sprintf("%.2g", r.Error),
		},
	}
	if err := table(c.OutOrStdout(), rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(c.OutOrStdout(), "%s; the error is that of the mean, as a part of the mean\n", same)
	return err
}
