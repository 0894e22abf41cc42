// Package covey holds the tests that keep the structure of the repository: who may import
// whom, one package comment per package, and the sizes of files and functions.
package covey

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	module           = "github.com/covey-network/covey"
	maxFileLines     = 800
	maxFunctionLines = 120
)

// arrows lists for each folder which of our folders its packages may import, tests left
// out. The longest matching folder decides.
var arrows = map[string][]string{
	"engine":          {"engine"}, // the engine knows no network and no disk layout
	"protocol":        {"protocol"},
	"consensus":       {"consensus", "protocol"},
	"node":            {"node", "engine/filelock", "consensus", "protocol"},
	"node/worker":     {"node", "protocol", "engine"}, // runs stages
	"node/trainer":    {"node", "consensus", "protocol", "engine"},
	"node/catalog":    {"node", "protocol", "engine"}, // imports model files, opens tokenizers and templates
	"node/gateway":    {"node", "protocol", "engine/chat", "engine/token", "engine/sample"},
	"testnet":         {"testnet", "node", "consensus", "protocol"},
	"cmd":             {"node", "testnet/demo", "protocol", "engine"}, // engine: covey bench and import
	"testnet/accept":  {"testnet", "node", "protocol", "engine"},
	"engine/tensor":   {},
	"engine/kernel":   {"engine/tensor"},
	"engine/token":    {},
	"engine/chat":     {},
	"engine/filelock": {}, // of the store and of training runs
	"engine/sample":   {"engine/kernel"},
	"engine/nn":       {"engine/tensor", "engine/kernel"},
	"protocol/frame":  {"protocol"},
	"protocol/wire":   {"protocol"},
	"node/host":       {"node/host", "protocol"},
	"node/store":      {"engine/filelock", "protocol"},
	"node/exchange":   {"node/store", "node/host", "protocol"},
	"testnet/demo":    {},
	"engine/format":   {"engine/tensor", "engine/format"},

	"engine/train/data": {},
}

// only lists outside modules that a few of our folders alone may import, and why.
var only = []struct {
	prefix, reason string
	folders        []string
}{
	{"github.com/libp2p/", "one place knows the network library", []string{"node/host", "testnet/sim", "testnet/hostile"}},
	{"github.com/dgraph-io/badger", "one place knows the database", []string{"node/store"}},
	{"gorgonia.org/", "one place knows the autodiff library", []string{"engine/train"}},
	{"net/http", "the engine and the protocols have no HTTP", []string{"node", "cmd", "testnet"}},
	{"testing", "no test code in the product", []string{}},
}

type source struct {
	folder, file string
	lines        int
	test         bool
	generated    bool
	fset         *token.FileSet
	ast          *ast.File
}

func sources(t *testing.T) []source {
	t.Helper()
	var out []source
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "bin" || nested(p)) {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(p, ".go") {
			return nil
		}
		fset := token.NewFileSet()
		f, err := parser.ParseFile(fset, p, nil, parser.ParseComments)
		if err != nil {
			return err
		}
		out = append(out, source{
			folder: filepath.ToSlash(filepath.Dir(p)), file: filepath.ToSlash(p), lines: fset.File(f.Pos()).LineCount(),
			test: strings.HasSuffix(p, "_test.go"), generated: ast.IsGenerated(f), fset: fset, ast: f,
		})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// nested reports whether a folder is a module of its own.
func nested(dir string) bool {
	m, _ := filepath.Glob(filepath.Join(dir, "go.mod"))
	return len(m) > 0
}

func TestImportsFollowTheArrows(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.test {
			continue
		}
		for _, spec := range s.ast.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if ours, ok := strings.CutPrefix(imported, module+"/"); ok {
				if from, allowed := rule(s.folder); !under(ours, allowed) && !under(ours, []string{s.folder}) {
					t.Errorf("%s imports %s; %s may import %v", s.file, ours, from, allowed)
				}
			}
			for _, o := range only {
				if strings.HasPrefix(imported+"/", strings.TrimSuffix(o.prefix, "/")+"/") && !under(s.folder, o.folders) {
					t.Errorf("%s imports %s, kept to %v: %s", s.file, imported, o.folders, o.reason)
				}
			}
		}
	}
}

func rule(folder string) (string, []string) {
	for f := folder; ; f = path.Dir(f) {
		if allowed, ok := arrows[f]; ok {
			return f, allowed
		}
		if f == "." {
			return f, nil
		}
	}
}

func under(p string, folders []string) bool {
	for _, f := range folders {
		if p == f || strings.HasPrefix(p, f+"/") {
			return true
		}
	}
	return false
}

// TestTopLevel keeps the number of places few where one begins to look.
func TestTopLevel(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		top, _, _ := strings.Cut(s.folder, "/")
		if !slices.Contains([]string{".", "cmd", "consensus", "docs", "engine", "node", "protocol", "testnet"}, top) {
			t.Errorf("%s: code belongs into one of the folders that there are", s.file)
		}
	}
}

func TestOnePackageComment(t *testing.T) {
	t.Parallel()
	comments := map[string][]string{}
	for _, s := range sources(t) {
		if s.test && s.folder != "." || strings.HasSuffix(s.ast.Name.Name, "_test") {
			continue
		}
		if _, ok := comments[s.folder]; !ok {
			comments[s.folder] = nil
		}
		if s.ast.Doc != nil && len(s.ast.Doc.Text()) > 0 {
			comments[s.folder] = append(comments[s.folder], s.file)
		}
	}
	for folder, files := range comments {
		if len(files) != 1 {
			t.Errorf("package %s has %d package comments, want 1: %v", folder, len(files), files)
		}
	}
}

func TestSizes(t *testing.T) {
	t.Parallel()
	for _, s := range sources(t) {
		if s.generated {
			continue
		}
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines, at most %d", s.file, s.lines, maxFileLines)
		}
		for _, d := range s.ast.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if n := s.fset.Position(f.End()).Line - s.fset.Position(f.Pos()).Line + 1; n > maxFunctionLines {
				t.Errorf("%s: %s has %d lines, at most %d", s.file, f.Name.Name, n, maxFunctionLines)
			}
		}
	}
}
