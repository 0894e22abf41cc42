package folder

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The names in a Hugging Face cache: REPOSITORY/snapshots/REVISION/FILE is a link to
// REPOSITORY/blobs/HASH, and REPOSITORY/refs/main holds the revision.
const (
	repositoryPrefix = "models--"
	snapshots        = "snapshots"
	blobs            = "blobs"
	mainRef          = "refs/main"
)

// weightIndex names the files of weights that are in parts.
const (
	weightIndex    = "model.safetensors.index.json"
	maxWeightIndex = 16 << 20
)

// Snapshot is a revision of a model in a Hugging Face cache.
type Snapshot struct {
	Dir      string // where its files are
	Revision string
	Main     bool // it is the one that main stands for
	Complete bool // it has weights, all that its index names, and no link to nowhere
	Written  time.Time
}

// Snapshots returns the revisions of a cached repository that have files. The one to take is
// the first: that of main, then the newest, but one that is complete before others.
func Snapshots(repository string) ([]Snapshot, error) {
	root, err := os.OpenRoot(repository)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	list, err := fs.ReadDir(root.FS(), snapshots)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	main := mainRevision(root)
	var out []Snapshot
	for _, e := range list {
		f := &Folder{root: root, path: repository, base: path.Join(snapshots, e.Name())}
		info, err := e.Info()
		if err != nil || !e.IsDir() || len(f.Glob("*")) == 0 {
			continue
		}
		out = append(out, Snapshot{Dir: f.Path(), Revision: e.Name(), Main: e.Name() == main, Complete: f.complete(), Written: info.ModTime()})
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the cache has no files of the model: download it with %s (%w)", Download(repository), fs.ErrNotExist)
	}
	slices.SortStableFunc(out, func(a, b Snapshot) int {
		return cmp.Or(falseLast(a.Complete, b.Complete), falseLast(a.Main, b.Main), b.Written.Compare(a.Written), strings.Compare(a.Revision, b.Revision))
	})
	return out, nil
}

func falseLast(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// mainRevision returns the revision that main stands for, "" if none is known.
func mainRevision(root *os.Root) string {
	data, err := root.ReadFile(mainRef)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}

// complete reports whether all weights of a model are there, as far as names tell it.
func (f *Folder) complete() bool {
	for _, name := range f.Glob("*") {
		if _, err := f.root.Stat(path.Join(f.base, name)); err != nil {
			return false // a link to nowhere
		}
	}
	if f.Has(weightIndex) {
		var index struct {
			Files map[string]string `json:"weight_map"`
		}
		data, err := f.Read(weightIndex, maxWeightIndex)
		if err != nil || json.Unmarshal(data, &index) != nil {
			return false
		}
		for _, name := range index.Files {
			if !filepath.IsLocal(name) || !f.Has(name) {
				return false
			}
		}
	}
	return f.Has("config.json") && len(f.Glob("*.safetensors")) > 0 || len(f.Glob("*.gguf")) > 0
}

func isRepository(dir string) bool {
	info, err := os.Stat(filepath.Join(dir, blobs))
	return strings.HasPrefix(filepath.Base(dir), repositoryPrefix) && err == nil && info.IsDir()
}

// hubName returns the name on the Hugging Face Hub of a cached repository, mostly OWNER/NAME.
func hubName(repository string) string {
	return strings.ReplaceAll(strings.TrimPrefix(filepath.Base(repository), repositoryPrefix), "--", "/")
}

// Cached returns the repository of a model of the Hugging Face Hub, mostly OWNER/NAME, in a
// cache, "" if it is not there.
func Cached(cache, name string) string {
	dir := filepath.Join(cache, repositoryPrefix+strings.ReplaceAll(name, "/", "--"))
	if !isRepository(dir) {
		return ""
	}
	return dir
}

// CachedNames returns the names on the Hugging Face Hub of the models in a cache, in order.
func CachedNames(cache string) (names []string) {
	list, err := os.ReadDir(cache)
	if err != nil {
		return nil
	}
	for _, e := range list {
		if dir := filepath.Join(cache, e.Name()); isRepository(dir) {
			names = append(names, hubName(dir))
		}
	}
	return names
}

// Repository returns the cached repository that a path is in or is, with links on the way to it
// resolved but not the last one, and the path within it with slashes; "" if there is none.
func Repository(name string) (repository, within string) {
	abs, err := filepath.Abs(name)
	if err != nil {
		return "", ""
	}
	if parent, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(parent, filepath.Base(abs))
	}
	for at := abs; filepath.Dir(at) != at; at = filepath.Dir(at) {
		if !isRepository(at) {
			continue
		}
		if rel, err := filepath.Rel(at, abs); err == nil {
			return at, filepath.ToSlash(rel)
		}
	}
	return "", ""
}

// BlobName tells what the file REPOSITORY/blobs/HASH is called in a snapshot, as REVISION/FILE,
// "" if in none.
func BlobName(repository, hash string) string {
	found, err := Snapshots(repository)
	if err != nil {
		return ""
	}
	for _, s := range found {
		files, err := os.ReadDir(s.Dir)
		if err != nil {
			continue
		}
		for _, f := range files {
			if to, err := os.Readlink(filepath.Join(s.Dir, f.Name())); err == nil && filepath.Base(to) == hash {
				return path.Join(s.Revision, f.Name())
			}
		}
	}
	return ""
}

// Models returns the folders in this one that are models: the repositories of a Hugging Face
// cache, or the snapshots of a repository, in the order of their names.
func (f *Folder) Models() (dirs []string) {
	pattern := path.Join(f.base, repositoryPrefix+"*", snapshots)
	if path.Base(filepath.ToSlash(f.Path())) == snapshots {
		pattern = path.Join(f.base, "*", "config.json")
	}
	found, err := fs.Glob(f.root.FS(), pattern)
	if err != nil {
		return nil
	}
	for _, name := range found {
		dirs = append(dirs, filepath.Join(f.path, filepath.FromSlash(path.Dir(name))))
	}
	return dirs
}

// Download returns the command that downloads a file of the folder, or all if it is empty, and
// whether the command is to run as it is: of a folder that is in no cache it is not known who
// owns the model, and OWNER stands for that.
func (f *Folder) Download(file string) (command string, whole bool) {
	if !isRepository(f.path) {
		return words("hf", "download", "OWNER/"+f.name, file, "--local-dir", f.Path()), false
	}
	command = download(f.path, file)
	revision, _, _ := strings.Cut(strings.TrimPrefix(f.base, snapshots+"/"), "/")
	if revision != mainRevision(f.root) {
		command += " " + words("--revision", revision)
	}
	return command, true
}

// Complete says how to complete the download of the folder.
func (f *Folder) Complete() string {
	command, whole := f.Download("")
	if !whole {
		return "run it again"
	}
	return Complete(command)
}

// Complete says with which command to complete a download, an older program of Hugging Face's included.
func Complete(command string) string {
	return fmt.Sprintf("complete it with %s (with an older huggingface_hub: huggingface-cli%s)", command, strings.TrimPrefix(command, "hf"))
}

// Download is the command that downloads a model into its cached repository.
func Download(repository string) string { return download(repository, "") }

// download is the command that downloads a file, or all if it is empty, into a cached repository.
func download(repository, file string) string {
	command := words("hf", "download", hubName(repository), file)
	if cache := filepath.Dir(repository); filepath.Base(cache) != "hub" { // not as hf itself would choose it
		command += " " + words("--cache-dir", cache)
	}
	return command
}

// words is a command to paste of words that are not empty.
func words(all ...string) string {
	var out []string
	for _, w := range all {
		if w != "" {
			out = append(out, Quote(w))
		}
	}
	return strings.Join(out, " ")
}

// Quote returns a word as a POSIX shell reads it.
func Quote(word string) string {
	if !strings.ContainsFunc(word, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("/._-+:,@", r)
	}) {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
