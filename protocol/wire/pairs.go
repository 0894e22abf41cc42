package wire

import (
	"bytes"
	"encoding/binary"
)

// Pair is a key of an encoded map and its value, both encoded.
type Pair struct{ Key, Value []byte }

// Pairs cuts the canonical encoding of a map into its pairs, which are parts of data.
func Pairs(data []byte) ([]Pair, error) {
	if err := checkCanonical(data); err != nil {
		return nil, err
	}
	major, pairs, n, err := canonicalHead(data)
	if err != nil {
		return nil, err
	}
	if major != majorMap {
		return nil, invalid("an item of type %d for a map", major)
	}
	out := make([]Pair, 0, pairs) // each has two bytes at least, which are there
	for range pairs {
		k, err := canonicalItem(data[n:], 0)
		if err != nil {
			return nil, err
		}
		v, err := canonicalItem(data[n+k:], 0)
		if err != nil {
			return nil, err
		}
		out = append(out, Pair{data[n : n+k : n+k], data[n+k : n+k+v : n+k+v]})
		n += k + v
	}
	return out, nil
}

// JoinPairs encodes a map of pairs whose keys are sorted by their bytes and unique.
func JoinPairs(pairs []Pair) []byte {
	out := appendHead(nil, majorMap, uint64(len(pairs)))
	for _, p := range pairs {
		out = append(append(out, p.Key...), p.Value...)
	}
	return out
}

// ComparePairs orders pairs by their keys.
func ComparePairs(a, b Pair) int { return bytes.Compare(a.Key, b.Key) }

// RawUint encodes a number.
func RawUint(v uint64) []byte { return appendHead(nil, majorUint, v) }

// RawNegative encodes -1 - v.
func RawNegative(v uint64) []byte { return appendHead(nil, majorNegInt, v) }

// RawBytes encodes a byte string.
func RawBytes(b []byte) []byte { return append(appendHead(nil, majorBytes, uint64(len(b))), b...) }

// RawArray encodes an array of encoded items.
func RawArray(items [][]byte) []byte {
	return append(appendHead(nil, majorArray, uint64(len(items))), bytes.Join(items, nil)...)
}

// appendHead appends an item's head in its shortest form.
func appendHead(dst []byte, major byte, arg uint64) []byte {
	var word [8]byte
	binary.BigEndian.PutUint64(word[:], arg)
	switch {
	case arg < 24:
		return append(dst, major<<5|byte(arg))
	case arg < 1<<8:
		return append(append(dst, major<<5|24), word[7:]...)
	case arg < 1<<16:
		return append(append(dst, major<<5|25), word[6:]...)
	case arg < 1<<32:
		return append(append(dst, major<<5|26), word[4:]...)
	}
	return append(append(dst, major<<5|27), word[:]...)
}
