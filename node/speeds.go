package node

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
)

// speedsFile keeps the machine's measured speeds, which are measured once for each version
// of the engine.
const speedsFile = "speeds.json"

// readSpeeds returns what was measured by this engine with these threads, if anything.
func (r *running) readSpeeds() (wire.Speeds, bool) {
	var kept struct {
		wire.Speeds
		Cores int `json:"cores"`
	}
	data, err := os.ReadFile(filepath.Join(r.cfg.DataDir, speedsFile))
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			r.log.Warn("speeds not read, measuring again", "err", err)
		}
		return wire.Speeds{}, false
	}
	ok := json.Unmarshal(data, &kept) == nil && kept.Engine == worker.Engine(r.cfg.Version) && kept.Cores == r.cores()
	return kept.Speeds, ok
}

// measure finds the machine's speeds and advertises them, unless ctx ends before.
func (r *running) measure(ctx context.Context) error {
	s, ok := r.readSpeeds()
	if !ok {
		var err error
		if s, err = r.worker.MeasureMachine(ctx, r.cfg.Version); err != nil {
			return nil // the node ends, and measures at the next start
		}
		debug.FreeOSMemory() // hundreds of megabytes that a node does not need again
		data, err := json.Marshal(struct {
			wire.Speeds
			Cores int `json:"cores"`
		}{s, r.cores()})
		if err != nil {
			return err
		}
		path := filepath.Join(r.cfg.DataDir, speedsFile)
		if err := os.WriteFile(path, data, 0o600); err != nil { // measured again at the next start
			r.log.Warn("measured speeds not kept", "err", errors.Join(err, os.Remove(path)))
		}
	}
	r.speeds.Store(&s)
	r.changes()
	return nil
}
