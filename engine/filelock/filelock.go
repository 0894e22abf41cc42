// Package filelock locks files between processes. Lock is the main type. The system gives a
// lock back when its process ends, however that ends, so a lock never outlives its holder;
// the file stays, and is empty. It is in the engine so that training runs can use it, as the
// store does.
package filelock

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// ErrHeld means that another process, or another Lock of this one, has the lock.
var ErrHeld = errors.New("lock is held")

// Lock is a lock that is held.
type Lock struct{ f *os.File }

// Try takes the lock of a file, which it makes if need be. It does not wait: the error
// wraps ErrHeld if the lock is not free.
func Try(path string) (*Lock, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := lock(f, true); err != nil {
		return nil, fmt.Errorf("lock %q: %w", path, errors.Join(err, f.Close()))
	}
	return &Lock{f}, nil
}

// Release gives the lock back.
func (l *Lock) Release() error { return errors.Join(unlock(l.f), l.f.Close()) }

// Held reports whether somebody has the lock of a file, which it does not make. A Try at the
// same moment may find the lock held by this look at it.
func Held(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look at lock: %w", err)
	}
	err = lock(f, false)
	held := errors.Is(err, ErrHeld)
	switch {
	case held:
		err = nil
	case err == nil:
		err = unlock(f)
	}
	return held, errors.Join(err, f.Close())
}
