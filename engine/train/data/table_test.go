package data_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

const flowers = `size,colour,kind,note
1,red,rose,"a, b"
3,blue,iris,c
NA,red,rose,d
x,red,rose,e
5,,iris,f
7,red,,g
9,blue
11,"blue,iris,h
`

func readTable(t *testing.T, text string, cfg data.TableConfig) *data.Table {
	t.Helper()
	d, err := data.ReadTable(strings.NewReader(text), "f.csv", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func rows(t *testing.T, d *data.Table) (out []string) {
	t.Helper()
	dst := d.Shape().NewSample()
	for i := range d.Len() {
		if err := d.Sample(&dst, i, nil); err != nil {
			t.Fatal(err)
		}
		out = append(out, fmt.Sprint(dst.Values, dst.Targets, dst.Label, dst.Tokens, dst.Length))
	}
	return out
}

func TestTable(t *testing.T) {
	t.Parallel()
	number := data.Column{Name: "size", Kind: data.Number}
	ignored := data.Column{Name: "note", Kind: data.Ignore}
	for name, c := range map[string]struct {
		cfg  data.TableConfig
		want []string
		bad  int
	}{
		"classes":    {data.TableConfig{Label: "kind", Columns: []data.Column{number, ignored}}, []string{"[1 0 1] [] 1 [] 0", "[3 1 0] [] 0 [] 0"}, 6},
		"fill":       {data.TableConfig{Label: "kind", Columns: []data.Column{number, ignored}, FillMissing: true}, []string{"[1 0 1] [] 1 [] 0", "[3 1 0] [] 0 [] 0", "[0 0 1] [] 1 [] 0", "[5 0 0] [] 0 [] 0"}, 4},
		"regression": {data.TableConfig{Label: "size", Columns: []data.Column{number, ignored}}, []string{"[0 1 0 1] [1] -1 [] 0", "[1 0 1 0] [3] -1 [] 0"}, 6},
		"text": {data.TableConfig{
			Label: "kind", Encoder: bytesEncoder{}, Length: 3, Pad: -7,
			Columns: []data.Column{number, {Name: "colour", Kind: data.Ignore}, {Name: "note", Kind: data.Sentence}},
		}, []string{"[1] [] 1 [97 44 32] 3", "[3] [] 0 [99 -7 -7] 1", "[5] [] 0 [102 -7 -7] 1"}, 5},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := readTable(t, flowers, c.cfg)
			if got := rows(t, d); !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			n, list := d.Bad()
			if n != c.bad {
				t.Errorf("got %d bad rows, want %d: %v", n, c.bad, list)
			}
		})
	}
}

func TestTableReports(t *testing.T) {
	t.Parallel()
	d := readTable(t, "a,b,y\n1,2,0\n,2,1\n1,q,0\n1,2\n1,2,\n4,5,1\n", data.TableConfig{Label: "y", Columns: []data.Column{{Name: "b", Kind: data.Number}}})
	var got []string
	_, list := d.Bad()
	for _, b := range list {
		got = append(got, b.Error())
	}
	want := []string{
		`f.csv:3: column "a": value missing or unknown: ""`,
		`f.csv:4: column "b": "q" is not a number`,
		`f.csv:5: 2 fields, want 3`,
		`f.csv:6: column "y": value missing or unknown: ""`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := d.Missing(), []int{1, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("got %v missing, want %v", got, want)
	}
	if got := d.Columns(); got[0].Kind != data.Number || got[2].Kind != data.Number {
		t.Errorf("got columns %+v", got)
	}
}

func TestTableStandardise(t *testing.T) {
	t.Parallel()
	d := readTable(t, "a;b;y\n1;5;0\n3;5;1\n100;5;1\n;5;1\n", data.TableConfig{Label: "y", Format: data.Format{Separator: ";"}, FillMissing: true})
	s, err := d.Standardise([]int{0, 1})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rows(t, s), []string{"[-1 0] [-1] -1 [] 0", "[1 0] [1] -1 [] 0", "[98 0] [1] -1 [] 0", "[0 0] [1] -1 [] 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if d.Columns()[0].Std != 0 || s.Columns()[0].Std != 1 || s.Columns()[0].Mean != 2 || s.Columns()[2].Std != 0.5 {
		t.Errorf("got columns %+v and %+v", d.Columns(), s.Columns())
	}
	other := readTable(t, "y,a,b\n1,2,6\n", data.TableConfig{Label: "y", Columns: s.Columns()})
	if got, want := rows(t, other), []string{"[0 1] [1] -1 [] 0"}; !slices.Equal(got, want) {
		t.Errorf("another file: got %q, want %q", got, want)
	}
	for _, bad := range [][]int{nil, {4}, {-1}} {
		if _, err := d.Standardise(bad); err == nil {
			t.Errorf("rows %v: want an error", bad)
		}
	}
}

// TestTableOfOtherCategories checks that a second file is read with the categories of the
// first.
func TestTableOfOtherCategories(t *testing.T) {
	t.Parallel()
	first := readTable(t, "c,y\nb,no\na,yes\n", data.TableConfig{Label: "y"})
	second := readTable(t, "c,y\nb,yes\nz,yes\nb,perhaps\n", data.TableConfig{Label: "y", Columns: first.Columns(), FillMissing: true})
	if got, want := rows(t, second), []string{"[0 1] [] 1 [] 0", "[0 0] [] 1 [] 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestTableLikeAnother reads a file whose columns are in another order, and one more.
func TestTableLikeAnother(t *testing.T) {
	t.Parallel()
	first := readTable(t, "a,c,y\n1,b,no\n2,a,yes\n", data.TableConfig{Label: "y"})
	second := readTable(t, "y,more,c,a\nyes,x,a,3\nno,,b,4\n", data.TableConfig{Label: "y", Columns: first.Columns(), Only: true})
	if got, want := rows(t, second), []string{"[3 1 0] [] 1 [] 0", "[4 0 1] [] 0 [] 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	_, err := data.ReadTable(strings.NewReader("y,a\nyes,1\n"), "f", data.TableConfig{Label: "y", Columns: first.Columns(), Only: true})
	if err == nil || !strings.Contains(err.Error(), `no column "c"`) {
		t.Errorf("a column is missing: %v", err)
	}
}

// TestTableOfAnotherHand reads a file with the columns of another one, whose numbers are
// written in another way.
func TestTableOfAnotherHand(t *testing.T) {
	t.Parallel()
	first := readTable(t, "a,c,y\n1.5,b,no\n$2,a,yes\n", data.TableConfig{Label: "y"})
	cfg := data.TableConfig{Label: "y", Columns: first.Columns(), Only: true, Fixed: true}
	second := readTable(t, "y;c;a\nyes;a;2,25\nyes;;3\nyes;b;$ 4,5\nyes;b;none\n", cfg)
	if got, want := rows(t, second), []string{"[2.25 1 0] [] 1 [] 0", "[4.5 0 1] [] 1 [] 0"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if n, list := second.Bad(); n != 2 {
		t.Errorf("left out %v, want the rows without a category and without a number", list)
	}
	for _, c := range []struct{ text, want string }{
		{"y,c\nyes,a\n", `no column "a"`},
		{"y,c,a\nyes,A,1\nno,b,2\nno,A,1\n", `column "c": "A" in line 2 is no category (did you mean "a"?), of which there are "a" "b": correct it, or take out 2 rows`},
		{"y,c,a\nyes,a,1\nmaybe,b,2\n", `column "y": "maybe" in line 3 is no category, of which there are "no" "yes"`},
		{"y,c,a\nyes,a,w\nno,b,v\n", `column "a": it has numbers, and none of these 2 values is one, such as "w" in line 2`},
		{"y,c,a\nyes,a,5 €\nno,b,7\n", `column "a": 1 value is in €, such as "5 €" in line 2, and the column has numbers in $`},
		{"y,c,a\nyes,a,5 %\nno,b,7 %\n", `column "a": 2 values are in %`},
	} {
		if _, err := data.ReadTable(strings.NewReader(c.text), "f.csv", cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want %q", c.text, err, c.want)
		}
	}
}

// TestTableKinds checks what columns are taken for.
func TestTableKinds(t *testing.T) {
	t.Parallel()
	text := "age,word,y\n"
	for i := range 40 {
		text += fmt.Sprintf("%d,w%d,%d\n", 3*i, i%3, i%2)
	}
	d := readTable(t, text+"unknown,w0,1\n", data.TableConfig{Label: "y"})
	if c := d.Columns(); c[0].Kind != data.Number || c[1].Kind != data.Category || c[2].Kind != data.Number {
		t.Errorf("columns %+v", c)
	}
	if n, list := d.Bad(); n != 1 || !strings.Contains(list[0].Error(), `"unknown" is not a number`) || d.Len() != 40 {
		t.Errorf("%d rows, left out %v", d.Len(), list)
	}
	if c := readTable(t, "a,y\n1,1\nx,2\n2,3\n", data.TableConfig{Label: "y"}).Columns(); c[0].Kind != data.Category {
		t.Errorf("columns %+v", c)
	}
}

// TestTableOfText checks that beside a text only the label counts.
func TestTableOfText(t *testing.T) {
	t.Parallel()
	d := readTable(t, "id,said,empty,y\n1,ab,,no\n2,c,,yes\n", data.TableConfig{
		Label: "y", Columns: []data.Column{{Name: "said", Kind: data.Sentence}}, Encoder: bytesEncoder{}, Length: 2,
	})
	if s := d.Shape(); s.Values != 0 || s.Tokens != 2 || d.Len() != 2 {
		t.Errorf("%d rows of shape %+v", d.Len(), s)
	}
}

// TestStrayQuote reads a file in which a quote swallows rows.
func TestStrayQuote(t *testing.T) {
	t.Parallel()
	_, err := data.ReadTable(strings.NewReader("a,y\n1,2\n\"3,4\n5,6\n7,8\n"), "f", data.TableConfig{Label: "y"})
	if err == nil || !strings.Contains(err.Error(), "line 3: a quoted field goes on to line 5") {
		t.Errorf("got %v", err)
	}
}

func TestTableErrors(t *testing.T) {
	t.Parallel()
	many := "c,y\n"
	for i := range 1001 {
		many += fmt.Sprintf("v%d,1\n", i)
	}
	for name, c := range map[string]struct {
		text string
		cfg  data.TableConfig
	}{
		"empty":           {"", data.TableConfig{Label: "y"}},
		"no rows":         {"a,y\n", data.TableConfig{Label: "y"}},
		"no label":        {"a,y\n1,2\n", data.TableConfig{Label: "z"}},
		"no input":        {"y\n1\n", data.TableConfig{Label: "y"}},
		"column twice":    {"a,a,y\n1,2,3\n", data.TableConfig{Label: "y"}},
		"unknown column":  {"a,y\n1,2\n", data.TableConfig{Label: "y", Columns: []data.Column{{Name: "b"}}}},
		"label ignored":   {"a,y\n1,2\n", data.TableConfig{Label: "y", Columns: []data.Column{{Name: "y", Kind: data.Ignore}}}},
		"no encoder":      {"a,y\nx,2\n", data.TableConfig{Label: "y", Columns: []data.Column{{Name: "a", Kind: data.Sentence}}}},
		"many categories": {many, data.TableConfig{Label: "y"}},
		"too large":       {many, data.TableConfig{Label: "y", MaxBytes: 100}},
		"comma":           {"a,y\n1,2\n", data.TableConfig{Label: "y", Format: data.Format{Separator: "\""}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := data.ReadTable(strings.NewReader(c.text), "f.csv", c.cfg); err == nil {
				t.Error("want an error")
			}
		})
	}
}

func TestParseKind(t *testing.T) {
	t.Parallel()
	for _, k := range []data.Kind{data.Auto, data.Number, data.Category, data.Sentence, data.Ignore} {
		if got, err := data.ParseKind(k.String()); got != k || err != nil {
			t.Errorf("%v: got %v, %v", k, got, err)
		}
	}
	if _, err := data.ParseKind("date"); err == nil || data.Kind(9).String() != "Kind(9)" {
		t.Error("date: want an error")
	}
}
