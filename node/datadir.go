package node

import (
	"os"
	"path/filepath"

	"github.com/covey-network/covey/node/shell"
)

// DefaultDataDir is the data directory of commands that name none.
func DefaultDataDir() string {
	if dir := os.Getenv("COVEY_DATA"); dir != "" {
		return dir
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return ".covey"
	}
	return filepath.Join(home, ".covey")
}

// DataFlag is what a command to paste needs to use a data directory: " --data DIR", or nothing.
func DataFlag(dir string) string {
	if dir == DefaultDataDir() {
		return ""
	}
	return " --data " + shell.Quote(dir)
}
