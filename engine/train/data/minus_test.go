package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestTrailingMinus reads numbers whose minus is behind them, as SAP exports them, for training and
// where the model runs. Marks of a school are none.
func TestTrailingMinus(t *testing.T) {
	t.Parallel()
	var whole []string
	for i := range 30 {
		whole = append(whole, fmt.Sprint(i+1, "-"[:i%5/4]))
	}
	for _, c := range []struct {
		name, text string
		want       []float64 // the first values of the column
		note       string
	}{
		{"amounts", column(";", "1.512,25", "712,62-", "1.000,50 -", "8−"), []float64{1512.25, -712.62, -1000.5, -8}, `column "a": 3 values have a minus behind the number, such as "712,62-" in line 3, which is read as -712.62`},
		{"currencies", column(";", "5,50 €", "7,25- €", "8,00 €-", "€ 9,5-"), []float64{5.5, -7.25, -8, -9.5}, `such as "7,25- €" in line 3, which is read as -7.25`},
		{"whole numbers", column(";", whole...), []float64{1, 2, 3, 4, -5, 6}, `6 values have a minus behind the number, such as "5-" in line 6, which is read as -5`},
		{"marks", column(";", repeat(60, "1", "2", "2-", "3")...), nil, `45 of 60 values are numbers; it is taken for one of 4 categories`},
		{"few marks", column(";", append(repeat(60, "1", "2", "3"), "2-")...), []float64{1, 2, 3}, `1 of 61 values are no numbers, such as "2-" in line 62: their rows are left out`},
		{"two signs", column(";", append(repeat(60, "1,5", "2"), "-2,5-")...), []float64{1.5, 2}, `1 of 61 values are no numbers, such as "-2,5-" in line 62`},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "y"})
		col := d.Columns()[0]
		if notes := strings.Join(d.Notes(), "\n"); !strings.Contains(notes, c.note) {
			t.Errorf("%s: notes %q, want %s", c.name, notes, c.note)
		}
		if c.want == nil {
			if !slices.Contains(col.Categories, "2-") {
				t.Errorf("%s: %+v", c.name, col)
			}
			continue
		}
		r, err := data.NewRows([]data.Column{col}, false, d.Format())
		if err != nil {
			t.Fatal(err)
		}
		fields := strings.Split(c.text, "\n")[1:]
		for i, want := range c.want {
			x := make([]float32, 1)
			err := r.Inputs(x, strings.Split(fields[i], ";")[:1], nil, "", "")
			if got := d.Cell(i, 0); err != nil || got != want || x[0] != float32(want) {
				t.Errorf("%s: %q is %v, and %v where the model runs (%v), want %v", c.name, fields[i], got, x, err, want)
			}
		}
	}
	r, err := data.NewRows([]data.Column{{Name: "a", Kind: data.Number}}, false, data.Format{})
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, 1)
	if err := r.Inputs(x, []string{"7.5-"}, nil, "", ""); err != nil || x[0] != -7.5 {
		t.Errorf("7.5- of a model that saw no such number: %v, %v", x, err)
	}
	const want = `"2-" is not a number: its minus is behind it, which not only numbers have: write -2 if it is one`
	if err := r.Inputs(x, []string{"2-"}, nil, "", ""); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("2-: %v, want %s", err, want)
	}
}
