package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/bench"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/store"
)

func benchCommand(o *options) *cobra.Command {
	var cfg bench.Config
	var kind string
	c := &cobra.Command{
		Use: "bench [PATH | MODEL]", Short: "Measure how fast this machine runs a model, beside what it gives at most",
		Long: `Measure decoding and prompt processing of a model: a GGUF file, a Hugging Face directory, the name of a
model that is here, or without either a made-up Llama of 1.1 billion parameters. Beside the rates stand memory traffic and arithmetic as a share
of what this machine's memory and instructions give, measured in the same run.`,
		Args: args(0, 1, "a path, a model or nothing"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			for _, name := range []string{"prompt", "tokens", "streams", "repeat"} {
				if n, err := c.Flags().GetInt(name); err != nil || n < 1 {
					return usageError{fmt.Errorf("--%s is %d, want 1 or more", name, n)}
				}
			}
			if len(a) > 0 {
				cfg.Path = a[0]
			}
			if kind != "" {
				d, err := tensor.Parse(strings.ToUpper(kind))
				if err != nil {
					return usageError{err}
				}
				if cfg.Path != "" && d != tensor.Q8_0 && d != tensor.Q4_0 {
					return usageError{fmt.Errorf("--type %s: the matrices of a path are quantized to q8_0 or q4_0, or kept without --type", kind)}
				}
				if cfg.Path != "" {
					cfg.Quantize = &d
				}
				cfg.Type = d
			}
			if _, err := os.Stat(cfg.Path); cfg.Path != "" && errors.Is(err, os.ErrNotExist) {
				return o.benchModel(c, cfg.Path, kind, cfg)
			}
			if !o.json {
				cfg.Progress = func(what string) { fmt.Fprintln(os.Stderr, what) }
			}
			r, err := bench.Run(c.Context(), cfg)
			if err != nil {
				return err
			}
			return o.showReport(c, r)
		},
	}
	f := c.Flags()
	f.StringVar(&kind, "type", "", "type of the made-up model's matrices: f32, f16, bf16, q8_0, q4_0; with a path, what to quantize to: q8_0, q4_0")
	f.IntVar(&cfg.Threads, "threads", 0, "threads (default all)")
	f.IntVar(&cfg.Prompt, "prompt", 256, "tokens of a prompt")
	f.IntVar(&cfg.Tokens, "tokens", 64, "tokens to decode")
	f.IntVar(&cfg.Streams, "streams", 1, "sessions that decode together")
	f.IntVar(&cfg.Repeat, "repeat", 3, "how often each is measured")
	c.AddCommand(benchTrainCommand(o), benchAverageCommand(o), benchMemberCommand())
	return c
}

func (o *options) showReport(c *cobra.Command, r bench.Report) error {
	if o.json {
		return printJSON(c.OutOrStdout(), r)
	}
	return printReport(c.OutOrStdout(), r)
}

// benchModel has the node measure a model that it has.
func (o *options) benchModel(c *cobra.Command, name, kind string, cfg bench.Config) error {
	if kind != "" {
		return usageError{errors.New("--type is for a path or the made-up model: a model of the node is measured as it is")}
	}
	client, stop, err := o.connect(c.Context())
	if err != nil {
		return err
	}
	defer stop()
	req := api.BenchRequest{Model: name, Threads: cfg.Threads, Prompt: cfg.Prompt, Tokens: cfg.Tokens, Streams: cfg.Streams, Repeat: cfg.Repeat}
	last, err := client.Watch(c.Context(), "/covey/v1/models/bench", req, func(e api.Event) {
		if !o.json {
			fmt.Fprintln(os.Stderr, e.Stage)
		}
	})
	var status *api.StatusError
	if errors.As(err, &status) && status.Status == 404 {
		return fmt.Errorf("no file and no model is called %s: %w", name, err)
	}
	if err != nil {
		return err
	}
	var r bench.Report
	if err := json.Unmarshal(last.Report, &r); err != nil {
		return fmt.Errorf("read report of the node: %w", err)
	}
	return o.showReport(c, r)
}

func printReport(w io.Writer, r bench.Report) error {
	var types []string
	for name, n := range r.Types {
		types = append(types, fmt.Sprintf("%s x %d", name, n))
	}
	slices.Sort(types)
	fmt.Fprintf(w, "%s: %s of weights (%s), %d threads, %s\n", r.Model, store.BytesText(r.WeightBytes), strings.Join(types, ", "), r.Threads, r.ISA)
	fmt.Fprintf(w, "machine: reads %.1f GB/s, 8-bit dot products %.0f GOP/s, float32 %.0f GFLOP/s\n", r.Machine.ReadBytes/1e9, r.Machine.DotOps/1e9, r.Machine.FMAOps/1e9)
	rows := [][]string{{"", "tokens/s", "GB/s", "of reads", "GOP/s", "of peak", "bound by"}}
	for _, p := range []struct {
		name  string
		phase bench.Phase
	}{{"prompt", r.Prefill}, {"decode", r.Decode}} {
		rows = append(rows, []string{
			p.name, fmt.Sprintf("%.1f", p.phase.Rate), fmt.Sprintf("%.1f", p.phase.Bytes/1e9), fmt.Sprintf("%.0f %%", 100*p.phase.OfRead),
			fmt.Sprintf("%.0f", p.phase.Ops/1e9), fmt.Sprintf("%.0f %%", 100*p.phase.OfPeak), p.phase.BoundBy,
		})
	}
	if err := table(w, rows); err != nil || max(r.Prefill.OfRead, r.Decode.OfRead) <= 1 {
		return err
	}
	_, err := fmt.Fprintln(w, "more than 100 % of reads: some of the weights come from the processor's caches, or other work slowed the measurement of the machine")
	return err
}
