package node

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/covey-network/covey/node/store"
)

// noRoom adds what to do to an error of starting on a full disk, and what is full where the error
// does not tell. Others stay as they are.
func noRoom(dir string, err error) error {
	if full := new(store.SpaceError); errors.As(err, &full) || !store.IsFull(err) {
		return err
	}
	why, mend := "the disk, or this user's share of it, was full a moment ago", "make room on it, or choose another directory with --data"
	if s, lookErr := store.Look(store.Config{Dir: filepath.Join(dir, "store")}); lookErr == nil && s.Full != "" {
		why, mend = s.Full, s.Mend
	}
	return fmt.Errorf("no room for files of the node in %s: %s; %s (%w)", dir, why, mend, err)
}
