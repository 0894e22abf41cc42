package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/trainer"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	trained    = "gotext" // the job, and the model that comes of it
	rounds     = 24
	innerSteps = 48
	killAfter  = 5 // rounds, then a trainer is killed and another peer joins
	opening    = "// Package "
)

// trainJob is a small model of bytes; each member adds its own text.
const trainJob = `version = 1
[model]
kind = "llama"
llama = {dim = 64, blocks = 2, heads = 4, ffn = 160, tied = true}
[data.text]
files = ["*.go"]
split = 0.05
length = 64
tokenizer = "bytes"
[train]
batch = 8
threads = 1
seed = 11
clip = 1.0
validate_every = 1000000
optimizer = {kind = "adamw", lr = 0.006}
[swarm]
rounds = %d
inner_steps = %d
`

// texts are packages of the Go distribution: each peer has some that no other one has.
var texts = [][]string{
	{"bufio", "bytes", "strings"}, {"fmt", "errors", "strconv"}, {"sort", "io", "unicode/utf8"}, {"time", "container/list", "container/heap"}, {"text/template", "path"},
}

// training has four peers of the swarm learn from texts of their own. One of them is killed and
// another peer joins late; then a peer that did not train asks the model.
func training(ctx context.Context, s *runner.Swarm, dir string) error {
	say("Peers one to four train a small model together. Each has text of its own, which stays there")
	if !s.Node("two").Running() {
		if err := s.Node("two").Start(ctx); err != nil {
			return err
		}
	}
	root, err := exec.CommandContext(ctx, "go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("where the Go distribution is, whose sources are the text: %w", err)
	}
	names := []string{"one", "two", "three", "four", "five"}
	for i, name := range names {
		if err := copyText(filepath.Join(dir, name), strings.TrimSpace(string(root)), texts[i]); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, "one", trained+".toml")
	if err := os.WriteFile(path, fmt.Appendf(nil, trainJob, rounds, innerSteps), 0o600); err != nil {
		return err
	}
	first, err := submit(ctx, s.Node("one").API(), map[string]any{"path": path, "swarm": true, "min_peers": 4, "publish": trained})
	if err != nil {
		return err
	}
	for _, name := range names[1:4] {
		if err := join(ctx, s, name, dir); err != nil {
			var run trainer.Info
			if s.Node("one").API().Get(ctx, "/covey/v1/jobs/"+first, nil, &run) == nil && run.Problem != "" {
				err = errors.New(run.Problem)
			}
			return err
		}
	}
	killed := false
	end, err := follow(ctx, s.Node("one").API(), first, func(e *trainer.Swarm) error {
		fmt.Printf("  round %2d of %d: %d members, loss %.3f\n", e.Round-1, e.Rounds, e.Members, e.Loss)
		if killed || e.Round <= killAfter {
			return nil
		}
		killed = true
		fmt.Println("  peer three is killed (SIGKILL), and peer five joins")
		if err := s.Node("three").Kill(); err != nil {
			return err
		}
		if err := s.JoinAll(ctx, []runner.Node{{Name: "five", Cores: 1, Memory: "256MiB"}, {Name: "six", Cores: 1, Memory: "256MiB"}}, 2); err != nil {
			return err
		}
		return join(ctx, s, "five", dir)
	})
	if err != nil {
		return err
	}
	fmt.Printf("  certified by a majority of its members, and served by each: %s\n  %s\n", end.Name, end.Model)
	say("Peer six did not train. It asks the model")
	six := s.Node("six").API()
	if err := s.Hear(ctx, "six", trained); err != nil {
		return err
	}
	fmt.Print("\n  " + opening)
	err = stream(ctx, six, "/v1/completions", map[string]any{"model": trained, "prompt": opening, "max_tokens": 64, "temperature": 0, "stream": true}, func(e event) {
		for _, c := range e.Choices {
			fmt.Print(indent(c.Text))
		}
	})
	fmt.Println()
	return err
}

// copyText copies the sources of packages of the Go distribution at root, without tests.
func copyText(dir, root string, packages []string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for _, p := range packages {
		files, err := filepath.Glob(filepath.Join(root, "src", filepath.FromSlash(p), "*.go"))
		if err != nil {
			return err
		}
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			b, err := os.ReadFile(f)
			if err != nil {
				return err
			}
			name := strings.ReplaceAll(p, "/", "_") + "_" + filepath.Base(f)
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

func submit(ctx context.Context, c *api.Client, req map[string]any) (id string, err error) {
	var run trainer.Info
	err = c.Post(ctx, "/covey/v1/jobs", req, &run)
	return run.ID, err
}

// join lets a peer train with the others, with its own text.
func join(ctx context.Context, s *runner.Swarm, name, dir string) error {
	c := s.Node(name).API()
	err := s.Wait(ctx, name+" hears of the job", func(ctx context.Context) (bool, error) {
		var jobs []trainer.Posted
		err := c.Get(ctx, "/covey/v1/swarm/jobs", nil, &jobs)
		for _, j := range jobs {
			if j.Name == trained {
				return true, nil
			}
		}
		return false, err
	})
	if err != nil {
		return err
	}
	own := filepath.Join(dir, name)
	_, err = submit(ctx, c, map[string]any{"join": trained, "local": map[string]any{"Data": own}, "folder": filepath.Join(own, "run")})
	return err
}

// follow calls each for each round of a training that begins, and returns what was published at
// its end.
func follow(ctx context.Context, c *api.Client, id string, each func(*trainer.Swarm) error) (*trainer.Published, error) {
	res, err := c.Do(ctx, http.MethodGet, "/covey/v1/jobs/"+id+"/events", nil)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var published *trainer.Published
	var round uint64
	err = api.ReadEvents(res.Body, func(data []byte) error {
		var e trainer.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		switch {
		case e.Swarm != nil && e.Swarm.Round > max(round, 1):
			round = e.Swarm.Round
			return each(e.Swarm)
		case e.Published != nil:
			published = e.Published
		case e.End != nil && e.End.Error != "":
			return errors.New(e.End.Error)
		}
		return nil
	})
	if err == nil && (published == nil || published.Error != "") {
		err = fmt.Errorf("the model was not published: %+v", published)
	}
	return published, err
}
