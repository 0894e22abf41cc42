package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// rowWriter prints the results of rows, some at a time: a table may have more rows than fit
// into memory.
type rowWriter interface {
	rows(rows []rowResult) error // one at least
	end() error
}

// rowPrinter prints a line for each row, in columns: one gets wider where a row needs it.
type rowPrinter struct {
	out     io.Writer
	classes bool
	head    []string // nil: it was printed
	widths  [2]int   // of the columns but the last one
}

func newRowPrinter(out io.Writer, t *tableFile) rowWriter {
	p := &rowPrinter{out: out, classes: t.classes, head: []string{"LINE", cmp.Or(t.target, "PREDICTION")}}
	if p.classes {
		p.head = []string{"LINE", cmp.Or(t.target, "LABEL"), "PROBABILITY"}
	}
	return p
}

func (p *rowPrinter) rows(results []rowResult) error {
	var lines [][]string
	if p.head != nil {
		lines, p.head = [][]string{p.head}, nil
	}
	for _, res := range results {
		lines = append(lines, p.cells(res))
	}
	for _, cells := range lines {
		for i, cell := range cells[:len(cells)-1] {
			p.widths[i] = max(p.widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b bytes.Buffer
	for _, cells := range lines {
		last := len(cells) - 1
		for i, cell := range cells[:last] {
			b.WriteString(cell)
			b.WriteString(strings.Repeat(" ", p.widths[i]-utf8.RuneCountInString(cell)+2))
		}
		b.WriteString(cells[last])
		b.WriteByte('\n')
	}
	_, err := p.out.Write(b.Bytes())
	return err
}

// cells returns what is printed of a result. The text of an error is last in its line, so that
// it makes no column wide.
func (p *rowPrinter) cells(res rowResult) []string {
	line := strconv.Itoa(res.Line)
	switch {
	case res.Total != "" && p.classes:
		return []string{line, "-", "none: " + res.Total}
	case res.Total != "":
		return []string{line, "none: " + res.Total}
	case res.Error != "" && p.classes:
		return []string{line, "-", "error: " + res.Error}
	case res.Error != "":
		return []string{line, "error: " + res.Error}
	case res.Prediction != nil:
		return []string{line, predictionText(*res.Prediction)}
	case len(res.Labels) > 0:
		return []string{line, res.Labels[0].Label, fmt.Sprintf("%.1f%%", 100*res.Labels[0].Probability)}
	}
	return []string{line, "-"}
}

func (p *rowPrinter) end() error { return nil }

// predictionText writes a number in the units of its column: 1234567.9, not 1.23457e+06.
func predictionText(v float32) string {
	if a := math.Abs(float64(v)); a != 0 && (a < 1e-4 || a >= 1e15) {
		return strconv.FormatFloat(float64(v), 'g', -1, 32)
	}
	return strconv.FormatFloat(float64(v), 'f', -1, 32)
}

// rowJSON prints one object for the file, with a list of results.
type rowJSON struct {
	out         io.Writer
	t           *tableFile
	model, file string
	begun       bool
}

func newRowJSON(out io.Writer, t *tableFile, model, file string) rowWriter {
	return &rowJSON{out: out, t: t, model: model, file: file}
}

// field writes a field of the object.
func field(b *bytes.Buffer, name string, v any) error {
	text, err := json.MarshalIndent(v, "  ", "  ")
	fmt.Fprintf(b, "  %q: %s", name, text)
	return err
}

func (p *rowJSON) rows(results []rowResult) error {
	var b bytes.Buffer
	if !p.begun {
		p.begun = true
		b.WriteString("{\n")
		for _, f := range []struct {
			name string
			v    any
		}{{"file", p.file}, {"format", p.t.format}, {"model", p.model}} {
			if err := field(&b, f.name, f.v); err != nil {
				return err
			}
			b.WriteString(",\n")
		}
		b.WriteString("  \"results\": [\n    ")
	} else {
		b.WriteString(",\n    ")
	}
	for i := range results {
		if i > 0 {
			b.WriteString(",\n    ")
		}
		text, err := json.MarshalIndent(results[i], "    ", "  ")
		if err != nil {
			return err
		}
		b.Write(text)
	}
	_, err := p.out.Write(b.Bytes())
	return err
}

func (p *rowJSON) end() error {
	var b bytes.Buffer
	b.WriteString("\n  ]")
	if p.t.target != "" {
		b.WriteString(",\n")
		if err := field(&b, "target", p.t.target); err != nil {
			return err
		}
	}
	if len(p.t.unknown) > 0 {
		b.WriteString(",\n")
		if err := field(&b, "unknown_categories", p.t.unknown); err != nil {
			return err
		}
	}
	if len(p.t.far) > 0 {
		b.WriteString(",\n")
		if err := field(&b, "far_numbers", p.t.far); err != nil {
			return err
		}
	}
	b.WriteString("\n}\n")
	_, err := p.out.Write(b.Bytes())
	return err
}
