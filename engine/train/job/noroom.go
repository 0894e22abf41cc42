package job

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// noRoom says of an error of a full disk what to do, and how the run in a folder goes on after
// that. Others stay as they are.
func noRoom(folder string, err error) error {
	if !errors.Is(err, syscall.ENOSPC) && !errors.Is(err, syscall.EDQUOT) {
		return err
	}
	next := "start it again"
	if _, statErr := os.Stat(filepath.Join(folder, lastFile)); statErr == nil {
		next = "covey train JOB --resume goes on from the last checkpoint"
	}
	return fmt.Errorf("%w; make room on the disk of %s, then %s", err, folder, next)
}
