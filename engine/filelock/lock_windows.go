package filelock

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// lock locks an open file, alone or together with others that do not want it alone.
func lock(f *os.File, alone bool) error {
	flags := uint32(windows.LOCKFILE_FAIL_IMMEDIATELY)
	if alone {
		flags |= windows.LOCKFILE_EXCLUSIVE_LOCK
	}
	err := windows.LockFileEx(windows.Handle(f.Fd()), flags, 0, 1, 0, new(windows.Overlapped))
	if errors.Is(err, windows.ERROR_LOCK_VIOLATION) {
		return ErrHeld
	}
	return err
}

// unlock does nothing: when the file is closed, which comes next, so is the lock.
func unlock(*os.File) error { return nil }
