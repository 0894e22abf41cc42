package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/filelock"
)

// ErrClaimed means that another process has claimed the data directory.
var ErrClaimed = errors.New("another node starts, runs or ends on it")

// claimFile is the lock that a node holds from before its start until after its end.
const claimFile = "up.lock"

// Claim says that a process is to run a node on a data directory: others may wait for its
// node instead of using the directory themselves. A node for one command claims nothing.
type Claim struct{ lock *filelock.Lock }

// NewClaim claims a data directory, which it makes if need be. It does not wait: the error
// wraps ErrClaimed if another process has the claim, or looks at this moment whether one has.
func NewClaim(dir string) (*Claim, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("claim data directory: %w", err)
	}
	l, err := filelock.Try(filepath.Join(dir, claimFile))
	if errors.Is(err, filelock.ErrHeld) {
		err = ErrClaimed
	}
	if err != nil {
		return nil, fmt.Errorf("claim data directory %s: %w", dir, err)
	}
	return &Claim{l}, nil
}

// Release takes the claim back.
func (c *Claim) Release() error { return c.lock.Release() }

// Claimed reports whether some process has claimed a data directory.
func Claimed(dir string) (bool, error) {
	held, err := filelock.Held(filepath.Join(dir, claimFile))
	if err != nil {
		return false, fmt.Errorf("claim of data directory: %w", err)
	}
	return held, nil
}
