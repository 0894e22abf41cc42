package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"testing"
)

// FuzzFindBlocks checks that what is found in any bytes is a block of them.
func FuzzFindBlocks(f *testing.F) {
	entry := func(data []byte) []byte {
		b := binary.AppendUvarint([]byte{0, 0, entryKey}, uint64(len(data)))
		sum := sha256.Sum256(data)
		b = append(append(append(b, 0, prefixBlock), sum[:]...), make([]byte, 8)...)
		return append(append(b, data...), 1, 2, 3, 4)
	}
	f.Add(append(entry([]byte("covey")), entry(bytes.Repeat([]byte{entryKey}, 300))...))
	f.Add([]byte{entryKey, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		found, used := findBlocks(b, true)
		if used != len(b) {
			t.Fatalf("through with %d of %d bytes", used, len(b))
		}
		for _, x := range found {
			if len(x.data) == 0 || sha256.Sum256(x.data) != x.key || !bytes.Contains(b, x.data) {
				t.Fatalf("found %x under %x", x.data, x.key)
			}
		}
	})
}
