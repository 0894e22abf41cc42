package data_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestMissingValues names words for missing values: they are missing in columns of any kind, of a
// table and of rows that are asked for.
func TestMissingValues(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("Fläche;Aufzug;y\n")
	for i := range 60 {
		text.WriteString([]string{"71,5", "68,25", "keine Angabe", "93,5", "-999", "88,0"}[i%6] + ";" + []string{"k.A.", "nein", "ja", "nein", "ja", "ja"}[i%6] + ";" + "kl"[i/3%2:i/3%2+1] + "\n")
	}
	cfg := data.TableConfig{Label: "y", Columns: []data.Column{{Name: "Fläche", Kind: data.Number}}, FillMissing: true}
	d := readTable(t, text.String(), cfg)
	for _, want := range []string{
		`column "Aufzug": "k.A." is taken as a category: if it stands for missing values, missing_values = ["k.A."] in [data.csv] says so`,
		`column "Fläche": 10 of 60 values are no numbers, such as "keine Angabe" in line 4: their rows are left out; kind = "category" instead of "number" in columns keeps them; missing_values = ["keine Angabe"] in [data.csv] keeps them if these words stand for missing values`,
	} {
		if got := told(d); d.Len() != 50 || !strings.Contains(got, want) {
			t.Errorf("%d rows, told %q, want %q", d.Len(), got, want)
		}
	}
	cfg.Missing = []string{"k. A.", "Keine angabe", "-999"}
	d = readTable(t, text.String(), cfg)
	const want = `column "Fläche": 20 values are missing or unknown, the first in line 4 ("-999" 10 times, "keine Angabe" 10 times): each counts as the mean`
	if got := told(d); d.Len() != 60 || !strings.Contains(got, want) || !strings.Contains(got, `column "Aufzug": 10 values are missing`) || strings.Contains(got, "missing_values") {
		t.Errorf("%d rows, told %q, want %q", d.Len(), got, want)
	}
	if got := d.Columns()[1].Categories; !slices.Equal(got, []string{"ja", "nein"}) {
		t.Errorf("categories %q", got)
	}
	r, err := data.NewRows(d.Columns()[:2], true, d.Format(), cfg.Missing...)
	if err != nil {
		t.Fatal(err)
	}
	x := make([]float32, r.Width())
	for _, number := range []string{"-999", "keine  angabe", "k.A."} {
		if err := r.Inputs(x, []string{number, "k.a."}, nil, "", ""); err != nil || !slices.Equal(x, []float32{0, 0, 0}) || r.Unknown(1, "k.a.") {
			t.Errorf("%q: %v, %v", number, x, err)
		}
	}
	if got := r.Missing(); !slices.Equal(got, cfg.Missing) {
		t.Errorf("the words are %q", got)
	}
	for _, words := range [][]string{{""}, {" "}, {"a\nb"}, {strings.Repeat("x", 65)}, {"\xff"}, make([]string, 300)} {
		if _, err := data.NewRows(d.Columns()[:1], true, d.Format(), words...); err == nil {
			t.Errorf("%.20q are words", words)
		}
	}
}

// TestMissingElsewhere tells of a category that is missing in another column of the file.
func TestMissingElsewhere(t *testing.T) {
	t.Parallel()
	d := readTable(t, "Aufzug;Fläche;y\nja;1,5;k\nk.A.;2,5;l\nnein;k.A.;k\nja;4,5;l\n", data.TableConfig{Label: "y", FillMissing: true})
	const want = `column "Aufzug": "k.A." is taken as a category: if it stands for missing values, as in column "Fläche", missing_values = ["k.A."] in [data.csv] says so`
	if got := told(d); !strings.Contains(got, want) {
		t.Errorf("told %q, want %q", got, want)
	}
}

// TestMissingOfRowsLeftOut counts the missing values of rows that are used, or could be.
func TestMissingOfRowsLeftOut(t *testing.T) {
	t.Parallel()
	text := column(";", repeat(60, "1,5", "2,5")...)
	text = strings.ReplaceAll(strings.Replace(text, "a;y", "a;b;y", 1), ",5;", ",5;7;") + "viele;;k\n1,5;;l\n"
	d := readTable(t, text, data.TableConfig{Label: "y", FillMissing: true})
	if got := told(d); !strings.Contains(got, `column "b": 1 value is missing or unknown, the first in line 63`) {
		t.Errorf("told %q", got)
	}
}

// TestOtherUnitThanOfName takes the unit that most values have, whatever the name says.
func TestOtherUnitThanOfName(t *testing.T) {
	t.Parallel()
	text := strings.Replace(column(";", append(inUnit(60, " ft²"), "7,5 m²")...), "a;", "Fläche (m²);", 1)
	d := readTable(t, text, data.TableConfig{Label: "y"})
	if col := d.Columns()[0]; col.Kind != data.Number || col.Unit != "ft²" || d.Len() != 60 {
		t.Errorf("%d rows of %+v", d.Len(), col)
	}
}

// TestUnitOfName takes numbers in the unit that stands in the name of their column.
func TestUnitOfName(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, value, want string }{
		{"Fläche (m²)", "38,2 m²", ""},
		{"Fläche [m²]", "38,2m²", ""},
		{"Fläche in m²", "38,2 m²", ""},
		{"Fläche, m²", "38,2 m²", ""},
		{"Fläche (in m²)", "38,2 m²", ""},
		{"Miete (€)", "38,2 €", ""},
		{"Miete in €/Monat", "38,2 EUR", ""},
		{"Anteil (%)", "38,2 %", ""},
		{"Fläche (m²)", "38,2 ft²", ": it is in ft², and the column in m²"},
		{"Miete (€)", "38,2 $", ": the column is in €"},
		{"Fläche (m²)", "38.2 m²", ": with a decimal comma, as the column has: write 38,2"},
		{"Fläche", "38,2 m²", ": it is in m², and the column has no unit"},
	} {
		text := strings.Replace(column(";", repeat(60, "1,5", "2,5")...), "a;", c.name+";", 1)
		if strings.Contains(c.name, ";") {
			t.Fatal(c.name)
		}
		d := readTable(t, text, data.TableConfig{Label: "y"})
		r, err := data.NewRows(d.Columns()[:1], false, d.Format())
		if err != nil {
			t.Fatal(err)
		}
		x := make([]float32, 1)
		err = r.Inputs(x, []string{c.value}, nil, "", "")
		if c.want == "" && (err != nil || x[0] != 38.2) || c.want != "" && (err == nil || !strings.Contains(err.Error(), strings.TrimPrefix(c.want, ": "))) {
			t.Errorf("%q in %q: %v, %v, want %q", c.value, c.name, x, err, c.want)
		}
		d = readTable(t, text+c.value+";k\n", data.TableConfig{Label: "y"})
		if want := 60; c.want == "" && (d.Len() != want+1 || d.Cell(60, 0) != 38.2 || strings.Contains(told(d), "no numbers")) {
			t.Errorf("%q in a table with %q: %d rows, told %q", c.value, c.name, d.Len(), told(d))
		}
	}
}
