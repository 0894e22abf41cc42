package hosting_test

import (
	"errors"
	"testing"

	"github.com/covey-network/covey/node/hosting"
	"github.com/covey-network/covey/protocol/wire"
)

func ranges(texts ...string) []wire.Range {
	var out []wire.Range
	for _, s := range texts {
		r, err := hosting.ParseRange(s, 6)
		if err != nil {
			panic(err)
		}
		out = append(out, r)
	}
	return out
}

// perBlock says that each block takes 10 bytes, the embedding and the head 5.
func perBlock(r wire.Range) int64 {
	n := 10 * int64(r.Last-r.First)
	if r.Embed {
		n += 5
	}
	if r.Head {
		n += 5
	}
	return n
}

func TestChoose(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		served []wire.Range
		room   int64
		want   string // "" is ErrNoRoom
	}{
		{"nothing served, all fits", nil, 70, "all"},
		{"nothing served, some fits", nil, 40, "0-2"},
		{"nothing served, nothing fits", nil, 14, ""},
		{"gap in the middle", ranges("0-1", "4-5"), 100, "2-3"},
		{"gap at the end", ranges("0-1"), 25, "2-3"},
		{"two gaps", ranges("1-2"), 100, "0-0"},
		{"all covered: the range with the fewest copies", ranges("0-2", "0-2", "3-5"), 100, "3-5"},
		{"all covered: a longer range first", ranges("0-1", "2-5"), 100, "2-5"},
		{"all covered: one that fits", ranges("0-3", "4-5"), 30, "4-5"},
		{"all covered: nothing fits", ranges("0-5"), 30, ""},
	} {
		got, err := hosting.Choose(6, c.served, perBlock, c.room)
		if c.want == "" {
			if !errors.Is(err, hosting.ErrNoRoom) {
				t.Errorf("%s: %v, %v; want ErrNoRoom", c.name, got, err)
			}
			continue
		}
		if want := ranges(c.want)[0]; err != nil || got != want {
			t.Errorf("%s: %v, %v; want %v", c.name, got, err, want)
		}
	}
}

// TestChoicesTile checks that peers who choose one after the other cover a model with
// ranges that form chains, whatever room they have.
func TestChoicesTile(t *testing.T) {
	t.Parallel()
	for _, room := range [][]int64{{25, 25, 25, 25}, {70}, {15, 40, 20, 20}, {100, 20, 20}} {
		var served []wire.Range
		for _, n := range room {
			r, err := hosting.Choose(6, served, perBlock, n)
			if err != nil {
				continue
			}
			served = append(served, r)
		}
		at := uint32(0)
		for _, r := range served {
			if r.First == at {
				at = r.Last
			}
		}
		if at != 6 {
			t.Errorf("room %v: ranges %v end at block %d", room, served, at)
		}
	}
}

func TestParseRangeRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "x", "3-2", "-1-2", "0-6", "6", "1-2-3"} {
		if r, err := hosting.ParseRange(s, 6); !errors.Is(err, hosting.ErrRange) {
			t.Errorf("ParseRange(%q) = %v, %v", s, r, err)
		}
	}
}
