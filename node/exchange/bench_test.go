package exchange_test

import (
	"testing"

	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
)

// BenchmarkFetch moves 512 MiB from store to store, through two real hosts on loopback.
func BenchmarkFetch(b *testing.B) {
	s := newSwarm(b)
	from := s.add(nil)
	blocks := randomBlocks(b, 1, 512, 1<<20)
	from.put(b, blocks)
	want := cidsOf(blocks)
	to := s.add(nil)
	b.SetBytes(int64(len(blocks)) << 20)
	for b.Loop() {
		if _, err := to.ex.Fetch(b.Context(), want, []host.ID{from.ID()}, exchange.Options{}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := to.store.Delete(b.Context(), want...); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
}
