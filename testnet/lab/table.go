package lab

import (
	"fmt"
	"strings"
	"time"
)

// Head is the first lines of a table of cells, in Markdown.
const Head = "| asks | serves | joins | first path | path | chats | halves, 200 tokens | 2,000 tokens | pulls |\n|---|---|---|---|---|---|---|---|---|"

// String returns the cell as a line of that table.
func (c *Cell) String() string {
	path := "direct"
	switch {
	case c.NoJoin != nil || c.NoPath != nil:
		path = "none"
	case c.Relayed:
		path = "relayed"
	case c.First == "relayed":
		path = fmt.Sprintf("relayed, direct after %.1f s", c.Direct.Seconds())
	}
	return fmt.Sprintf("| %s | %s | %s | %s | %s | %s | %s | %s | %s |", c.A, c.B,
		took(c.Joined, c.NoJoin), took(c.Path, c.NoJoin, c.NoPath), path,
		took(c.Chat, c.NoJoin, c.NoServe, c.NoChat),
		took(c.Split[0], c.NoJoin, c.NoServe, c.NoSplit), took(c.Split[1], c.NoJoin, c.NoServe, c.NoSplit), took(c.Pull, c.NoJoin, c.NoServe, c.NoPull))
}

func took(d time.Duration, errs ...error) string {
	for _, err := range errs {
		if err != nil {
			return "no"
		}
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Why returns the reasons why a cell fails, one a line.
func (c *Cell) Why() string {
	var b strings.Builder
	for _, e := range []struct {
		what string
		err  error
	}{{"join", c.NoJoin}, {"path", c.NoPath}, {"serve", c.NoServe}, {"chat", c.NoChat}, {"split", c.NoSplit}, {"pull", c.NoPull}, {"direct path", c.NoDirect}} {
		if e.err != nil {
			fmt.Fprintf(&b, "%s from %s to %s: %v\n", e.what, c.A, c.B, e.err)
		}
	}
	return b.String()
}
