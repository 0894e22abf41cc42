//go:build unix

package filelock

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestReleaseBesideAChild gives a lock back while a child that was just forked has the file
// open too, as the same open file.
func TestReleaseBesideAChild(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	child, err := unix.Dup(int(l.f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(child)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	if held, err := Held(path); held || err != nil {
		t.Errorf("held: %v, %v", held, err)
	}
	again, err := Try(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Release(); err != nil {
		t.Error(err)
	}
}
