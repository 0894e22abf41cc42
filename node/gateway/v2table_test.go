package gateway_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/node/gateway"
)

// tableRows has a standardised number and a category of two values.
func tableRows(tb testing.TB, fill bool) *data.Rows {
	tb.Helper()
	r, err := data.NewRows([]data.Column{
		{Name: "age", Kind: data.Number, Mean: 10, Std: 2},
		{Name: "colour", Kind: data.Category, Categories: []string{"red", "true"}},
	}, fill, data.Format{})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

const (
	ages    = `{"name": "age", "datatype": "FP64", "shape": [2], "data": [14, 1e1]}`
	colours = `{"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", " true "]}`
)

func TestTableInputs(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{
		"in order":   ages + "," + colours,
		"reversed":   colours + "," + ages,
		"as text":    `{"name": "age", "datatype": "BYTES", "shape": [2], "data": ["14", "10.0"]},` + colours,
		"nested":     `{"name": "age", "datatype": "INT8", "shape": [2, 1], "data": [[14], [10]]},` + colours,
		"with truth": ages + `,{"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "true"]}`,
	} {
		got, err := gateway.DecodeTableV2([]byte(`{"inputs": [`+body+`]}`), tableRows(t, false))
		if want := []float32{2, 1, 0, 0, 0, 1}; err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %v, %v, want %v", name, got, err, want)
		}
	}
	missing := `{"inputs": [{"name": "age", "datatype": "FP32", "shape": [2], "data": [null, 12]}, {"name": "colour", "datatype": "BOOL", "shape": [2], "data": [true, false]}]}`
	got, err := gateway.DecodeTableV2([]byte(missing), tableRows(t, true))
	if want := []float32{0, 0, 1, 1, 0, 0}; err != nil || !slices.Equal(got, want) {
		t.Errorf("filled: got %v, %v, want %v", got, err, want)
	}
}

func TestTableErrors(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"nothing", ``, `column "age" is missing`},
		{"one column", ages, `column "colour" is missing`},
		{"other column", ages + "," + colours + `,{"name": "size", "datatype": "FP32", "shape": [2], "data": [1, 2]}`, `"size" is no column of model table: want age, colour`},
		{"twice", ages + "," + ages, "twice"},
		{"lengths", ages + `,{"name": "colour", "datatype": "BYTES", "shape": [1], "data": ["red"]}`, "has 1 rows, the first one has 2"},
		{"category", ages + `,{"name": "colour", "datatype": "BYTES", "shape": [2], "data": ["red", "blue"]}`, `row 2 of 2: column "colour": "blue" is not one of red, true`},
		{"number", colours + `,{"name": "age", "datatype": "BYTES", "shape": [2], "data": ["1", "old"]}`, `row 2 of 2: column "age": "old" is not a number`},
		{"too large", colours + `,{"name": "age", "datatype": "FP64", "shape": [2], "data": [1e39, 1]}`, `row 1 of 2: column "age": "1e39" is not a number`},
		{"null", colours + `,{"name": "age", "datatype": "FP64", "shape": [2], "data": [1, null]}`, `row 2 of 2: column "age": a value is missing`},
		{"text as number", colours + `,{"name": "age", "datatype": "FP64", "shape": [2], "data": ["1", "2"]}`, `value 0 of input "age" is not FP64`},
		{"number as text", ages + `,{"name": "colour", "datatype": "BYTES", "shape": [2], "data": [1, 2]}`, `value 0 of input "colour" is not BYTES`},
		{"object", colours + `,{"name": "age", "datatype": "FP64", "shape": [2], "data": {"a": 1}}`, "is not FP64"},
		{"datatype", colours + `,{"name": "age", "datatype": "FP16", "shape": [2], "data": [1, 2]}`, "FP16"},
		{"few", colours + `,{"name": "age", "datatype": "FP64", "shape": [2], "data": [1]}`, "has 1 values"},
		{"many", colours + `,{"name": "age", "datatype": "FP64", "shape": [2], "data": [1, 2, 3]}`, "more values"},
		{"no data", colours + `,{"name": "age", "datatype": "FP64", "shape": [2]}`, "has 0 values"},
		{"wide", colours + `,{"name": "age", "datatype": "FP64", "shape": [2, 2], "data": [1, 2, 3, 4]}`, "a value for each row"},
		{"rows", `{"name": "age", "datatype": "FP64", "shape": [100000], "data": [1]}`, "100000 rows"},
	} {
		_, err := gateway.DecodeTableV2([]byte(`{"inputs": [`+c.body+`]}`), tableRows(t, false))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want an error with %s", c.name, err, c.want)
		}
	}
}

// FuzzDecodeTable decodes requests for a model of tables. What is accepted makes finite
// inputs of the model's width.
func FuzzDecodeTable(f *testing.F) {
	f.Add([]byte(`{"inputs": [`+ages+`,`+colours+`]}`), true)
	f.Add([]byte(`{"inputs": [`+colours+`,`+ages+`]}`), false)
	f.Add([]byte(`{"inputs": [{"name": "age", "datatype": "INT64", "shape": [1, 1], "data": [[null]]}, {"name": "colour", "datatype": "BOOL", "shape": [1], "data": [true]}]}`), true)
	f.Fuzz(func(t *testing.T, body []byte, fill bool) {
		rows := tableRows(t, fill)
		got, err := gateway.DecodeTableV2(body, rows)
		if err != nil {
			return
		}
		if len(got) == 0 || len(got)%rows.Width() != 0 {
			t.Fatalf("%d inputs", len(got))
		}
		for _, v := range got {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				t.Fatalf("input %v", v)
			}
		}
	})
}

// TestTableRowErrors asks for rows of which one cannot be used: with row_errors it is told,
// the others are decoded, and numbers of JSON are read as such whatever files look like.
func TestTableRowErrors(t *testing.T) {
	t.Parallel()
	rows, err := data.NewRows([]data.Column{
		{Name: "price", Kind: data.Number, Notation: data.Notation{Decimal: ",", Thousands: ".", Unit: "€"}},
		{Name: "colour", Kind: data.Category, Categories: []string{"red"}},
	}, false, data.Format{Encoding: "windows-1252", Separator: ";"})
	if err != nil {
		t.Fatal(err)
	}
	const colour = `{"name": "colour", "datatype": "BYTES", "shape": [3], "data": ["red", "rot", "red"]}`
	for _, c := range []struct {
		name, more, price string
		want              []float32
	}{
		{"as the file", "", `{"name": "price", "datatype": "BYTES", "shape": [3], "data": ["1.234,5 €", "1", "2"]}`, []float32{1234.5, 1, 0, 0, 2, 1}},
		{"written otherwise", `, "decimal": ".", "thousands": ","`, `{"name": "price", "datatype": "BYTES", "shape": [3], "data": ["€ 1,234.5", "1", "2"]}`, []float32{1234.5, 1, 0, 0, 2, 1}},
		{"as JSON, text otherwise", `, "decimal": ","`, `{"name": "price", "datatype": "FP64", "shape": [3], "data": [1.234, 1, 2]}`, []float32{1.234, 1, 0, 0, 2, 1}},
		{"as JSON", "", `{"name": "price", "datatype": "FP64", "shape": [3], "data": [1.234, 1, 2]}`, []float32{1.234, 1, 0, 0, 2, 1}},
	} {
		body := `{"parameters": {"row_errors": true` + c.more + `}, "inputs": [` + c.price + `,` + colour + `]}`
		got, errs, err := gateway.DecodeTableErrorsV2([]byte(body), rows)
		if err != nil || !slices.Equal(got, c.want) || len(errs) != 3 || errs[0] != "" || errs[2] != "" || !strings.Contains(errs[1], `"rot" is not one of red`) {
			t.Errorf("%s: got %v with errors %q, %v; want %v", c.name, got, errs, err, c.want)
		}
		if _, err := gateway.DecodeTableV2([]byte(strings.Replace(body, "true", "false", 1)), rows); err == nil || !strings.Contains(err.Error(), "row 2 of 3: ") {
			t.Errorf("%s, without row_errors: %v", c.name, err)
		}
	}
	for parameters, want := range map[string]string{
		`"decimal": ";"`: `decimal is ";"`, `"decimal": 1`: "decimal is 1", `"thousands": "."`: "beside another decimal", `"decimal": ",", "thousands": ","`: "beside another decimal",
		`"decimal": ",", "thousands": "x"`: `thousands is "x"`,
	} {
		if _, err := gateway.DecodeTableV2([]byte(`{"parameters": {`+parameters+`}, "inputs": [`+colour+`]}`), rows); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", parameters, err, want)
		}
	}
	if _, err := gateway.DecodeTableV2([]byte(`{"parameters": {"row_errors": 1}, "inputs": [`+colour+`]}`), rows); err == nil || !strings.Contains(err.Error(), "row_errors is 1") {
		t.Errorf("a number for row_errors: %v", err)
	}
}

// TestTableMistakes sends requests as people write them first: the error says what is wrong with them.
func TestTableMistakes(t *testing.T) {
	t.Parallel()
	rows, err := data.NewRows([]data.Column{{Name: "Fläche", Kind: data.Number, Notation: data.Notation{Decimal: ",", Thousands: "."}}}, false, data.Format{})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, body, want string }{
		{"no datatype", `{"inputs": [{"name": "Fläche", "shape": [1], "data": ["80,37"]}]}`, `input "Fläche" has no datatype: want BYTES for text as in a file, or for numbers of JSON FP64`},
		{"no shape", `{"inputs": [{"name": "Fläche", "datatype": "BYTES", "data": ["80,37"]}]}`, `input "Fläche" has no shape`},
		{"the request's decimals", `{"parameters": {"decimal": "."}, "inputs": [{"name": "Fläche", "datatype": "BYTES", "shape": [1], "data": ["80,37"]}]}`, `"80,37" is not a number with a decimal point, as decimal = "." of the request says: write 80.37`},
		{"the model's decimals", `{"inputs": [{"name": "Fläche", "datatype": "BYTES", "shape": [1], "data": ["80.37"]}]}`, `"80.37" is not a number with a decimal comma, as the column has: write 80,37`},
		{"another encoding", "{\"inputs\": [{\"name\": \"Fl\xe4che\", \"datatype\": \"FP64\", \"shape\": [1], \"data\": [80]}]}", "request is not UTF-8: its byte 25 is 0xe4"},
	} {
		if _, err := gateway.DecodeTableV2([]byte(c.body), rows); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", c.name, err, c.want)
		}
	}
}

// TestTableWritten tells how a model reads files.
func TestTableWritten(t *testing.T) {
	t.Parallel()
	german := data.Notation{Decimal: ",", Thousands: "."}
	for _, c := range []struct {
		name               string
		second             data.Notation
		decimal, thousands string
	}{
		{"alike", german, ",", "."},
		{"some without thousands", data.Notation{Decimal: ","}, ",", "."},
		{"other thousands", data.Notation{Decimal: ",", Thousands: " "}, ",", ""},
		{"other decimals", data.Notation{Thousands: ","}, "", ""},
	} {
		rows, err := data.NewRows([]data.Column{{Name: "a", Kind: data.Number, Notation: german}, {Name: "b", Kind: data.Number, Notation: c.second}}, false, data.Format{Separator: ";"}, "keine Angabe")
		if err != nil {
			t.Fatal(err)
		}
		got := gateway.WrittenV2(rows, "y")
		if got["decimal"] != c.decimal || got["thousands"] != c.thousands || got["separator"] != ";" || got["target"] != "y" || !slices.Equal(got["missing_values"].([]string), []string{"keine Angabe"}) {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// TestAllColumnsOfATable allows requests as many inputs as a table may have columns.
func TestAllColumnsOfATable(t *testing.T) {
	t.Parallel()
	if gateway.MaxInputsV2 != data.MaxColumns {
		t.Errorf("%d inputs, a table has up to %d columns", gateway.MaxInputsV2, data.MaxColumns)
	}
}
