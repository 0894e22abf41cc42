package store_test

import (
	"math"
	"testing"

	"github.com/covey-network/covey/node/store"
)

func TestBytesText(t *testing.T) {
	t.Parallel()
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 4 << 20: "4.0 MiB", 3 << 29: "1.5 GiB", 1 << 40: "1.0 TiB", 1 << 50: "1.0 PiB",
		math.MaxInt64: "8192.0 PiB",
	} {
		if got := store.BytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
