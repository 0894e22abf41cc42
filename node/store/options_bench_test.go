package store

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

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
		"5-vlog-256MiB":   with(func(t *tuning) { t.vlogFile = 256 << 20 }),
		"6-vlog-1GiB":     with(func(t *tuning) { t.vlogFile = 1<<30 - 1 }),
		"7-memtable-64M":  with(func(t *tuning) { t.memTable = 64 << 20 }),
		"8-threshold-32K": with(func(t *tuning) { t.valueThreshold = 32 << 10 }),
	}
}

// randomBlocks makes n incompressible blocks of full size, less the framing that keeps
// them below Badger's largest threshold.
func randomBlocks(tb testing.TB, seed byte, n int) []Block {
	tb.Helper()
	rng := rand.NewChaCha8([32]byte{seed})
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

// BenchmarkOptions writes and reads 1 GiB with each candidate. Run it with -benchtime=1x
// -count=3: the candidates then take turns.
func BenchmarkOptions(b *testing.B) {
	const rounds = 4
	size := int64(0)
	var blocks []Block
	for i := range rounds {
		blocks = append(blocks, randomBlocks(b, byte(i), 256)...)
	}
	for _, x := range blocks {
		size += int64(len(x.data))
	}
	all := candidates()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		t := all[name]
		b.Run(name, func(b *testing.B) {
			var put, get time.Duration
			var disk int64
			for b.Loop() {
				p, g, d := putAndGet(b, t, blocks)
				put, get, disk = put+p, get+g, disk+d
			}
			mib := float64(size) * float64(b.N) / (1 << 20)
			b.ReportMetric(mib/put.Seconds(), "put-MiB/s")
			b.ReportMetric(mib/get.Seconds(), "get-MiB/s")
			b.ReportMetric(float64(disk)/float64(b.N)/float64(size), "disk/data")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// putAndGet measures a new store: puts up to the last byte on disk, then gets.
func putAndGet(b *testing.B, t tuning, blocks []Block) (put, get time.Duration, disk int64) {
	b.Helper()
	s, err := Open(Config{Dir: b.TempDir(), tuning: &t})
	if err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	for i := 0; i < len(blocks); i += 8 {
		if _, err := s.PutMany(b.Context(), blocks[i:i+8]); err != nil {
			b.Fatal(err)
		}
	}
	if err := s.Sync(); err != nil {
		b.Fatal(err)
	}
	put = time.Since(start)
	buf := make([]byte, 0, protocol.MaxBlock)
	start = time.Now()
	for _, x := range blocks {
		if _, err := s.GetTo(b.Context(), buf, x.CID()); err != nil {
			b.Fatal(err)
		}
	}
	get = time.Since(start)
	s.measure()
	disk = s.used.Load()
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	if err := os.RemoveAll(s.cfg.Dir); err != nil {
		b.Fatal(err)
	}
	return put, get, disk
}

// BenchmarkPut shows what the size of a batch is worth.
func BenchmarkPut(b *testing.B) {
	blocks := randomBlocks(b, 1, 128)
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
