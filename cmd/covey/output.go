package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"golang.org/x/term"

	"github.com/covey-network/covey/node/api"
	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/node/store"
)

// printJSON prints v for programs.
func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows of cells in columns, the first row as their heads.
func table(w io.Writer, rows [][]string) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, r := range rows {
		if _, err := fmt.Fprintln(t, strings.Join(r, "\t")); err != nil {
			return err
		}
	}
	return t.Flush()
}

// countText writes a number of things.
func countText(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// progress draws a line with rate and remaining time on a terminal, and a line per stage
// elsewhere.
type progress struct {
	w        *os.File
	terminal bool
	quiet    bool
	stage    string
	start    time.Time
	first    int64
	drawn    time.Time
}

func newProgress(quiet bool) *progress {
	return &progress{w: os.Stderr, terminal: term.IsTerminal(int(os.Stderr.Fd())), quiet: quiet}
}

// redraw is how often a line is drawn again.
const redraw = 100 * time.Millisecond

// show takes an event of the node.
func (p *progress) show(e api.Event) {
	if p.quiet || e.Stage != p.stage && e.Stage == hosting.Fetching && e.Bytes >= e.Total { // all is here
		return
	}
	now := time.Now()
	if e.Stage != p.stage {
		p.end()
		p.stage, p.start, p.first = e.Stage, now, e.Bytes
		if !p.terminal {
			fmt.Fprintf(p.w, "%s %s\n", e.Stage, store.BytesText(e.Total))
		}
	}
	if !p.terminal || now.Sub(p.drawn) < redraw && e.Bytes < e.Total {
		return
	}
	p.drawn = now
	fmt.Fprint(p.w, "\r\x1b[K"+p.line(e, now))
}

func (p *progress) line(e api.Event, now time.Time) string {
	const width = 30
	done := 0.0
	if e.Total > 0 {
		done = min(1, float64(e.Bytes)/float64(e.Total))
	}
	full := int(done * width)
	text := fmt.Sprintf("%-9s [%s%s] %3.0f%%  %s of %s", e.Stage, strings.Repeat("=", full), strings.Repeat(" ", width-full), 100*done, store.BytesText(e.Bytes), store.BytesText(e.Total))
	seconds := now.Sub(p.start).Seconds()
	if rate := float64(e.Bytes-p.first) / seconds; seconds > 0.5 && rate > 0 {
		left := time.Duration(float64(e.Total-e.Bytes) / rate * float64(time.Second)).Round(time.Second)
		text += fmt.Sprintf("  %s/s  %s left", store.BytesText(int64(rate)), left)
	}
	return text
}

// end finishes the line of a stage.
func (p *progress) end() {
	if p.terminal && p.stage != "" && !p.quiet {
		fmt.Fprintln(p.w)
	}
	p.stage = ""
}
