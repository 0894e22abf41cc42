package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"github.com/covey-network/covey/engine/train/data"
)

// csv opens the table of a job.
func (d *dataset) csv(j *Job, bad func(data.Bad)) error {
	c := j.Data.CSV
	cfg, err := j.tableConfig(d.tokenizer)
	if err != nil {
		return err
	}
	if d.given != nil {
		cfg.Columns, cfg.Only, cfg.Fixed = d.given.columns(), true, true
	}
	table, err := d.table(j.path(c.File), cfg, bad)
	if err != nil && d.given != nil {
		return fmt.Errorf("%w (the shared model decides what the columns are)", err)
	}
	if err != nil {
		return j.labelHint(err)
	}
	train, validation, err := d.splitTable(j, table)
	if err != nil {
		return fmt.Errorf("table %s: %w", c.File, err)
	}
	if !c.Raw && d.given == nil {
		if table, err = table.Standardise(train); err != nil {
			return err
		}
	}
	d.train, d.columns, d.format = table, table.Columns(), table.Format()
	d.scaled = scaled{tables: []*data.Table{table}, rows: train}
	d.target, _ = table.Label()
	if err := j.checkTarget(d.target); err != nil {
		return fmt.Errorf("table %s: %w", c.File, err)
	}
	cfg.Columns, cfg.Only = slices.DeleteFunc(slices.Clone(table.Columns()), func(c data.Column) bool { return c.Kind == data.Ignore }), true
	if d.given != nil { // what is exported is the same for all who have the schema
		cfg.Columns = d.given.columns()
		d.columns, d.format, d.target = cfg.Columns, *d.given.Format, cfg.Columns[len(cfg.Columns)-1]
	}
	switch {
	case d.inspect:
	case c.Validation != "":
		held, err := d.table(j.path(c.Validation), cfg, bad)
		if err != nil {
			return err
		}
		d.validation, d.scaled.tables = held, append(d.scaled.tables, held)
	case c.Split > 0:
		return d.divide(table, table, train, validation)
	}
	return nil
}

// checkTarget refuses now what a model of a table may not call what it predicts.
func (j *Job) checkTarget(target data.Column) error {
	if j.Model.MLP == nil {
		return nil
	}
	if strings.ContainsFunc(target.Name, unicode.IsControl) {
		return fmt.Errorf("the name of the column %q, which is predicted, has line ends, tabs or other control characters: rename it", target.Name)
	}
	for _, class := range target.Categories {
		if strings.ContainsFunc(class, unicode.IsControl) {
			return fmt.Errorf("column %q: the class %.40q has line ends, tabs or other control characters: take them out", target.Name, class)
		}
	}
	return nil
}

// tableConfig says how the table is read.
func (j *Job) tableConfig(t *tokenizer) (data.TableConfig, error) {
	c := j.Data.CSV
	cfg := data.TableConfig{
		Label: c.Label, FillMissing: c.Missing == missingFill, Missing: c.MissingValues, Length: c.Length, Measured: true, Skip: c.SkipRows,
		Format: data.Format{Separator: c.Separator, Decimal: c.Decimal, Thousands: c.Thousands},
	}
	if t != nil {
		cfg.Encoder = t
	}
	if c.Encoding != "" {
		var err error
		if cfg.Format.Encoding, err = data.ParseEncoding(c.Encoding); err != nil {
			return cfg, err
		}
	}
	labelled := false
	for _, col := range c.Columns {
		kind, err := data.ParseKind(col.Kind)
		if err != nil {
			return cfg, err
		}
		if col.Name == c.Label {
			cfg.Measured = kind == data.Auto
			kind, labelled = j.labelKind(), true
		}
		cfg.Columns = append(cfg.Columns, data.Column{Name: col.Name, Kind: kind})
	}
	if !labelled {
		cfg.Columns = append(cfg.Columns, data.Column{Name: c.Label, Kind: j.labelKind()})
	}
	return cfg, nil
}

func (d *dataset) table(path string, cfg data.TableConfig, bad func(data.Bad)) (*data.Table, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("table: %w", err)
	}
	defer f.Close()
	t, err := data.ReadTable(f, filepath.Base(path), cfg)
	if err != nil {
		return nil, err
	}
	d.report(t.Bad, bad)
	name := filepath.Base(path)
	d.notes = append(d.notes, name+": "+t.Format().String())
	for _, note := range t.Notes() {
		d.notes = append(d.notes, name+": "+note)
	}
	for _, warning := range t.Warnings() {
		d.warnings = append(d.warnings, name+": "+warning)
	}
	return t, nil
}

// labelHint says what to do about a label of the wrong kind.
func (j *Job) labelHint(err error) error {
	label := j.Data.CSV.Label
	var value *data.ValueError
	switch {
	case errors.Is(err, data.ErrContinuous) && j.Model.MLP != nil:
		return fmt.Errorf("%w: set regression = true in model.mlp to predict the number, or columns = [{name = %q, kind = \"category\"}] in data.csv to take each for a class", err, label)
	case errors.Is(err, data.ErrContinuous):
		return fmt.Errorf("%w: this kind of model predicts classes only; columns = [{name = %q, kind = \"category\"}] in data.csv takes each for one", err, label)
	case errors.As(err, &value) && value.Column == label && errors.Is(err, data.ErrNoSamples) && j.labelKind() == data.Number:
		return fmt.Errorf("%w (regression = true in model.mlp predicts a number: without it the values are classes)", err)
	}
	return err
}

// splitTable divides the rows, classes alike, after it has refused a label from which nothing
// is to be learned.
func (d *dataset) splitTable(j *Job, t *data.Table) (train, validation []int, err error) {
	split, seed := j.Data.CSV.Split, j.Train.Seed
	label, _ := t.Label()
	values := t.Labels()
	if lo, hi := slices.Min(values), slices.Max(values); lo == hi && d.given == nil {
		text := fmt.Sprintf("%g", lo)
		if label.Kind == data.Category {
			text = fmt.Sprintf("%q", label.Categories[int(lo)])
		}
		return nil, nil, fmt.Errorf("column %q is %s in all of its %d rows: there is nothing to tell apart", label.Name, text, t.Len())
	}
	if label.Kind == data.Number {
		return data.Split(t.Len(), split, seed)
	}
	labels, counts := make([]int32, len(values)), make([]int, len(label.Categories))
	for i, v := range values {
		labels[i] = int32(v)
		counts[labels[i]]++
	}
	var single []string
	for i, n := range counts {
		switch {
		case n == 0 && d.given != nil: // others may have some
		case n == 0:
			return nil, nil, fmt.Errorf("column %q: no row of the class %q can be used%s", label.Name, label.Categories[i], j.leftOutHint(t))
		case n == 1:
			single = append(single, fmt.Sprintf("%q", label.Categories[i]))
		}
	}
	if len(single) > 0 {
		d.notes = append(d.notes, fmt.Sprintf("column %q: %d of %d classes have one row: %.200s; it is for training", label.Name, len(single), len(counts), strings.Join(single, ", ")))
	}
	return data.SplitClasses(labels, split, seed)
}

// leftOutHint says why rows are left out, and what keeps them.
func (j *Job) leftOutHint(t *data.Table) string {
	_, list := t.Bad()
	for i := range list {
		var value *data.ValueError
		if errors.As(&list[i], &value) && value.Missing && j.Data.CSV.Missing != missingFill {
			return ": missing = \"fill\" in [data.csv] keeps rows in which a value is missing"
		}
	}
	if len(list) == 0 {
		return ""
	}
	return ": rows are left out, the first is " + list[0].Error()
}

// scale is what a difference of 1 in what the trainer predicts is in the column's units.
func (d *dataset) scale() float64 {
	if d.target.Std != 0 {
		return d.target.Std
	}
	return 1
}
