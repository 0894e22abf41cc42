package data

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
)

// FolderConfig says where images are and how they are read.
type FolderConfig struct {
	// FS holds a folder for each class at its root: os.DirFS of the dataset's folder.
	FS fs.FS
	// Pipeline turns a file into numbers.
	Pipeline *Pipeline
	// Classes are the classes in the order of their labels; images of other folders are
	// left out. Nil stands for all folders in ascending order of their names' bytes. A
	// validation folder is opened with the classes of the training folder.
	Classes []string
	// MaxFileBytes bounds a file; 0 stands for DefaultMaxFileBytes.
	MaxFileBytes int64
}

// Folder is a [Dataset] of images, one class a folder. Samples are in the order of their
// classes, then of their paths.
type Folder struct {
	cfg     FolderConfig
	classes []string
	files   []string
	labels  []int32
	spare   *sync.Pool // of *[]byte, the contents of files
}

var _ Keyed = (*Folder)(nil)

// OpenFolder lists the images: files named .jpg, .jpeg, .png or .webp in any case, at any
// depth below the folder of their class. Files and folders whose name starts with a dot are
// left out. A link to a file or to the folder of a class is followed, other links to folders
// are not. Files are opened when their samples are asked for.
func OpenFolder(cfg FolderConfig) (*Folder, error) {
	if cfg.FS == nil || cfg.Pipeline == nil {
		return nil, errors.New("image folder: file system and pipeline are required")
	}
	if cfg.MaxFileBytes <= 0 {
		cfg.MaxFileBytes = DefaultMaxFileBytes
	}
	f := &Folder{cfg: cfg, classes: cfg.Classes, spare: new(sync.Pool)}
	if f.classes == nil {
		if err := f.findClasses(); err != nil {
			return nil, err
		}
	}
	for label, class := range f.classes {
		if slices.Contains(f.classes[:label], class) {
			return nil, fmt.Errorf("image folder: class %q twice", class)
		}
		if err := f.list(class, int32(label)); err != nil {
			return nil, fmt.Errorf("image folder: class %q: %w", class, err)
		}
	}
	if len(f.files) == 0 {
		return nil, fmt.Errorf("image folder: no JPEG, PNG or WebP file in the folders of %d classes", len(f.classes))
	}
	return f, nil
}

func (f *Folder) findClasses() error {
	entries, err := fs.ReadDir(f.cfg.FS, ".")
	if err != nil {
		return fmt.Errorf("image folder: %w", err)
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		if info, err := fs.Stat(f.cfg.FS, e.Name()); err == nil && info.IsDir() {
			f.classes = append(f.classes, e.Name())
		}
	}
	slices.Sort(f.classes)
	return nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// list adds the images of a class. A folder that is not there is a class without images.
func (f *Folder) list(class string, label int32) error {
	first := len(f.files)
	err := fs.WalkDir(f.cfg.FS, class, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && p == class && errors.Is(err, fs.ErrNotExist):
			return fs.SkipDir
		case err != nil:
			return err
		case hidden(d.Name()) && p != class && d.IsDir():
			return fs.SkipDir
		case d.Type()&^fs.ModeSymlink != 0 || hidden(d.Name()) || !imageName(p):
			return nil
		}
		f.files = append(f.files, p)
		return nil
	})
	slices.Sort(f.files[first:])
	for range f.files[first:] {
		f.labels = append(f.labels, label)
	}
	return err
}

func imageName(p string) bool {
	switch strings.ToLower(path.Ext(p)) {
	case ".jpg", ".jpeg", ".png", ".webp":
		return true
	}
	return false
}

// With returns the same images read by another pipeline, which may be of another size.
func (f *Folder) With(p *Pipeline) *Folder {
	g := *f
	g.cfg.Pipeline = p
	return &g
}

// Len implements [Dataset].
func (f *Folder) Len() int { return len(f.files) }

// Shape implements [Dataset]: values (channels, height, width) and a label.
func (f *Folder) Shape() Shape {
	c, h, w := f.cfg.Pipeline.Dims()
	return Shape{Values: c * h * w, Dims: []int{c, h, w}, Classes: f.classes}
}

// Key implements [Keyed]: the path of the file, starting with its class.
func (f *Folder) Key(i int) string { return f.files[i] }

// Label returns the class of sample i without reading it.
func (f *Folder) Label(i int) int { return int(f.labels[i]) }

// Sample implements [Dataset]. A file that cannot be read or decoded is [Bad].
func (f *Folder) Sample(dst *Sample, i int, r *Rand) error {
	dst.Label, dst.Length = f.labels[i], 0
	buffer, ok := f.spare.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	defer f.spare.Put(buffer)
	var err error
	if *buffer, err = readFile(*buffer, f.cfg.FS, f.files[i], f.cfg.MaxFileBytes); err != nil {
		return &Bad{f.files[i], err}
	}
	if err := f.cfg.Pipeline.Run(dst.Values, *buffer, r); err != nil {
		return &Bad{f.files[i], err}
	}
	return nil
}

// readFile returns the contents of a file, in the memory of b if it suffices.
func readFile(b []byte, fsys fs.FS, name string, limit int64) ([]byte, error) {
	info, err := fs.Stat(fsys, name) // before it is opened, which may block on a pipe
	if err != nil {
		return b, err
	}
	if !info.Mode().IsRegular() {
		return b, fmt.Errorf("not a regular file: %v", info.Mode().Type())
	}
	if info.Size() > limit {
		return b, fmt.Errorf("file of %d bytes, at most %d", info.Size(), limit)
	}
	file, err := fsys.Open(name)
	if err != nil {
		return b, err
	}
	defer file.Close()
	b = grow(b, int(info.Size()))
	n, err := io.ReadFull(file, b)
	if err != nil && n > 0 {
		err = fmt.Errorf("file shrank to %d of %d bytes", n, len(b))
	}
	if len(b) == 0 {
		err = errors.New("empty file")
	}
	return b[:n], err
}
