package quality

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/testnet/runner"
)

// event is what a program needs of a line of covey train --json.
type event struct {
	Event      string `json:"event"`
	Parameters int    `json:"parameters"` // of start
	Validation int    `json:"validation"` // likewise: samples
	Reason     string `json:"reason"`     // of end
	Step       int    `json:"step"`
	Rounds     int    `json:"rounds"` // of swarm
	Last       struct {
		Loss   float64 `json:"loss"`
		Metric float64 `json:"metric"`
	} `json:"last"`
}

// trained is how a training ended.
type trained struct {
	loss, metric float64 // of the last validation
	held         int     // samples that it was of
	parameters   int
	rounds       int
	model        []byte
}

// train runs covey train to its end.
func train(ctx context.Context, binary, run string, args ...string) (t trained, err error) {
	cmd := exec.CommandContext(ctx, binary, append([]string{"train", "--json"}, args...)...)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.StdoutPipe()
	if err != nil {
		return t, err
	}
	if err := cmd.Start(); err != nil {
		return t, err
	}
	ended := ""
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			continue // the rest of the output says what is wrong
		}
		switch e.Event {
		case "start":
			t.parameters, t.held = e.Parameters, e.Validation
		case "swarm":
			t.rounds = e.Rounds
		case "end":
			ended, t.loss, t.metric = e.Reason, e.Last.Loss, e.Last.Metric
		}
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return t, fmt.Errorf("covey train %v: %w\n%s", args, err, problems.Bytes())
	}
	if ended == "" {
		return t, fmt.Errorf("covey train %v did not tell its end\n%s", args, problems.Bytes())
	}
	t.model, err = os.ReadFile(filepath.Join(run, "model", "model.safetensors"))
	return t, err
}

// command runs a program and returns what it prints.
func command(ctx context.Context, name string, args ...string) (string, error) {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	return string(out), err
}

// crew is the nodes that train together.
type crew struct {
	swarm  *runner.Swarm
	binary string
}

// gather starts the nodes, of which part of the updates are lost.
func gather(ctx context.Context, binary, dir string, lost float64, seed uint64) (*crew, error) {
	nodes := make([]runner.Node, Members)
	for i := range nodes {
		nodes[i] = runner.Node{Name: member(i), Cores: 1, Memory: "512MiB"}
		if lost > 0 {
			nodes[i].Env = []string{fmt.Sprintf("COVEY_LOST_UPDATES=%g/%d.%d", lost, seed, i)}
		}
	}
	s, err := runner.Start(ctx, runner.Config{Binary: binary, Dir: dir}, &runner.Manifest{Nodes: nodes[:1]})
	if err != nil {
		return nil, err
	}
	if err := s.JoinAll(ctx, nodes[1:], 2); err != nil {
		return nil, errors.Join(err, s.Stop())
	}
	return &crew{swarm: s, binary: binary}, nil
}

// sums are what streams of all members have carried out.
type sums struct{ slices, all float64 }

// sent is the line of a node's metrics that counts what streams carry out, by protocol.
var sent = regexp.MustCompile(`(?m)^host_stream_bytes_total\{direction="out",protocol="([^"]*)"\} (\S+)$`)

// sent returns what the members have sent for trainings: slices, states and certificates by
// streams of their own, and what they agree on and all gossip.
func (c *crew) sent(ctx context.Context) (sum sums, err error) {
	for i := range Members {
		res, err := c.swarm.Node(member(i)).API().Do(ctx, "GET", "/metrics", nil)
		if err != nil {
			return sum, err
		}
		text, err := io.ReadAll(res.Body)
		if err = errors.Join(err, res.Body.Close()); err != nil {
			return sum, err
		}
		for _, m := range sent.FindAllSubmatch(text, -1) {
			n, err := strconv.ParseFloat(string(m[2]), 64)
			if err != nil {
				return sum, err
			}
			switch {
			case bytes.HasPrefix(m[1], []byte("/covey/train/")):
				sum.slices += n
				sum.all += n
			case bytes.HasPrefix(m[1], []byte("/meshsub/")), bytes.Equal(m[1], []byte(protocol.Agree)):
				sum.all += n
			}
		}
	}
	return sum, nil
}

// together has the members train a job, each with its own data, and returns what the first one
// measured at the end, and what all have sent.
func (c *crew) together(ctx context.Context, t *Task, dir, job string) (first trained, sum sums, err error) {
	before, err := c.sent(ctx)
	if err != nil {
		return first, sum, err
	}
	path := filepath.Join(dir, member(0)+t.Name+".toml")
	if err := os.WriteFile(path, []byte(job), 0o600); err != nil {
		return first, sum, err
	}
	var all [Members]trained
	g, gctx := errgroup.WithContext(ctx)
	for i := range Members {
		node := c.swarm.Node(member(i)).Dir()
		run := node + ".run"
		args := []string{"join", member(0) + t.Name, "--from", filepath.Join(dir, member(i), t.own), "--folder", run, "--data", node}
		if i == 0 {
			run = strings.TrimSuffix(path, ".toml") + ".run"
			args = []string{path, "--swarm", "--min-peers", strconv.Itoa(Members), "--data", node}
		}
		g.Go(func() (err error) {
			all[i], err = train(gctx, c.binary, run, args...)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return first, sum, err
	}
	for i := range all {
		if !bytes.Equal(all[i].model, all[0].model) {
			return first, sum, fmt.Errorf("member %d has another model than the first", i+1)
		}
	}
	if err := os.RemoveAll(strings.TrimSuffix(path, ".toml") + ".run"); err != nil {
		return first, sum, err
	}
	after, err := c.sent(ctx)
	return all[0], sums{after.slices - before.slices, after.all - before.all}, err
}
