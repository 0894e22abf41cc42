package wire_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/covey-network/covey/protocol/wire"
)

// TestPairs cuts maps that were encoded by hand after RFC 8949, and puts them together again.
func TestPairs(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		data string
		want []string // keys and values; nil: refused
	}{
		"empty":             {"a0", []string{}},
		"of every type":     {"a5" + "0118ff" + "0220" + "03421234" + "04820102" + "1818a10102", []string{"01", "18ff", "02", "20", "03", "421234", "04", "820102", "1818", "a10102"}},
		"no map":            {"820102", nil},
		"a number":          {"01", nil},
		"nothing":           {"", nil},
		"a value missing":   {"a20102", nil},
		"more than a map":   {"a1010203", nil},
		"keys out of order": {"a202010101", nil},
		"a long head":       {"a101180a", nil},
		"endless":           {"bf0102ff", nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			data, err := hex.DecodeString(tt.data)
			if err != nil {
				t.Fatal(err)
			}
			pairs, err := wire.Pairs(data)
			if (err != nil) != (tt.want == nil) {
				t.Fatalf("got %d pairs, %v", len(pairs), err)
			}
			if err != nil {
				return
			}
			if 2*len(pairs) != len(tt.want) {
				t.Fatalf("got %d pairs, want %d", len(pairs), len(tt.want)/2)
			}
			for i, p := range pairs {
				if k, v := hex.EncodeToString(p.Key), hex.EncodeToString(p.Value); k != tt.want[2*i] || v != tt.want[2*i+1] {
					t.Errorf("pair %d: %s and %s, want %s and %s", i, k, v, tt.want[2*i], tt.want[2*i+1])
				}
			}
			if got := wire.JoinPairs(pairs); !bytes.Equal(got, data) {
				t.Errorf("joined %x, want %x", got, data)
			}
		})
	}
}

// TestRaw has the examples of RFC 8949, appendix A.
func TestRaw(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		got  []byte
		want string
	}{
		{wire.RawUint(0), "00"},
		{wire.RawUint(23), "17"},
		{wire.RawUint(24), "1818"},
		{wire.RawUint(1000), "1903e8"},
		{wire.RawUint(1000000), "1a000f4240"},
		{wire.RawUint(1000000000000), "1b000000e8d4a51000"},
		{wire.RawNegative(0), "20"},
		{wire.RawNegative(99), "3863"},
		{wire.RawBytes(nil), "40"},
		{wire.RawBytes([]byte{1, 2, 3, 4}), "4401020304"},
		{wire.RawArray(nil), "80"},
		{wire.RawArray([][]byte{{1}, {2}, {3}}), "83010203"},
	} {
		if got := hex.EncodeToString(tt.got); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
