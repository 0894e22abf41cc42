package data_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestNoCents reads amounts of which a dash stands in place of the cents, which is no minus.
func TestNoCents(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string // the other values are like it
		want float64
	}{
		{"337.663,-", 337663},
		{"€ 337.663,-", 337663},
		{"337.663,– €", 337663},
		{"337.663,--", 337663},
		{"337.663,—", 337663},
		{"337.663,-€", 337663},
		{"€ 45,-", 45},
		{"-45,-", -45},
		{"1.337.663,-", 1337663},
		{"337 663,-", 337663},
		{"337.663 ,-", 337663},
		{"337.663,00", 337663},
		{"337'663.-", 337663},
		{"CHF 337’663.–", 337663},
		{"Fr. 337.-", 337},
		{"337.663.–", 337663},
		{"337,663.-", 337663},
		{"45.--", 45},
		{"337.663,00-", -337663},
		{"337663-", -337663},
		{"€ 337.663,00-", -337663},
	} {
		var values []string
		for i := range 30 {
			values = append(values, strings.Replace(c.text, "63", fmt.Sprintf("%02d", i), 1))
		}
		values[0] = c.text
		d := readTable(t, column(";", values...), data.TableConfig{Label: "y"})
		col := d.Columns()[0]
		if col.Kind != data.Number || d.Len() != len(values) || d.Cell(0, 0) != c.want {
			t.Errorf("%q: %d rows of %v, want %v; told %q", c.text, d.Len(), col, c.want, told(d))
			continue
		}
		r, err := data.NewRows([]data.Column{col}, false, d.Format())
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 1)
		if err := r.Inputs(x, []string{c.text}, nil, "", ""); err != nil || float64(x[0]) != c.want {
			t.Errorf("%q where the model runs: %v, %v", c.text, x, err)
		}
		if minus := strings.Contains(told(d), "minus behind"); minus != (c.want == -337663) {
			t.Errorf("%q: told %q", c.text, told(d))
		}
	}
	for _, no := range []string{"3,5.-", "31.12.-", ",-", ".-", "2,-,-", "1,5,-", "5,---", "5.5.-"} {
		d := readTable(t, column(";", append(repeat(60, "1,5", "2,5"), no)...), data.TableConfig{Label: "y"})
		if d.Len() != 60 {
			t.Errorf("%q is read as %v", no, d.Cell(60, 0))
		}
	}
}

// TestAllMinus warns of a column of which nearly all numbers have their minus behind them.
func TestAllMinus(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		values []string
		warned bool
	}{
		"all":    {repeat(40, "1.512,25-", "712,62-"), true},
		"nearly": {append(repeat(60, "1.512,25-", "712,62-"), "8,5"), true},
		"some":   {append(repeat(60, "1.512,25-", "712,62"), "8,5"), false},
	} {
		d := readTable(t, column(";", c.values...), data.TableConfig{Label: "y"})
		const want = `column "a": nearly all numbers have a minus behind them`
		if got := strings.Contains(strings.Join(d.Warnings(), "\n"), want); got != c.warned {
			t.Errorf("%s: warned %q", name, d.Warnings())
		}
		survey := data.NewSurvey(1)
		for i, v := range c.values {
			survey.Add(0, v, i+2)
		}
		if first, all := survey.Minus(0); all != c.warned || all && first != `"1.512,25-" in line 2` {
			t.Errorf("%s: survey has %s, %v", name, first, all)
		}
	}
}
