package data_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestMissingInputs gives a model that knows of no missing values a row with one.
func TestMissingInputs(t *testing.T) {
	t.Parallel()
	r, err := data.NewRows([]data.Column{{Name: "age", Kind: data.Number}, {Name: "colour", Kind: data.Category, Categories: []string{"blue", "red"}}}, false, data.Format{})
	if err != nil {
		t.Fatal(err)
	}
	const fill = `or train the model with missing = "fill", which takes such rows`
	for _, c := range []struct{ age, colour, want string }{
		{"", "red", `column "age": a value is missing: give a number, ` + fill},
		{"n.a.", "red", `column "age": a value is missing ("n.a." stands for none): give a number, ` + fill},
		{"-inf", "red", `column "age": a value is missing ("-inf" stands for none): give a number, ` + fill},
		{"5", " ", `column "colour": a value is missing: give a category, ` + fill},
		{"5", "rot", `column "colour": "rot" is not one of blue, red`},
	} {
		if err := r.Inputs(make([]float32, r.Width()), []string{c.age, c.colour}, nil, "", ""); err == nil || err.Error() != c.want {
			t.Errorf("%q and %q: got %v, want %s", c.age, c.colour, err, c.want)
		}
	}
}

// TestPointsBesideDecimalCommas reads 1.234 as the file of training says: it has points between
// thousands, or it has none.
func TestPointsBesideDecimalCommas(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float32{"a;y\n1,5;k\n1.000,5;l\n": 1234, "a;y\n1,5;k\n2,5;l\n": 0} {
		d := readTable(t, text, data.TableConfig{Label: "y"})
		r, err := data.NewRows(d.Columns()[:1], false, d.Format())
		if err != nil {
			t.Fatal(err)
		}
		got := make([]float32, 1)
		if err := r.Inputs(got, []string{"1.234"}, nil, "", ""); (err == nil) != (want != 0) || got[0] != want {
			t.Errorf("%q: got %v, %v, want %v", text, got[0], err, want)
		}
	}
}

// TestNumbersTooLarge gives numbers that are written as those of the column, and too large.
func TestNumbersTooLarge(t *testing.T) {
	t.Parallel()
	const want = `column "a": %q is not a number of -3.4e+38 to 3.4e+38, which are those of 32 bits`
	for _, c := range []struct{ text, value string }{
		{"a;y\n1.5;k\n1e300;l\n", "1e300"},
		{"a;y\n1,5;k\n-1,5e300;l\n", "-1,5e300"},
		{"a;y\n1,5;k\n" + strings.Repeat("9", 40) + ";l\n", strings.Repeat("9", 40)},
	} {
		_, list := readTable(t, c.text, data.TableConfig{Label: "y", Columns: []data.Column{{Name: "a", Kind: data.Number}}}).Bad()
		if want := strings.Replace(want, "%q", `"`+c.value+`"`, 1); len(list) != 1 || list[0].Err.Error() != want {
			t.Errorf("got %v, want %s", list, want)
		}
	}
}

// TestOtherDecimals gives a model numbers that are not written as those of training: the error has
// what to write.
func TestOtherDecimals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, value, want string }{
		{"a;y\n1,5;k\n2,5;l\n", "72.5", `"72.5" is not a number with a decimal comma, as the column has: write 72,5`},
		{"a;y\n1,5;k\n2,5;l\n", "-1.25e3", "write -1,25e3"},
		{"a;y\n1,5;k\n2,5;l\n", "1,072.5", "write 1072,5"},
		{"a;y\n1,5;k\n2,5;l\n", "1.072", "write 1,072 or 1072"},
		{"a;y\n1.5;k\n2.5;l\n", "72,5", `"72,5" is not a number with a decimal point, as the column has: write 72.5`},
		{"a;y\n1.5;k\n2.5;l\n", "1'072", "write 1072"},
	} {
		d := readTable(t, c.text, data.TableConfig{Label: "y"})
		r, err := data.NewRows(d.Columns()[:1], false, d.Format())
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Inputs(make([]float32, 1), []string{c.value}, nil, "", ""); err == nil || !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %s", c.value, err, c.want)
		}
	}
}

// TestFar tells which columns of a row have numbers far from those of training.
func TestFar(t *testing.T) {
	t.Parallel()
	r, err := data.NewRows([]data.Column{
		{Name: "colour", Kind: data.Category, Categories: []string{"blue", "red"}},
		{Name: "age", Kind: data.Number, Mean: 40, Std: 10},
		{Name: "raw", Kind: data.Number},
		{Name: "size", Kind: data.Number, Mean: 100, Std: 0.5},
	}, true, data.Format{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		fields []string
		want   []int
	}{
		{[]string{"red", "140", "1e9", "95"}, nil},
		{[]string{"red", "141", "7", "100"}, []int{1}},
		{[]string{"", "-61", "7", "94.9"}, []int{1, 3}},
		{[]string{"red", "", "", ""}, nil},
	} {
		x := make([]float32, r.Width())
		if err := r.Inputs(x, c.fields, nil, "", ""); err != nil {
			t.Fatal(err)
		}
		if got := r.Far(x); !slices.Equal(got, c.want) {
			t.Errorf("%q: got %v, want %v", c.fields, got, c.want)
		}
	}
	if mean, std := r.Moments(3); mean != 100 || std != 0.5 {
		t.Errorf("moments %v and %v", mean, std)
	}
}
