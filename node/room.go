package node

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/node/store"
)

// noRoom adds what to do to an error of starting on a full disk, and what is full where the error
// does not tell. Others stay as they are.
func noRoom(dir string, err error) error {
	const mend = "make room on the disk, or choose another directory with --data"
	if full := new(store.SpaceError); errors.As(err, &full) {
		return fmt.Errorf("%w; %s", err, mend)
	}
	if !store.IsFull(err) {
		return err
	}
	free, _, spaceErr := store.DiskSpace(dir)
	if spaceErr != nil {
		return fmt.Errorf("no room for files of the node in %s; %s (%w)", dir, mend, err)
	}
	return fmt.Errorf("no room for files of the node: the disk of %s has %s free; %s (%w)", dir, store.BytesText(free), mend, err)
}
