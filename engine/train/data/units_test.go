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

// TestUnits refuses numbers in a unit also where the column is said to be numbers or is to be
// predicted, and takes them for categories where that is said.
func TestUnits(t *testing.T) {
	t.Parallel()
	values := column(";", inUnit(30, " m²")...)
	many := column(";", inUnit(1100, " km")...)
	labels := strings.ReplaceAll(strings.ReplaceAll(values, ";k", ";1"), ";l", ";2")
	for _, c := range []struct {
		name, text, label string
		kind              data.Kind
		measured          bool
		want              string
	}{
		{"number", values, "y", data.Number, false, `column "a": its values are numbers with a unit (m²), such as "70,5 m²" in line 2: take it out of the file`},
		{"category", values, "y", data.Category, false, ""},
		{"more categories than there may be", many, "y", data.Category, false, `more than 1000 categories, the last is "1070,5 km" in line 1002: set its kind in columns, ignore or text; they are numbers with a unit (km)`},
		{"label", labels, "a", data.Category, true, `in columns kind = "category" takes each for a category`},
		{"label that is said to be a class", labels, "a", data.Category, false, ""},
		{"number to be predicted", labels, "a", data.Number, false, `column "a": its values are numbers with a unit (m²)`},
	} {
		_, err := data.ReadTable(strings.NewReader(c.text), "f.csv", data.TableConfig{Label: c.label, Measured: c.measured, Columns: []data.Column{{Name: "a", Kind: c.kind}}})
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

// TestStandInsFilled does not advise what is set.
func TestStandInsFilled(t *testing.T) {
	t.Parallel()
	d := readTable(t, "b,a,y\n1,Gas,k\n1,-,k\n1,Holz,l\n", data.TableConfig{Label: "y", FillMissing: true})
	want := []string{`column "a": "-" is taken as a category: if it stands for missing values, leave the fields empty`}
	if got := d.Notes(); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
