package gguf

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/covey-network/covey/engine/format/folder"
)

// maxParts bounds the files of one model.
const maxParts = 1 << 10

// partName is what llama.cpp calls the files of a split model, counted from 1: NAME, number
// and how many there are (SPLIT format of llama_split_path).
var partName = regexp.MustCompile(`^(.+)-(\d{5})-of-(\d{5})\.gguf$`)

// Stem returns a file's name without its ending, and without the number of a part.
func Stem(path string) string {
	name := filepath.Base(path)
	if m := partName.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	return strings.TrimSuffix(name, filepath.Ext(name))
}

// parts returns how many files the model has of which this is one, and which it is, from 0.
func (f *File) parts() (n, at int, err error) {
	for _, k := range []struct {
		key string
		to  *int
	}{{"split.count", &n}, {"split.no", &at}} {
		v, there := f.Meta[k.key]
		i, ok := v.V.(uint64)
		if there && (!ok || i > maxParts) {
			return 0, 0, fmt.Errorf("%s is %.40v, want a number up to %d", k.key, v.V, maxParts)
		}
		*k.to = int(i)
	}
	return n, at, nil
}

// openParts opens the other files of a model of n, of which path is one. Metadata is that
// of the first one.
func openParts(path string, n int) (*File, error) {
	m := partName.FindStringSubmatch(filepath.Base(path))
	if m == nil {
		return nil, fmt.Errorf("it is one of the %d files of a split model, which are called NAME-00001-of-%05d.gguf and so on: give them these names, in one folder", n, n)
	}
	if count, _ := strconv.Atoi(m[3]); count != n {
		return nil, fmt.Errorf("its name says that the model has %s files, its metadata that it has %d", m[3], n)
	}
	in, err := folder.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer in.Close()
	name := func(i int) string { return fmt.Sprintf("%s-%05d-of-%05d.gguf", m[1], i+1, n) }
	if err := allThere(in, n, name); err != nil {
		return nil, err
	}
	whole := &File{}
	seen := map[string]bool{}
	for i := range n {
		if err := whole.add(in, name(i), i, n, seen); err != nil {
			whole.Close()
			return nil, fmt.Errorf("%q: %w", name(i), err)
		}
	}
	if v, ok := whole.Meta["split.tensors.count"]; ok {
		if want := fmt.Sprint(v.V); want != strconv.Itoa(len(whole.Tensors)) {
			whole.Close()
			return nil, fmt.Errorf("the files have %d tensors together, split.tensors.count is %.40s", len(whole.Tensors), want)
		}
	}
	return whole, nil
}

// allThere says which files are missing.
func allThere(in *folder.Folder, n int, name func(int) string) error {
	var gone []string
	for i := range n {
		if !in.Has(name(i)) {
			gone = append(gone, name(i))
		}
	}
	switch len(gone) {
	case 0:
		return nil
	case 1:
		return fmt.Errorf("%q, one of the %d files of the model, is missing: download it to the same folder: %w", gone[0], n, fs.ErrNotExist)
	}
	return fmt.Errorf("%d of the %d files of the model are missing, the first is %q: download them to the same folder: %w", len(gone), n, gone[0], fs.ErrNotExist)
}

// add opens a file and takes its tensors over.
func (f *File) add(in *folder.Folder, name string, i, n int, seen map[string]bool) error {
	file, err := in.Open(name)
	if err != nil {
		return err
	}
	part, err := openFile(file)
	if err != nil {
		return err
	}
	f.files = append(f.files, file)
	switch count, at, err := part.parts(); {
	case err != nil:
		return err
	case count != n || at != i:
		return fmt.Errorf("its metadata says part %d of %d, want part %d of %d: the files are of different models", at+1, count, i+1, n)
	case len(f.Tensors)+len(part.Tensors) > maxTensors:
		return fmt.Errorf("more than %d tensors in all files", maxTensors)
	}
	if i == 0 {
		f.Version, f.Meta = part.Version, part.Meta
	}
	for _, t := range part.Tensors {
		if seen[t.Name] {
			return fmt.Errorf("tensor %.100q is in a file before it too", t.Name)
		}
		seen[t.Name] = true
		f.Tensors, f.at = append(f.Tensors, t), append(f.at, i)
	}
	return nil
}

// Close closes the files.
func (f *File) Close() error {
	var errs []error
	for _, file := range f.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(errs...)
}
