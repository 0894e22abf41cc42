package store

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"github.com/covey-network/covey/engine/filelock"
)

// Survey is what can be seen of a store from outside.
type Survey struct {
	Free, Total int64  // of the disk
	Margin      int64  // that must stay free
	Used        int64  // by the store, about
	Room        int64  // that a model could take
	Models      int    // what is pinned or named
	Full, Mend  string // why nothing could be stored, and what to do; empty if something could
	Held        bool   // a process has it open
}

// Look looks at a store from outside. It makes and writes nothing, and the directory need not be
// there.
func Look(cfg Config) (*Survey, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("look at store %q: %w", cfg.Dir, err)
	}
	s := &Store{cfg: cfg.withDefaults()}
	space := s.cfg.Space
	s.cfg.Space = func(dir string) (free, total int64, err error) { // of the nearest folder that is there
		for ; ; dir = filepath.Dir(dir) {
			if free, total, err = space(dir); !errors.Is(err, fs.ErrNotExist) || dir == filepath.Dir(dir) {
				return free, total, err
			}
		}
	}
	held, err := filelock.Held(s.lockFile())
	if err != nil {
		return nil, fmt.Errorf("look at store %q: %w", cfg.Dir, err)
	}
	s.reading.Store(true) // it writes no file
	s.stuck.Store(!held)  // who opens it makes some first
	s.measure()
	left, margin, err := s.diskRoom()
	if err != nil {
		return nil, fmt.Errorf("look at store %q: %w", cfg.Dir, err)
	}
	out := &Survey{Free: left + margin, Margin: margin, Used: s.used.Load(), Room: s.free(), Models: modelsAt(cfg.Dir), Held: held}
	out.Full, out.Mend = s.full()
	if _, out.Total, err = s.cfg.Space(cfg.Dir); err != nil {
		return nil, fmt.Errorf("look at store %q: %w", cfg.Dir, err)
	}
	return out, nil
}

// modelsAt counts what is pinned or named in a store, as far as that can be read.
func modelsAt(dir string) int {
	for _, name := range rootsNames() {
		r, err := readRoots(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		ids := r.Pins
		for _, id := range r.Names {
			ids[id] = 0
		}
		return len(ids)
	}
	return 0
}
