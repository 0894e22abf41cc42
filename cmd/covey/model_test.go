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
		{api.Collected{Blocks: 9, Bytes: 8 << 20, Freed: 6 << 20}, "9 blocks of 8.0 MiB, the disk got 6.0 MiB back; the other 2.0 MiB come back later, with what else goes from the same files"},
		{api.Collected{Blocks: 9, Bytes: 8 << 20, Freed: 9 << 20}, "9 blocks of 8.0 MiB, the disk got 9.0 MiB back; that is more, as garbage of before went with it"},
		{api.Collected{Blocks: 1, Bytes: 1 << 10, Freed: 4 << 10, Stay: 7 << 20}, "1 block of 1.0 KiB, the disk got 4.0 KiB back; 7.0 MiB of it are in other models, too, and stay"},
	} {
		if got := freedText(c.done); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
