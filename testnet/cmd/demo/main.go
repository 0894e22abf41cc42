// Command demo shows a swarm of four processes on loopback: a model is imported on one,
// fetched in pieces by two, and answers through a fourth that holds nothing of it; then a
// peer of the chain is killed and the fourth answers again. In the end four peers train a model
// together, one is killed and another one joins. `make demo` runs it.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	model    = "demo"
	question = "What does strings.Contains do?"
	prompt   = "// Reader implements buffering for an io.Reader object.\ntype"
	length   = 48
)

func main() {
	binary := flag.String("covey", "bin/covey", "the program to run")
	keep := flag.Bool("keep", false, "keep the data directories and logs")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *binary, *keep); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context, binary string, keep bool) (err error) {
	start := time.Now()
	binary, err = filepath.Abs(binary)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "covey-swarm-")
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("data and logs:", dir)
	} else {
		defer os.RemoveAll(dir)
	}
	alone, err := oneProcess(ctx, runner.Config{Binary: binary, Dir: filepath.Join(dir, "alone")})
	if err != nil {
		return err
	}
	say("Starting 4 peers: one founds the swarm, three join it with its token")
	m := &runner.Manifest{Name: "demo"}
	for _, name := range []string{"one", "two", "three", "four"} {
		m.Nodes = append(m.Nodes, runner.Node{Name: name, Cores: 1, Memory: "256MiB"})
	}
	s, err := runner.Start(ctx, runner.Config{Binary: binary, Dir: dir}, m)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := story(ctx, s, alone); err != nil {
		return err
	}
	if err := training(ctx, s, filepath.Join(dir, "text")); err != nil {
		return err
	}
	fmt.Printf("\nDone in %.1f s.\n", time.Since(start).Seconds())
	return nil
}

// answers are what the model says to the prompt and the question, as tokens and text.
type answers struct {
	tokens []string
	chat   string
}

// oneProcess lets a single node with the whole model answer.
func oneProcess(ctx context.Context, cfg runner.Config) (a answers, err error) {
	s, err := runner.Start(ctx, cfg, &runner.Manifest{
		Nodes: []runner.Node{{Name: "alone"}},
		Model: []runner.Model{{Name: model, On: "alone", Hosts: []runner.Host{{Node: "alone", Blocks: "all"}}}},
	})
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	return ask(ctx, s.Node("alone").API(), false)
}

func story(ctx context.Context, s *runner.Swarm, alone answers) error {
	one, two, three, four := s.Node("one").API(), s.Node("two").API(), s.Node("three").API(), s.Node("four").API()
	say("Peer one imports the demo model")
	last, err := one.Watch(ctx, "/covey/v1/models/import", api.ImportRequest{Name: model}, func(api.Event) {})
	if err != nil {
		return err
	}
	fmt.Printf("  %s, %d bytes\n  %s\n", last.Name, last.Total, last.Model)
	say("Peers two and three fetch their halves from peers, and serve them")
	for _, h := range []struct {
		name, blocks string
		c            *api.Client
	}{{"two", "0-1", two}, {"three", "2-3", three}} {
		if err := host(ctx, s, h.c, h.name, h.blocks); err != nil {
			return err
		}
	}
	if err := s.Hear(ctx, "four", model); err != nil {
		return err
	}
	say("Peer four holds nothing. It streams a completion and a chat")
	if err := answer(ctx, s, four, alone); err != nil {
		return err
	}
	say("Peer one serves a copy of blocks 0-1, then peer two is killed (SIGKILL)")
	if err := host(ctx, s, one, "one", "0-1"); err != nil {
		return err
	}
	if err := s.Node("two").Kill(); err != nil {
		return err
	}
	say("Peer four answers again")
	if err := answer(ctx, s, four, alone); err != nil {
		return err
	}
	st, err := status(ctx, four)
	if err != nil {
		return err
	}
	fmt.Printf("  peer four hosts %d ranges\n", len(st.Hosted))
	return nil
}

func status(ctx context.Context, c *api.Client) (st api.Status, err error) {
	return st, c.Get(ctx, "/covey/v1/status", nil, &st)
}

// host lets a peer serve a range and shows what it fetched from whom.
func host(ctx context.Context, s *runner.Swarm, c *api.Client, name, blocks string) error {
	if err := s.Hear(ctx, name, model); err != nil {
		return err
	}
	e, err := c.Watch(ctx, "/covey/v1/host", api.HostRequest{Model: model, Blocks: blocks}, func(api.Event) {})
	if err != nil {
		return err
	}
	var m api.Model
	if err := c.Get(ctx, "/covey/v1/models/"+model, nil, &m); err != nil {
		return err
	}
	fmt.Printf("  peer %s serves blocks %s: fetched %d bytes, holds %d of %d\n", name, blocks, e.Bytes, m.BytesHere, m.Bytes)
	for from, n := range e.From {
		fmt.Printf("    %d bytes from %s\n", n, from)
	}
	return nil
}

// answer asks through a peer, shows the chain, and compares with the single process.
func answer(ctx context.Context, s *runner.Swarm, c *api.Client, want answers) error {
	planned, err := chain(ctx, s, c)
	if err != nil {
		return err
	}
	fmt.Printf("  planned: %s\n", planned)
	got, err := ask(ctx, c, true)
	if err != nil {
		return err
	}
	if !slices.Equal(got.tokens, want.tokens) || got.chat != want.chat {
		return fmt.Errorf("the swarm's answer differs from the single process's:\n%q\n%q", got, want)
	}
	fmt.Printf("  equal to the single process, token for token (%d tokens and the chat)\n", len(got.tokens))
	used, err := chain(ctx, s, c)
	if err == nil && used != planned {
		fmt.Printf("  a peer did not answer; the chain is now: %s\n", used)
	}
	return err
}

// chain returns which peers would answer now, as text.
func chain(ctx context.Context, s *runner.Swarm, c *api.Client) (string, error) {
	var choice router.Choice
	err := s.Wait(ctx, "a chain of peers", func(ctx context.Context) (bool, error) {
		err := c.Get(ctx, "/covey/v1/route", url.Values{"model": {model}, "tokens": {"256"}}, &choice)
		return err == nil && choice.Chain != nil, err
	})
	if err != nil {
		return "", err
	}
	var links []string
	for _, l := range choice.Chain.Links {
		links = append(links, fmt.Sprintf("blocks %d-%d on %s", l.Range.First, l.Range.Last-1, l.Name))
	}
	return strings.Join(links, ", "), nil
}

// ask streams a completion and a chat.
func ask(ctx context.Context, c *api.Client, show bool) (a answers, err error) {
	fmt.Fprint(os.Stdout, map[bool]string{true: "\n  " + indent(prompt)}[show])
	err = stream(ctx, c, "/v1/completions", map[string]any{
		"model": model, "prompt": prompt, "max_tokens": length, "temperature": 0, "logprobs": 0, "stream": true,
	}, func(e event) {
		for _, choice := range e.Choices {
			a.tokens = append(a.tokens, choice.Logprobs.Tokens...)
			if show {
				fmt.Print(indent(choice.Text))
			}
		}
	})
	if err != nil {
		return a, err
	}
	fmt.Fprint(os.Stdout, map[bool]string{true: "\n\n  > " + question + "\n  "}[show])
	err = stream(ctx, c, "/v1/chat/completions", map[string]any{
		"model": model, "messages": []map[string]string{{"role": "user", "content": question}}, "max_tokens": length, "temperature": 0, "stream": true,
	}, func(e event) {
		for _, choice := range e.Choices {
			a.chat += choice.Delta.Content
			if show {
				fmt.Print(choice.Delta.Content)
			}
		}
	})
	fmt.Fprint(os.Stdout, map[bool]string{true: "\n\n"}[show])
	return a, err
}

type event struct {
	Choices []struct {
		Text     string
		Delta    struct{ Content string }
		Logprobs struct{ Tokens []string }
	}
	Error any
}

// stream reads an OpenAI stream to its end.
func stream(ctx context.Context, c *api.Client, path string, body any, each func(event)) error {
	res, err := c.Do(ctx, "POST", path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	return api.ReadEvents(res.Body, func(data []byte) error {
		var e event
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if e.Error != nil {
			return fmt.Errorf("the stream ended with an error: %s", data)
		}
		each(e)
		return nil
	})
}

func say(text string) { fmt.Printf("\n== %s\n", text) }

func indent(text string) string { return strings.ReplaceAll(text, "\n", "\n  ") }
