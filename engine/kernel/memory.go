package kernel

import "unsafe"

// hugePage is the size of the pages that weights should lie in. In a virtual machine on
// Zen 4 two threads read 33 GB/s from such pages, 26 GB/s from pages of 4 KiB.
const hugePage = 2 << 20

// alignedBytes returns n zero bytes that start on a cache line.
func alignedBytes(n int) []byte {
	b := make([]byte, n+stepBytes-1)
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (stepBytes - 1)
	return b[skip : skip+n : skip+n]
}

// weightBytes is alignedBytes for what is read again and again. The caller calls settle
// when it has written them.
func weightBytes(n int) []byte {
	b := alignedBytes(n)
	adviseHuge(b)
	return b
}

// weightSlice is weightBytes for numbers.
func weightSlice[T uint16 | float32](n int) []T {
	b := weightBytes(n * int(unsafe.Sizeof(T(0))))
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), n)
}

func settleSlice[T uint16 | float32](s []T) {
	settle(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(T(0)))))
}

// Buffer returns n zero bytes in memory like that of the weights.
func Buffer(n int) []byte {
	b := weightBytes(n)
	for i := 0; i < len(b); i += 4096 {
		b[i] = 0 // pages that nobody wrote are not there yet
	}
	settle(b)
	return b
}
