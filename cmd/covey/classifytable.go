package main

import (
	"bufio"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

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
	Row        int      `json:"row"` // of the file, from 1, the header not counted
	Labels     []class  `json:"labels,omitempty"`
	Prediction *float32 `json:"prediction,omitempty"`
}

// predictTable sends the rows of files of comma-separated values, and prints a line for each.
func (r *runOptions) predictTable(c *cobra.Command, client *api.Client, model string, files []string) error {
	if len(files) != 1 {
		return usageError{fmt.Errorf("model %s is for tables: give a file of comma-separated values", model)}
	}
	t, err := openTable(c.Context(), client, model, files[0])
	if err != nil {
		return err
	}
	defer t.file.Close()
	top := 1
	if r.json {
		top = r.top
	}
	results := []rowResult{}
	for more := true; more; {
		var rows []rowResult
		if rows, more, err = t.next(c.Context(), client, model, top); err != nil {
			return fmt.Errorf("%s: after row %d: %w", files[0], len(results), err)
		}
		results = append(results, rows...)
	}
	if r.json {
		return printJSON(c.OutOrStdout(), map[string]any{"model": model, "file": files[0], "results": results})
	}
	return printRows(c.OutOrStdout(), results)
}

func printRows(out io.Writer, results []rowResult) error {
	rows := [][]string{{"ROW", "PREDICTION"}}
	for _, res := range results {
		row := []string{fmt.Sprint(res.Row)}
		if res.Prediction != nil {
			row = append(row, fmt.Sprintf("%.6g", *res.Prediction))
		}
		for _, l := range res.Labels {
			row = append(row, l.Label, fmt.Sprintf("%.1f%%", 100*l.Probability))
			rows[0] = []string{"ROW", "LABEL", "PROBABILITY"}
		}
		rows = append(rows, row)
	}
	return table(out, rows)
}

// tableFile is a file that is read a request at a time.
type tableFile struct {
	file  *os.File
	in    *csv.Reader
	names []string // of the model's columns
	at    []int    // where they are in the file
	row   int      // rows read
}

// openTable opens a file and finds the columns that the model takes. Fields are separated by
// commas, semicolons or tabs, whichever gives these columns.
func openTable(ctx context.Context, client *api.Client, model, name string) (*tableFile, error) {
	var m struct {
		Inputs []struct{ Name string }
	}
	if err := client.Get(ctx, "/v2/models/"+url.PathEscape(model), nil, &m); err != nil {
		return nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	t := &tableFile{file: f}
	for _, in := range m.Inputs {
		t.names = append(t.names, in.Name)
	}
	if err := t.header(); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return t, nil
}

func (t *tableFile) header() error {
	const longest = 1 << 20
	r := bufio.NewReaderSize(t.file, longest)
	first, err := r.Peek(longest)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, bufio.ErrBufferFull) {
		return err
	}
	if strings.HasPrefix(string(first[:min(3, len(first))]), "\ufeff") {
		_, _ = r.Discard(3) // they were peeked at
		first = first[3:]
	}
	comma, missing := rune(0), ""
	for _, sep := range ",;\t" {
		h := csv.NewReader(strings.NewReader(string(first)))
		h.Comma = sep
		names, err := h.Read()
		if err != nil {
			return fmt.Errorf("read the names of the columns: %w", err)
		}
		for i := range names {
			names[i] = strings.TrimSpace(names[i])
		}
		at := make([]int, len(t.names))
		absent := ""
		for i, want := range t.names {
			if at[i] = slices.Index(names, want); at[i] < 0 && absent == "" {
				absent = want
			}
		}
		if absent == "" {
			comma, t.at = sep, at
			break
		}
		if missing == "" {
			missing = absent
		}
	}
	if comma == 0 {
		return fmt.Errorf("column %.40q is missing in the first line: the model takes %.400s", missing, strings.Join(t.names, ", "))
	}
	t.in = csv.NewReader(r)
	t.in.Comma, t.in.ReuseRecord = comma, true
	_, err = t.in.Read()
	return err
}

// next sends the next rows and returns what comes out, and whether there may be more.
func (t *tableFile) next(ctx context.Context, client *api.Client, model string, top int) ([]rowResult, bool, error) {
	columns := make([][]string, len(t.names))
	n, size, more := 0, 0, true
	for limit := min(tableRows, max(1, tableValues/len(t.names))); n < limit && size < tableBytes; n++ {
		fields, err := t.in.Read()
		if errors.Is(err, io.EOF) {
			more = false
			break
		}
		if err != nil {
			return nil, false, err
		}
		for i, at := range t.at {
			columns[i] = append(columns[i], strings.Clone(fields[at]))
			size += len(fields[at])
		}
	}
	if n == 0 {
		return nil, false, nil
	}
	rows, err := t.ask(ctx, client, model, columns, top)
	return rows, more, err
}

func (t *tableFile) ask(ctx context.Context, client *api.Client, model string, columns [][]string, top int) ([]rowResult, error) {
	n := len(columns[0])
	inputs := make([]any, len(columns))
	for i, c := range columns {
		inputs[i] = map[string]any{"name": t.names[i], "datatype": "BYTES", "shape": []int{n}, "data": c}
	}
	var res struct {
		Outputs []struct {
			Name string
			Data anyData
		}
	}
	body := map[string]any{"inputs": inputs, "parameters": map[string]int{"top_k": top}}
	if err := client.Post(ctx, "/v2/models/"+url.PathEscape(model)+"/infer", body, &res); err != nil {
		return nil, err
	}
	outputs := map[string]anyData{}
	for _, o := range res.Outputs {
		outputs[o.Name] = o.Data
	}
	shares, labels, predictions := outputs["probabilities"].numbers, outputs["labels"].texts, outputs["prediction"].numbers
	each := len(labels) / n
	if len(predictions) != n && (each == 0 || len(labels) != n*each || len(shares) != len(labels)) {
		return nil, errors.New("read answer: there is not a result for each row")
	}
	out := make([]rowResult, n)
	for i := range out {
		t.row++
		out[i].Row = t.row
		if len(predictions) == n {
			out[i].Prediction = &predictions[i]
			continue
		}
		for k := i * each; k < (i+1)*each; k++ {
			out[i].Labels = append(out[i].Labels, class{labels[k], shares[k]})
		}
	}
	return out, nil
}
