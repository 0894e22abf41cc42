//go:build !windows

package store

import "syscall"

// isFull reports whether an error means that a disk, or the owner's share of it, is full.
func isFull(err error) bool {
	return isAny(err, syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG)
}
