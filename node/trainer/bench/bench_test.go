package bench_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/trainer/bench"
)

// TestMain runs a member where Run has started this program as one.
func TestMain(m *testing.M) {
	if len(os.Args) == 3 && os.Args[1] == "member" {
		if err := bench.Member(context.Background(), os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// TestAverage averages between processes: all get the same bits, those of the mean as far as
// the codec keeps them, and send what there is to send.
func TestAverage(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		codec, rule string
		error       float64
		bytes       float64 // of a number
	}{{"f32", "mean", 1e-6, 4}, {"f16", "mean", 1e-3, 2}, {"int8", "trimmed:1", 1, 1}} {
		t.Run(c.codec, func(t *testing.T) {
			t.Parallel()
			const peers, params = 3, 300_007
			var said []string
			r, err := bench.Run(t.Context(), bench.Config{
				Peers: peers, Params: params, Codec: c.codec, Rule: c.rule, Rounds: 2, Dir: t.TempDir(), Command: []string{os.Args[0], "member"},
				Progress: func(s string) { said = append(said, s) },
			})
			if err != nil {
				t.Fatal(err)
			}
			if !r.SameBit || !(r.Error < c.error) {
				t.Errorf("same bits %v, error %v, want below %v", r.SameBit, r.Error, c.error)
			}
			// The update's slices to the others, and the own result to each of them.
			least := c.bytes * params * (peers - 1) / peers * 2
			if len(r.Rounds) != 2 || r.Out < least || r.Out > 1.5*least+50e3 {
				t.Errorf("%d rounds, %.0f bytes out, want %.0f and a little", len(r.Rounds), r.Out, least)
			}
			if !strings.HasPrefix(said[len(said)-1], "round 2: ") {
				t.Errorf("said %q at the end", said)
			}
		})
	}
}

// TestConfig refuses what cannot be measured.
func TestConfig(t *testing.T) {
	t.Parallel()
	good := bench.Config{Peers: 2, Params: 100, Codec: "f32", Rule: "mean", Rounds: 1}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*bench.Config){
		"one peer":     func(c *bench.Config) { c.Peers = 1 },
		"many peers":   func(c *bench.Config) { c.Peers = 1000 },
		"no numbers":   func(c *bench.Config) { c.Params = 1 },
		"many numbers": func(c *bench.Config) { c.Params = 1 << 40 },
		"no rounds":    func(c *bench.Config) { c.Rounds = 0 },
		"codec":        func(c *bench.Config) { c.Codec = "f33" },
		"rule":         func(c *bench.Config) { c.Rule = "best" },
	} {
		c := good
		change(&c)
		if c.Validate() == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
