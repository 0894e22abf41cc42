package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/node/api"
)

// A request for rows of a table has at most so many of them, so many values, and so many
// bytes of values; a node takes somewhat more.
const (
	tableRows   = 4096
	tableValues = 1 << 19
	tableBytes  = 4 << 20
)

// rowResult is what a model makes of a row.
type rowResult struct {
	Row        int      `json:"row"`  // of the file, from 1, the header not counted
	Line       int      `json:"line"` // of the file, where the row begins
	Labels     []class  `json:"labels,omitempty"`
	Prediction *float32 `json:"prediction,omitempty"`
	Error      string   `json:"error,omitempty"` // why there is nothing of these
	// Total is why the row is taken for a total of others, for which nothing is predicted.
	Total string `json:"total,omitempty"`

	raw  []string // the row as it is in the file, if it is to be written
	text string   // likewise, of a line that cannot be taken apart
}

// predictTable sends the rows of a file of separated values, and prints a line for each. A row
// that cannot be used is told, and does not end the others.
func (r *runOptions) predictTable(c *cobra.Command, client *api.Client, model string, files []string) error {
	switch {
	case len(files) == 0:
		return usageError{fmt.Errorf("model %s is for tables: give a file of comma-separated values, or - for what is piped in", model)}
	case len(files) > 1:
		return usageError{fmt.Errorf("model %s is for tables: give one file at a time, not %d", model, len(files))}
	}
	if r.json && r.table.output != "" {
		return usageError{errors.New("--json and --output exclude each other: the one prints JSON, the other writes the table")}
	}
	if err := r.table.check(); err != nil {
		return err
	}
	t, err := openTable(c.Context(), client, model, files[0], &r.table)
	if err != nil {
		return err
	}
	defer t.close()
	top := 1
	var out rowWriter
	switch {
	case r.table.output != "":
		if out, err = newRowCSV(r.table.output, c.OutOrStdout(), c.ErrOrStderr(), t); err != nil {
			return err
		}
	case r.json:
		top = r.top
		out = newRowJSON(c.OutOrStdout(), t, model, files[0])
	default:
		out = newRowPrinter(c.OutOrStdout(), t)
	}
	count, bad, totals, told := 0, 0, 0, false
	var first rowResult // that is bad
	for more := true; more && err == nil; {
		var rows []rowResult
		if rows, more, err = t.next(c.Context(), client, model, top, count); err != nil {
			err = fmt.Errorf("%s: %w", files[0], err)
		}
		for i := range rows {
			if rows[i].Total != "" {
				totals++
			}
			if rows[i].Error == "" {
				continue
			}
			if bad++; bad == 1 {
				first = rows[i]
			}
		}
		if count += len(rows); count > bad && !r.json && !told {
			told = true
			fmt.Fprintf(c.ErrOrStderr(), "%s: %s\n", files[0], t.formatText())
		}
		if len(rows) > 0 {
			err = errors.Join(err, out.rows(rows))
		}
	}
	if count > 0 {
		err = errors.Join(err, out.end())
	}
	if name := r.table.output; err == nil && count > 0 && name != "" && name != "-" {
		fmt.Fprintf(c.ErrOrStderr(), "%s: %s written, %s\n", name, countText(count, "row"), predictedText(count, count-bad-totals))
	}
	for _, n := range t.notes {
		fmt.Fprintln(c.ErrOrStderr(), "note:", n)
	}
	for _, u := range t.unknown {
		fmt.Fprintln(c.ErrOrStderr(), "note:", unknownText(&u))
	}
	for _, f := range t.far {
		fmt.Fprintln(c.ErrOrStderr(), "note:", farText(&f))
	}
	switch {
	case err != nil:
		return err
	case count == 0:
		return fmt.Errorf("%s: there is no row below the names of the columns", files[0])
	case bad == count:
		return fmt.Errorf("%s (%s): no row can be used, the first in line %d: %s", files[0], t.formatText(), first.Line, first.Error)
	case bad > 0:
		return fmt.Errorf("%s (%s): %d of %d rows cannot be used", files[0], t.formatText(), bad, count)
	}
	return nil
}

// predictedText says how many rows have a prediction.
func predictedText(rows, predictions int) string {
	if rows == predictions {
		return "each with its prediction"
	}
	return fmt.Sprintf("%d of them with a prediction", predictions)
}

// unknownText tells of values that training never saw.
func unknownText(u *api.Unknown) string {
	return fmt.Sprintf("column %q: training never saw %s, such as %s: taken for missing", u.Column, countText(u.Count, "value"), examples(u))
}

// farText tells of numbers that are far from those of training.
func farText(f *api.Far) string {
	is := "are"
	if f.Count == 1 {
		is = "is"
	}
	return fmt.Sprintf("column %q: %s %s far from those of training (their mean is %.6g, their standard deviation %.6g), such as %s: what is predicted for that is a guess",
		f.Column, countText(f.Count, "value"), is, f.Mean, f.Std, examples(&f.Unknown))
}

// examples lists the values that are shown.
func examples(u *api.Unknown) string {
	quoted := make([]string, len(u.Examples))
	for i, e := range u.Examples {
		quoted[i] = strconv.Quote(e)
	}
	return strings.Join(quoted, ", ")
}

// tableFile is a file whose rows are read and sent some at a time.
type tableFile struct {
	file   *os.File
	close  func() error
	sheet  *data.Sheet
	names  []string // of the model's columns
	at     []int    // where they are in the file
	format data.Format
	// decimal and thousands are how its numbers are written, if not as in the file of training.
	decimal, thousands string

	totals  map[int]string // why rows are taken for totals, by their lines
	notes   []string       // of how it is read
	target  string         // what the model predicts: the name of a column; "" if it is not known
	classes bool           // it has labels, no number
	labels  []string       // all of them; nil if they are not known
	unknown []api.Unknown  // found in the rows that were sent
	far     []api.Far      // likewise
}

// openTable reads a file as training reads one, and finds the columns that the model takes.
// What the file and the flags leave open, its separator or encoding, is as in the file of training.
func openTable(ctx context.Context, client *api.Client, model, name string, o *tableOptions) (_ *tableFile, err error) {
	var m tableModel
	if err := client.Get(ctx, "/v2/models/"+url.PathEscape(model), nil, &m); err != nil {
		return nil, err
	}
	t := &tableFile{target: m.Parameters.Target, file: os.Stdin, close: func() error { return nil }}
	if name != "-" {
		if t.file, err = os.Open(name); err != nil {
			return nil, fmt.Errorf("model %s is for tables and takes a file: %w", model, err)
		}
		t.close = t.file.Close
	}
	defer func() {
		if err != nil {
			_ = t.close() // it was only read
		}
	}()
	for _, in := range m.Inputs {
		t.names = append(t.names, in.Name)
	}
	for _, o := range m.Outputs {
		if o.Name == "labels" {
			t.classes, t.labels = true, o.Parameters.Categories
		}
	}
	if err := t.begin(&m, o); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(name), withoutKeys(err))
	}
	return t, nil
}

// begin reads up to the rows, and finds out how the numbers in them are written.
func (t *tableFile) begin(m *tableModel, o *tableOptions) error {
	rows, err := seekable(t.file)
	if err != nil {
		return err
	}
	cfg := data.SheetConfig{
		Format: data.Format{Encoding: o.format.Encoding, Separator: o.format.Separator}, Want: t.names, Find: true, Raw: o.output != "",
		Like: data.Format{Encoding: m.Parameters.Encoding, Separator: m.Parameters.Separator},
	}
	if t.sheet, err = data.OpenSheet(rows, cfg); err != nil {
		return err
	}
	t.format = t.sheet.Format
	if t.at, err = t.sheet.Columns(t.names); err != nil {
		return err
	}
	return t.survey(m, o, rows, cfg)
}

// seekable returns what is in a file, which is read twice: of a pipe a copy in memory.
func seekable(f *os.File) (io.ReadSeeker, error) {
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		return f, nil
	}
	b, err := io.ReadAll(io.LimitReader(f, data.DefaultMaxTableBytes+1))
	if err == nil && len(b) > data.DefaultMaxTableBytes {
		err = fmt.Errorf("more than %d MiB are piped in: save them as a file, which may have any size, and give its name", data.DefaultMaxTableBytes>>20)
	}
	return bytes.NewReader(b), err
}

// withoutKeys says of an encoding what to do about it where no key of a job sets it.
func withoutKeys(err error) error {
	var e *data.EncodingError
	switch {
	case !errors.As(err, &e):
		return err
	case e.Line == 0:
		return fmt.Errorf("%s: save the table as UTF-8", e.What)
	}
	return fmt.Errorf("line %d: %s: save the table as UTF-8, or say with --encoding what it is", e.Line, e.What)
}

// next reads and sends the next rows, as many as a request takes, and returns what comes out
// for each, and whether there may be more. So many were read before. With an error there may be
// rows too: those before it.
func (t *tableFile) next(ctx context.Context, client *api.Client, model string, top, before int) (out []rowResult, more bool, err error) {
	columns := make([][]string, len(t.names))
	size, limit := 0, min(tableRows, max(1, tableValues/len(t.names)))
	var readErr error
	for more = true; more && len(out) < limit && size < tableBytes; {
		row, err := t.sheet.Next()
		if errors.Is(err, io.EOF) {
			more = false
			break
		}
		if err != nil {
			readErr = err // what came before it counts
			break
		}
		out = append(out, rowResult{Row: before + len(out) + 1, Line: row.Line, raw: row.Raw, text: row.Text})
		last := &out[len(out)-1]
		if row.Err != nil {
			last.Error = withoutKeys(row.Err).Error()
			continue
		}
		if last.Total = t.totals[row.Line]; last.Total != "" {
			continue
		}
		for i, at := range t.at {
			columns[i] = append(columns[i], strings.Clone(row.Fields[at])) // without the rest of its row
			size += len(row.Fields[at])
		}
	}
	if err := t.ask(ctx, client, model, columns, top, out); err != nil {
		return nil, false, fmt.Errorf("from line %d on: %w", out[0].Line, err)
	}
	return out, more, readErr
}

// ask fills in the results of the rows that have no error, whose values are given by column.
func (t *tableFile) ask(ctx context.Context, client *api.Client, model string, columns [][]string, top int, out []rowResult) error {
	n := len(columns[0])
	if n == 0 {
		return nil
	}
	inputs := make([]any, len(columns))
	for i, c := range columns {
		inputs[i] = map[string]any{"name": t.names[i], "datatype": "BYTES", "shape": []int{n}, "data": c}
	}
	var res struct {
		Outputs []struct {
			Name string
			Data anyData
		}
		Parameters struct {
			Unknown []api.Unknown `json:"unknown_categories"`
			Far     []api.Far     `json:"far_numbers"`
		}
	}
	body := map[string]any{"inputs": inputs, "parameters": t.parameters(top)}
	if err := client.Post(ctx, "/v2/models/"+url.PathEscape(model)+"/infer", body, &res); err != nil {
		return err
	}
	t.note(res.Parameters.Unknown, res.Parameters.Far)
	outputs := map[string]anyData{}
	for _, o := range res.Outputs {
		outputs[o.Name] = o.Data
	}
	failed, good := outputs["errors"].texts, 0
	if failed == nil {
		failed = make([]string, n)
	}
	for _, e := range failed {
		if e == "" {
			good++
		}
	}
	shares, labels, predictions := outputs["probabilities"].numbers, outputs["labels"].texts, outputs["prediction"].numbers
	each := len(labels) / max(good, 1)
	if len(failed) != n || len(predictions) != good && (each == 0 || len(labels) != good*each || len(shares) != len(labels)) {
		return errors.New("read answer: there is not a result for each row")
	}
	row, result := 0, 0
	for i := range out {
		o := &out[i]
		if o.Error != "" || o.Total != "" {
			continue
		}
		if o.Error = failed[row]; o.Error == "" {
			if len(predictions) == good {
				o.Prediction = &predictions[result]
			} else {
				for k := result * each; k < (result+1)*each; k++ {
					o.Labels = append(o.Labels, class{labels[k], shares[k]})
				}
			}
			result++
		}
		row++
	}
	return nil
}
