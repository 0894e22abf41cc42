package data_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

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
		if notes := told(d); !strings.Contains(notes, c.want) || c.want == "" && notes != "" {
			t.Errorf("%s: notes %q, want %q", c.name, notes, c.want)
		}
	}
}
