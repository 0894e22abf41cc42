package store_test

import (
	"os"
	"path/filepath"
	"testing"
)

// rewrite replaces the content of a file in dir.
func rewrite(tb testing.TB, dir, name string, edit func([]byte) []byte) {
	tb.Helper()
	p := filepath.Join(dir, name)
	b, err := os.ReadFile(p)
	if err != nil {
		tb.Fatal(err)
	}
	if err := os.WriteFile(p, edit(b), 0o600); err != nil {
		tb.Fatal(err)
	}
}
