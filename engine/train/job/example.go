package job

import (
	"embed"
	"fmt"
	"path"
	"strings"
)

//go:embed examples/*.toml
var examples embed.FS

// Examples lists the names that Example takes.
func Examples() []string {
	entries, err := examples.ReadDir("examples")
	if err != nil {
		panic(err) // they are in the program
	}
	var out []string
	for _, e := range entries {
		out = append(out, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
	}
	return out
}

// Example returns a job file with comments for a kind of model.
func Example(name string) ([]byte, error) {
	b, err := examples.ReadFile("examples/" + name + ".toml")
	if err != nil {
		return nil, fmt.Errorf("example %.40q: want one of %s", name, strings.Join(Examples(), ", "))
	}
	return b, nil
}
