//go:build unix

package job_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
)

// TestPipeAmongTexts has a link to a pipe among the texts, which must not be opened.
func TestPipeAmongTexts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	texts(t, dir)
	if err := errors.Join(syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600), os.Symlink("../pipe", filepath.Join(dir, "texts/pipe.txt"))); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	var told []string
	go func() {
		_, err := job.Run(t.Context(), read(t, dir, fmt.Sprintf(textJob, true, false, "", 8)), job.Options{Events: job.Events{Bad: func(b data.Bad) { told = append(told, b.Error()) }}})
		ended <- err
	}()
	select {
	case err := <-ended:
		if err != nil || len(told) != 1 || !strings.Contains(told[0], "not a regular file") {
			t.Errorf("%v, told %q", err, told)
		}
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
}
