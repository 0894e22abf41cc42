package data

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// findFiles returns the regular files that match one of the patterns, sorted and once
// each. A pattern is one of path.Match for every element of a path; an element ** stands for
// any number of folders. Names that start with a dot match only patterns that do.
func findFiles(fsys fs.FS, patterns []string) ([]string, error) {
	var split [][]string
	for _, p := range patterns {
		if _, err := path.Match(p, ""); err != nil || !fs.ValidPath(p) {
			return nil, fmt.Errorf("pattern %q: want a relative path with *, ?, [] or **", p)
		}
		split = append(split, strings.Split(p, "/"))
	}
	var found []string
	err := fs.WalkDir(fsys, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if p == "." {
			return nil
		}
		elements := strings.Split(p, "/")
		match := slices.ContainsFunc(split, func(s []string) bool { return matchPath(s, elements, d.IsDir()) })
		switch {
		case d.IsDir() && !match:
			return fs.SkipDir
		case !d.IsDir() && match && d.Type()&^fs.ModeSymlink == 0:
			found = append(found, p)
		}
		return nil
	})
	slices.Sort(found)
	return found, err
}

// matchPath reports whether the elements match the pattern, or if prefix is set, whether a
// longer path could.
func matchPath(pattern, elements []string, prefix bool) bool {
	switch {
	case len(elements) == 0:
		return len(pattern) == 0 || prefix
	case len(pattern) == 0:
		return false
	case pattern[0] == "**":
		return matchPath(pattern[1:], elements, prefix) ||
			!hidden(elements[0]) && matchPath(pattern, elements[1:], prefix)
	case hidden(elements[0]) && !hidden(pattern[0]):
		return false
	}
	ok, _ := path.Match(pattern[0], elements[0]) // patterns were checked
	return ok && matchPath(pattern[1:], elements[1:], prefix)
}

// Files returns the files that match one of the patterns, sorted, as [OpenText] finds them.
func Files(fsys fs.FS, patterns []string) ([]string, error) { return findFiles(fsys, patterns) }
