package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/train/data"
)

// survey goes through the rows before they are sent, to find out how numbers are written and which
// rows are totals. Both are found as training finds them.
func (t *tableFile) survey(m *tableModel, o *tableOptions, rows io.ReadSeeker, cfg data.SheetConfig) error {
	columns := make([]data.Column, len(t.names))
	for i, in := range m.Inputs {
		columns[i] = data.Column{Name: in.Name, Kind: data.Category, Categories: in.Parameters.Categories}
		if in.Datatype == typeNumber {
			columns[i].Kind = data.Number
		}
	}
	at, label := slices.Clone(t.at), -1
	if i := slices.Index(t.sheet.Header, t.target); i >= 0 && !t.classes {
		label = len(columns)
		columns, at = append(columns, data.Column{Name: t.target, Kind: data.Number}), append(at, i)
	}
	fields := make([]string, len(at))
	pick := func(row data.Row) []string {
		for i, from := range at {
			fields[i] = row.Fields[from]
		}
		return fields
	}
	survey, totals := data.NewSurvey(len(columns)), data.NewTotals(columns, label)
	t.each(func(row data.Row) {
		totals.Count(pick(row))
		for i := range columns {
			if columns[i].Kind == data.Number && i != label {
				survey.Add(i, fields[i], row.Line)
			}
		}
	})
	t.settle(survey, o.format, m.Parameters.Decimal)
	for i := range columns {
		columns[i].Decimal = strings.TrimPrefix(cmp.Or(t.format.Decimal, survey.Decimal(i)), ".")
	}
	if err := t.rewind(rows, cfg); err != nil {
		return err
	}
	t.each(func(row data.Row) { totals.Add(row.Line, pick(row)) })
	if list, few := totals.Found(); few {
		t.noteTotals(list)
	}
	return t.rewind(rows, cfg)
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
