package data_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// flat is a row of a table as a spreadsheet exports it: numbers are shown with fewer decimals than
// they have.
type flat struct {
	city, storey       string
	area, rent, price  float64
	rooms, number, day int
}

// german writes a number as Germans do.
func german(v float64, decimals int) string {
	text := fmt.Sprintf("%.*f", decimals, math.Abs(v))
	whole, rest, _ := strings.Cut(text, ".")
	for i := len(whole) - 3; i > 0; i -= 3 {
		whole = whole[:i] + "." + whole[i:]
	}
	if rest != "" {
		whole += "," + rest
	}
	if v < 0 {
		return "-" + whole
	}
	return whole
}

// exported are so many rows, the same each time.
func exported(n int) (rows []flat) {
	r := data.NewRand(7, 0, 0)
	for i := range n {
		f := flat{city: []string{"Köln", "Bonn", "Trier"}[i%3], storey: []string{"oben", "unten"}[i/3%2], rooms: 1 + int(r.Uint64()%6), number: 10001 + i, day: i}
		f.area, f.rent = 25+150*r.Float64(), 300+900*r.Float64()
		f.price = f.area * (3000 + 2000*r.Float64())
		rows = append(rows, f)
	}
	return rows
}

const exportedHeader = "Objekt-Nr;Datum;Stadt;Lage;Fläche (m²);Zimmer;Miete;Preis\n"

// line is a row of the file.
func (f *flat) line() string {
	return fmt.Sprintf("%d;%02d.%02d.2025;%s;%s;%s;%d;%s;%s €\n", f.number, 1+f.day%28, 1+f.day/28%12, f.city, f.storey, german(f.area, 1), f.rooms, german(f.rent, 2), german(f.price, 2))
}

func lines(rows []flat) (out string) {
	for i := range rows {
		out += rows[i].line()
	}
	return out
}

// total is a row of sums of what the rows have, before it is rounded, over so many.
func total(rows []flat, title string, over float64) string {
	var s flat
	for _, f := range rows {
		s.area, s.rent, s.price, s.rooms = s.area+f.area, s.rent+f.rent, s.price+f.price, s.rooms+f.rooms
	}
	rooms := german(float64(s.rooms)/over, 0)
	if over > 1 {
		rooms = german(float64(s.rooms)/over, 1)
	}
	return fmt.Sprintf("%s;;;;%s;%s;%s;%s €\n", title, german(s.area/over, 1), rooms, german(s.rent/over, 2), german(s.price/over, 2))
}

// extreme is a row of the least or the largest of what the rows have.
func extreme(rows []flat, title string, from float64, better func(a, b float64) float64) string {
	area, rooms, rent, price := from, from, from, from
	for _, f := range rows {
		area, rooms, rent, price = better(area, f.area), better(rooms, float64(f.rooms)), better(rent, f.rent), better(price, f.price)
	}
	return fmt.Sprintf("%s;;;;%s;%s;%s;%s €\n", title, german(area, 1), german(rooms, 0), german(rent, 2), german(price, 2))
}

// withoutNumbers leaves out the first two fields of each line, and puts the first into the third.
func withoutNumbers(text string) (out string) {
	for _, line := range strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n") {
		fields := strings.Split(line, ";")
		if fields[2] == "" {
			fields[2] = fields[0]
		}
		out += strings.Join(fields[2:], ";")
	}
	return out + "\n"
}

// TestTotalsOfRounded leaves out rows of sums and means as a spreadsheet computes them, from numbers
// that it does not show, and rows that are called so. Columns that count the rows are known beside them.
func TestTotalsOfRounded(t *testing.T) {
	t.Parallel()
	const n = 150
	all := exported(n)
	body := lines(all)
	if shown := total(all, "", 1); strings.Contains(shown, ";;;;"+german(sumOfShown(all), 1)+";") {
		t.Fatal("rounding does not change the sum")
	}
	for _, c := range []struct {
		name, text string
		out        int
		told       string
	}{
		{"sum", body + total(all, "Summe", 1), 1, "line 152: its 4 numbers are the sums of their columns: is it a total? The row is left out"},
		{"without a title", body + total(all, "", 1), 1, "line 152: its 4 numbers are the sums"},
		{"with another title", body + total(all, "Alles", 1), 1, "line 152: its 4 numbers are the sums"},
		{"parts", lines(all[:50]) + total(all[:50], "Zwischensumme", 1) + lines(all[50:]) + total(all[50:], "Zwischensumme", 1) + total(all, "Gesamtsumme 150 Objekte", 1), 3, "3 rows look like totals, the first in line 52: its 4 numbers are the sums"},
		{"mean", body + total(all, "Durchschnitt", n), 1, "line 152: its 4 numbers are the means of their columns"},
		{"mean without a title", body + total(all, "", n), 1, "line 152: its 4 numbers are the means of their columns"},
		{"sum and mean", body + total(all, "Summe", 1) + total(all, "Mittelwert", n), 2, "2 rows look like totals, the first in line 152"},
		{"not of these rows", body + "Average;;;;95,3;;;434.407,51 €\n", 1, `line 152: it is called "Average": is it a total?`},
		{"extremes", body + extreme(all, "Minimum", math.Inf(1), func(a, b float64) float64 { return min(a, b) }) + extreme(all, "Max.", 0, func(a, b float64) float64 { return max(a, b) }), 2, "line 152: its 4 numbers are the least of their columns"},
		{"part of a name", body + "Köln Ergebnis;;Köln;;95,3;;;434.407,51 €\n", 1, `line 152: it is called "Köln Ergebnis"`},
		{"beside dates", strings.ReplaceAll(body, ".2025;", ".2024;") + strings.Replace(total(all, "", 1), ";", ";Total général", 1), 1, "line 152: its 4 numbers are the sums"},
	} {
		for _, fill := range []bool{true, false} {
			d := readTable(t, exportedHeader+c.text, data.TableConfig{Label: "Preis", Columns: []data.Column{{Name: "Preis", Kind: data.Number}}, FillMissing: fill})
			got := told(d)
			if bad, _ := d.Bad(); d.Len() != n || bad != c.out || !strings.Contains(got, c.told) {
				t.Errorf("%s: %d rows, %d left out, told %q; want %q", c.name, d.Len(), bad, got, c.told)
			}
			if strings.Contains(got, "missing or unknown") || strings.Contains(got, "no numbers") || !strings.Contains(got, `column "Objekt-Nr" counts the rows, from 10001 to 10150: it is left out`) {
				t.Errorf("%s: told %q", c.name, got)
			}
		}
		if c.name == "part of a name" || c.name == "beside dates" {
			continue
		}
		d := readTable(t, withoutNumbers(exportedHeader+c.text), data.TableConfig{Label: "Preis", Columns: []data.Column{{Name: "Preis", Kind: data.Number}}, FillMissing: true})
		if bad, _ := d.Bad(); d.Len() != n || bad != c.out || !slices.Equal(d.Columns()[0].Categories, []string{"Bonn", "Köln", "Trier"}) {
			t.Errorf("%s without numbers of rows: %d rows, %d left out, told %q", c.name, d.Len(), bad, told(d))
		}
	}
}

// sumOfShown is the sum of the areas as they are shown.
func sumOfShown(rows []flat) (sum float64) {
	for _, f := range rows {
		sum += math.Round(f.area*10) / 10
	}
	return sum
}

// TestNoTotals keeps rows that are like totals, and are none.
func TestNoTotals(t *testing.T) {
	t.Parallel()
	all := exported(60)
	body := withoutNumbers(exportedHeader + lines(all))
	firms := "Firma;Ort;Umsatz;Gewinn\n"
	for i := range 40 {
		firms += fmt.Sprintf("%s;%s;%d,5;%d,%d\n", []string{"Total", "Aral", "Shell", "Jet"}[min(i, 1+i%3)], []string{"Köln", "Bonn"}[i%2], 100+i*7%31, i*5%17, i%10)
	}
	changes := "a;b;y\n"
	for i := range 60 {
		changes += fmt.Sprintf("%d,%d;%s;%d,%d\n", i%7-3, i%10, []string{"u", "v", ""}[i%3], i%5-2, i%9)
	}
	for _, c := range []struct {
		name, text, label string
		rows              int
	}{
		{"twice the sum", body + "Ulm;;" + german(2*sumOfShown(all), 1) + ";;;1,00 €\n", "Preis", 61},
		{"a firm", firms, "Gewinn", 40},
		{"a firm of which something is unknown", firms + "Summit;;1,5;2,5\n", "Gewinn", 41},
		{"small changes about zero", changes + "0,5;;0,5\n", "y", 61},
		{"a mean of one column", body + "Bonn;oben;" + german(sumOfShown(all)/60, 1) + ";3;400,00;1,00 €\n", "Preis", 61},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: c.label, Columns: []data.Column{{Name: c.label, Kind: data.Number}}, FillMissing: true})
		if d.Len() != c.rows {
			t.Errorf("%s: %d rows, want %d; told %q", c.name, d.Len(), c.rows, told(d))
		}
	}
}

// TestTotalOfValidation reads a table like another one: its total has its title in a column that is
// no input.
func TestTotalOfValidation(t *testing.T) {
	t.Parallel()
	all := exported(60)
	cfg := data.TableConfig{Label: "Preis", Columns: []data.Column{{Name: "Preis", Kind: data.Number}}, FillMissing: true}
	first := readTable(t, exportedHeader+lines(all), cfg)
	cfg.Columns, cfg.Only = slices.DeleteFunc(slices.Clone(first.Columns()), func(c data.Column) bool { return c.Kind == data.Ignore }), true
	second := readTable(t, exportedHeader+lines(all)+"Summe;;;;1,0;;;2,00 €\n", cfg)
	if bad, list := second.Bad(); second.Len() != 60 || bad != 1 || !strings.Contains(list[0].Error(), `it is called "Summe": is it a total?`) {
		t.Errorf("%d rows, left out %v", second.Len(), list)
	}
}

// TestCountersWithOthers leaves out a column that counts the rows although some of its values are
// none of its numbers.
func TestCountersWithOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		instead []string // in place of numbers
		want    data.Kind
		told    string
	}{
		{"a word", []string{"neu"}, data.Ignore, `column "a" counts the rows, from 1000 to 1059, but for 1 row, such as "neu" in line 12: it is left out`},
		{"missing", []string{"", "?"}, data.Ignore, `but for 2 rows, such as "" in line 12`},
		{"out of order", []string{"9"}, data.Ignore, `column "a" counts the rows, from 1000 to 1059: it is left out`},
		{"many", []string{"", "", "", ""}, data.Number, ""},
		{"many out of order", []string{"9", "7", "3", "8", "1", "2"}, data.Number, ""},
	} {
		var text strings.Builder
		text.WriteString("a;b;y\n")
		for i := range 60 {
			value := fmt.Sprint(1000 + i)
			if at := i/10 - 1; i%10 == 0 && at >= 0 && at < len(c.instead) {
				value = c.instead[at]
			}
			fmt.Fprintf(&text, "%s;%d,5;%s\n", value, i%7, "kl"[i%2:i%2+1])
		}
		d := readTable(t, text.String(), data.TableConfig{Label: "y", FillMissing: true})
		if got := strings.Join(d.Warnings(), "\n"); d.Columns()[0].Kind != c.want || !strings.Contains(got, c.told) || c.told == "" && got != "" {
			t.Errorf("%s: %v, told %q, want %v and %q", c.name, d.Columns()[0].Kind, got, c.want, c.told)
		}
	}
}
