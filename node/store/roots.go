package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"sync"
)

// maxRootsFile bounds the roots file: some 50 000 pins.
const maxRootsFile = 8 << 20

// roots is what must survive the loss of the database.
type roots struct {
	Version int               `json:"version"`
	Lost    bool              `json:"lost,omitempty"` // earlier pins are unknown
	Pins    map[string]int64  `json:"pins"`           // identifier → Unix time
	Names   map[string]string `json:"names"`          // name → identifier
}

func (r roots) clone() roots {
	r.Pins, r.Names = maps.Clone(r.Pins), maps.Clone(r.Names)
	return r
}

// rootsFile is roots on disk, in two copies that are written one after the other.
type rootsFile struct {
	dir string

	mu   sync.RWMutex
	at   roots
	kept []byte // what both copies are known to have; nil if they may differ
}

func rootsNames() [2]string { return [2]string{"roots.json", "roots.bak.json"} }

// loadRoots reads the first good copy. If there are copies but none is good, they are put
// aside and the pins count as lost.
func loadRoots(dir string, log *slog.Logger) (*rootsFile, error) {
	f := &rootsFile{dir: dir, at: roots{Version: 1, Pins: map[string]int64{}, Names: map[string]string{}}}
	damaged := 0
	for _, name := range rootsNames() {
		r, err := readRoots(filepath.Join(dir, name))
		switch {
		case err == nil:
			f.at = r
			if damaged > 0 {
				log.Warn("pins read from the second copy", "dir", dir)
			}
			return f, nil
		case errors.Is(err, fs.ErrNotExist):
		case errors.Is(err, errRootsDamaged):
			damaged++
			log.Error("pins file damaged", "file", name, "err", err)
		default:
			return nil, err
		}
	}
	if damaged == 0 {
		return f, nil
	}
	for _, name := range rootsNames() {
		p := filepath.Join(dir, name)
		if err := os.Rename(p, p+".damaged"); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
	}
	f.at.Lost = true
	return f, f.update(func(*roots) error { return nil })
}

var errRootsDamaged = errors.New("damaged")

// readRoots reads one copy: JSON, a line feed, the hex SHA-256 of the JSON.
func readRoots(path string) (roots, error) {
	var r roots
	info, err := os.Stat(path)
	if err != nil {
		return r, err
	}
	if info.Size() > maxRootsFile {
		return r, fmt.Errorf("read %q: %w: %d bytes", path, errRootsDamaged, info.Size())
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return r, err
	}
	body, sum, _ := bytes.Cut(b, []byte("\n"))
	want := sha256.Sum256(body)
	if hex.EncodeToString(want[:]) != string(bytes.TrimSpace(sum)) {
		return r, fmt.Errorf("read %q: %w: checksum differs", path, errRootsDamaged)
	}
	if err := json.Unmarshal(body, &r); err != nil {
		return r, fmt.Errorf("read %q: %w: %w", path, errRootsDamaged, err)
	}
	if r.Version != 1 {
		return r, fmt.Errorf("read %q: %w", path, &LayoutError{Got: uint32(r.Version), Want: 1})
	}
	if r.Pins == nil {
		r.Pins = map[string]int64{}
	}
	if r.Names == nil {
		r.Names = map[string]string{}
	}
	return r, nil
}

// update changes the roots and writes them through to the disk. If that fails they stay
// as they were.
func (f *rootsFile) update(change func(*roots) error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	next := f.at.clone()
	if err := change(&next); err != nil {
		return err
	}
	body, err := json.Marshal(next)
	if err != nil {
		return err
	}
	if bytes.Equal(body, f.kept) {
		return nil
	}
	if len(body) > maxRootsFile/2 {
		return fmt.Errorf("write pins: %d bytes of them", len(body))
	}
	sum := sha256.Sum256(body)
	content := fmt.Appendf(nil, "%s\n%x\n", body, sum)
	f.kept = nil
	for _, name := range rootsNames() {
		// One copy after the other: if this is cut off, the other is good.
		if err := writeFile(f.dir, filepath.Join(f.dir, name), content); err != nil {
			return err
		}
	}
	f.at, f.kept = next, body
	return nil
}

func (f *rootsFile) get() roots {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.at.clone()
}

// WriteFile replaces a small file of JSON, whole or not at all, at the cost of the reserve if the
// disk is full. Where there is none left either it is written over in the room that it has.
func (s *Store) WriteFile(path string, data []byte) error { return writeFile(s.cfg.Dir, path, data) }

func writeFile(dir, path string, data []byte) error {
	err := withReserve(dir, func() error { return writeThrough(filepath.Dir(path), filepath.Base(path), data) })
	if isFull(err) && Overwrite(path, data) == nil {
		return nil
	}
	return err
}

// Overwrite writes to a small file that is there, for text where blanks at the end mean nothing, such
// as JSON, and for a disk that is too full for a new file. Room for what is more than there was is
// taken first; without it the file stays as it was, with some blanks at its end.
func Overwrite(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return errors.Join(err, f.Close())
	}
	old, size := info.Size(), int64(len(content))
	if size > old {
		if _, err = f.WriteAt(bytes.Repeat([]byte{' '}, int(size-old)), old); err != nil {
			return errors.Join(err, f.Truncate(old), f.Close())
		}
	}
	// At once, with blanks over what was longer: who is cut off after this has the new file.
	_, err = f.WriteAt(append(bytes.Clone(content), bytes.Repeat([]byte{' '}, int(max(0, old-size)))...), 0)
	if err == nil {
		err = f.Truncate(size)
	}
	return errors.Join(err, f.Sync(), f.Close())
}

// writeThrough replaces a file so that after a loss of power it is the old or the new one.
func writeThrough(dir, name string, content []byte) (err error) {
	tmp, err := os.CreateTemp(dir, name+".tmp*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Rename(tmp.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}
