package wire

import (
	"bytes"
	"encoding/binary"
	"math"
)

// The major types of RFC 8949, section 3.1.
const (
	majorUint   = 0
	majorNegInt = 1
	majorBytes  = 2
	majorText   = 3
	majorArray  = 4
	majorMap    = 5
	majorTag    = 6
	majorSimple = 7
)

// checkCanonical reports whether data is exactly one CBOR item in the core deterministic
// encoding: shortest heads, definite lengths, map keys sorted by their bytes and unique,
// shortest floats, no tags. It allocates nothing and reads each byte once.
func checkCanonical(data []byte) error {
	n, err := canonicalItem(data, 0)
	if err != nil {
		return err
	}
	if n != len(data) {
		return invalid("%d bytes after the message", len(data)-n)
	}
	return nil
}

// canonicalItem checks the item at the start of data and returns its length.
func canonicalItem(data []byte, depth int) (int, error) {
	if depth > maxNesting {
		return 0, invalid("nested deeper than %d", maxNesting)
	}
	major, arg, n, err := canonicalHead(data)
	if err != nil {
		return 0, err
	}
	switch major {
	case majorUint, majorNegInt, majorSimple:
		return n, nil
	case majorBytes, majorText:
		if arg > uint64(len(data)-n) {
			return 0, invalid("string of %d bytes in %d", arg, len(data)-n)
		}
		return n + int(arg), nil
	case majorArray:
		if arg > uint64(len(data)-n) {
			return 0, invalid("array of %d items in %d bytes", arg, len(data)-n)
		}
		for range arg {
			m, err := canonicalItem(data[n:], depth+1)
			if err != nil {
				return 0, err
			}
			n += m
		}
		return n, nil
	case majorMap:
		return canonicalMap(data, n, arg, depth)
	}
	return 0, invalid("tag %d", arg)
}

func canonicalMap(data []byte, n int, pairs uint64, depth int) (int, error) {
	if pairs > uint64(len(data)-n) {
		return 0, invalid("map of %d pairs in %d bytes", pairs, len(data)-n)
	}
	var last []byte
	for range pairs {
		m, err := canonicalItem(data[n:], depth+1)
		if err != nil {
			return 0, err
		}
		key := data[n : n+m]
		if last != nil && bytes.Compare(last, key) >= 0 {
			return 0, invalid("map keys out of order")
		}
		last, n = key, n+m
		if m, err = canonicalItem(data[n:], depth+1); err != nil {
			return 0, err
		}
		n += m
	}
	return n, nil
}

// canonicalHead reads an item's head: major type, argument and length of the head.
func canonicalHead(data []byte) (major byte, arg uint64, n int, err error) {
	if len(data) == 0 {
		return 0, 0, 0, invalid("truncated")
	}
	major, info := data[0]>>5, data[0]&0x1f
	if info < 24 {
		if major == majorSimple && (info < 20 || info > 22) { // false, true, null
			return 0, 0, 0, invalid("simple value %d", info)
		}
		return major, uint64(info), 1, nil
	}
	if info > 27 {
		return 0, 0, 0, invalid("indefinite or reserved length %d", info)
	}
	size := 1 << (info - 24)
	if len(data) < 1+size {
		return 0, 0, 0, invalid("truncated")
	}
	var word [8]byte
	copy(word[8-size:], data[1:1+size])
	arg = binary.BigEndian.Uint64(word[:])
	if major == majorSimple {
		if !shortestFloat(arg, size) {
			return 0, 0, 0, invalid("float or simple value not in its shortest form")
		}
		return major, arg, 1 + size, nil
	}
	if size == 1 && arg < 24 || size > 1 && arg>>(8*size/2) == 0 {
		return 0, 0, 0, invalid("number %d not in its shortest form", arg)
	}
	return major, arg, 1 + size, nil
}

// shortestFloat reports whether no shorter float has the same value. The one NaN is the
// half-precision quiet NaN.
func shortestFloat(bits uint64, size int) bool {
	switch size {
	case 2:
		return bits&0x7c00 != 0x7c00 || bits&0x3ff == 0 || bits == 0x7e00
	case 4:
		f := math.Float32frombits(uint32(bits))
		return f == f && !fitsHalf(f)
	case 8:
		f := math.Float64frombits(bits)
		return f == f && float64(float32(f)) != f
	}
	return false // a simple value in two bytes
}

// fitsHalf reports whether f is exactly a half-precision value.
func fitsHalf(f float32) bool {
	bits := math.Float32bits(f)
	exp, frac := int(bits>>23&0xff)-127, bits&0x7fffff
	switch {
	case exp == 128: // infinity; NaN was refused
		return true
	case exp == -127: // zero; a float32 subnormal is far below half's smallest
		return frac == 0
	case exp > 15 || exp < -24:
		return false
	case exp >= -14:
		return frac&0x1fff == 0
	}
	// Half subnormal: 2^-24 is the last bit, so 23+24+exp fraction bits must be zero.
	return frac&(1<<uint(23-(exp+24))-1) == 0
}
