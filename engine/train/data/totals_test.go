package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// told joins all that a table tells of how it was read.
func told(d *data.Table) string {
	return strings.Join(append(d.Notes(), d.Warnings()...), "\n")
}

// flats are 40 rows of a table of Germans: the numbers of two columns are repeated, prices are
// from 500 to 890.
func flats(more ...string) string {
	out := "Ort;Zimmer;Preis\n"
	for i := range 40 {
		out += fmt.Sprintf("%s;%d,5;%d,25\n", []string{"Köln", "Bonn"}[i%2], i%5, 500+10*i)
	}
	return out + strings.Join(more, "\n")
}

// TestTotals has rows below or in a table that are no samples of it.
func TestTotals(t *testing.T) {
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
		{"two inputs", flats("Ulm;;512.345,67"), 41, "", "512345.67 in line 42"},
		{
			"several", flats(";;27.000,00", ";-;54.000,00"), 40,
			`f.csv:42: all inputs are missing: is it a sum?`, "2 rows look like totals, the first in line 42: all inputs are missing: is it a sum? They are left out, as nothing is learned from them",
		},
		{"a number is there", flats(";3;27.000,00"), 41, "", "1 value is far from the others"},
		{"a place is there", flats("Bonn;;700,00"), 41, "", "1 value is missing"},
		{"no label", flats(";;"), 40, "no value", ""},
		{"most", "a;b;Preis\n1;2;3\n;;4\n;;5\n", 3, "", "2 of 3 rows, the first in line 3, have no inputs, or only one that no other row has, or look like totals: nothing is learned from them"},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "Preis", Columns: price, FillMissing: true})
		_, list := d.Bad()
		var bad []string
		for _, b := range list {
			bad = append(bad, b.Error())
		}
		if notes := told(d); d.Len() != c.rows || !strings.Contains(strings.Join(bad, "\n"), c.bad) || c.bad == "" && len(bad) > 0 || !strings.Contains(notes, c.note) {
			t.Errorf("%s: %d rows, left out %q, notes %q; want %d, %q and %q", c.name, d.Len(), bad, notes, c.rows, c.bad, c.note)
		}
		if i := slices.IndexFunc(d.Columns(), func(c data.Column) bool { return slices.Contains(c.Categories, "Summe") }); i >= 0 && c.name == "named" {
			t.Errorf("%s: the column %q has a category for the row that was left out", c.name, d.Columns()[i].Name)
		}
	}
}

// TestTotalOfAnotherFile reads a table for validation, whose categories are those of training.
func TestTotalOfAnotherFile(t *testing.T) {
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

// TestTotalsOfNumbers has rows whose numbers are sums of their columns, and rows that are not
// although some are.
func TestTotalsOfNumbers(t *testing.T) {
	t.Parallel()
	table := func(from, to int) (out string) {
		for i := from; i < to; i++ {
			out += fmt.Sprintf("%s;%d,%d;%d;%d,%d\n", []string{"Köln", "Bonn"}[i%2], i%5+1, i%2*5, 5+i%6, 500+i%11*4, i%2*5)
		}
		return out
	}
	sums := func(from, to int) (area, rooms, price float64) {
		for i := from; i < to; i++ {
			area += float64(i%5+1) + float64(i%2)*0.5
			rooms += float64(5 + i%6)
			price += float64(500+i%11*4) + float64(i%2)*0.5
		}
		return area, rooms, price
	}
	german := func(v float64) string { return strings.Replace(fmt.Sprintf("%.1f", v), ".", ",", 1) }
	total := func(name string, from, to int) string {
		area, rooms, price := sums(from, to)
		return fmt.Sprintf("%s;%s;%.0f;%s\n", name, german(area), rooms, german(price))
	}
	const header = "Ort;Fläche;Zimmer;Preis\n"
	_, _, price := sums(0, 30)
	_, rooms, _ := sums(0, 30)
	for _, c := range []struct {
		name, text string
		rows       int
		told       string
	}{
		{"named", table(0, 30) + total("Summe", 0, 30), 30, "line 32: its 3 numbers are the sums of their columns: is it a total? The row is left out"},
		{"without a name", table(0, 30) + total("", 0, 30), 30, "line 32: its 3 numbers"},
		{"some missing", table(0, 30) + fmt.Sprintf("Summe;;%.0f;%s\n", rooms, german(price)), 30, "line 32: its 2 numbers"},
		{"what is predicted alone", table(0, 30) + fmt.Sprintf("Summe;n.a.;n.a.;%s\n", german(price)), 30, "line 32: all inputs are missing but \"Summe\""},
		{"parts and all", table(0, 14) + total("Summe A", 0, 14) + table(14, 30) + total("Summe B", 14, 30) + total("Summe", 0, 30), 30, "3 rows look like totals, the first in line 16"},
		{"not the sum", table(0, 30) + fmt.Sprintf("Ulm;;%.0f;%s\n", rooms, german(price+1)), 31, ""},
		{"a number that is none", table(0, 30) + fmt.Sprintf("Summe;12,5;%.0f;%s\n", rooms, german(price)), 31, ""},
		{"a known place", table(0, 30) + fmt.Sprintf("Bonn;;%.0f;%s\n", rooms, german(price)), 31, ""},
	} {
		d := readTable(t, header+c.text, data.TableConfig{Label: "Preis", Columns: []data.Column{{Name: "Preis", Kind: data.Number}}, FillMissing: true})
		got := told(d)
		if d.Len() != c.rows || !strings.Contains(got, c.told) || c.told == "" && strings.Contains(got, "total?") {
			t.Errorf("%s: %d rows, told %q; want %d and %q", c.name, d.Len(), got, c.rows, c.told)
		}
		if i := slices.IndexFunc(d.Columns(), func(c data.Column) bool { return slices.Contains(c.Categories, "Summe") }); i >= 0 && c.rows == 30 {
			t.Errorf("%s: the column %q has a category for the row that was left out", c.name, d.Columns()[i].Name)
		}
	}
}

// TestTotalsAtTheEnd has numbers alone: a row that is the sum of those above is a total if no other
// row comes below it.
func TestTotalsAtTheEnd(t *testing.T) {
	t.Parallel()
	const rows = "a,b,y\n7,1,3\n4,5,2\n9,2,8\n3,6,4\n5,5,5\n2,8,1\n"
	for text, want := range map[string]int{rows + "30,27,23\n": 6, rows + "30,27,23\n1,2,3\n": 8, rows + "30,27,24\n": 7} {
		d := readTable(t, text, data.TableConfig{Label: "y", Columns: []data.Column{{Name: "y", Kind: data.Number}}})
		if d.Len() != want {
			t.Errorf("%q: %d rows, want %d", text, d.Len(), want)
		}
	}
}

// TestNotesWithoutTotals counts in its notes the rows that are used.
func TestNotesWithoutTotals(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("Ort;Art;Fläche;Preis\n")
	for i := range 30 {
		fmt.Fprintf(&text, "O%d;%s;%d,5 m²;%d,50 €\n", i, []string{"neu", "alt"}[i%2], 50+i%7, 500+i%5)
	}
	text.WriteString("Summe;;1.600,0 m²;15.075,00 €\n")
	d := readTable(t, text.String(), data.TableConfig{Label: "Preis", Columns: []data.Column{{Name: "Preis", Kind: data.Number}}, FillMissing: true})
	got := told(d)
	for _, want := range []string{`column "Ort": 30 categories in 30 rows`, `column "Fläche": 30 values have m², such as "50,5 m²" in line 2`, `column "Preis": 30 values have €`, "line 32: its 2 numbers are the sums"} {
		if !strings.Contains(got, want) {
			t.Errorf("told %q, want %q", got, want)
		}
	}
	if strings.Contains(got, "missing or unknown") {
		t.Errorf("told %q of a row that is left out", got)
	}
}
