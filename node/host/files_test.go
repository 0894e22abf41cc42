package host

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// TestCreateWithoutLinks creates a file where the file system has no links: what was written and
// synced before becomes the file, so that a disk that gets full meanwhile cannot leave a part of it.
func TestCreateWithoutLinks(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	path := filepath.Join(dir, "a.key")
	var written fs.FileInfo
	noLinks := func(from, _ string) (err error) {
		written, err = os.Lstat(from)
		return errors.Join(err, &os.LinkError{Op: "link", Err: errors.ErrUnsupported})
	}
	if err := createFile(path, []byte("whole"), noLinks); err != nil {
		t.Fatal(err)
	}
	info, err := os.Lstat(path)
	if err != nil || !os.SameFile(info, written) {
		t.Errorf("the file is not the one that was written first: %v, %v", info, err)
	}
	for name, link := range map[string]func(string, string) error{"links": os.Link, "no links": noLinks} {
		if err := createFile(path, []byte("other"), link); !errors.Is(err, fs.ErrExist) {
			t.Errorf("%s: a file that is there: %v", name, err)
		}
	}
	if data, err := os.ReadFile(path); err != nil || string(data) != "whole" {
		t.Errorf("the file has %q, %v", data, err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("left in the folder: %v, %v", files, err)
	}
}
