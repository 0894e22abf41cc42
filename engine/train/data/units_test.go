package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// inUnit returns different numbers in a unit.
func inUnit(n int, unit string) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%d,5%s", 70+i, unit))
	}
	return out
}

// TestUnits takes numbers in one unit for numbers, unless they are said to be categories or classes.
func TestUnits(t *testing.T) {
	t.Parallel()
	values := column(";", inUnit(30, " m²")...)
	labels := strings.ReplaceAll(strings.ReplaceAll(values, ";k", ";1"), ";l", ";2")
	for _, c := range []struct {
		name, text, label string
		kind              data.Kind
		measured          bool
		want              data.Kind
		err               string
	}{
		{"found out", values, "y", data.Auto, false, data.Number, ""},
		{"number", values, "y", data.Number, false, data.Number, ""},
		{"without a blank", column(";", inUnit(30, "kWh")...), "y", data.Auto, false, data.Number, ""},
		{"half of them", column(";", append(inUnit(16, " m²"), inUnit(14, "")...)...), "y", data.Auto, false, data.Number, ""},
		{"one word among them", column(";", append(inUnit(30, " m²"), "unknown")...), "y", data.Auto, false, data.Number, ""},
		{"a few of them", column(";", append(inUnit(10, "a"), inUnit(20, "")...)...), "y", data.Auto, false, 0, "20 of 30 values are numbers and 10 are not"},
		{"several units", column(";", append(inUnit(15, " m"), inUnit(15, " km")...)...), "y", data.Auto, false, data.Category, ""},
		{"numbers in several units", column(";", append(inUnit(15, " m"), inUnit(15, " km")...)...), "y", data.Number, false, 0, `none of its 30 values is a number, such as "70,5 m"`},
		{"category", values, "y", data.Category, false, data.Category, ""},
		{"more categories than there may be", column(";", inUnit(1100, " km")...), "y", data.Category, false, 0, `more than 1000 categories, the last is "1070,5 km" in line 1002`},
		{"label", labels, "a", data.Category, true, 0, `column "a": its values are numbers that are measured, not classes: 30 different ones in 30 rows, the first is "70,5 m²" in line 2`},
		{"label that is said to be a class", labels, "a", data.Category, false, data.Category, ""},
		{"number to be predicted", labels, "a", data.Number, false, data.Number, ""},
	} {
		d, err := data.ReadTable(strings.NewReader(c.text), "f.csv", data.TableConfig{Label: c.label, Measured: c.measured, Columns: []data.Column{{Name: "a", Kind: c.kind}}})
		if (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.err)
		}
		if err == nil && (d.Columns()[0].Kind != c.want || c.want == data.Number && d.Cell(1, 0) != 71.5) {
			t.Errorf("%s: got %v", c.name, d.Columns()[0])
		}
	}
}

// TestUnitOfAModel gives rows to a column in a unit: in it, without one and in another one.
func TestUnitOfAModel(t *testing.T) {
	t.Parallel()
	d := readTable(t, column(";", inUnit(30, " m²")...), data.TableConfig{Label: "y"})
	r, err := data.NewRows(d.Columns()[:1], false, d.Format())
	if err != nil {
		t.Fatal(err)
	}
	var out [1]float32
	for value, want := range map[string]float32{"12,5 m²": 12.5, "12,5m²": 12.5, "12,5": 12.5, "-3 m²": -3} {
		if err := r.Inputs(out[:], []string{value}, nil, "", ""); err != nil || out[0] != want {
			t.Errorf("%s: got %v, %v, want %v", value, out, err, want)
		}
	}
	for value, want := range map[string]string{"12,5 ft²": "it is in ft², and the column in m²", "5 €": "the column is in m²", "m²": "is not a number"} {
		if err := r.Inputs(out[:], []string{value}, nil, "", ""); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", value, err, want)
		}
	}
}

// TestStandInsFilled does not advise what is set.
func TestStandInsFilled(t *testing.T) {
	t.Parallel()
	d := readTable(t, "b,a,y\n1,Gas,k\n1,-,k\n1,Holz,l\n", data.TableConfig{Label: "y", FillMissing: true})
	want := []string{`column "a": "-" is taken as a category: if it stands for missing values, missing_values = ["-"] in [data.csv] says so`}
	if got := d.Notes(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
