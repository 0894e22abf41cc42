package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/node/api"
)

// tableOptions are the flags of covey run that are for tables, those of the format named as the
// keys of [data.csv] in a job.
type tableOptions struct {
	output string // file for the rows with their predictions; - is the standard output
	format data.Format
}

func (o *tableOptions) add(f *pflag.FlagSet) {
	f.StringVarP(&o.output, "output", "o", "", "of a table: write its rows with their predictions to this file as the table is written, - for standard output")
	f.StringVar(&o.format.Encoding, "encoding", "", "of a table: utf-8, utf-16, windows-1252, … (default: found out)")
	f.StringVar(&o.format.Separator, "separator", "", "of a table: character between fields, or tab (default: found out)")
	f.StringVar(&o.format.Decimal, "decimal", "", "of a table: . or , before the decimals of numbers (default: found out)")
	f.StringVar(&o.format.Thousands, "thousands", "", "of a table: . , ' or a blank between groups of three digits, or none (default: found out)")
}

// given reports whether any of the flags is set.
func (o *tableOptions) given() bool { return *o != tableOptions{} }

// check brings the flags into the form of data.Format.
func (o *tableOptions) check() (err error) {
	f := &o.format
	if f.Encoding != "" {
		if f.Encoding, err = data.ParseEncoding(f.Encoding); err != nil {
			return usageError{fmt.Errorf("--encoding: %w", err)}
		}
	}
	if f.Separator == "tab" || f.Separator == `\t` {
		f.Separator = "\t"
	}
	switch {
	case f.Decimal != "" && f.Decimal != "." && f.Decimal != ",":
		return usageError{fmt.Errorf("--decimal is %q, want . or ,", f.Decimal)}
	case f.Thousands != "" && !strings.Contains("., '", f.Thousands) && f.Thousands != data.NoThousands:
		return usageError{fmt.Errorf("--thousands is %q, want . , ' a blank or none", f.Thousands)}
	case f.Thousands != "" && f.Decimal == "":
		return usageError{errors.New("--thousands needs --decimal, what stands before the decimals")}
	case f.Thousands != "" && f.Thousands == f.Decimal:
		return usageError{fmt.Errorf("--decimal and --thousands are both %q", f.Decimal)}
	}
	return nil
}

// notTable is the error of flags for a table given with a model of another kind.
func (o *tableOptions) notTable(model string) error {
	if !o.given() {
		return nil
	}
	return usageError{fmt.Errorf("model %s is not for tables: leave out --output, --encoding, --separator, --decimal and --thousands", model)}
}

// each goes through all rows that can be taken apart. An error is told when the rows are sent.
func (t *tableFile) each(f func(row data.Row)) {
	for row, err := t.sheet.Next(); err == nil; row, err = t.sheet.Next() {
		if row.Err == nil {
			f(row)
		}
	}
}

// settle finds out how the numbers of a table are written, where set does not say it: as in the
// table of training, whose decimals are known mostly, unless they can only be read in another way.
func (t *tableFile) settle(survey *data.Survey, set data.Format, trained string) {
	decimal, thousands, example := survey.Written(set.Decimal)
	own := set.Decimal != "" && set.Decimal != trained || decimal != "" && trained != "" && decimal != trained || set.Thousands != ""
	t.format.Decimal, t.format.Thousands = cmp.Or(set.Decimal, trained), set.Thousands
	if !own {
		return
	}
	t.decimal, t.thousands = decimal, cmp.Or(set.Thousands, thousands)
	t.format.Decimal, t.format.Thousands = t.decimal, t.thousands
	if set.Decimal == "" {
		t.notes = append(t.notes, fmt.Sprintf("its numbers have %s before their decimals, such as %s, and those of training %s: they are read so (--decimal %s reads them as those of training)",
			markName(decimal), example, markName(trained), trained))
	}
}

func markName(mark string) string {
	if mark == "," {
		return "a comma"
	}
	return "a point"
}

// formatText tells how a table is written.
func (t *tableFile) formatText() string {
	text := t.format.String()
	if t.format.Decimal == "." {
		text = strings.Replace(text, separatedBy(t.format), separatedBy(t.format)+", decimal point", 1)
	}
	return text
}

// separatedBy is the part of the text of a format that tells the separator.
func separatedBy(f data.Format) string {
	return data.Format{Encoding: f.Encoding, Separator: f.Separator}.String()
}

// rewind begins with the rows again.
func (t *tableFile) rewind(rows io.ReadSeeker, cfg data.SheetConfig) error {
	if _, err := rows.Seek(0, io.SeekStart); err != nil {
		return err
	}
	cfg.Format.Encoding, cfg.Format.Separator = t.sheet.Format.Encoding, t.sheet.Format.Separator
	sheet, err := data.OpenSheet(rows, cfg)
	if err != nil {
		return err
	}
	t.sheet = sheet
	return nil
}

// parameters are those of a request for rows of the table.
func (t *tableFile) parameters(top int) map[string]any {
	p := map[string]any{"top_k": top, "row_errors": true}
	if t.decimal != "" {
		p["decimal"] = t.decimal
	}
	if t.thousands != "" {
		p["thousands"] = t.thousands
	}
	return p
}

// typeNumber is the datatype of columns of numbers.
const typeNumber = "FP64"

// tableModel is what a node tells of a model of tables.
type tableModel struct {
	Inputs []struct {
		Name, Datatype string
		Parameters     struct{ Categories []string }
	}
	Outputs []struct {
		Name       string
		Parameters struct{ Categories []string }
	}
	Parameters struct {
		Encoding, Separator, Decimal, Target string

		Missing []string `json:"missing_values"`
	}
}

// note adds what an answer tells of values that training never saw.
func (t *tableFile) note(unknown []api.Unknown, far []api.Far) {
	for _, m := range unknown {
		if i := slices.IndexFunc(t.unknown, func(u api.Unknown) bool { return u.Column == m.Column }); i >= 0 {
			t.unknown[i].Add(m)
		} else {
			t.unknown = append(t.unknown, m)
		}
	}
	for _, m := range far {
		if i := slices.IndexFunc(t.far, func(f api.Far) bool { return f.Column == m.Column }); i >= 0 {
			t.far[i].Add(m.Unknown)
		} else {
			t.far = append(t.far, m)
		}
	}
}
