package main

import (
	"cmp"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/covey-network/covey/engine/train/data"
)

// rowCSV writes the rows of a table as they are, each with what was made of it behind it, in the
// table's own format. Rows that cannot be used have nothing there, and are told.
type rowCSV struct {
	name  string    // of the file; - is out
	out   io.Writer // nil: to be opened
	notes io.Writer
	t     *tableFile
	close []io.Closer
	text  io.Writer // what csv writes to
	csv   *csv.Writer
	told  int  // rows that were told
	fresh bool // there was no such file
}

// toldRows is how many rows that cannot be used are told one by one.
const toldRows = 20

// newRowCSV refuses to write over the table itself, and what the table's encoding lacks.
func newRowCSV(name string, out, notes io.Writer, t *tableFile) (*rowCSV, error) {
	p := &rowCSV{name: name, notes: notes, t: t}
	if err := p.encodable(append(p.names(), t.labels...)); err != nil {
		return nil, err
	}
	if name == "-" {
		p.out = out
		return p, nil
	}
	at, err := os.Stat(name)
	if errors.Is(err, os.ErrNotExist) {
		return p, nil
	}
	if err != nil {
		return nil, err
	}
	if in, err := t.file.Stat(); err == nil && os.SameFile(in, at) {
		return nil, usageError{fmt.Errorf("--output %s is the table itself: give another file", name)}
	}
	return p, nil
}

// encodable reports the first text, a name of a column or a class, that cannot be written as the
// table is, before anything is.
func (p *rowCSV) encodable(texts []string) error {
	encoding := p.t.format.Encoding
	fits := func(text string) bool {
		w := data.EncodingWriter(io.Discard, encoding)
		_, err := io.WriteString(w, text)
		return errors.Join(err, w.Close()) == nil
	}
	if fits(strings.Join(texts, "\n")) {
		return nil
	}
	i := slices.IndexFunc(texts, func(text string) bool { return !fits(text) })
	return fmt.Errorf("--output: %q cannot be written in %s, as the table is: save the table as UTF-8, or print with --json", texts[max(i, 0)], encoding)
}

// begin opens the file and writes the names of the columns. It does so when there is something to
// write, so that a run that fails before leaves an older file as it is.
func (p *rowCSV) begin() error {
	if p.out == nil {
		_, err := os.Lstat(p.name)
		p.fresh = errors.Is(err, os.ErrNotExist)
		f, err := os.Create(p.name)
		if err != nil {
			return err
		}
		p.out, p.close = f, append(p.close, f)
	}
	encoded := data.EncodingWriter(p.out, p.t.format.Encoding)
	p.close = append(p.close, encoded)
	if p.t.sheet.Mark {
		if _, err := io.WriteString(encoded, "\ufeff"); err != nil {
			return err
		}
	}
	p.text, p.csv = encoded, csv.NewWriter(encoded)
	p.csv.Comma, _ = utf8.DecodeRuneInString(p.t.format.Separator)
	p.csv.UseCRLF = p.t.sheet.CRLF
	header := slices.Clone(p.t.sheet.Header)
	return p.csv.Write(append(header, p.names()...))
}

// names are those of the columns that are added, which the table does not have.
func (p *rowCSV) names() []string {
	names := []string{cmp.Or(p.t.target, "prediction")}
	if p.t.classes {
		names = append(names, "probability")
	}
	for i, name := range names {
		for slices.Contains(p.t.sheet.Header, names[i]) {
			names[i] = "predicted " + names[i]
		}
		if i > 0 && name == names[0] {
			names[i] = "probability of it"
		}
	}
	return names
}

func (p *rowCSV) rows(results []rowResult) error {
	if p.csv == nil {
		if err := p.begin(); err != nil {
			return p.failed(err)
		}
	}
	width := len(p.t.sheet.Header)
	for _, res := range results {
		if res.text != "" {
			p.tell(&res)
			if err := p.line(res.text); err != nil {
				return p.failed(err)
			}
			continue
		}
		row := slices.Clone(res.raw)
		if len(row) == width+1 && strings.TrimSpace(row[width]) == "" { // a separator at the end of the line
			row = row[:width]
		}
		for len(row) < width {
			row = append(row, "")
		}
		switch {
		case res.Error != "" || res.Total != "":
			row = append(row, "")
			if p.t.classes {
				row = append(row, "")
			}
			if res.Total != "" { // told of the whole table
				break
			}
			p.tell(&res)
		case res.Prediction != nil:
			row = append(row, p.number(*res.Prediction))
		case len(res.Labels) > 0:
			row = append(row, res.Labels[0].Label, p.number(res.Labels[0].Probability))
		}
		if err := p.csv.Write(row); err != nil {
			return p.failed(err)
		}
	}
	p.csv.Flush()
	return p.failed(p.csv.Error())
}

// tell says why a row cannot be used, of the first ones.
func (p *rowCSV) tell(res *rowResult) {
	if p.told++; p.told <= toldRows {
		fmt.Fprintf(p.notes, "line %d: %s\n", res.Line, res.Error)
	}
}

// line writes a line as it is.
func (p *rowCSV) line(text string) error {
	p.csv.Flush()
	if err := p.csv.Error(); err != nil {
		return err
	}
	end := "\n"
	if p.csv.UseCRLF {
		end = "\r\n"
	}
	_, err := io.WriteString(p.text, text+end)
	return err
}

// number writes a number with the decimals of the table.
func (p *rowCSV) number(v float32) string {
	text := predictionText(v)
	if _, err := strconv.ParseFloat(text, 64); err == nil && p.t.format.Decimal == "," {
		text = strings.Replace(text, ".", ",", 1)
	}
	return text
}

func (p *rowCSV) failed(err error) error {
	if err == nil {
		return nil
	}
	if p.name == "-" {
		return fmt.Errorf("write the rows in %s: %w", p.t.format.Encoding, err)
	}
	return fmt.Errorf("write %s in %s: %w", p.name, p.t.format.Encoding, err)
}

func (p *rowCSV) end() (err error) {
	for i := len(p.close) - 1; i >= 0; i-- {
		err = errors.Join(err, p.close[i].Close())
	}
	if info, statErr := os.Stat(p.name); p.fresh && statErr == nil && info.Size() == 0 { // the disk is full
		err = errors.Join(err, os.Remove(p.name))
	}
	if p.told > toldRows {
		fmt.Fprintf(p.notes, "and %d more rows that cannot be used\n", p.told-toldRows)
	}
	return p.failed(err)
}
