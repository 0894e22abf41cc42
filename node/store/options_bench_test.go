package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/dgraph-io/badger/v4/options"

	"github.com/covey-network/covey/protocol"
)

// candidates are the options that the decision record compares.
func candidates() map[string]tuning {
	with := func(edit func(*tuning)) tuning {
		t := defaultTuning()
		edit(&t)
		return t
	}
	return map[string]tuning{
		"1-chosen": defaultTuning(),
		"2-tree":   with(func(t *tuning) { t.valueThreshold, t.memTable, t.blockCache = 1<<20, 64<<20, 64<<20 }),
		"3-tree-snappy": with(func(t *tuning) {
			t.valueThreshold, t.memTable, t.blockCache, t.compression = 1<<20, 64<<20, 64<<20, options.Snappy
		}),
		"4-sync":          with(func(t *tuning) { t.syncWrites = true }),
		"5-vlog-64MiB":    with(func(t *tuning) { t.vlogFile = 64 << 20 }),
		"6-vlog-1GiB":     with(func(t *tuning) { t.vlogFile = 1<<30 - 1 }),
		"7-memtable-64M":  with(func(t *tuning) { t.memTable = 64 << 20 }),
		"8-threshold-32K": with(func(t *tuning) { t.valueThreshold = 32 << 10 }),
	}
}

// randomBlocks makes n incompressible blocks of full size, less the framing that keeps
// them below Badger's largest threshold.
func randomBlocks(tb testing.TB, n int) []Block {
	tb.Helper()
	rng := rand.NewChaCha8([32]byte{1})
	out := make([]Block, n)
	for i := range out {
		data := make([]byte, protocol.MaxBlock-64)
		rng.Read(data)
		b, err := NewBlock(data)
		if err != nil {
			tb.Fatal(err)
		}
		out[i] = b
	}
	return out
}

// BenchmarkOptions writes and reads 256 MiB with each candidate. Run it with -benchtime=1x
// -count=5: the candidates then take turns.
func BenchmarkOptions(b *testing.B) {
	blocks := randomBlocks(b, 256)
	size := int64(len(blocks)) * int64(len(blocks[0].data))
	for name, t := range candidates() {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.StopTimer()
				s, err := Open(Config{Dir: b.TempDir(), tuning: &t})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for i := 0; i < len(blocks); i += 8 {
					if _, err := s.PutMany(b.Context(), blocks[i:i+8]); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				put := b.Elapsed()
				b.StartTimer()
				buf := make([]byte, 0, protocol.MaxBlock)
				for _, x := range blocks {
					if _, err := s.GetTo(b.Context(), buf, x.CID()); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				get := b.Elapsed() - put
				s.measure()
				mib := float64(size) / (1 << 20)
				b.ReportMetric(mib/put.Seconds(), "put-MiB/s")
				b.ReportMetric(mib/get.Seconds(), "get-MiB/s")
				b.ReportMetric(float64(s.used.Load())/float64(size), "disk/data")
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

// BenchmarkPut shows what the size of a batch is worth.
func BenchmarkPut(b *testing.B) {
	blocks := randomBlocks(b, 128)
	for _, n := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("batch-%d", n), func(b *testing.B) {
			b.SetBytes(int64(len(blocks)) * int64(len(blocks[0].data)))
			for range b.N {
				b.StopTimer()
				s, err := Open(Config{Dir: b.TempDir()})
				if err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				for i := 0; i < len(blocks); i += n {
					if _, err := s.PutMany(b.Context(), blocks[i:i+n]); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				if err := s.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
		})
	}
}
