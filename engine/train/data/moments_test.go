package data_test

import (
	"math"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/data"
)

// TestMoments adds up the moments of parts of a table: they are those of all of it.
func TestMoments(t *testing.T) {
	t.Parallel()
	text := "a,b,label\n1000001,1,x\n1000004,5,y\n,3,x\n1000002.5,2,x\n999990,4,y\n1000003,9,y\n1000007,7,x\n"
	table, err := data.ReadTable(strings.NewReader(text), "t.csv", data.TableConfig{Label: "label", FillMissing: true})
	if err != nil {
		t.Fatal(err)
	}
	all := []int{0, 1, 2, 3, 4, 5, 6}
	whole := table.Moments(0, all)
	if whole.Count != 6 {
		t.Errorf("%d numbers, want those that are not missing: 6", whole.Count)
	}
	for _, cuts := range [][]int{{0, 7}, {0, 1, 7}, {0, 2, 3, 7}, {0, 1, 2, 3, 4, 5, 6, 7}} {
		var sum data.Moments
		for i, lo := range cuts[:len(cuts)-1] {
			sum = sum.Plus(table.Moments(0, all[lo:cuts[i+1]]))
		}
		if sum.Count != whole.Count || math.Abs(sum.Mean-whole.Mean) > 1e-9 || math.Abs(sum.Squares/whole.Squares-1) > 1e-9 {
			t.Errorf("parts at %v have %+v, all has %+v", cuts, sum, whole)
		}
	}
	standard, err := table.Standardise(all)
	if err != nil {
		t.Fatal(err)
	}
	if mean, std := whole.Scale(); mean != standard.Columns()[0].Mean || std != standard.Columns()[0].Std {
		t.Errorf("scale %v, %v, want %+v", mean, std, standard.Columns()[0])
	}
	if _, std := (data.Moments{Count: 3, Mean: 7}).Scale(); std != 1 {
		t.Errorf("numbers that are equal have deviation %v, want 1", std)
	}
}
