package kernel

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// adviseHuge asks for huge pages when b is first written; settle asks to move into huge
// pages what lies in small ones, as memory does that was used before. Errors do not matter:
// both are hints, and an old system does not know the second one.
func adviseHuge(b []byte) { adviseMemory(b, unix.MADV_HUGEPAGE) }

func settle(b []byte) { adviseMemory(b, unix.MADV_COLLAPSE) }

func adviseMemory(b []byte, advice int) {
	if len(b) < hugePage {
		return
	}
	first := unsafe.Pointer(unsafe.SliceData(b))
	skip := int(-uintptr(first) & (hugePage - 1))
	if n := (len(b) - skip) &^ (hugePage - 1); n > 0 {
		_ = unix.Madvise(b[skip:skip+n], advice)
	}
}
