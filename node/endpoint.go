package node

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/node/store"
)

// ErrNotRunning means that no node runs on a data directory.
var ErrNotRunning = errors.New("no node is running")

// ErrStopping is the case of ErrNotRunning that the node of a data directory is at its end.
var ErrStopping = fmt.Errorf("%w: it stops", ErrNotRunning)

// Endpoint is where a running node answers. It lies in the data directory, readable by the
// owner only, while the node runs.
type Endpoint struct {
	URL     string `json:"url"`
	Key     string `json:"key"` // the owner's, for commands and the control API; new at each start
	PID     int    `json:"pid"`
	DataDir string `json:"data_dir"`
	// Stopping tells that the node ends and takes no more requests.
	Stopping bool `json:"stopping,omitempty"`
}

const endpointFile = "api.json"

// ReadEndpoint returns where the node of a data directory answers; the error wraps
// ErrNotRunning if none has said so.
func ReadEndpoint(dir string) (*Endpoint, error) {
	data, err := os.ReadFile(filepath.Join(dir, endpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w on %s", ErrNotRunning, dir)
	}
	if err != nil {
		return nil, fmt.Errorf("read endpoint: %w", err)
	}
	e := new(Endpoint)
	if err := json.Unmarshal(data, e); err != nil {
		return nil, fmt.Errorf("%w on %s: %s is damaged", ErrNotRunning, dir, endpointFile)
	}
	if e.Stopping {
		return nil, fmt.Errorf("%w on %s", ErrStopping, dir)
	}
	return e, nil
}

// write puts the endpoint into the data directory, whole or not at all.
func (e *Endpoint) write() error {
	data, err := json.Marshal(e)
	if err != nil {
		return err
	}
	path := filepath.Join(e.DataDir, endpointFile)
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		err = errors.Join(err, os.Remove(path+".new"))
		if store.IsFull(err) && store.Overwrite(path, data) == nil {
			return nil
		}
		return fmt.Errorf("write endpoint: %w", err)
	}
	return os.Rename(path+".new", path)
}

// removeEndpoint takes away what the node of a data directory has said, if it has.
func removeEndpoint(dir string) error {
	err := os.Remove(filepath.Join(dir, endpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

func newKey() string {
	var b [24]byte
	rand.Read(b[:]) // never errs since Go 1.24
	return hex.EncodeToString(b[:])
}
