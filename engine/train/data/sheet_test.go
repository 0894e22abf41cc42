package data_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"

	"github.com/covey-network/covey/engine/train/data"
)

// fromPandas reads what testdata/make/tables.py wrote.
func fromPandas(t *testing.T, name string, into any) {
	t.Helper()
	b, err := os.ReadFile("testdata/tables/" + name)
	if err == nil {
		err = json.Unmarshal(b, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// TestExportedTables reads files as people have them, told nothing but the label: kinds and
// values are those of pandas, which was told everything.
func TestExportedTables(t *testing.T) {
	t.Parallel()
	var files []struct {
		File, Encoding, Separator, Label string
		Columns                          []struct {
			Name, Kind string
			Values     []any
		}
	}
	fromPandas(t, "tables.json", &files)
	for _, f := range files {
		t.Run(f.File, func(t *testing.T) {
			t.Parallel()
			b, err := os.ReadFile("testdata/tables/" + f.File)
			if err != nil {
				t.Fatal(err)
			}
			d := readTable(t, string(b), data.TableConfig{Label: f.Label, FillMissing: true})
			if got := d.Format(); got.Encoding != f.Encoding || got.Separator != f.Separator {
				t.Errorf("format %+v, want %s and %q", got, f.Encoding, f.Separator)
			}
			columns := d.Columns()
			if len(columns) != len(f.Columns) || d.Len() != len(f.Columns[0].Values) {
				t.Fatalf("%d columns and %d rows, want %d and %d", len(columns), d.Len(), len(f.Columns), len(f.Columns[0].Values))
			}
			at := 0 // of the column's inputs
			for c, want := range f.Columns {
				if columns[c].Name != want.Name || columns[c].Kind.String() != want.Kind {
					t.Errorf("column %q is %v, want %q %s", columns[c].Name, columns[c].Kind, want.Name, want.Kind)
					continue
				}
				for i, v := range want.Values {
					if got := cell(t, d, i, c, at); got != v && want.Kind != "ignore" {
						t.Errorf("column %q, row %d: got %v, pandas has %v", want.Name, i+1, got, v)
					}
				}
				if want.Name != f.Label {
					at += map[string]int{"number": 1, "category": len(columns[c].Categories)}[want.Kind]
				}
			}
		})
	}
}

// cell returns the value of a row whose inputs begin at a place: a number as JSON has it, a
// category's name, or nil.
func cell(t *testing.T, d *data.Table, row, c, at int) any {
	t.Helper()
	s := d.Shape().NewSample()
	if err := d.Sample(&s, row, nil); err != nil {
		t.Fatal(err)
	}
	col := d.Columns()[c]
	if _, label := d.Label(); label == c {
		return col.Categories[s.Label]
	}
	switch col.Kind {
	case data.Number:
		if d.IsMissing(row, c) {
			return nil
		}
		return d.Cell(row, c)
	case data.Category:
		if i := slices.Index(s.Values[at:at+len(col.Categories)], 1); i >= 0 {
			return col.Categories[i]
		}
	}
	return nil
}

// TestNumbers compares what is a number with pandas.
func TestNumbers(t *testing.T) {
	t.Parallel()
	var read map[string]*float64
	fromPandas(t, "numbers.json", &read)
	for text, want := range read {
		cfg := data.TableConfig{Label: "y", Columns: []data.Column{{Name: "a", Kind: data.Number}}}
		value, european := strings.CutPrefix(text, "european ")
		if cfg.Format = (data.Format{Separator: ";", Decimal: ".", Thousands: "none"}); european {
			cfg.Format.Decimal, cfg.Format.Thousands = ",", "."
		}
		d, err := data.ReadTable(strings.NewReader("a;y\n2;2\n"+value+";1\n"), "f", cfg)
		switch {
		case err != nil:
			t.Errorf("%s: %v", text, err)
		case want == nil && d.Len() != 1:
			t.Errorf("%s is a number, %v, and none in pandas", text, d.Cell(1, 0))
		case want != nil && (d.Len() != 2 || d.Cell(1, 0) != *want):
			t.Errorf("%s is not %v, as in pandas: %d rows", text, *want, d.Len())
		}
	}
}

// column makes a table of a column and a label, separated as said.
func column(sep string, values ...string) string {
	out := "a" + sep + "y\n"
	for i, v := range values {
		out += v + sep + "kl"[i%2:i%2+1] + "\n"
	}
	return out
}

// repeat returns values over and over.
func repeat(n int, values ...string) (out []string) {
	for i := range n {
		out = append(out, values[i%len(values)])
	}
	return out
}

// TestNotations tells how the numbers of a column are written from all of them.
func TestNotations(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		want       data.Notation
		first      float64
		note       string
	}{
		{"decimals", column(",", "1.234", "0.5"), data.Notation{}, 1.234, ""},
		{"three decimals beside 0", column(",", "1.234", "0"), data.Notation{}, 1.234, ""},
		{"three decimals alone", column(",", "1.234", "2.345"), data.Notation{}, 1.234, ""},
		{"decimal comma", column(";", "1,234", "0,5"), data.Notation{Decimal: ","}, 1.234, `such as "1,234" in line 2 as 1.234`},
		{"thousands after all", column(";", "1.234", "0,5"), data.Notation{Decimal: ",", Thousands: "."}, 1234, `"1.234" in line 2 as 1234`},
		{"both", column(";", "1.234.567,25", "1"), data.Notation{Decimal: ",", Thousands: "."}, 1234567.25, ""},
		{"quoted thousands", column(",", `"1,234"`, "17"), data.Notation{Thousands: ","}, 1234, `"1,234" in line 2 as 1234`},
		{"thousands beside short numbers", column(";", "1,234", "17", "220"), data.Notation{Thousands: ","}, 1234, "with thousands"},
		{"Swiss", column(";", "1'234.50", "1’000'000.25"), data.Notation{Thousands: "'"}, 1234.5, ""},
		{"narrow blanks", column(";", "1\u202f234,5", "3"), data.Notation{Decimal: ",", Thousands: " "}, 1234.5, ""},
		{"dollars", column(",", "$5", "-$6.50", "7"), data.Notation{Unit: "$"}, 5, `2 values have $, such as "$5" in line 2`},
		{"euros and EUR", column(";", "5,50 EUR", "€ 7", "EUR 8,1"), data.Notation{Decimal: ",", Unit: "€"}, 5.5, "3 values have €"},
		{"dollars", column(";", "5.50 USD", "US$ 7.25", "$8"), data.Notation{Unit: "$"}, 5.5, "3 values have $"},
		{"pounds", column(";", "5.50 GBP", "£8"), data.Notation{Unit: "£"}, 5.5, "2 values have £"},
		{"francs", column(";", "Fr. 5.50", "8 CHF", "7 Fr."), data.Notation{Unit: "CHF"}, 5.5, "3 values have CHF"},
		{"one unit", column(";", "5.50 EUR", "8"), data.Notation{Unit: "€"}, 5.5, "1 value has €"},
		{"euros", column(";", "5,50 €", "€ 7"), data.Notation{Decimal: ",", Unit: "€"}, 5.5, "2 values have €"},
		{"codes", column(";", "CHF 5", "7 CHF"), data.Notation{Unit: "CHF"}, 5, "2 values have CHF"},
		{"percent", column(";", "12 %", "7%", "9"), data.Notation{Unit: "%"}, 12, `1 have not, such as "9" in line 4, and count as %`},
		{"true minus", column(";", "−5", "7"), data.Notation{}, -5, ""},
		{"n.a.", column(",", append(repeat(80, "1", "2"), repeat(30, "n.a.", "-", "#DIV/0!", "inf")...)...), data.Notation{}, 1, `30 values are missing or unknown, the first in line 82 ("-" 8 times, "n.a." 8 times, "#DIV/0!" 7 times, "inf" 7 times)`},
		{"few words", column(",", append(repeat(57, "1", "2"), "three")...), data.Notation{}, 1, `1 of 58 values are no numbers, such as "three" in line 59: their rows are left out`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := readTable(t, c.text, data.TableConfig{Label: "y"})
			col := d.Columns()[0]
			if col.Kind != data.Number || col.Notation != c.want || d.Cell(0, 0) != c.first {
				t.Errorf("column %+v begins with %v, want %+v and %v", col, d.Cell(0, 0), c.want, c.first)
			}
			if notes := strings.Join(d.Notes(), "\n"); !strings.Contains(notes, c.note) || c.note == "" && notes != "" {
				t.Errorf("notes %q, want %q", notes, c.note)
			}
		})
	}
}

// TestOtherColumns tells decimals of a column that does not tell them from other columns.
func TestOtherColumns(t *testing.T) {
	t.Parallel()
	d := readTable(t, "a;b;y\n1,234;0,5;k\n2,345;7,25;l\n", data.TableConfig{Label: "y"})
	if d.Cell(0, 0) != 1.234 {
		t.Errorf("got %v", d.Cell(0, 0))
	}
	d = readTable(t, "a;b;y\n1,234;0.5;k\n2,345;7.25;l\n", data.TableConfig{Label: "y"})
	if d.Cell(0, 0) != 1234 {
		t.Errorf("got %v", d.Cell(0, 0))
	}
	d = readTable(t, "a;b;y\n1,234;0.5;k\n2,345;7.25;l\n", data.TableConfig{Label: "y", Format: data.Format{Decimal: ","}, Columns: []data.Column{{Name: "b", Kind: data.Ignore}}})
	if d.Cell(0, 0) != 1.234 || d.Format().Decimal != "," {
		t.Errorf("decimal set: got %v", d.Cell(0, 0))
	}
}

// TestPrices reads prices that may mean two things as the job says.
func TestPrices(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		format data.Format
		text   string
		want   float64
	}{
		{data.Format{Decimal: "."}, column(";", "511.000 €", "98.000 €"), 511},
		{data.Format{Decimal: ","}, column(";", "511.000 €", "98.000 €"), 511000},
		{data.Format{Decimal: ",", Thousands: "."}, column(";", "511.000 EUR", "98.000 EUR"), 511000},
		{data.Format{Thousands: "."}, column(";", "511.000", "98.000"), 511000},
		{data.Format{Thousands: "none"}, column(";", "511.000", "98.000"), 511},
		{data.Format{Thousands: ","}, column("\t", "1,234", "2,345"), 1234},
		{data.Format{Decimal: ","}, column("\t", "1,234", "2,345"), 1.234},
	} {
		if got := readTable(t, c.text, data.TableConfig{Label: "y", Format: c.format}).Cell(0, 0); got != c.want {
			t.Errorf("%+v: got %v, want %v", c.format, got, c.want)
		}
	}
}

// TestRefusedColumns gives columns that may mean two things.
func TestRefusedColumns(t *testing.T) {
	t.Parallel()
	var words []string
	for i := range 60 {
		words = append(words, fmt.Sprint(i))
		if i%3 == 0 {
			words = append(words, fmt.Sprintf("x%d", i))
		}
	}
	for _, c := range []struct{ name, text, want string }{
		{"thousands or decimals", column(";", "1,234", "2,345"), `table f.csv: column "a": 2 values such as "1,234" in line 2 may have thousands or decimals after the comma: set decimal`},
		{"prices", column(";", "511.000 €", "98.000 €"), `column "a": 2 values such as "511.000 €" in line 2 may have thousands or decimals after the point: set decimal = "." in [data.csv] if that is 511, or decimal = "," with thousands = "." if it is 511000`},
		{"prices in EUR", column(";", "511.000 EUR", "98.000 EUR"), `if that is 511, or decimal = "," with thousands = "." if it is 511000`},
		{"prices beside long numbers", column(";", "511.000", "98000"), `if that is 511, or decimal = "," with thousands = "." if it is 511000`},
		{"prices between tabs", column("\t", "511.000", "98.000"), `if that is 511, or decimal = "," with thousands = "." if it is 511000`},
		{"points beside 0", column(";", "1.234", "0"), `if that is 1.234, or decimal = "," with thousands = "." if it is 1234`},
		{"commas between tabs", column("\t", "1,234", "2,345"), `set decimal = "," in [data.csv] if that is 1.234, or decimal = "." with thousands = "," if it is 1234`},
		{"points beside short numbers", column(";", "1.050", "850", "0"), `1 values such as "1.050" in line 2 may have thousands or decimals after the point: set decimal`},
		{"point and comma", column(";", "1.5", "2,5", "3"), `1 values have a decimal point ("1.5" in line 2) and 1 a decimal comma ("2,5" in line 3)`},
		{"both groups", column(";", "1.234", "2,345"), "set decimal"},
		{"francs and dollars", column(";", "5 Fr.", "US$ 7"), `values in several units: 1 in $ ("US$ 7" in line 3), 1 in CHF ("5 Fr." in line 2)`},
		{"currencies", column(";", "$5", "€ 7"), `values in several units: 1 in $ ("$5" in line 2), 1 in € ("€ 7" in line 3)`},
		{"numbers and words", column(",", words...), `60 of 80 values are numbers and 20 are not, such as "x0" in line 3: set its kind`},
		{"dollars, numbers and words", column(";", append([]string{"$5"}, words...)...), `61 of 81 values are numbers and 20 are not, such as "x0" in line 4: set its kind`},
		{"several columns", "a;b;y\n511.000;$5;k\n98.000;€ 7;l\n", `column "a": 2 values such as "511.000" in line 2 may have`},
		{"the second of several columns", "a;b;y\n511.000;$5;k\n98.000;€ 7;l\n", `column "b": values in several units`},
		{"many categories", column(",", repeatNames(1100)...), `more than 1000 categories, the last is "w1000" in line 1002`},
	} {
		_, err := data.ReadTable(strings.NewReader(c.text), "f.csv", data.TableConfig{Label: "y"})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
}

func repeatNames(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("w%d", i))
	}
	return out
}

// numbered returns n rows without one of their numbers, 7, the last first.
func numbered(n int) (out string) {
	for i := n; i > 0; i-- {
		if i != 7 {
			out += fmt.Sprintf("1,%d,k\n", i)
		}
	}
	return out
}

// TestColumnNotes tells of columns that are hardly what somebody wants.
func TestColumnNotes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, text string
		kind       data.Kind
		note       string
	}{
		{"dates", "b,a,y\n1,31.12.2024,k\n2,1.2.2025,l\n", data.Ignore, `column "a" has dates such as "31.12.2024" in line 2: it is left out`},
		{"days of ISO", "b,a,y\n1,2024-12-31 10:15,k\n2,2025-01-02T10:15:00Z,l\n", data.Ignore, "has dates"},
		{"nothing", "b,a,y\n1,,k\n2,-,l\n", data.Ignore, "has no values"},
		{"names", "b,a,y\n" + strings.ReplaceAll(strings.Join(repeatNames(30), ",k\n1,"), "w0", "1,w0") + ",l\n", data.Category, "30 categories in 30 rows"},
		{"numbers of the rows", "b,a,y\n" + numbered(30) + "1,7,k\n", data.Number, `column "a" seems to number the rows, from 30 to 7: if it is no measurement, columns = [{name = "a", kind = "ignore"}] in [data.csv] leaves it out`},
		{"a rare class", "b,a,y\n" + strings.Repeat("1,2,k\n", 30) + "1,2,l\n", data.Number, `column "y": fewer than 10 rows of "l" (1 row): a model hardly learns such a class`},
		{"a class of missing values", "b,a,y\n1,2,k\n1,3,n.a.\n1,5,k\n", data.Number, `column "y": "n.a." is taken for a class, of 1 row`},
		{"a unit", "b,a,y\n1,750 m²,k\n1,120 m²,k\n1,-,k\n1,80,l\n", data.Number, `column "a": 2 values have m², such as "750 m²" in line 2: the number counts`},
		{"stand-ins", "b,a,y\n1,Gas,k\n1,-,k\n1,n.a.,l\n1,Gas,l\n", data.Category, `column "a": "-" and "n.a." are taken as categories: if they stand for missing values, missing_values = ["-", "n.a."] in [data.csv] says so, and missing = "fill" keeps their rows`},
		{"a stand-in", "b,a,y\n1,Gas,k\n1,k.A.,k\n1,Holz,l\n", data.Category, `column "a": "k.A." is taken as a category: if it stands for missing values`},
		{"one is missing", "b,a,y\n1,2,k\n1,,k\n1,5,k\n", data.Number, `1 value is missing or unknown, the first in line 3 ("" once): its row is left out`},
		{"few kinds", "b,a,y\n1,1,k\n1,2,l\n1,3+,k\n", data.Category, "2 of 3 values are numbers; it is taken for one of 3 categories"},
		{"most left out", "b,a,y\n1,k,k\n,k,l\n,m,l\n3,m,l\n,m,l\n", data.Category, "3 of 5 rows are left out"},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "y"})
		notes := told(d)
		if d.Columns()[1].Kind != c.kind || !strings.Contains(notes, c.note) {
			t.Errorf("%s: %v with notes %q, want %v and %q", c.name, d.Columns()[1].Kind, notes, c.kind, c.note)
		}
	}
}

// TestNotesInOrder reads a column whose numbers may mean two things in two ways.
func TestNotesInOrder(t *testing.T) {
	t.Parallel()
	for range 50 {
		d := readTable(t, column(";", "1.234", "1,234", "0,5"), data.TableConfig{Label: "y"})
		want := []string{
			`column "a": 1 value is read with thousands, such as "1.234" in line 2 as 1234`,
			`column "a": 1 value is read with decimals, such as "1,234" in line 3 as 1.234`,
		}
		if got := d.Notes(); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// TestSheets reads files as programs write them.
func TestSheets(t *testing.T) {
	t.Parallel()
	plain := "a,y\n1,Müller\n2,Möller\n"
	encode := func(e interface{ String(string) (string, error) }) string {
		s, err := e.String(plain)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	for name, c := range map[string]struct{ text, encoding string }{
		"UTF-8":                  {plain, "utf-8"},
		"with a mark":            {"\ufeff" + plain, "utf-8"},
		"Latin-1":                {encode(charmap.Windows1252.NewEncoder()), "windows-1252"},
		"UTF-16":                 {encode(unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder()), "utf-16le"},
		"UTF-16, high first":     {encode(unicode.UTF16(unicode.BigEndian, unicode.UseBOM).NewEncoder()), "utf-16be"},
		"UTF-16 without a mark":  {encode(unicode.UTF16(unicode.LittleEndian, unicode.IgnoreBOM).NewEncoder()), "utf-16le"},
		"semicolons":             {strings.ReplaceAll(plain, ",", ";"), "utf-8"},
		"tabs":                   {strings.ReplaceAll(plain, ",", "\t"), "utf-8"},
		"bars":                   {strings.ReplaceAll(plain, ",", "|"), "utf-8"},
		"declared":               {"sep=;\r\n" + strings.ReplaceAll(plain, ",", ";"), "utf-8"},
		"CRLF":                   {strings.ReplaceAll(plain, "\n", "\r\n"), "utf-8"},
		"CR":                     {strings.ReplaceAll(plain, "\n", "\r"), "utf-8"},
		"separators at the end":  {"a,y,\n1,Müller,\n2,Möller,\n", "utf-8"},
		"one more in rows alone": {"a,y\n1,Müller,\n2,Möller,\n", "utf-8"},
		"an index":               {",a,y\n0,1,Müller\n1,2,Möller\n", "utf-8"},
		"put together":           {plain + "\ufeff" + plain[:4], "utf-8"},
		"marks and blanks":       {" a , y\n\ufeff1, Müller \n2,\u00a0Möller\n", "utf-8"},
		"empty rows at the end":  {plain + ",\n\n,\n", "utf-8"},
		"a line in a field":      {"a,note,y\n1,\"one\ntwo\",Müller\n2,three,Möller\n", "utf-8"},
		"empty lines above":      {"\n\r\n" + plain, "utf-8"},
		"semicolons in texts":    {"a,note,y\n1,x;y;z,Müller\n2,x;y,Möller\n", "utf-8"},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "y", Columns: slices.Collect(func(yield func(data.Column) bool) {
			if strings.Contains(c.text, "note") {
				yield(data.Column{Name: "note", Kind: data.Ignore})
			}
		})})
		if got, want := fmt.Sprintf("%v %v %s", rows(t, d), d.Shape().Classes, d.Format().Encoding), "[[1] [] 1 [] 0 [2] [] 0 [] 0] [Möller Müller] "+c.encoding; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
	}
	if d := readTable(t, encode(charmap.ISO8859_15.NewEncoder()), data.TableConfig{Label: "y", Format: data.Format{Encoding: "iso-8859-15"}}); !slices.Equal(d.Shape().Classes, []string{"Möller", "Müller"}) {
		t.Errorf("ISO 8859-15: classes %q", d.Shape().Classes)
	}
}

// TestRefusedSheets gives files that are no table, and says why and where.
func TestRefusedSheets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, text, encoding, want string }{
		{"not UTF-8", "a,y\n1,k\n2,\xe4\n", "utf-8", `line 3: bytes that are not UTF-8: mend it, or set encoding = "windows-1252" in [data.csv]`},
		{"two encodings", "a,y\n1,ä\n2,\xe4\n", "", "line 3: bytes that are not UTF-8, and others in the file are"},
		{"no text at all", "a,y\n1,\x81\x8d\n2,\x90\n", "", "line 3: bytes that are neither UTF-8 nor windows-1252"},
		{"zeros", "a,y\n1,\x00\n", "", "line 2: a zero byte"},
		{"UTF-16 cut", "\xff\xfea\x00,\x00y\x00\n\x001\x00,\x00k", "", "line 2: bytes that are not utf-16le"},
		{"said to be UTF-16", "a,y\n1,k\n", "utf-16", "no UTF-16"},
		{"Excel", "PK\x03\x04", "", "an Excel workbook"},
		{"Parquet", "PAR1", "", "a Parquet file"},
		{"JSON", "{\"a\": 1, \"y\": 2}\n{\"a\": 2, \"y\": 3}\n", "", "the file seems to be JSON"},
		{"only names", "a,y\n", "", "no usable sample"},
		{"twice", "a,y,a\n1,k,2\n", "", `columns 1 and 3 of the first line are both named "a"`},
		{"twice beside one without a name", ",a,y,a\n0,1,k,2\n", "", `columns 2 and 4 of the first line are both named "a"`},
		{"titles", "Sales of 2020\n\na;y\n1;k\n", "", "line 3 looks like the header, with the names of the columns, and not line 1: set skip_rows = 2"},
		{"titles as wide as the table", "Sales;\n\"in\nthousands\";\na;y\n1;k\n", "", "line 4 looks like the header, with the names of the columns, and not line 1: set skip_rows = 3"},
		{"titles after a separator", "sep=;\nSales of 2020\na;y\n1;k\n", "", "line 3 looks like the header, with the names of the columns, and not line 2: set skip_rows = 2"},
		{"titles and no label", "Sales of 2020\n\na;b;c\n1;2;k\n3;4;l\n5;6;k\n", "", `no column "y": the first line, separated by commas, has 1: Sales of 2020; line 3 looks like the header: set skip_rows = 2 in [data.csv] if it is`},
		{"empty lines and no label", "\n\na,b\n0,2\n1,4\n", "", `no column "y": line 3, separated by commas, has 2: a, b`},
		{"an index and no label", ",a,b\n0,1,2\n1,3,4\n", "", `no column "y": the first line, separated by commas, has 2: a, b`},
		{"no label", "a;b;c\n1;2;3\n", "", `no column "y": the first line, separated by semicolons, has 3: a, b, c`},
		{"empty", "", "", "the file is empty"},
	} {
		_, err := data.ReadTable(strings.NewReader(c.text), "f.csv", data.TableConfig{Label: "y", Format: data.Format{Encoding: c.encoding}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.name, err, c.want)
		}
	}
	for _, name := range []string{"Latin-1", "ISO-8859-1", "cp1252", "ANSI"} {
		if got, err := data.ParseEncoding(name); err != nil || got != data.EncodingLatin1 {
			t.Errorf("%s is %s, %v", name, got, err)
		}
	}
}

// TestHeaderOfCommas has decimal commas in all lines but the header, which a wrong label is not in: no other line is said to be the header.
func TestHeaderOfCommas(t *testing.T) {
	t.Parallel()
	const text = "Nr.;Fläche;Preis;Ort\n1;80,5;100,5;Ulm\n2;70,25;90,5;Bonn\n3;60,5;80,75;Köln\n"
	_, err := data.ReadTable(strings.NewReader(text), "f.csv", data.TableConfig{Label: "Klasse"})
	if err == nil || !strings.Contains(err.Error(), "Nr., Fläche, Preis, Ort") || strings.Contains(err.Error(), "looks like the header") {
		t.Errorf("got %v", err)
	}
}

// TestNamesOfTwoLines reads a table whose names of columns have line ends, above names again.
func TestNamesOfTwoLines(t *testing.T) {
	t.Parallel()
	d := readTable(t, "a,\"in\nthousands\",y\na,thousands,y\n1,1,k\n3,2,l\n", data.TableConfig{Label: "y", Columns: []data.Column{{Name: "a", Kind: data.Number}}})
	if columns := d.Columns(); columns[1].Name != "in\nthousands" || d.Len() != 2 {
		t.Errorf("columns are %v, with %d rows", columns, d.Len())
	}
}

// TestUnicodeNames asks for columns whose names the file has composed of other characters, as
// macOS writes them.
func TestUnicodeNames(t *testing.T) {
	t.Parallel()
	const composed, taken = "Wohnfl\u00e4che", "Wohnfla\u0308che"
	for _, c := range [][2]string{{composed, taken}, {taken, composed}, {taken, taken}} {
		d := readTable(t, "Sales\n"+c[0]+";b;y\n1;2;k\n3;4;l\n", data.TableConfig{Label: "y", Skip: 1, Columns: []data.Column{{Name: c[1], Kind: data.Category}}})
		if col := d.Columns()[0]; col.Name != c[1] || col.Kind != data.Category {
			t.Errorf("%+q in the file, asked for %+q: %+q is %v", c[0], c[1], col.Name, col.Kind)
		}
		s, err := data.OpenSheet(strings.NewReader("Sales\n"+c[0]+";y\n1;k\n"), data.SheetConfig{Want: []string{c[1]}, Find: true})
		if err != nil {
			t.Fatal(err)
		}
		if at, err := s.Columns([]string{c[1]}); err != nil || at[0] != 0 {
			t.Errorf("%+q in the file, asked for %+q: %v, %v", c[0], c[1], at, err)
		}
	}
}

// TestTypos asks for a column by a name that the file has not quite: data is no header.
func TestTypos(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"Preis;Fläche;Lage\n1,5;2,5;k\n3,5;4,5;l\n5,5;6,5;k\n", `no column "Preise": did you mean "Preis"? the first line, separated by semicolons, has 3: Preis, Fläche, Lage`},
		{"lage;PREISE\n1,5;2,5\n3,5;4,5\n", `no column "Preise": did you mean "PREISE"? the first line`},
		{"Kosten;Fläche;Lage\n1,5;2,5;k\n3,5;4,5;l\n5,5;6,5;k\n", `no column "Preise": the first line, separated by semicolons, has 3: Kosten, Fläche, Lage`},
	} {
		_, err := data.ReadTable(strings.NewReader(c.text), "f.csv", data.TableConfig{Label: "Preise"})
		if want := "table f.csv: " + c.want; err == nil || !strings.HasPrefix(err.Error(), want) || strings.Contains(err.Error(), "skip_rows") {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestSkippedRows reads a table below titles, with the lines of the file.
func TestSkippedRows(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		skip int
	}{
		"titles":     {"Sales, \"of\" 2020\n\na;y\n1;k\nx\n3;l\n", 2},
		"separator":  {"sep=;\nSales\na;y\n1;k\nx\n3;l\n", 2},
		"a long one": {strings.Repeat("Sales ", 1<<17) + "\n\na;y\n1;k\nx\n3;l\n", 2},
		"Mac":        {"Sales\r\ra;y\r1;k\rx\r3;l\r", 2},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "y", Skip: c.skip})
		_, list := d.Bad()
		if got, want := fmt.Sprint(rows(t, d), list), "[[1] [] 0 [] 0 [3] [] 1 [] 0] [{f.csv:5 1 fields, want 2}]"; got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		s, err := data.OpenSheet(strings.NewReader(c.text), data.SheetConfig{Want: []string{"y", "a"}, Find: true})
		if err != nil && name != "a long one" {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "a long one" {
			continue // titles are looked for at the beginning
		}
		if row, err := s.Next(); err != nil || row.Line != 4 || !slices.Equal(row.Fields, []string{"1", "k"}) {
			t.Errorf("%s: found %v, %v", name, row, err)
		}
	}
	for _, text := range []string{"a;y\n1;k\n", "a;y\n1;k"} {
		_, err := data.ReadTable(strings.NewReader(text), "f.csv", data.TableConfig{Label: "y", Skip: 7})
		if want := "the file has no more than 2 lines: skip_rows = 7 passes over all of them"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	_, err := data.ReadTable(strings.NewReader("x\na;b\n1;k\n"), "f.csv", data.TableConfig{Label: "y", Skip: 1})
	if want := `no column "y": line 2, separated by semicolons, has 2: a, b`; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestOpenSheet reads files row by row to the rows that are read at once.
func TestOpenSheet(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("testdata/tables/*.csv")
	if err != nil || len(names) < 4 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		whole, err := data.ReadSheet(bytes.NewReader(b), data.SheetConfig{})
		if err != nil {
			t.Fatal(err)
		}
		s, err := data.OpenSheet(bytes.NewReader(b), data.SheetConfig{MaxBytes: 1 << 18})
		if err != nil {
			t.Fatal(err)
		}
		at, err := s.Columns(whole.Header)
		if err != nil || s.Format != whole.Format {
			t.Fatalf("%s: %+v and %+v, %v", name, s.Format, whole.Format, err)
		}
		for _, want := range whole.Rows {
			row, err := s.Next()
			if err != nil {
				t.Fatal(err)
			}
			var fields []string
			for _, from := range at {
				if row.Err == nil {
					fields = append(fields, row.Fields[from])
				}
			}
			if row.Line != want.Line || !slices.Equal(fields, want.Fields) || fmt.Sprint(row.Err) != fmt.Sprint(want.Err) {
				t.Fatalf("%s: row %+v, want %+v", name, row, want)
			}
		}
		if _, err := s.Next(); !errors.Is(err, io.EOF) {
			t.Errorf("%s: after the last row: %v", name, err)
		}
	}
	s, err := data.OpenSheet(strings.NewReader("\ufeffa,y\n1,\xe4\n2,l\n"), data.SheetConfig{})
	if err != nil {
		t.Fatal(err)
	}
	var wrong *data.EncodingError
	if row, err := s.Next(); err != nil || !errors.As(row.Err, &wrong) || wrong.What != "bytes that are not utf-8" {
		t.Errorf("got %v, %v", row, err)
	}
	if row, err := s.Next(); err != nil || row.Err != nil {
		t.Errorf("got %v, %v", row, err)
	}
	s, err = data.OpenSheet(strings.NewReader("a,y\n1,\""+strings.Repeat("long ", 1<<18)), data.SheetConfig{MaxBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Next(); err == nil || !strings.Contains(err.Error(), "a row is larger than the limit") {
		t.Errorf("got %v, want that a row is too large", err)
	}
}

// TestSplitClasses compares the samples of each class with those of scikit-learn, but that
// one is left for training.
func TestSplitClasses(t *testing.T) {
	t.Parallel()
	var splits []struct {
		Counts, Validation []int
		Fraction           float64
	}
	fromPandas(t, "splits.json", &splits)
	for _, s := range splits {
		var labels []int32
		for c, n := range s.Counts {
			for range n {
				labels = append(labels, int32(c))
			}
		}
		seen := map[string]bool{}
		for seed := range uint64(5) {
			train, validation, err := data.SplitClasses(labels, s.Fraction, seed)
			if err != nil {
				t.Fatal(err)
			}
			got := make([]int, len(s.Counts))
			for _, i := range validation {
				got[labels[i]]++
			}
			if !slices.Equal(got, s.Validation) || len(train)+len(validation) != len(labels) {
				t.Errorf("of %v: %v for validation, scikit-learn has %v", s.Counts, got, s.Validation)
			}
			seen[fmt.Sprint(validation)] = true
		}
		if len(seen) < 5 {
			t.Errorf("%d splits by 5 seeds", len(seen))
		}
	}
	train, validation, err := data.SplitClasses([]int32{0, 1, 1, 1, 2}, 1, 0)
	if err != nil || len(train) != 3 || len(validation) != 2 {
		t.Errorf("all for validation: %v and %v, %v", train, validation, err)
	}
	if _, _, err := data.SplitClasses([]int32{0}, 2, 0); err == nil {
		t.Error("a fraction of 2: want an error")
	}
}

// TestRowsAsTheFile checks that a model reads a row as training read the file it is from, and
// numbers of programs as they are.
func TestRowsAsTheFile(t *testing.T) {
	t.Parallel()
	b, err := os.ReadFile("testdata/tables/european.csv")
	if err != nil {
		t.Fatal(err)
	}
	d := readTable(t, string(b), data.TableConfig{Label: "Zustand", FillMissing: true})
	var inputs []data.Column
	for _, c := range d.Columns() {
		if c.Name != "Zustand" && c.Kind != data.Ignore {
			inputs = append(inputs, c)
		}
	}
	r, err := data.NewRows(inputs, true, d.Format())
	if err != nil {
		t.Fatal(err)
	}
	sheet, err := data.ReadSheet(strings.NewReader(string(b)), data.SheetConfig{Want: r.Names()})
	if err != nil {
		t.Fatal(err)
	}
	at, err := sheet.Columns(r.Names())
	if err != nil {
		t.Fatal(err)
	}
	want, got := d.Shape().NewSample(), make([]float32, r.Width())
	for i, row := range sheet.Rows {
		fields := make([]string, len(at))
		for k, from := range at {
			fields[k] = row.Fields[from]
		}
		if err := r.Inputs(got, fields, nil, "", ""); err != nil {
			t.Fatal(err)
		}
		if err := d.Sample(&want, i, nil); err != nil || !slices.Equal(got, want.Values) || row.Line != i+2 {
			t.Fatalf("row %d in line %d: got %v, training has %v", i, row.Line, got, want.Values)
		}
	}
	fields := []string{"Köln", "1.234", "1.234", "5", "12", "Müllerweg"}
	plain := []bool{false, true, false, false, false, false}
	if err := r.Inputs(got, fields, plain, "", ""); err != nil || got[3] != 1.234 || got[4] != 1234 {
		t.Errorf("a number of JSON and one of the file: %v, %v", got, err)
	}
	fields[2] = "1234.5"
	if err := r.Inputs(got, fields, plain, "", ""); err == nil || !strings.Contains(err.Error(), `"1234.5" is not a number with a decimal comma, as the column has: write 1234,5`) {
		t.Errorf("a decimal point: %v", err)
	}
	fields[2], fields[3] = "1", "$5"
	if err := r.Inputs(got, fields, plain, "", ""); err == nil || !strings.Contains(err.Error(), "the column is in €") {
		t.Errorf("another currency: %v", err)
	}
}
