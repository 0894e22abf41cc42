package safetensors

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
)

// maxShards bounds the files of one model.
const maxShards = 1 << 10

// Set is the tensors of several files.
type Set struct {
	Tensors []TensorInfo // file by file

	files []*File
	at    []place
}

type place struct{ file, tensor int }

// Opener opens the files of a folder: *os.Root and *folder.Folder do.
type Opener interface {
	Open(name string) (*os.File, error)
}

// OpenIndex opens the files that an index (model.safetensors.index.json) names. Each tensor
// that it names must lie in the file it names.
func OpenIndex(root Opener, index []byte) (*Set, error) {
	var doc struct {
		Map map[string]string `json:"weight_map"`
	}
	if len(index) > maxHeader {
		return nil, fmt.Errorf("read safetensors index: %d bytes, at most %d", len(index), maxHeader)
	}
	if err := json.Unmarshal(index, &doc); err != nil {
		return nil, fmt.Errorf("read safetensors index: %w", err)
	}
	if len(doc.Map) == 0 {
		return nil, errors.New("read safetensors index: weight_map is missing or empty")
	}
	names := make([]string, 0, len(doc.Map))
	for _, file := range doc.Map {
		names = append(names, file)
	}
	slices.Sort(names)
	names = slices.Compact(names)
	s, err := OpenFiles(root, names)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: the download is not complete: %w", missing(root, names), err)
	}
	if err != nil {
		return nil, err
	}
	found := make(map[string]string, len(s.Tensors))
	for i, t := range s.Tensors {
		found[t.Name] = names[s.at[i].file]
	}
	for _, name := range slices.Sorted(maps.Keys(doc.Map)) {
		if file := doc.Map[name]; found[name] != file {
			s.Close()
			return nil, fmt.Errorf("read safetensors index: %.100q does not have tensor %.100q", file, name)
		}
	}
	return s, nil
}

// missing says which of the files that an index names are not there.
func missing(root Opener, names []string) string {
	var gone []string
	for _, name := range names {
		if f, err := root.Open(name); err == nil {
			f.Close()
		} else if errors.Is(err, fs.ErrNotExist) {
			gone = append(gone, name)
		}
	}
	if len(gone) == 1 {
		return fmt.Sprintf("%q, one of the %d files that the index names, is missing", gone[0], len(names))
	}
	return fmt.Sprintf("%d of the %d files that the index names are missing, the first is %q", len(gone), len(names), gone[0])
}

// OpenFiles opens files of a folder. No two of them may hold the same tensor.
func OpenFiles(root Opener, names []string) (_ *Set, err error) {
	if len(names) > maxShards {
		return nil, fmt.Errorf("open safetensors: %d files, at most %d", len(names), maxShards)
	}
	s := &Set{}
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	seen := map[string]string{}
	for i, name := range names {
		f, err := OpenIn(root, name)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
		for j, t := range f.Tensors {
			if first, twice := seen[t.Name]; twice {
				return nil, fmt.Errorf("open safetensors: tensor %.100q is in %q and in %q", t.Name, first, name)
			}
			seen[t.Name] = name
			s.Tensors = append(s.Tensors, t)
			s.at = append(s.at, place{i, j})
		}
	}
	return s, nil
}

// Section returns a reader of the bytes of tensor i.
func (s *Set) Section(i int) *io.SectionReader { return s.files[s.at[i].file].Section(s.at[i].tensor) }

// Close closes the files.
func (s *Set) Close() error {
	var errs []error
	for _, f := range s.files {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
