package data_test

import (
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
		if err := r.Inputs(make([]float32, r.Width()), []string{c.age, c.colour}, nil); err == nil || err.Error() != c.want {
			t.Errorf("%q and %q: got %v, want %s", c.age, c.colour, err, c.want)
		}
	}
}
