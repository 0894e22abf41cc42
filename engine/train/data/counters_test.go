package data_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestCounters leaves out columns that count the rows, and not such that may be measurements.
func TestCounters(t *testing.T) {
	t.Parallel()
	out := func(name string, from, to int) string {
		return fmt.Sprintf(`column %q counts the rows, from %d to %d: it is left out, as it is likely to be a number of theirs and no measurement; columns = [{name = %[1]q, kind = "number"}] in [data.csv] takes it in`, name, from, to)
	}
	for _, c := range []struct {
		name  string
		rows  int
		value func(i int) string
		kind  data.Kind // that is set
		want  data.Kind
		told  string // "" if nothing is
	}{
		{"in order", 40, func(i int) string { return fmt.Sprint(1000 + i) }, data.Auto, data.Ignore, out("a", 1000, 1039)},
		{"from the last on", 40, func(i int) string { return fmt.Sprint(40 - i) }, data.Auto, data.Ignore, out("a", 40, 1)},
		{"a few left out", 100, func(i int) string { return fmt.Sprint(1 + i + i/50) }, data.Auto, data.Ignore, out("a", 1, 101)},
		{"with thousands", 40, func(i int) string { return fmt.Sprintf("1.%03d.%03d", i/10, i%10*100) }, data.Auto, data.Number, ""},
		{"numbers that are said to be such", 40, func(i int) string { return fmt.Sprint(1000 + i) }, data.Number, data.Number, ""},
		{"few rows", 20, func(i int) string { return fmt.Sprint(i) }, data.Auto, data.Number, ""},
		{"years", 60, func(i int) string { return fmt.Sprint(1960 + i) }, data.Auto, data.Number, ""},
		{"many left out", 40, func(i int) string { return fmt.Sprint(1 + i + i/3) }, data.Auto, data.Number, `column "a" seems to number the rows, from 1 to 53`},
		{"each once", 40, func(i int) string { return fmt.Sprint(100 + i*7%40) }, data.Auto, data.Number, `column "a" seems to number the rows`},
		{"measured in order", 40, func(i int) string { return fmt.Sprint(100 + i*i) }, data.Auto, data.Number, ""},
		{"with decimals", 40, func(i int) string { return fmt.Sprintf("%d,5", i) }, data.Auto, data.Number, ""},
		{"twice", 40, func(i int) string { return fmt.Sprint(min(i, 38)) }, data.Auto, data.Number, ""},
	} {
		var text strings.Builder
		text.WriteString("a;b;y\n")
		for i := range c.rows {
			fmt.Fprintf(&text, "%s;%d,5;%s\n", c.value(i), i%7, "kl"[i%2:i%2+1])
		}
		d := readTable(t, text.String(), data.TableConfig{Label: "y", Columns: []data.Column{{Name: "a", Kind: c.kind}}})
		got := strings.Join(d.Warnings(), "\n")
		if d.Columns()[0].Kind != c.want || !strings.Contains(got, c.told) || c.told == "" && got != "" {
			t.Errorf("%s: %v, told %q, want %v and %q", c.name, d.Columns()[0].Kind, got, c.want, c.told)
		}
	}
}

// TestCounterAlone keeps a column that counts the rows if it is the only input: it may be x of f(x).
func TestCounterAlone(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString("x;y\n")
	for i := range 40 {
		fmt.Fprintf(&text, "%d;%d,5\n", i, i*i)
	}
	d := readTable(t, text.String(), data.TableConfig{Label: "y"})
	if got := strings.Join(d.Warnings(), "\n"); d.Columns()[0].Kind != data.Number || !strings.Contains(got, `column "x" seems to number the rows, from 0 to 39`) {
		t.Errorf("%v, told %q", d.Columns()[0].Kind, got)
	}
}
