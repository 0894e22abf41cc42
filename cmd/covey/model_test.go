package main

import (
	"testing"

	"github.com/covey-network/covey/node/api"
)

// TestFreedText says why the disk got something else back than was removed.
func TestFreedText(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		done api.Collected
		want string
	}{
		{api.Collected{}, "0 blocks of 0 B, the disk got 0 B back"},
		{api.Collected{Blocks: 1, Bytes: 3 << 10, Freed: 4 << 10}, "1 block of 3.0 KiB, the disk got 4.0 KiB back"},
		{api.Collected{Blocks: 1, Bytes: 9 << 10}, "1 block of 9.0 KiB, the disk got 0 B back"},
		{api.Collected{Blocks: 9, Bytes: 8 << 20, Freed: 6 << 20}, "9 blocks of 8.0 MiB, the disk got 6.0 MiB back; the other 2.0 MiB come back when there is room to write anew what lies in the same files"},
		{api.Collected{Blocks: 9, Bytes: 8 << 20, Freed: 9 << 20}, "9 blocks of 8.0 MiB, the disk got 9.0 MiB back; that is more, as garbage of before, or files that the store had in advance, went with it"},
	} {
		if got := freedText(c.done); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

// TestRemovedText says what went with a model and what stays of it, and names what goes with that.
func TestRemovedText(t *testing.T) {
	t.Parallel()
	const freed = "removed a: 1 block of 1.0 KiB, the disk got 4.0 KiB back"
	done := api.Collected{Blocks: 1, Bytes: 1 << 10, Freed: 4 << 10, Room: 3 << 30, Models: []api.Removed{{Name: "a", Bytes: 8 << 20}}}
	for _, c := range []struct {
		stay    int64
		sharing []string
		loose   []api.Removed
		want    string
	}{
		{0, nil, nil, freed},
		{7 << 20, []string{"b", "c"}, nil, freed + "\n7.0 MiB of it stay: they are in b, c, too"},
		{7 << 20, nil, nil, freed + "\n7.0 MiB of it stay for now, as they are in use"},
		{0, nil, []api.Removed{{Name: "d", Bytes: 5 << 20}}, freed + "\nremoved as well, as it was not pinned: d (5.0 MiB)"},
	} {
		d := done
		d.Stay, d.Sharing, d.Models = c.stay, c.sharing, append(d.Models, c.loose...)
		if got, want := removedText("a", d), c.want+"\nmodels can take 3.0 GiB now"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// TestFetchedText has one unit, and names of peers where they are known.
func TestFetchedText(t *testing.T) {
	t.Parallel()
	e := &api.Event{Name: "m", Bytes: 3 << 20, From: map[string]int64{"12D3a": 2 << 20, "12D3b": 1 << 20}, Names: map[string]string{"12D3a": "attic"}}
	if got, want := fetchedText(e), "fetched 3.0 MiB of m\n  2.0 MiB from attic\n  1.0 MiB from 12D3b"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
