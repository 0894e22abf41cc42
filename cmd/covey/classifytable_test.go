package main

import (
	"bytes"
	"testing"
)

// TestRowsStayInColumns prints rows with an error between others.
func TestRowsStayInColumns(t *testing.T) {
	t.Parallel()
	number := float32(1.5)
	for _, c := range []struct {
		name   string
		rows   []rowResult
		target string
		want   string
	}{
		{
			"classes",
			[]rowResult{{Line: 2, Labels: []class{{"a long label", 0.5}}}, {Line: 3, Error: "no"}, {Line: 4, Labels: []class{{"b", 0.25}}}},
			"", "LINE  LABEL         PROBABILITY\n2     a long label  50.0%\n3     -             error: no\n4     b             25.0%\n",
		},
		{"numbers", []rowResult{{Line: 2, Prediction: &number}, {Line: 10, Error: "no"}}, "", "LINE  PREDICTION\n2     1.5\n10    error: no\n"},
		{"of a column", []rowResult{{Line: 2, Prediction: &number}}, "Miete", "LINE  Miete\n2     1.5\n"},
		{"classes of a column", []rowResult{{Line: 2, Labels: []class{{"a", 0.5}}}}, "cultivar", "LINE  cultivar  PROBABILITY\n2     a         50.0%\n"},
	} {
		var b bytes.Buffer
		if err := printRows(&b, c.rows, c.target); err != nil || b.String() != c.want {
			t.Errorf("%s: %v\n%swant\n%s", c.name, err, b.String(), c.want)
		}
	}
}
