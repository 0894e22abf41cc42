package main

import (
	"cmp"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/covey-network/covey/engine/format/folder"
	"github.com/covey-network/covey/node/shell"
)

// hubName is the form of names on the Hugging Face Hub, OWNER/MODEL. Old ones have no owner.
var (
	hubName    = regexp.MustCompile(`^[A-Za-z0-9][\w-]*/[\w.-]+$`)
	oldHubName = regexp.MustCompile(`^[A-Za-z0-9][\w.-]*$`)
)

// hubURL is where such a model is on the web, with its name.
var hubURL = regexp.MustCompile(`^(?:(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co)/|hf://)(?:models/)?([\w-]+/[\w.-]+)`)

// hubRevision is a name on the Hub with a revision.
var hubRevision = regexp.MustCompile(`^([A-Za-z0-9][\w-]*/[\w.-]+)@([\w./-]+)$`)

// ofHub returns the name on the Hub of a model that is named by it, or by where it is on the web,
// "" if it is not.
func ofHub(name string) string {
	if m := hubURL.FindStringSubmatch(name); m != nil {
		return m[1]
	}
	if m := hubRevision.FindStringSubmatch(name); m != nil && m[2] == "main" {
		return m[1]
	}
	if hubName.MatchString(name) {
		return name
	}
	return ""
}

// hubCaches are the folders in which huggingface_hub may have put what it downloaded, those that
// the environment names before that of its default.
func hubCaches() []string {
	home, err := os.UserHomeDir()
	if err != nil {
		home = ""
	}
	var dirs []string
	add := func(dir string, more ...string) {
		if rest, ok := strings.CutPrefix(dir, "~/"); ok {
			dir = filepath.Join(home, rest)
		}
		if dir == "" {
			return
		}
		if dir = filepath.Join(append([]string{dir}, more...)...); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	add(os.Getenv("HF_HUB_CACHE"))
	add(os.Getenv("HF_HOME"), "hub")
	add(os.Getenv("XDG_CACHE_HOME"), "huggingface", "hub")
	if home != "" {
		add(home, ".cache", "huggingface", "hub")
	}
	return dirs
}

// cachedModel returns the folder of a model of the Hub in a cache of this machine, "" if there is
// none.
func cachedModel(name string) string {
	if strings.Contains(name, "..") || !hubName.MatchString(name) && !oldHubName.MatchString(name) {
		return ""
	}
	for _, dir := range hubCaches() {
		if found := folder.Cached(dir, name); found != "" {
			return found
		}
	}
	return ""
}

// cachedLike returns the models of the Hub in the caches of this machine whose name differs in case
// only, or that have such a name and an owner.
func cachedLike(name string) (names []string) {
	for _, dir := range hubCaches() {
		for _, cached := range folder.CachedNames(dir) {
			if (strings.EqualFold(cached, name) || strings.EqualFold(path.Base(cached), name)) && !slices.Contains(names, cached) {
				names = append(names, cached)
			}
		}
	}
	return names
}

// getHub says how to get a model of the Hub that is in no cache.
func getHub(name string) string {
	return fmt.Sprintf("it is in no cache of Hugging Face either (looked in %s): download it with hf download %s, then covey model import %s", strings.Join(hubCaches(), ", "), name, name)
}

// elsewhere says how to get a model that was named by where it is on the network, "" if it
// was not.
func elsewhere(name string) string {
	hub, revision := ofHub(name), hubRevision.FindStringSubmatch(name)
	switch like := cachedLike(cmp.Or(hub, name)); {
	case revision != nil && hub == "":
		return fmt.Sprintf("a revision is imported from its folder: hf download %s --revision %s prints that", revision[1], revision[2])
	case len(like) > 0:
		return fmt.Sprintf("there is no file or folder %s, and no model of that name in the cache of Hugging Face; there is %s: covey model import %s", cmp.Or(hub, name), strings.Join(like, ", "), like[0])
	case hub != "":
		return fmt.Sprintf("there is no file or folder %s; if that is a model of Hugging Face, %s", hub, getHub(hub))
	case strings.Contains(name, "://"):
		return fmt.Sprintf("%s is no file or folder: download the model first, then import its folder or GGUF file", name)
	case oldHubName.MatchString(name) && !slices.Contains([]string{".gguf", ".safetensors", ".bin"}, strings.ToLower(path.Ext(name))):
		return fmt.Sprintf("there is no file or folder %s; a model of Hugging Face is named with its owner, as OWNER/%s, and downloaded first: hf download OWNER/%s", name, name, name)
	}
	return ""
}

// chosenSnapshot returns the path of what to import of a model in a cache, and what to tell of
// the choice: of a repository its first snapshot, and of one with nothing but a GGUF file that.
func chosenSnapshot(repository string) (name, note string, err error) {
	all, err := folder.Snapshots(repository)
	if err != nil {
		return "", "", err
	}
	s := all[0]
	note = fmt.Sprintf("importing %s of the cache of Hugging Face", s.Dir)
	switch {
	case s.Main:
		note += ", its revision main"
	case !slices.ContainsFunc(all, func(s folder.Snapshot) bool { return s.Main }):
		note += ", in which no revision is main"
	default:
		note += ", as that of main is not complete: " + folder.Complete(folder.Download(repository))
	}
	for i, other := range others(all) {
		if i == 0 {
			note += "; to take another, name its folder:"
		}
		note += "\n  " + shell.Quote(other.Dir) + " of " + other.Written.Format("2006-01-02 15:04")
	}
	return onlyGGUF(s.Dir), note, nil
}

// others returns the snapshots that may be taken instead of the first: those that are complete.
func others(all []folder.Snapshot) []folder.Snapshot {
	return slices.DeleteFunc(slices.Clone(all[1:]), func(s folder.Snapshot) bool { return !s.Complete })
}

// firstOfSplit is the name of the first file of a split GGUF model.
var firstOfSplit = regexp.MustCompile(`-00001-of-\d{5}\.gguf$`)

// onlyGGUF returns the file of a folder that has no model but a GGUF one, else the folder.
func onlyGGUF(dir string) string {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
		return dir
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.gguf"))
	if err != nil || len(files) == 0 {
		return dir
	}
	if first := files[0]; len(files) == 1 || firstOfSplit.MatchString(first) && splitOf(files, first) {
		return first
	}
	return dir
}

// splitOf reports whether all files are of the split model of which one is the first.
func splitOf(files []string, first string) bool {
	stem, total := first[:len(first)-len("00001-of-00000.gguf")], first[len(first)-len("-of-00000.gguf"):]
	for _, f := range files {
		if !strings.HasPrefix(f, stem) || !strings.HasSuffix(f, total) || len(f) != len(first) {
			return false
		}
	}
	return true
}

// notHere says of a model that a node does not have where on this machine it may be, or how to get
// it; "" if its name is none of the Hub and it is in no cache.
func notHere(name string) string {
	hub := ofHub(name)
	found := cachedModel(name)
	if hub != "" {
		found = cachedModel(hub)
	} else {
		hub = name
	}
	switch {
	case found != "":
		return fmt.Sprintf("it is in the cache of Hugging Face: covey model import %s, then covey run %s", hub, path.Base(hub))
	case ofHub(name) != "":
		return getHub(hub)
	}
	return ""
}
