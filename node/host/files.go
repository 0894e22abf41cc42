package host

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// maxFile bounds every file this package reads back: the largest is the peers book.
const maxFile = 4 << 20

// writeFile puts data at path with one rename, readable by the owner only, so that a crash
// leaves either the old file or the new one.
func writeFile(path string, data []byte) (err error) {
	f, err := tempFile(path, data)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f))
		}
	}()
	if err := os.Rename(f, path); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// createFile puts data at path, whole or not at all, unless there is a file already: then the
// error is fs.ErrExist, and the file is left as it is. link is os.Link. On a file system without
// links a file that another process creates at the same moment may be replaced.
func createFile(path string, data []byte, link func(from, to string) error) (err error) {
	f, err := tempFile(path, data)
	if err != nil {
		return err
	}
	err = link(f, path) // unlike rename, link does not replace
	if err != nil && !errors.Is(err, fs.ErrExist) {
		if _, err = os.Lstat(path); err == nil {
			err = fs.ErrExist
		} else if errors.Is(err, fs.ErrNotExist) {
			if err = os.Rename(f, path); err == nil {
				return nil
			}
		}
	}
	if err := errors.Join(err, os.Remove(f)); err != nil {
		return fmt.Errorf("create %q: %w", path, err)
	}
	return nil
}

// tempFile writes data to a new file beside path and returns its name.
func tempFile(path string, data []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return "", fmt.Errorf("write %q: %w", path, err)
	}
	_, err = f.Write(data)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return "", fmt.Errorf("write %q: %w", path, errors.Join(err, os.Remove(f.Name())))
	}
	return f.Name(), nil
}

// readFile reads a whole file of at most maxFile bytes. No file is fs.ErrNotExist.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("read %q: over %d bytes", path, maxFile)
	}
	return data, nil
}
