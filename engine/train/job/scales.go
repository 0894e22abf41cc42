package job

import (
	"errors"
	"slices"

	"github.com/covey-network/covey/engine/train/data"
)

// scaled is the tables whose numbers are scaled alike: what is trained on, and, if it is another
// file, what is held out.
type scaled struct {
	tables []*data.Table
	rows   []int // for training, of the first one
}

// Moments returns those of each number that is scaled, of the samples for training: of the inputs of
// the schema, then of what is predicted. Of categories and other data there are none.
func (r *Running) Moments() []data.Moments {
	d := r.run.data
	var out []data.Moments
	for _, name := range d.is(r.run.job).scaled() {
		t := d.scaled.tables[0]
		at := slices.IndexFunc(t.Columns(), func(c data.Column) bool { return c.Name == name })
		out = append(out, t.Moments(at, d.scaled.rows))
	}
	return out
}

// Rescale scales the numbers by other moments than those of Options.Schema or of the data, one for
// each that Moments returns: by those of all who train the model, so that it is the same for all.
// It is for Begin, and what it says has to be said again after a resume.
func (r *Running) Rescale(moments []data.Moments) error {
	d := r.run.data
	s := *d.is(r.run.job)
	names := s.scaled()
	if len(moments) != len(names) {
		return errors.New("rescale: as many moments as numbers are wanted")
	}
	if len(names) == 0 {
		return nil
	}
	s.Columns = slices.Clone(s.Columns)
	target := *s.Target
	s.Target = &target
	for i, name := range names {
		mean, std := moments[i].Scale()
		for _, t := range d.scaled.tables {
			t.Rescale(slices.IndexFunc(t.Columns(), func(c data.Column) bool { return c.Name == name }), mean, std)
		}
		if name == target.Name {
			target.Mean, target.Std = mean, std
		}
		for k := range s.Columns {
			if c := &s.Columns[k]; c.Name == name {
				c.Mean, c.Std = mean, std
			}
		}
	}
	if err := s.Validate(); err != nil {
		return err
	}
	d.given, d.columns, d.format = &s, s.columns(), *s.Format
	d.target = d.columns[len(d.columns)-1]
	return nil
}

// scaled returns the names of the numbers that are scaled, in their order.
func (s *Schema) scaled() (names []string) {
	if s.Target == nil {
		return nil
	}
	for _, c := range s.columns() {
		if c.Kind == data.Number && c.Std != 0 {
			names = append(names, c.Name)
		}
	}
	return names
}
