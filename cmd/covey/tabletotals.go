package main

import (
	"cmp"
	"fmt"
	"io"
	"strings"

	"github.com/covey-network/covey/engine/train/data"
)

// survey goes through the rows before they are sent, to find out how numbers are written and which
// rows are totals. Both are found as training finds them.
func (t *tableFile) survey(m *tableModel, o *tableOptions, rows io.ReadSeeker, cfg data.SheetConfig) error {
	columns, label := t.columns(m)
	survey, totals := data.NewSurvey(len(columns), m.Parameters.Missing...), data.NewTotals(columns, label, m.Parameters.Missing...)
	t.each(func(row data.Row) {
		totals.Count(row.Fields)
		for i := range columns {
			if columns[i].Kind == data.Number && i != label {
				survey.Add(i, row.Fields[i], row.Line)
			}
		}
	})
	t.settle(survey, o.format, m.Parameters.Decimal)
	for i := range columns {
		if columns[i].Kind != data.Number {
			continue
		}
		if example, all := survey.Minus(i); all {
			t.notes = append(t.notes, fmt.Sprintf("column %q: nearly all numbers have a minus behind them, such as %s, and are read as negative", columns[i].Name, example))
		}
		columns[i].Decimal = strings.TrimPrefix(cmp.Or(t.format.Decimal, survey.Decimal(i)), ".")
	}
	if err := t.rewind(rows, cfg); err != nil {
		return err
	}
	t.each(func(row data.Row) { totals.Add(row.Line, row.Fields) })
	if list, few := totals.Found(); few {
		t.noteTotals(list)
	}
	return t.rewind(rows, cfg)
}

// columns returns all columns of the file, those that the model does not take with the kind Ignore,
// and which one it predicts.
func (t *tableFile) columns(m *tableModel) (columns []data.Column, label int) {
	label = -1
	for i, name := range t.sheet.Header {
		c := data.Column{Name: name, Kind: data.Ignore}
		if name == t.target && label < 0 {
			if label = i; !t.classes {
				c.Kind = data.Number
			}
		}
		columns = append(columns, c)
	}
	for i, in := range m.Inputs {
		c := &columns[t.at[i]]
		if c.Kind, c.Categories = data.Category, in.Parameters.Categories; in.Datatype == typeNumber {
			c.Kind = data.Number
		}
	}
	return columns, label
}

// noteTotals keeps the totals, and tells of them.
func (t *tableFile) noteTotals(list []data.Total) {
	const shown = 5
	t.totals = map[int]string{}
	for i, total := range list {
		t.totals[total.Line] = total.Err.Error()
		if i < shown {
			t.notes = append(t.notes, fmt.Sprintf("line %d has no prediction: %v", total.Line, total.Err))
		}
	}
	if more := len(list) - shown; more > 0 {
		t.notes = append(t.notes, fmt.Sprintf("%s more without a prediction, which look like totals", countText(more, "row")))
	}
}
