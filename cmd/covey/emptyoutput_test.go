package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// TestNoEmptyOutput ends before anything was written, as on a full disk: a file that is new goes
// again, and an older one stays.
func TestNoEmptyOutput(t *testing.T) {
	t.Parallel()
	for _, fresh := range []bool{true, false} {
		f, err := os.Create(filepath.Join(t.TempDir(), "out.csv"))
		if err != nil {
			t.Fatal(err)
		}
		p := &rowCSV{name: f.Name(), fresh: fresh, notes: io.Discard, close: []io.Closer{f}}
		if err := p.end(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(f.Name()); errors.Is(err, os.ErrNotExist) != fresh {
			t.Errorf("new: %t, then %v", fresh, err)
		}
	}
}
