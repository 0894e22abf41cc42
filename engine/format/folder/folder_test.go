//go:build unix

package folder_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/format/folder"
)

// write makes files by name under a directory; "-> X" makes a link to X.
func write(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		err := os.MkdirAll(filepath.Dir(path), 0o700)
		if to, ok := strings.CutPrefix(text, "-> "); ok && err == nil {
			err = os.Symlink(to, path)
		} else if err == nil {
			err = os.WriteFile(path, []byte(text), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// tempDir is t.TempDir by its name without links.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// cache makes a repository as huggingface_hub downloads it, and returns its path.
func cache(t *testing.T, more map[string]string) string {
	t.Helper()
	dir := filepath.Join(tempDir(t), "hub", "models--Someone--Some-Model-1B")
	write(t, dir, map[string]string{
		"blobs/aa11":                             "configuration",
		"blobs/bb22":                             "pooling",
		"refs/main":                              "c0ffee",
		"snapshots/c0ffee/config.json":           "-> ../../blobs/aa11",
		"snapshots/c0ffee/1_Pooling/config.json": "-> ../../../blobs/bb22",
	})
	write(t, dir, more)
	return dir
}

func open(t *testing.T, path string) *folder.Folder {
	t.Helper()
	f, err := folder.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

// TestCache reads a snapshot by all the paths that its owner may name.
func TestCache(t *testing.T) {
	t.Parallel()
	dir := cache(t, nil)
	link := filepath.Join(t.TempDir(), "elsewhere")
	if err := os.Symlink(filepath.Join(dir, "snapshots", "c0ffee"), link); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dir, filepath.Join(dir, "snapshots", "c0ffee"), link} {
		f := open(t, path)
		for name, want := range map[string]string{"config.json": "configuration", "1_Pooling/config.json": "pooling"} {
			if got, err := f.Read(name, 100); err != nil || string(got) != want {
				t.Errorf("%s: %s is %q, %v, want %q", path, name, got, err, want)
			}
		}
		if f.Name() != "Some-Model-1B" || !f.Has("config.json") || !slices.Equal(f.Glob("*.json"), []string{"config.json"}) {
			t.Errorf("%s: name %q, has config.json %t, files %q", path, f.Name(), f.Has("config.json"), f.Glob("*.json"))
		}
	}
	if got, err := open(t, filepath.Join(dir, "snapshots", "c0ffee", "1_Pooling")).Read("config.json", 100); err != nil || string(got) != "pooling" {
		t.Errorf("folder in a snapshot: %q, %v", got, err)
	}
}

func TestCacheRevisions(t *testing.T) {
	t.Parallel()
	two := map[string]string{"snapshots/beef/config.json": "-> ../../blobs/bb22"}
	if got, err := open(t, cache(t, two)).Read("config.json", 100); err != nil || string(got) != "configuration" {
		t.Errorf("of two revisions main is %q, %v", got, err)
	}
	one := map[string]string{"refs/main": "../../../secrets"}
	if got, err := open(t, cache(t, one)).Read("config.json", 100); err != nil || string(got) != "configuration" {
		t.Errorf("the only revision is %q, %v", got, err)
	}
}

// TestSnapshots says which revision of a cached model is taken: that of main, or the newest, of
// those that are complete. A folder without files is none.
func TestSnapshots(t *testing.T) {
	t.Parallel()
	const index = `{"weight_map": {"w": "a.safetensors", "x": "b.safetensors"}}`
	for _, k := range []struct {
		name, main, want string
		files            map[string]string
	}{
		{"main", "old", "old* new*", nil},
		{"none is main", "", "new* old*", nil},
		{"main is not there", "gone", "new* old*", nil},
		{"main is empty", "none", "new* old*", nil},
		{"main has no weights", "bare", "new* old* bare", map[string]string{"bare/config.json": "{}"}},
		{"main lacks a part of its weights", "part", "new* old* part", map[string]string{"part/config.json": "{}", "part/a.safetensors": "x", "part/model.safetensors.index.json": index}},
		{"all parts", "part", "part* new* old*", map[string]string{"part/config.json": "{}", "part/a.safetensors": "x", "part/b.safetensors": "x", "part/model.safetensors.index.json": index}},
		{"a link to nowhere", "cut", "new* old* cut", map[string]string{"cut/config.json": "{}", "cut/model.safetensors": "-> ../../blobs/gone"}},
		{"GGUF", "g", "g* new* old*", map[string]string{"g/model.gguf": "x"}},
	} {
		dir := filepath.Join(tempDir(t), "models--a--b")
		write(t, dir, map[string]string{"blobs/x": "", "refs/main": k.main + "\n"})
		files := map[string]string{"old/config.json": "{}", "old/model.safetensors": "x", "new/config.json": "{}", "new/model.safetensors": "x"}
		maps.Copy(files, k.files)
		write(t, filepath.Join(dir, "snapshots"), files)
		if err := os.Mkdir(filepath.Join(dir, "snapshots", "none"), 0o700); err != nil {
			t.Fatal(err)
		}
		for revision, year := range map[string]int{"old": 2024, "new": 2025} {
			at := time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC)
			if err := os.Chtimes(filepath.Join(dir, "snapshots", revision), at, at); err != nil {
				t.Fatal(err)
			}
		}
		found, err := folder.Snapshots(dir)
		var got []string
		for _, s := range found {
			name := s.Revision
			if s.Complete {
				name += "*"
			}
			got = append(got, name)
			if s.Main != (s.Revision == k.main) || s.Dir != filepath.Join(dir, "snapshots", s.Revision) {
				t.Errorf("%s: %+v", k.name, s)
			}
		}
		if err != nil || strings.Join(got, " ") != k.want {
			t.Errorf("%s: %q, %v, want %q", k.name, got, err, k.want)
		}
	}
	empty := filepath.Join(tempDir(t), "models--a--b")
	write(t, empty, map[string]string{"blobs/x": "", "snapshots/none/deeper": "-> x"})
	if err := os.Remove(filepath.Join(empty, "snapshots", "none", "deeper")); err != nil {
		t.Fatal(err)
	}
	if _, err := folder.Open(empty); err == nil || !strings.Contains(err.Error(), "download it with hf download a/b --cache-dir "+filepath.Dir(empty)) {
		t.Errorf("a cache without files: %v", err)
	}
}

// TestLinks has links of strangers and of downloads that were cut off.
func TestLinks(t *testing.T) {
	t.Parallel()
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, filepath.Dir(secret), map[string]string{"secret": "secret"})
	plain := tempDir(t)
	write(t, plain, map[string]string{
		"real": "x", "inside": "-> real", "outside": "-> " + secret, "up": "-> ../../../../../../etc/hostname", "gone": "-> nowhere", "deep/folder": "-> " + filepath.Dir(secret),
		"to folder": "-> deep", "loop": "-> loop", "through file": "-> real/x", "gone folder": "-> nowhere",
	})
	cached := cache(t, map[string]string{
		"snapshots/c0ffee/outside": "-> " + secret, "snapshots/c0ffee/gone": "-> ../../blobs/cc33", "blobs/cc33.incomplete": "x",
		"snapshots/c0ffee/up": "-> ../../../../other",
	})
	write(t, filepath.Dir(filepath.Dir(cached)), map[string]string{"other": "x"})
	for _, k := range []struct{ name, dir, file, want string }{
		{"within a plain folder", plain, "inside", ""},
		{"out of a plain folder", plain, "outside", "which is not in " + plain},
		{"up out of a plain folder", plain, "up", "cp -rL"},
		{"to nothing", plain, "gone", "the download is not complete"},
		{"through a folder", plain, "deep/folder/secret", "escapes"},
		{"through a folder elsewhere", plain, "deep/folder/secret", `"deep/folder" is a link to "` + filepath.Dir(secret) + `", which is not in ` + plain},
		{"through a folder that is gone", plain, "gone folder/config.json", `"gone folder" is a link to "nowhere", which is not there`},
		{"to a folder", plain, "to folder", "which is a folder and not a file"},
		{"in a circle", plain, "loop", `"loop" is a link to "loop": `},
		{"through a file", plain, "through file", `"through file" is a link to "real/x": `},
		{"name", plain, "../x", "leads out of the folder"},
		{"absolute name", plain, secret, "leads out of the folder"},
		{"out of a cache", cached, "outside", "which is not in " + cached},
		{"up out of a cache", cached, "up", "which is not in " + cached},
		{"blob that is not complete", cached, "gone", "the download is not complete"},
	} {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			file, err := open(t, k.dir).Open(k.file)
			if err == nil {
				file.Close()
			}
			if k.want == "" && err != nil || k.want != "" && (err == nil || !strings.Contains(err.Error(), k.want)) || errors.Is(err, fs.ErrNotExist) {
				t.Errorf("got error %v, want one with %q", err, k.want)
			}
		})
	}
	if _, err := open(t, plain).Open("absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := open(t, plain).Open("to folder/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file that is not there, through a link: %v", err)
	}
	if _, err := open(t, plain).Open("deep"); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("a folder: %v", err)
	}
}

// TestPlainFolderLikeACache has the layout of a cache without its name: links that lead
// up are not followed.
func TestPlainFolderLikeACache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write(t, dir, map[string]string{"blobs/x": "secret", "snapshots/a/config.json": "-> ../../blobs/x"})
	if _, err := open(t, filepath.Join(dir, "snapshots", "a")).Read("config.json", 100); err == nil {
		t.Error("followed a link out of the folder")
	}
}
