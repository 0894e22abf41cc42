package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
)

func embedCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use: "embed MODEL [TEXT...]", Short: "Print the embeddings of texts, one line of JSON each; without texts, of the lines of the input",
		Args: args(1, -1, "a model and texts"), ValidArgsFunction: o.modelNames,
		RunE: func(c *cobra.Command, a []string) error {
			texts := a[1:]
			if len(texts) == 0 {
				in := readInput(c.Context(), os.Stdin)
				line, err := in.next(c.Context())
				for ; err == nil; line, err = in.next(c.Context()) {
					texts = append(texts, line)
				}
				if !errors.Is(err, io.EOF) {
					return err
				}
			}
			place := "text"
			if len(a) == 1 {
				place = "line"
			}
			for i, text := range texts {
				if text == "" {
					return usageError{fmt.Errorf("%s %d is empty: an empty text has no embedding", place, i+1)}
				}
			}
			if len(texts) == 0 {
				return usageError{errors.New("no texts: give them as arguments or as lines of the input")}
			}
			client, stop, err := o.connectToAsk(c.Context())
			if err != nil {
				return err
			}
			defer stop()
			var res struct {
				Data      []struct{ Embedding []float32 }
				Truncated struct {
					Inputs []int
					Most   int `json:"max_tokens"`
				}
			}
			if err := client.Post(c.Context(), "/v1/embeddings", map[string]any{"model": a[0], "input": texts}, &res); err != nil {
				return err
			}
			for _, i := range res.Truncated.Inputs {
				fmt.Fprintf(c.ErrOrStderr(), "%s %d is too long for %s: its first %d tokens count\n", place, i+1, a[0], res.Truncated.Most)
			}
			for _, d := range res.Data {
				fmt.Fprintln(c.OutOrStdout(), strings.ReplaceAll(fmt.Sprint(d.Embedding), " ", ","))
			}
			return nil
		},
	}
}
