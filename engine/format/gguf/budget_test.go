package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"testing"
)

// header writes a file of one key per value, each given as type and contents.
func header(tensors int, values ...string) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("GGUF"), 3)
	b = binary.LittleEndian.AppendUint64(b, uint64(tensors))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(values)))
	for i, v := range values {
		b = append(b, u64(1)+string(rune('a'+i))+v...)
	}
	return b
}

func u32(n uint32) string { return string(binary.LittleEndian.AppendUint32(nil, n)) }
func u64(n uint64) string { return string(binary.LittleEndian.AppendUint64(nil, n)) }

// array is an array of n items of a kind, all the same.
func array(kind uint32, n int, item string) string {
	return u32(typeArray) + u32(kind) + u64(uint64(n)) + strings.Repeat(item, n)
}

// TestHeaderBudget has headers that become many times longer in memory: all that is decoded
// counts, over all keys.
func TestHeaderBudget(t *testing.T) {
	t.Parallel()
	const budget = 64 << 10
	for _, c := range []struct {
		name string
		data []byte
		fits bool
	}{
		{"bytes", header(0, array(typeUint8, 6000, "x")), true},
		{"many bytes", header(0, array(typeUint8, 6000, "x"), array(typeUint8, 6000, "x")), false},
		{"booleans", header(0, array(typeBool, 9000, "\x01")), false},
		{"small integers", header(0, array(typeInt8, 9000, "\xff")), false},
		{"floats", header(0, array(typeFloat32, 9000, "abcd")), false},
		{"empty texts", header(0, array(typeString, 5000, u64(0))), false},
		{"texts", header(0, array(typeString, 3000, u64(1)+"x")), true},
		{"empty arrays", header(0, array(typeArray, 2000, u32(typeUint8)+u64(0))), false},
		{"tensors", append(header(300), strings.Repeat(u64(1)+"x"+u32(1)+u64(1)+u32(0)+u64(0), 300)...), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := read(bytes.NewReader(c.data), int64(len(c.data)), budget)
			if c.fits && err != nil || !c.fits && !errors.Is(err, errBudget) {
				t.Errorf("got %v, want it to fit: %v", err, c.fits)
			}
		})
	}
}

// TestHeaderMemory measures what reading a header takes, garbage and all. It is not
// parallel: it reads the counters of the process.
func TestHeaderMemory(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"bytes", array(typeUint8, 1<<20, "x")},
		{"integers", array(typeInt32, 1<<19, "abcd")},
		{"booleans", array(typeBool, 1<<20, "\x01")},
	} {
		data := header(0, c.value)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := read(bytes.NewReader(data), int64(len(data)), maxMemory); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if ratio := float64(after.TotalAlloc-before.TotalAlloc-256<<10) / float64(len(data)); ratio > 8.5 {
			t.Errorf("%s: %.1f times the file, want at most 8", c.name, ratio)
		}
	}
}
