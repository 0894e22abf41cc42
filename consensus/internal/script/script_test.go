package script_test

import (
	"fmt"
	"testing"

	"github.com/covey-network/covey/consensus/internal/script"
)

func TestRun(t *testing.T) {
	t.Parallel()
	text := "# a story\n\nadd 1 2 by=3\n----\n6\n\nsay\n----\nold\nold\n\nquiet\n----\n"
	got, bad, err := script.Run(text, func(c script.Cmd) string {
		switch c.Name {
		case "add":
			sum, err := c.Int("by", 0)
			if err != nil {
				t.Error(err)
			}
			words, err := c.Ints()
			if err != nil {
				t.Error(err)
			}
			for _, w := range words {
				sum += w
			}
			return fmt.Sprintln(sum)
		case "say":
			return "new\n"
		}
		return ""
	})
	if err != nil {
		t.Fatal(err)
	}
	want := "# a story\n\nadd 1 2 by=3\n----\n6\n\nsay\n----\nnew\n\nquiet\n----\n"
	if got != want {
		t.Errorf("rewritten script:\n%s\nwant:\n%s", got, want)
	}
	if len(bad) != 1 || bad[0].Cmd.Line != 7 || bad[0].Got != "new" || bad[0].Want != "old\nold" {
		t.Errorf("differences %+v, want the one of line 7", bad)
	}
	if _, _, err := script.Run("x\n----\n", func(script.Cmd) string { return "a\n\nb" }); err == nil {
		t.Error("output with an empty line: no error, it could not be read again")
	}
}
