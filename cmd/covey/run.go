package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/shell"
)

type runOptions struct {
	*options
	q      question
	system string
	raw    bool
	lines  bool // chat with the lines of the input, whatever it is
	seed   int64
	top    int // labels, of a model that classifies
	table  tableOptions
}

func runCommand(o *options) *cobra.Command {
	r := &runOptions{options: o}
	c := &cobra.Command{
		Use: "run MODEL [PROMPT | IMAGE... | TABLE.csv]", Short: "Ask a model, chat with it in the terminal, or let it classify images, a text or rows",
		Long: `Ask a model of the swarm, or one that is here. Without a prompt it chats: type a line and Enter,
end with Ctrl-D or Ctrl-C; during an answer Ctrl-C stops the answer. What is piped in is the prompt, after the one
that is given; with --chat its lines are the turns of a chat, and < /dev/null keeps covey run from an input that is not for it, such as
that of a loop. The model demo is in the program itself and needs no network.`,
		Example: "  covey run demo \"What does strings.Contains do?\"\n  covey run demo --raw \"// Copyright\"\n  covey run demo \"Summarise:\" < notes.txt\n  covey run wine wine.csv -o predicted.csv",
		Args:    args(1, -1, "a model, and a prompt or nothing"), ValidArgsFunction: r.modelNames,
		RunE: func(c *cobra.Command, a []string) error { return r.run(c, a[0], strings.Join(a[1:], " ")) },
	}
	f := c.Flags()
	f.IntVar(&r.q.MaxTokens, "max-tokens", 256, "length of an answer in tokens")
	f.Float64Var(&r.q.Temperature, "temperature", 0, "0 takes the likeliest token each time")
	f.Float64Var(&r.q.TopP, "top-p", 1, "draw from the likeliest tokens of this total probability")
	f.IntVar(&r.top, "top", 5, "number of labels, of a model that classifies")
	f.Int64Var(&r.seed, "seed", 0, "seed of the draws")
	f.StringArrayVar(&r.q.Stop, "stop", nil, "text that ends the answer; may be given again")
	f.StringVar(&r.system, "system", "", "system message of the chat")
	f.BoolVar(&r.lines, "chat", false, "chat also if the input is no terminal: each line of it is a turn")
	f.BoolVar(&r.raw, "raw", false, "complete the prompt as it is, without the chat template")
	r.table.add(f)
	return c
}

func (r *runOptions) run(c *cobra.Command, model, prompt string) error {
	ctx := c.Context()
	if r.q.MaxTokens < 1 {
		return usageError{fmt.Errorf("--max-tokens is %d, want 1 or more", r.q.MaxTokens)}
	}
	if r.lines && r.raw {
		return usageError{errors.New("--chat and --raw exclude each other: a chat needs the chat template, and --raw leaves it out")}
	}
	client, stop, err := r.connectToAsk(ctx)
	if err != nil {
		return err
	}
	defer stop()
	if model == node.BuiltinModel {
		tellUnreached(ctx, client)
	}
	var m api.Model
	if err := client.Get(ctx, "/covey/v1/models/"+url.PathEscape(model), nil, &m); err != nil {
		return notFound(ctx, client, model, err)
	}
	if done, err := r.classify(c, client, &m, model, prompt); done {
		return err
	}
	if err := r.table.notTable(model); err != nil {
		return err
	}
	if m.NoTemplate && !r.raw {
		return usageError{fmt.Errorf("model %s has no chat template: it completes a text with covey run %s --raw TEXT%s", model, shell.Quote(model), r.dataFlag())}
	}
	if !r.lines {
		if prompt, err = r.piped(ctx, prompt); err != nil {
			return err
		}
	}
	if prompt == "" && len(c.Flags().Args()) > 1 {
		return usageError{errors.New("the prompt is empty")}
	}
	if r.raw && prompt == "" {
		return usageError{errors.New("--raw needs a prompt")}
	}
	r.q.Model = model
	if c.Flags().Changed("seed") {
		r.q.Seed = &r.seed
	}
	show := func(text string) { fmt.Fprint(c.OutOrStdout(), text) }
	if r.json {
		show = func(string) {}
	}
	if prompt != "" {
		return r.once(ctx, c.OutOrStdout(), client, prompt, show)
	}
	return r.chat(c, client, m.Context, show)
}

// tellUnreached says on the error output why a node reaches nobody: the model in the program
// answers then as if nothing were wrong.
func tellUnreached(ctx context.Context, client *api.Client) {
	var st api.Status
	if client.Get(ctx, "/covey/v1/status", nil, &st) == nil && st.Reach != "" {
		fmt.Fprintln(os.Stderr, st.Reach)
	}
}

// piped returns a prompt with what is piped in after it.
func (r *runOptions) piped(ctx context.Context, prompt string) (string, error) {
	text, err := pipedInput(ctx, os.Stdin)
	if err != nil || strings.TrimSpace(text) == "" || prompt == "" {
		return prompt + text, err
	}
	return prompt + "\n\n" + text, nil
}

func (r *runOptions) once(ctx context.Context, out io.Writer, client *api.Client, prompt string, show func(string)) error {
	if r.raw {
		r.q.Prompt = prompt
	} else {
		r.q.Messages = append(r.start(), turn{"user", prompt})
	}
	a, err := r.ask(ctx, client, show)
	if err != nil {
		return err
	}
	if r.json {
		return printJSON(out, map[string]string{"model": r.q.Model, "text": a.text})
	}
	_, err = fmt.Fprintln(out)
	return err
}

// start returns the messages before the first question.
func (r *runOptions) start() []turn {
	if r.system == "" {
		return nil
	}
	return []turn{{"system", r.system}}
}

// ask streams an answer, and tells if the model has to be loaded first.
func (r *runOptions) ask(ctx context.Context, client *api.Client, show func(string)) (answered, error) {
	l := watchLoading(ctx, client, r.q.Model)
	defer l.stop()
	return ask(ctx, client, r.q, func(text string) {
		l.stop()
		show(text)
	})
}
