package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/covey-network/covey/node/api"
)

// tooLong is the code of the API for a prompt that does not fit into the model's context.
const tooLong = "context_length_exceeded"

// tokenBytes is about how many bytes of a text make a token.
const tokenBytes = 4

// chat is a talk with a model, a line of the input at a time.
type chat struct {
	*runOptions
	client   *api.Client
	out      io.Writer
	messages io.Writer // for what is not the model's
	show     func(string)
	terminal bool
	first    int  // turns that stay, whatever the length
	context  int  // tokens of a prompt and its answer; 0: not known
	tokens   int  // of the turns with their answers, as the last answer told or by their length; 0: not known
	told     bool // that old turns go
}

// chat talks with a model whose prompt and answer have so many tokens at most; 0 is not known.
func (r *runOptions) chat(c *cobra.Command, client *api.Client, context int, show func(string)) error {
	ctx := c.Context()
	t := &chat{
		runOptions: r, client: client, out: c.OutOrStdout(), messages: c.ErrOrStderr(), show: show,
		terminal: term.IsTerminal(int(os.Stdin.Fd())), context: context,
	}
	prompt := func() {}
	if t.terminal && !r.json {
		prompt = func() { fmt.Fprint(t.out, ">>> ") }
		fmt.Fprintf(t.out, "Chat with %s. Ctrl-D ends, and Ctrl-C, which stops an answer first.\n", r.q.Model)
	}
	r.q.Messages = r.start()
	t.first = len(r.q.Messages)
	in := readInput(ctx, os.Stdin)
	for {
		prompt()
		line, err := in.next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			if t.terminal && !r.json {
				fmt.Fprintln(t.out) // after the prompt
			}
			return nil
		case errors.Is(err, errLongLine):
			err = t.refused(err)
		case err == nil && strings.TrimSpace(line) != "":
			err = t.say(ctx, line)
		}
		if err != nil {
			return err
		}
	}
}

// say puts a line to the model and shows the answer. If there is none, a chat on a terminal goes
// on as if the line had not been typed, unless the command line was wrong; any other ends with the
// error.
func (t *chat) say(ctx context.Context, line string) error {
	before, tokens := t.q.Messages, t.tokens
	t.q.Messages = append(before[:len(before):len(before)], turn{"user", line})
	if t.tokens > 0 {
		t.tokens += tokensOf(len(line))
	}
	for t.full() && t.drop() {
	}
	a, err := t.reply(ctx)
	for isTooLong(err) && t.drop() {
		a, err = t.reply(ctx)
	}
	if isTooLong(err) {
		t.q.Messages, t.tokens = before, tokens
		return t.refused(fmt.Errorf("this line is too long for %s: %w", t.q.Model, err))
	}
	if err != nil {
		t.q.Messages, t.tokens = before, tokens
		if wrong := len(before) == t.first && exitCode(err) == exitUsage; wrong || !t.terminal || ctx.Err() != nil {
			return err
		}
		if a.text != "" && !t.json { // the answer broke off
			fmt.Fprintln(t.out)
		}
		return t.refused(errors.New(t.message(err)))
	}
	t.q.Messages = append(t.q.Messages, turn{"assistant", a.text})
	switch {
	case a.tokens > 0:
		t.tokens = a.tokens
	case t.tokens > 0: // the answer was ended before it told
		t.tokens += tokensOf(len(a.text))
	default:
		t.tokens = tokensOf(t.bytes())
	}
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]string{"model": t.q.Model, "text": a.text})
	}
	_, err = fmt.Fprintln(t.out)
	return err
}

// tokensOf is about how many tokens a text of so many bytes has.
func tokensOf(bytes int) int { return (bytes + tokenBytes - 1) / tokenBytes }

// refused tells why a line has no answer.
func (t *chat) refused(why error) error {
	if t.json {
		return json.NewEncoder(t.out).Encode(map[string]string{"model": t.q.Model, "error": why.Error()})
	}
	_, err := fmt.Fprintln(t.messages, "covey:", why)
	return err
}

func isTooLong(err error) bool {
	var status *api.StatusError
	return errors.As(err, &status) && status.Code == tooLong
}

func (t *chat) bytes() (n int) {
	for _, m := range t.q.Messages {
		n += len(m.Content)
	}
	return n
}

// full reports whether the turns are likely to leave too little room for an answer.
func (t *chat) full() bool {
	room := min(t.q.MaxTokens, t.context/4)
	return t.context > 0 && t.tokens+room > t.context
}

// drop takes the oldest question and its answer out of the talk. It reports false if there
// is only the last question.
func (t *chat) drop() bool {
	const pair = 2
	if len(t.q.Messages) < t.first+pair+1 {
		return false
	}
	all := t.bytes()
	t.q.Messages = append(t.q.Messages[:t.first:t.first], t.q.Messages[t.first+pair:]...)
	t.tokens = t.tokens * t.bytes() / max(all, 1)
	if !t.told {
		t.told = true
		fmt.Fprintf(t.messages, "the context of %d tokens is full: from now on the oldest turns are left out\n", t.context)
	}
	return true
}

// reply asks for an answer of the chat. On a terminal the first interrupt ends the answer
// only: what was said by then counts.
func (t *chat) reply(ctx context.Context) (answered, error) {
	one, end := context.WithCancel(ctx)
	defer end()
	if t.terminal {
		t.answer.Store(&end)
		defer t.answer.Store(nil)
	}
	a, err := t.ask(one, t.client, t.show)
	if err != nil && one.Err() != nil && ctx.Err() == nil {
		err = nil
	}
	return a, err
}
