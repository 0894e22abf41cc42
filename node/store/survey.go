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
	Full        string // why nothing could be stored; empty if something could
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
	s.reading.Store(true) // it writes no file
	s.measure()
	left, margin, err := s.diskRoom()
	if err != nil {
		return nil, fmt.Errorf("look at store %q: %w", cfg.Dir, err)
	}
	out := &Survey{Free: left + margin, Margin: margin, Used: s.used.Load(), Full: s.full()}
	if _, out.Total, err = s.cfg.Space(cfg.Dir); err == nil {
		out.Held, err = filelock.Held(s.lockFile())
	}
	if err != nil {
		return nil, fmt.Errorf("look at store %q: %w", cfg.Dir, err)
	}
	return out, nil
}
