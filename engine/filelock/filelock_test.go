package filelock_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/covey-network/covey/engine/filelock"
)

func TestLock(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	check := func(want bool) {
		t.Helper()
		if held, err := filelock.Held(path); err != nil || held != want {
			t.Errorf("held %v, %v; want %v", held, err, want)
		}
	}
	check(false)
	if _, err := os.Stat(path); err == nil {
		t.Error("looking at a lock made its file")
	}
	for range 2 {
		l, err := filelock.Try(path)
		if err != nil {
			t.Fatal(err)
		}
		check(true)
		if _, err := filelock.Try(path); !errors.Is(err, filelock.ErrHeld) {
			t.Errorf("a lock that is held: %v", err)
		}
		if err := l.Release(); err != nil {
			t.Error(err)
		}
		check(false)
	}
	if _, err := filelock.Try(filepath.Join(path, "x")); err == nil || errors.Is(err, filelock.ErrHeld) {
		t.Errorf("a lock that cannot be: %v", err)
	}
}
