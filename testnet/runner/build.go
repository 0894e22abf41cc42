package runner

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

// Build compiles the program into a folder and returns its path.
func Build(dir string) (string, error) {
	path := filepath.Join(dir, "covey")
	cmd := exec.Command("go", "build", "-o", path, "github.com/covey-network/covey/cmd/covey")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build covey: %w\n%s", err, out)
	}
	return path, nil
}
