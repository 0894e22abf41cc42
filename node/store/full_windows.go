package store

import "syscall"

// The errors of a full disk by their numbers in winerror.h, which package syscall has no names for:
// of writing, and of a file system that tells it by itself.
const (
	errorHandleDiskFull    syscall.Errno = 39
	errorDiskFull          syscall.Errno = 112
	errorDiskQuotaExceeded syscall.Errno = 1295
)

// isFull reports whether an error means that a disk, or the owner's share of it, is full. ENOSPC is
// none of the system's: Go programs make it up.
func isFull(err error) bool {
	return isAny(err, errorDiskFull, errorHandleDiskFull, errorDiskQuotaExceeded, syscall.ENOSPC)
}
