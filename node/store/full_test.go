package store_test

import (
	"fmt"
	"io/fs"
	"runtime"
	"syscall"
	"testing"

	"github.com/covey-network/covey/node/store"
)

// TestIsFull takes the errors of a full disk, and of a full share of one, for what they are on the
// system that the test runs on.
func TestIsFull(t *testing.T) {
	t.Parallel()
	full, other := []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}, []syscall.Errno{syscall.EACCES, syscall.ENOENT}
	if runtime.GOOS == "windows" {
		full, other = []syscall.Errno{39, 112, 1295}, []syscall.Errno{2, 5, 32} // not found, access denied, in use
	}
	wrapped := func(n syscall.Errno) error {
		return fmt.Errorf("put: %w", &fs.PathError{Op: "write", Path: "000001.vlog", Err: n})
	}
	for _, n := range full {
		if !store.IsFull(wrapped(n)) || !store.IsFull(fmt.Errorf("badger: %v", n)) {
			t.Errorf("%d (%v) is not a full disk", int(n), n)
		}
	}
	for _, n := range other {
		if store.IsFull(wrapped(n)) {
			t.Errorf("%d (%v) is a full disk", int(n), n)
		}
	}
	if store.IsFull(nil) {
		t.Error("no error is a full disk")
	}
}
