package data

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
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
	// left out, and told. Nil stands for all folders with images in ascending order of their
	// names' bytes. A validation folder is opened with the classes of the training folder.
	Classes []string
	// Strict makes an image in the folder of no class of Classes an error.
	Strict bool
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
	others  map[string]int // files that are not named as images, by extension
	bad     badList
	spare   *sync.Pool // of *[]byte, the contents of files
}

var _ Digester = (*Folder)(nil)

// OpenFolder lists the images: files with an extension of an image, in any case, at any depth
// below the folder of their class. All others are counted by their extensions, but for files
// and folders whose name starts with a dot. A link to a file or to the folder of a class is followed, other links to folders
// are not. Files are opened when their samples are asked for.
func OpenFolder(cfg FolderConfig) (*Folder, error) {
	if cfg.FS == nil || cfg.Pipeline == nil {
		return nil, errors.New("image folder: file system and pipeline are required")
	}
	if cfg.MaxFileBytes <= 0 {
		cfg.MaxFileBytes = DefaultMaxFileBytes
	}
	f := &Folder{cfg: cfg, others: map[string]int{}, spare: new(sync.Pool)}
	folders, err := f.folders()
	if err != nil {
		return nil, err
	}
	if cfg.Classes == nil {
		err = f.take(folders)
	} else {
		f.classes = cfg.Classes
		err = f.takeClasses(folders)
	}
	if err != nil {
		return nil, err
	}
	f.tellOthers()
	if len(f.files) == 0 {
		return nil, fmt.Errorf("image folder: %d folders of classes and no file named %s in them%s", len(f.classes), strings.Join(extensions, ", "), f.kinds(", but "))
	}
	return f, nil
}

// take makes each folder with images a class.
func (f *Folder) take(folders []string) error {
	for _, name := range folders {
		files, err := f.list(name)
		if err != nil {
			return err
		}
		if len(files) == 0 {
			f.bad.add(name, errors.New("the folder has no image: it is no class"))
			continue
		}
		f.add(files, len(f.classes))
		f.classes = append(f.classes, name)
	}
	return nil
}

// takeClasses lists the images of the classes, and counts those of other folders out.
func (f *Folder) takeClasses(folders []string) error {
	known := make(map[string]bool, len(f.classes))
	for label, class := range f.classes {
		if known[class] {
			return fmt.Errorf("image folder: class %q twice", class)
		}
		known[class] = true
		files, err := f.list(class)
		if err != nil {
			return err
		}
		f.add(files, label)
	}
	for _, name := range folders {
		if known[name] {
			continue
		}
		files, err := f.list(name)
		if err != nil {
			return err
		}
		if len(files) > 0 && f.cfg.Strict {
			return fmt.Errorf("image folder: %s: %q is no class%s: rename the folder or take it away", files[0], name, amongst(name, f.classes))
		}
		for _, file := range files {
			f.bad.add(file, fmt.Errorf("%q is no class of the training images", name))
		}
	}
	return nil
}

// amongst says what there is instead of a name, the nearest one first if it is near.
func amongst(name string, names []string) string {
	const shown = 10
	text := ", of which there are"
	if near := nearest(name, names); near != "" {
		text = fmt.Sprintf(" (did you mean %q?), of which there are", near)
	}
	for _, n := range names[:min(shown, len(names))] {
		text += fmt.Sprintf(" %.40q", n)
	}
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func (f *Folder) add(files []string, label int) {
	f.files = append(f.files, files...)
	for range files {
		f.labels = append(f.labels, int32(label))
	}
}

// folders returns the names of the folders at the root, sorted.
func (f *Folder) folders() (names []string, err error) {
	entries, err := fs.ReadDir(f.cfg.FS, ".")
	if err != nil {
		return nil, fmt.Errorf("image folder: %w", err)
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		if info, err := fs.Stat(f.cfg.FS, e.Name()); err == nil && info.IsDir() {
			names = append(names, e.Name())
		} else {
			f.others[extension(e.Name())]++
		}
	}
	slices.Sort(names)
	return names, nil
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// list returns the images of a class, sorted. A folder that is not there has none.
func (f *Folder) list(class string) (files []string, err error) {
	err = fs.WalkDir(f.cfg.FS, class, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && p == class && errors.Is(err, fs.ErrNotExist):
			return fs.SkipDir
		case err != nil:
			return err
		case hidden(d.Name()) && p != class && d.IsDir():
			return fs.SkipDir
		case d.IsDir() || hidden(d.Name()):
			return nil
		case d.Type()&^fs.ModeSymlink != 0 || !slices.Contains(extensions, extension(p)):
			f.others[extension(p)]++
			return nil
		}
		files = append(files, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("image folder: class %q: %w", class, err)
	}
	slices.Sort(files)
	return files, nil
}

// extensions are those of images.
var extensions = []string{".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}

func extension(p string) string { return strings.ToLower(path.Ext(p)) }

// tellOthers counts the files out that are in no class or not named as images are.
func (f *Folder) tellOthers() {
	n := 0
	for _, count := range f.others {
		n += count
	}
	if n > 0 {
		f.bad.add(f.kinds(""), fmt.Errorf("no images in the folder of a class: want %s", strings.Join(extensions, ", ")))
		f.bad.count += n - 1
	}
}

// kinds lists the other files by extension, the most frequent first, after a text; it is
// empty if there are none.
func (f *Folder) kinds(after string) string {
	const shown = 10
	names := slices.SortedFunc(maps.Keys(f.others), func(a, b string) int {
		return cmp.Or(f.others[b]-f.others[a], strings.Compare(a, b))
	})
	var list []string
	for _, name := range names[:min(shown, len(names))] {
		text := fmt.Sprintf("%d %.40s", f.others[name], name)
		if name == "" {
			text += "without an extension"
		}
		list = append(list, text)
	}
	if more := len(names) - shown; more > 0 {
		list = append(list, fmt.Sprintf("files of %d other kinds", more))
	}
	if len(list) == 0 {
		return ""
	}
	return after + strings.Join(list, ", ")
}

// With returns the same images read by another pipeline, which may be of another size.
func (f *Folder) With(p *Pipeline) *Folder {
	g := *f
	g.cfg.Pipeline = p
	return &g
}

// Bad returns how many files, and folders without images, were left out, and the first 1000
// of them; those that are not named as images are one of the list.
func (f *Folder) Bad() (count int, list []Bad) { return f.bad.count, f.bad.list }

// Len implements [Dataset].
func (f *Folder) Len() int { return len(f.files) }

// Shape implements [Dataset]: values (channels, height, width) and a label.
func (f *Folder) Shape() Shape {
	c, h, w := f.cfg.Pipeline.Dims()
	return Shape{Values: c * h * w, Dims: []int{c, h, w}, Classes: f.classes}
}

// Path returns the path of the file of sample i, starting with its class.
func (f *Folder) Path(i int) string { return f.files[i] }

// Digest implements [Digester]: classes and paths. What is in the files is not read: see
// [Folder.Fingerprint].
func (f *Folder) Digest(w io.Writer) { fmt.Fprintf(w, "%q\n%q\n", f.classes, f.files) }

// Label returns the class of sample i without reading it.
func (f *Folder) Label(i int) int { return int(f.labels[i]) }

// Labels returns the classes of all samples. The caller must not change it.
func (f *Folder) Labels() []int32 { return f.labels }

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
	file, size, err := openFile(fsys, name, limit)
	if err != nil {
		return b, err
	}
	defer file.Close()
	b = grow(b, int(size))
	n, err := io.ReadFull(file, b)
	if err != nil && n > 0 {
		err = fmt.Errorf("file shrank to %d of %d bytes", n, len(b))
	}
	if len(b) == 0 {
		err = errors.New("empty file")
	}
	return b[:n], err
}

// openFile opens a regular file and returns its size, which may be up to a limit.
func openFile(fsys fs.FS, name string, limit int64) (fs.File, int64, error) {
	info, err := fs.Stat(fsys, name) // before it is opened, which may block on a pipe
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("not a regular file: %v", info.Mode().Type())
	}
	if info.Size() > limit {
		return nil, 0, fmt.Errorf("file of %d bytes, at most %d", info.Size(), limit)
	}
	file, err := fsys.Open(name)
	return file, info.Size(), err
}
