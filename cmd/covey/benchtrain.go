package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/train/bench"
)

// stepReport is a measurement as JSON.
type stepReport struct {
	Model       string  `json:"model"`
	ISA         string  `json:"isa"`
	Threads     int     `json:"threads"`
	Parameters  int     `json:"parameters"`
	MedianMS    float64 `json:"median_ms"`
	MinMS       float64 `json:"min_ms"`
	MaxMS       float64 `json:"max_ms"`
	GFLOPS      float64 `json:"gflops"`
	PeakGFLOPS  float64 `json:"peak_gflops"`
	OfPeak      float64 `json:"of_peak"`
	Allocations float64 `json:"allocations_per_step"`
	AllocBytes  float64 `json:"allocated_bytes_per_step"`
}

func newStepReport(r bench.Result) stepReport {
	return stepReport{
		Model: r.Model, ISA: r.ISA, Threads: r.Threads, Parameters: r.Params,
		MedianMS: r.Median.Seconds() * 1e3, MinMS: r.Min.Seconds() * 1e3, MaxMS: r.Max.Seconds() * 1e3,
		GFLOPS: r.FLOPS / 1e9, PeakGFLOPS: r.PeakFLOPS / 1e9, OfPeak: r.Share(), Allocations: r.Allocs, AllocBytes: r.AllocBytes,
	}
}

func benchTrainCommand(o *options) *cobra.Command {
	var cfg bench.Config
	models := strings.Join(bench.Models(), ", ")
	c := &cobra.Command{
		Use: "train", Short: "Measure steps of training: " + models,
		Long: `Measure steps of training (forward, backward, Adam) of models of fixed sizes, beside the
fused multiply-adds that this machine gives at most, measured in the same run. GFLOP/S counts
the matrix products that a step needs, those of attention as if nothing was masked.`,
		Example: "  covey bench train --model resnet18 --threads 1",
		Args:    args(0, 0, "no arguments"),
		RunE: func(c *cobra.Command, _ []string) error {
			names := bench.Models()
			if cfg.Model != "" {
				if !slices.Contains(names, cfg.Model) {
					return usageError{fmt.Errorf("--model %s: want one of %s", cfg.Model, models)}
				}
				names = []string{cfg.Model}
			}
			if cfg.Threads < 0 || cfg.Steps < 0 {
				return usageError{errors.New("--threads and --steps take positive numbers")}
			}
			var reports []stepReport
			for _, name := range names {
				one := cfg
				one.Model = name
				r, err := bench.Run(one)
				if err != nil {
					return err
				}
				reports = append(reports, newStepReport(r))
			}
			if o.json {
				return printJSON(c.OutOrStdout(), reports)
			}
			rows := [][]string{{"MODEL", "THREADS", "PARAMETERS", "MS A STEP", "MIN", "MAX", "GFLOP/S", "OF PEAK", "ALLOCATIONS"}}
			for _, r := range reports {
				rows = append(rows, []string{
					r.Model, fmt.Sprint(r.Threads), fmt.Sprint(r.Parameters), fmt.Sprintf("%.2f", r.MedianMS), fmt.Sprintf("%.2f", r.MinMS),
					fmt.Sprintf("%.2f", r.MaxMS), fmt.Sprintf("%.0f", r.GFLOPS), fmt.Sprintf("%.0f %%", 100*r.OfPeak), fmt.Sprintf("%.1f", r.Allocations),
				})
			}
			return table(c.OutOrStdout(), rows)
		},
	}
	f := c.Flags()
	f.StringVar(&cfg.Model, "model", "", "one of "+models+" (default all)")
	f.IntVar(&cfg.Threads, "threads", 0, "threads (default all)")
	f.IntVar(&cfg.Steps, "steps", 30, "steps that are timed")
	return c
}
