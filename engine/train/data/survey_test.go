package data_test

import (
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestSurvey tells how the numbers of a file are written from those that can be read in one way
// only.
func TestSurvey(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name               string
		columns            [][]string
		set                string
		decimal, thousands string
	}{
		{"points", [][]string{{"1.5", "n.a.", "2"}, {"7"}}, "", ".", ""},
		{"commas", [][]string{{"7"}, {"1,5", "", "2,25"}}, "", ",", ""},
		{"points and thousands", [][]string{{"1,234.5", "17"}}, "", ".", ","},
		{"commas and thousands", [][]string{{"1.234,5", "2.345"}}, "", ",", "."},
		{"thousands of another column", [][]string{{"1.5"}, {"1,234", "2,345"}}, "", ".", ","},
		{"either", [][]string{{"1.234", "2.345"}}, "", "", "."},
		{"nothing", [][]string{{"1", "2"}}, "", "", ""},
		{"columns differ", [][]string{{"1.5"}, {"1,5"}}, "", "", ""},
		{"a slip among many", [][]string{append(repeat(40, "1.5", "2.5"), "1,5")}, "", ".", ""},
		{"words", [][]string{{"a", "b", "1.5"}}, "", "", ""},
		{"set", [][]string{{"1.234", "2.345"}}, ".", ".", ""},
	} {
		s := data.NewSurvey(len(c.columns))
		for i, values := range c.columns {
			for k, v := range values {
				s.Add(i, v, k+2)
			}
		}
		decimal, thousands, _ := s.Written(c.set)
		if decimal != c.decimal || c.decimal != "" && thousands != c.thousands {
			t.Errorf("%s: decimal %q, thousands %q, want %q and %q", c.name, decimal, thousands, c.decimal, c.thousands)
		}
	}
}
