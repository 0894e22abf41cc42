package round_test

import (
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/round"
)

func TestDeadline(t *testing.T) {
	t.Parallel()
	span := round.Span{Floor: 10, Cap: 200}
	for name, c := range map[string]struct {
		waits []int
		want  int
	}{
		"nothing measured":             {nil, 200},
		"all alike: the floor":         {[]int{50, 50, 50}, 60},
		"deviation of 2":               {[]int{50, 52, 54, 46, 58}, 52 + 5*2},
		"deviation above the floor":    {[]int{50, 60, 70, 40, 30}, 50 + 5*10},
		"a slow one does not move it":  {[]int{50, 50, 50, 50, 5000}, 60},
		"no longer than the cap":       {[]int{190, 195, 198}, 200},
		"the oldest of 64 are dropped": {append(slices.Repeat([]int{5}, 64), slices.Repeat([]int{90}, 64)...), 100},
	} {
		if got := round.Deadline(span, 5, c.waits...); got != c.want {
			t.Errorf("%s: %d ticks, want %d", name, got, c.want)
		}
	}
}
