package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

// maxBadShown is how many samples that were left out are named.
const maxBadShown = 10

// plainEvery is how often a step is told where there is no terminal.
const plainEvery = 5 * time.Second

// trainProgress shows a run: a line that is drawn again and again on a terminal, plain lines
// elsewhere, or a JSON object a line.
type trainProgress struct {
	out      io.Writer // results
	w        io.Writer // progress
	terminal bool
	json     bool
	metric   string
	told     time.Time
	loss     float64 // moving mean
	steps    int     // that went into it
	open     bool    // the line is not ended
	begun    int     // step that the run went on after
	bad      int     // files, rows and samples that were left out
	named    int     // of them
	round    uint64  // of a job of the swarm, told last
	waiting  int     // peers that were here before its first round, told last
	over     bool    // the job is over: its model is what the members have in common
	missed   string  // members that are not reached from here, told last
}

func newTrainProgress(out, w io.Writer, asJSON bool, metric string) *trainProgress {
	f, ok := w.(*os.File)
	return &trainProgress{out: out, w: w, terminal: ok && term.IsTerminal(int(f.Fd())), json: asJSON, metric: metric}
}

func (p *trainProgress) events() job.Events {
	return job.Events{Start: p.start, Step: p.step, Validation: p.validation, Bad: p.left}
}

// object prints an event for programs.
func (p *trainProgress) object(event string, fields map[string]any) {
	fields["event"] = event
	b, err := json.Marshal(fields)
	if err == nil {
		_, err = p.out.Write(append(b, '\n'))
	}
	_ = err // a reader that went away does not stop a run
}

func (p *trainProgress) say(format string, args ...any) {
	p.end()
	fmt.Fprintf(p.w, format+"\n", args...)
}

func (p *trainProgress) start(s job.Start) {
	if p.json {
		p.object("start", map[string]any{"folder": s.Folder, "parameters": s.Params, "samples": s.Samples, "validation": s.Validation, "step": s.Step, "steps": s.Steps, "left_out": s.Bad, "notes": append([]string{}, s.Notes...), "warnings": append([]string{}, s.Warnings...)})
		return
	}
	p.begun, p.bad = s.Step, max(p.bad, s.Bad) // of many bad ones, not each was told
	for _, note := range s.Notes {
		p.say("%s", note)
	}
	text := fmt.Sprintf("%d parameters, %d samples, %d for validation, in %s", s.Params, s.Samples, s.Validation, s.Folder)
	if len(s.Columns) > 0 {
		text += "\ncolumns: " + columnsText(s.Columns)
	}
	if s.Step > 0 {
		text += fmt.Sprintf("\ngoing on after step %d", s.Step)
	}
	if s.Bad > 0 {
		text += "\n" + strings.TrimSuffix(p.leftText(), "\n")
	}
	p.say("%s", text)
	for _, warning := range s.Warnings { // last, where they are seen
		p.say("warning: %s", warning)
	}
}

// columnsText says what the columns of a table were taken for.
func columnsText(columns []data.Column) string {
	const shown = 30
	var list []string
	for _, c := range columns[:min(shown, len(columns))] {
		text := c.Name + " " + c.Kind.String()
		if c.Kind == data.Category {
			text += fmt.Sprintf(" of %d", len(c.Categories))
		}
		list = append(list, text)
	}
	if more := len(columns) - shown; more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}

func (p *trainProgress) step(s job.Progress) {
	p.steps++
	p.loss += (s.Loss - p.loss) / float64(min(p.steps, 20))
	if p.json {
		p.object("step", map[string]any{"step": s.Step, "steps": s.Steps, "epoch": s.Epoch, "loss": s.Loss, p.metric: limited(s.Metric), "lr": s.LR, "samples_per_second": s.Rate, "seconds_left": s.Left.Seconds()})
		return
	}
	now := time.Now()
	every := plainEvery
	if p.terminal {
		every = redraw
	}
	if now.Sub(p.told) < every {
		return
	}
	p.told = now
	line := p.line(s)
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K"+p.cut(line))
		p.open = true
		return
	}
	fmt.Fprintln(p.w, line)
}

// cut shortens a line to the width of the terminal: one that wraps cannot be drawn over.
func (p *trainProgress) cut(line string) string {
	f, ok := p.w.(*os.File)
	if !ok {
		return line
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil || width < 2 || len(line) < width {
		return line
	}
	return line[:width-1]
}

func (p *trainProgress) line(s job.Progress) string {
	text := fmt.Sprintf("step %d of %d", s.Step, s.Steps)
	if s.Epochs > 0 {
		text += fmt.Sprintf(", epoch %d of %d", s.Epoch, s.Epochs)
	}
	text += fmt.Sprintf("  loss %.4f  %s  %.0f samples/s", p.loss, p.metricText(s.Metric), s.Rate)
	if s.Left > 0 {
		text += fmt.Sprintf("  %s left", s.Left.Round(time.Second))
	}
	return text
}

// metricText writes the metric as people read it.
func (p *trainProgress) metricText(v float64) string {
	if p.metric == "accuracy" {
		return fmt.Sprintf("accuracy %.2f %%", 100*v)
	}
	if v >= 1000 && v < 1e15 { // in the units of a column: 320801, not 3.208e+05
		return fmt.Sprintf("%s %.0f", p.metric, v)
	}
	return fmt.Sprintf("%s %.4g", p.metric, v)
}

// limited keeps out of JSON what it cannot say.
func limited(v float64) float64 { return min(v, math.MaxFloat64) }

func (p *trainProgress) validation(v job.Validation) {
	if p.json {
		event := map[string]any{"step": v.Step, "epochs": v.Epoch, "loss": v.Loss, p.metric: v.Metric, "best": v.Best}
		if v.Top5 > 0 {
			event["top5"] = v.Top5
		}
		p.object("validation", event)
		return
	}
	best := ""
	if v.Top5 > 0 {
		best = fmt.Sprintf("  top five %.2f %%", 100*v.Top5)
	}
	if v.Best {
		best += "  best"
	}
	p.say("validation after step %d: loss %.5f  %s%s", v.Step, v.Loss, p.metricText(v.Metric), best)
}

// left tells of a sample that was left out.
func (p *trainProgress) left(b data.Bad) {
	p.bad++
	p.named++
	switch {
	case p.json:
		p.object("left_out", map[string]any{"name": b.Name, "reason": b.Err.Error()})
	case p.named <= maxBadShown:
		p.say("%s is left out: %v", b.Name, b.Err)
	case p.named == maxBadShown+1:
		p.say("more are left out: they are counted at the end")
	}
}

// leftText counts what was left out.
func (p *trainProgress) leftText() string {
	if p.bad == 0 {
		return ""
	}
	if p.bad == 1 {
		return "1 file, row or sample was left out\n"
	}
	return fmt.Sprintf("%d files, rows or samples were left out\n", p.bad)
}

// failed counts what could not be used in a run that ends without a model.
func (p *trainProgress) failed() {
	if !p.json && p.named > maxBadShown {
		fmt.Fprintf(p.w, "at least %d files, rows or samples cannot be used\n", p.bad) // before the start not each was told
	}
}

// end finishes the line.
func (p *trainProgress) end() {
	if p.open {
		fmt.Fprintln(p.w)
	}
	p.open = false
}

func (p *trainProgress) interrupted(r *job.Result, command string) {
	if p.json {
		p.object("end", map[string]any{"reason": r.End, "step": r.Step})
		return
	}
	p.say("saved after step %d; go on with: %s", r.Step, command)
}

// done tells how a run of so much patience ended, and draws its losses.
func (p *trainProgress) done(r *job.Result, patience int) error {
	if p.json {
		event := map[string]any{"reason": r.End, "step": r.Step, "model": r.Model, "best": r.Best, "last": r.Last, "metric": r.MetricName, "left_out": r.LeftOut}
		if r.Private != nil {
			event["privacy"] = r.Private
		}
		p.object("end", event)
		return nil
	}
	points, err := job.ReadHistory(filepath.Join(r.Folder, job.HistoryFile))
	if err != nil {
		return err
	}
	var b strings.Builder
	drawLosses(&b, job.NewCurve(points, 2*curveColumns))
	fmt.Fprintf(&b, "ended after step %d: %s", r.Step, r.End)
	switch {
	case r.End == job.EndEarly:
		fmt.Fprintf(&b, ", and patience = %d in [train] forbids more steps: --resume --steps N with N above %d goes on all the same", patience, r.Step)
	case r.End == job.EndDone && p.begun > 0 && p.begun == r.Step:
		fmt.Fprintf(&b, ", it was before and no step was left: --resume --steps N with N above %d goes on", r.Step)
	}
	b.WriteByte('\n')
	switch {
	case p.over && r.Last.Step > 0:
		fmt.Fprintf(&b, "the model of all members, after step %d, on this machine's validation: loss %.5f, %s\n", r.Last.Step, r.Last.Loss, p.metricText(r.Last.Metric))
	case r.Best.Step > 0:
		fmt.Fprintf(&b, "best validation after step %d: loss %.5f, %s\n", r.Best.Step, r.Best.Loss, p.metricText(r.Best.Metric))
	}
	if s := r.Private; s != nil {
		fmt.Fprintf(&b, "privacy of each sample of this machine: %s, for %d steps\n", spentText(s), s.Steps)
	}
	b.WriteString(p.leftText())
	fmt.Fprintf(&b, "model in %s, curve in %s\n", r.Model, filepath.Join(r.Folder, job.CurveFile))
	_, err = io.WriteString(p.out, b.String())
	return err
}

const (
	curveColumns = 72 // characters, of 2 x 4 dots
	curveRows    = 14
)

// drawLosses draws losses with braille characters, 2 x 4 dots each: training as dots joined
// by lines, validation as crosses.
func drawLosses(w io.Writer, c job.Curve) {
	if len(c.Train) == 0 {
		return
	}
	low, high := c.Low, c.High
	if !(high > low) {
		low, high = low-0.5, low+0.5
	}
	const width, height = 2 * curveColumns, 4 * curveRows
	var cells [curveRows][curveColumns]rune
	place := func(p job.XY) (int, int) {
		x := int(p.X / float64(max(c.Steps, 1)) * (width - 1))
		return x, int(math.Round((high - p.Y) / (high - low) * (height - 1)))
	}
	lastX, lastY := -1, 0
	for _, p := range c.Train {
		x, y := place(p)
		from, to := y, y
		if lastX >= 0 && x-lastX <= 2 {
			from, to = min(y, lastY), max(y, lastY)
		}
		for ; from <= to; from++ {
			cells[from/4][x/2] |= brailleDot(x%2, from%4)
		}
		lastX, lastY = x, y
	}
	for _, p := range c.Validation {
		x, y := place(p)
		cells[y/4][x/2] = '×' - brailleEmpty
	}
	for row := range cells {
		label := ""
		if row%4 == 0 || row == curveRows-1 {
			label = fmt.Sprintf("%.3g", high-(high-low)*float64(4*row)/(height-4))
		}
		line := make([]rune, curveColumns)
		for i, cell := range cells[row] {
			line[i] = brailleEmpty + cell
		}
		fmt.Fprintf(w, "%8s │%s\n", label, strings.TrimRight(string(line), string(rune(brailleEmpty))))
	}
	fmt.Fprintf(w, "%8s └%s %d steps\n", "", strings.Repeat("─", curveColumns), c.Steps)
	if len(c.Validation) > 0 {
		fmt.Fprintf(w, "%8s  loss of training; × of validation\n", "")
	}
}

// brailleEmpty is the pattern without dots.
const brailleEmpty = 0x2800

// brailleDot returns the bit of the dot at column 0 to 1 and row 0 to 3 (Unicode 16.0,
// section 21.1).
func brailleDot(x, y int) rune {
	if y == 3 {
		return 0x40 << x
	}
	return 1 << (3*x + y)
}
