package vec

import (
	"encoding/binary"
	"math"
	"unsafe"
)

// little reports whether the machine writes numbers as encodings do, the lowest byte first.
var little = binary.NativeEndian.Uint16([]byte{1, 0}) == 1

// memory returns the bytes of x as they lie in memory.
func memory(x []float32) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(x))), 4*len(x))
}

// Bytes returns x as bytes, little-endian, to be read only: its own memory where the machine has
// it so, else buf, which grows as needed.
func Bytes(buf []byte, x []float32) []byte { return bytesOf(little, buf, x) }

func bytesOf(little bool, buf []byte, x []float32) []byte {
	if little {
		return memory(x)
	}
	if cap(buf) < 4*len(x) {
		buf = make([]byte, 4*len(x))
	}
	buf = buf[:4*len(x)]
	f32(little, buf, x)
	return buf
}

// F32 writes x to dst as it is, little-endian. dst has 4 bytes a value.
func F32(dst []byte, x []float32) { f32(little, dst, x) }

func f32(little bool, dst []byte, x []float32) {
	checkLen("F32", 4*len(x), len(dst))
	if little {
		copy(dst, memory(x))
		return
	}
	for i, v := range x {
		binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits(v))
	}
}

// FromF32 is the inverse of [F32].
func FromF32(dst []float32, b []byte) { fromF32(little, dst, b) }

func fromF32(little bool, dst []float32, b []byte) {
	checkLen("FromF32", 4*len(dst), len(b))
	if little {
		copy(memory(dst), b)
		return
	}
	for i := range dst {
		dst[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
}
