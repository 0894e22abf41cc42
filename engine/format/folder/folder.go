// Package folder opens the files of a model as its owner has them: in a plain directory, or
// in a snapshot of a Hugging Face cache, where they are links to blobs beside it.
//
// [Open] returns a [Folder]. No name and no link in it leads to a file elsewhere: what is
// imported goes to other people, and a folder from a stranger may hold a link to a secret.
// What is no weight file but a stand-in for one is told as such. A Folder is safe for
// concurrent use.
//
// Importers are the readers of formats beside it, and engine/model.
package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Folder is an open model folder.
type Folder struct {
	root *os.Root
	base string // the model's folder within root, with slashes; "." but in a cache
	path string // as root was opened
	name string
}

// Open opens a directory: one with files, or in a Hugging Face cache a snapshot, a folder
// in it, or the repository, of which it takes the first of [Snapshots].
func Open(dir string) (*Folder, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	resolved, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, err
	}
	f := &Folder{path: resolved, base: ".", name: filepath.Base(abs)}
	if isRepository(resolved) {
		found, err := Snapshots(resolved)
		if err != nil {
			return nil, err
		}
		resolved = found[0].Dir
	}
	for at := resolved; filepath.Dir(at) != at; at = filepath.Dir(at) {
		repository := filepath.Dir(filepath.Dir(at))
		if filepath.Base(filepath.Dir(at)) != snapshots || !isRepository(repository) {
			continue
		}
		base, err := filepath.Rel(repository, resolved)
		if err != nil {
			return nil, err
		}
		f.path, f.base, f.name = repository, filepath.ToSlash(base), path.Base(hubName(repository))
		break
	}
	f.root, err = os.OpenRoot(f.path)
	return f, err
}

// Name returns what the folder is called: of a cache the name of the repository.
func (f *Folder) Name() string { return f.name }

// Path returns where the folder is, with links resolved.
func (f *Folder) Path() string { return filepath.Join(f.path, filepath.FromSlash(f.base)) }

// Close closes the folder. Files that were opened stay open.
func (f *Folder) Close() error { return f.root.Close() }

// Has reports whether a file of that name is there.
func (f *Folder) Has(name string) bool {
	_, err := f.root.Lstat(path.Join(f.base, name))
	return err == nil
}

// Glob returns the names that match a pattern, in order. They may be links to nowhere.
func (f *Folder) Glob(pattern string) []string {
	names, err := fs.Glob(f.root.FS(), path.Join(f.base, pattern))
	if err != nil {
		return nil
	}
	for i, name := range names {
		names[i] = path.Base(name)
	}
	return names
}

// Open opens a regular file for reading. A file that is not there is [fs.ErrNotExist].
func (f *Folder) Open(name string) (_ *os.File, err error) {
	if !filepath.IsLocal(name) {
		return nil, fmt.Errorf("the name %.100q leads out of the folder", name)
	}
	at := path.Join(f.base, filepath.ToSlash(name))
	info, err := f.root.Stat(at) // first, as opening a pipe waits for its other end
	if err != nil {
		return nil, f.explain(name, err)
	}
	if to, linkErr := f.root.Readlink(at); linkErr == nil && info.IsDir() {
		return nil, fmt.Errorf("%q is a link to %q, which is a folder and not a file: put the file there, or name the folder", name, to)
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q is not a regular file", name)
	}
	file, err := f.root.Open(at)
	if err != nil {
		return nil, f.explain(name, err)
	}
	if err := CheckPointer(file); err != nil {
		file.Close()
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	return file, nil
}

// explain tells of a link on the way to a file, to the file or to a folder, that it is one.
func (f *Folder) explain(name string, err error) error {
	parts := strings.Split(filepath.ToSlash(name), "/")
	for i := range parts {
		link := path.Join(parts[:i+1]...)
		at := path.Join(f.base, link)
		to, linkErr := f.root.Readlink(at)
		if linkErr != nil {
			continue
		}
		switch _, statErr := f.root.Stat(at); {
		case statErr == nil:
		case errors.Is(statErr, fs.ErrNotExist):
			return fmt.Errorf("%q is a link to %q, which is not there: the download is not complete, %s", link, to, f.Complete())
		case f.leadsOut(at):
			return fmt.Errorf("%q is a link to %q, which is not in %s: copy the files themselves to a new folder with cp -rL, look at them, and import that (%w)", link, to, f.path, err)
		default:
			return fmt.Errorf("%q is a link to %q: %w", link, to, err)
		}
	}
	return err
}

// leadsOut reports whether a link that cannot be followed in the folder leads out of it.
func (f *Folder) leadsOut(at string) bool {
	real, err := filepath.EvalSymlinks(filepath.Join(f.path, filepath.FromSlash(at)))
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	in, err := filepath.Rel(f.path, real)
	return err != nil || !filepath.IsLocal(in)
}

// Read returns the content of a text file of at most a number of bytes, without the mark
// of byte order that some editors put in front.
func (f *Folder) Read(name string, most int64) ([]byte, error) {
	file, err := f.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, most+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("read %q: more than %d bytes", name, most)
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return nil, fmt.Errorf("read %q: it is UTF-16, save it as UTF-8", name)
	}
	return bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), nil
}

// ErrPointer is the error of a file that git-lfs left in place of a large one.
var ErrPointer = errors.New("it is a git-lfs pointer and not the file itself: run git lfs pull in its folder")

// pointer is how the file of a pointer begins (git-lfs, docs/spec.md).
const pointer = "version https://git-lfs.github.com/spec/"

// CheckPointer returns ErrPointer if a file is the pointer of git-lfs.
func CheckPointer(r io.ReaderAt) error {
	var head [len(pointer)]byte
	if n, _ := r.ReadAt(head[:], 0); string(head[:n]) == pointer {
		return ErrPointer
	}
	return nil
}
