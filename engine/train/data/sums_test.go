package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// flats are 40 rows of a table of Germans: the numbers of two columns are repeated, prices are
// from 500 to 890.
func flats(more ...string) string {
	out := "Ort;Zimmer;Preis\n"
	for i := range 40 {
		out += fmt.Sprintf("%s;%d,5;%d,25\n", []string{"Köln", "Bonn"}[i%2], i%5, 500+10*i)
	}
	return out + strings.Join(more, "\n")
}

// TestSums has rows below or in a table that are no samples of it.
func TestSums(t *testing.T) {
	t.Parallel()
	price := []data.Column{{Name: "Preis", Kind: data.Number}}
	for _, c := range []struct {
		name, text string
		rows       int
		bad, note  string
	}{
		{
			"below", flats(";-;512.345,67"), 40,
			`f.csv:42: all inputs are missing: is it a sum?`, "line 42: all inputs are missing: is it a sum? The row is left out, as nothing is learned from it",
		},
		{
			"named", strings.Replace(strings.ReplaceAll(flats(), "\n", "\nA;"), "Ort;", "Art;Ort;", 1)[:len(flats())+2*40+len("Art;")] + "Summe;;;512.345,67\n", 40,
			`f.csv:42: all inputs are missing but "Summe", which no other row has: is it a sum?`, `line 42: all inputs are missing but "Summe"`,
		},
		{"two inputs", flats("Summe;;512.345,67"), 41, "", "512345.67 in line 42"},
		{
			"several", flats(";;27.000,00", ";-;54.000,00"), 40,
			`f.csv:42: all inputs are missing: is it a sum?`, "2 rows, the first in line 42, have no inputs, or only one that no other row has: are they sums? They are left out",
		},
		{"a number is there", flats(";3;27.000,00"), 41, "", "1 value is far from the others"},
		{"a place is there", flats("Bonn;;700,00"), 41, "", "1 value is missing"},
		{"no label", flats(";;"), 40, "no value", ""},
		{"most", "a;b;Preis\n1;2;3\n;;4\n;;5\n", 3, "", "2 of 3 rows, the first in line 3, have no inputs, or only one that no other row has: nothing is learned from them"},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "Preis", Columns: price, FillMissing: true})
		_, list := d.Bad()
		var bad []string
		for _, b := range list {
			bad = append(bad, b.Error())
		}
		if notes := strings.Join(d.Notes(), "\n"); d.Len() != c.rows || !strings.Contains(strings.Join(bad, "\n"), c.bad) || c.bad == "" && len(bad) > 0 || !strings.Contains(notes, c.note) {
			t.Errorf("%s: %d rows, left out %q, notes %q; want %d, %q and %q", c.name, d.Len(), bad, notes, c.rows, c.bad, c.note)
		}
		if i := slices.IndexFunc(d.Columns(), func(c data.Column) bool { return slices.Contains(c.Categories, "Summe") }); i >= 0 && c.name == "named" {
			t.Errorf("%s: the column %q has a category for the row that was left out", c.name, d.Columns()[i].Name)
		}
	}
}

// TestSumOfAnotherFile reads a table for validation, whose categories are those of training.
func TestSumOfAnotherFile(t *testing.T) {
	t.Parallel()
	cfg := data.TableConfig{Label: "y", Columns: []data.Column{{Name: "y", Kind: data.Number}}, FillMissing: true}
	first := readTable(t, "a;b;c;y\nk;1;2;10\nl;2;4;11\n", cfg)
	cfg.Columns, cfg.Only = first.Columns(), true
	second := readTable(t, "a;b;c;y\nl;;;10\nk;4;1;11\nk;5;1;12\nk;6;1;13\nSumme;;;46\nm;1;;10\n", cfg)
	if _, list := second.Bad(); second.Len() != 5 || len(list) != 1 || !strings.Contains(list[0].Error(), `f.csv:6: all inputs are missing but "Summe"`) {
		t.Errorf("%d rows, left out %v", second.Len(), list)
	}
	if got := second.Columns()[0].Categories; !slices.Equal(got, []string{"k", "l"}) {
		t.Errorf("categories %q", got)
	}
}

// TestFarLabels tells of numbers to be predicted that are far from all others.
func TestFarLabels(t *testing.T) {
	t.Parallel()
	table := func(n int, value func(i int) float64) string {
		out := "a,y\n"
		for i := range n {
			out += fmt.Sprintf("%d.5,%g\n", i%7, value(i))
		}
		return out
	}
	spread := func(i int) float64 { return 500 + 1500*float64(i*37%100)/100 }
	for _, c := range []struct {
		name, text, want string
		kind             data.Kind
	}{
		{"a sum", table(100, spread) + "3.5,512345.67\n", `column "y": 1 value is far from the others, of which half are from 875 to 1625: 512345.67 in line 102: if that is a sum or a mistake, take it out of the file`, data.Number},
		{"below", table(100, spread) + "3.5,-99999\n", "-99999 in line 102", data.Number},
		{"many", table(100, spread) + strings.Repeat("3.5,1e6\n", 5), `5 values are far from the others, of which half are from 890 to 1670: 1000000 in line 102, 1000000 in line 103, 1000000 in line 104, and 2 more`, data.Number},
		{"none", table(100, spread) + "3.5,9000\n", "", data.Number},
		{"few rows", table(10, spread) + "3.5,512345.67\n", "", data.Number},
		{"mostly zeros", table(100, func(i int) float64 { return float64(i % 10 / 9 * 500) }), "", data.Number},
		{"classes", table(100, func(i int) float64 { return float64(i%2) * 1e6 }), "", data.Category},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "y", Columns: []data.Column{{Name: "y", Kind: c.kind}}})
		if notes := strings.Join(d.Notes(), "\n"); !strings.Contains(notes, c.want) || c.want == "" && notes != "" {
			t.Errorf("%s: notes %q, want %q", c.name, notes, c.want)
		}
	}
}
