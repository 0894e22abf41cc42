package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxOwedWait is the longest that a GC that is owed waits for the next try, after errors that
// more room does not mend.
const maxOwedWait = time.Hour

// owedTries is what Run knows of the tries to pay what is owed, since the last one that ended for
// want of room.
type owedTries struct {
	next  time.Time
	wait  time.Duration
	cause string // told
}

// failed takes note of an error, and reports whether it is to be told: once for each cause.
func (o *owedTries) failed(err error, now time.Time) (tell bool) {
	o.wait = min(max(2*o.wait, 2*watchEvery), maxOwedWait)
	o.next = now.Add(o.wait)
	tell, o.cause = err.Error() != o.cause, err.Error()
	return tell
}

// owedFile says over a restart that a GC is owed.
func (s *Store) owedFile() string { return filepath.Join(s.cfg.Dir, "collect") }

// owe takes note that removing ended for want of room, and reports whether it did: then Run
// does a GC when there is some.
func (s *Store) owe(err error) bool {
	if !isSpace(err) && !(err == nil && s.stuck.Load() && s.stale.Load()) {
		return false
	}
	s.owed.Store(true)
	if !exists(s.owedFile()) {
		if err := s.WriteFile(s.owedFile(), nil); err != nil {
			s.cfg.Log.Warn("not noted for the next start that space is to be given back", "err", err)
		}
	}
	return true
}

// paid takes note that no GC is owed any more.
func (s *Store) paid() {
	s.owed.Store(false)
	if err := os.Remove(s.owedFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.cfg.Log.Warn("space is given back once more at the next start", "err", err)
	}
}

// payOwed does the GC that is owed, if there is room for it now. After an error that more room
// does not mend it waits, longer each time. Run alone calls it.
func (s *Store) payOwed(ctx context.Context) {
	if !s.owed.Load() {
		s.tries = owedTries{}
		return
	}
	if s.cfg.Now().Before(s.tries.next) {
		return
	}
	if free, _, err := s.cfg.Space(s.cfg.Dir); err != nil || free < s.leanTuning().openBytes() {
		return
	}
	st, err := s.GC(ctx)
	switch {
	case err == nil:
		s.tries = owedTries{}
		s.cfg.Log.Info("gave back the space of what was removed", "bytes", st.Freed)
	case isSpace(err):
		s.tries = owedTries{}
	case ctx.Err() == nil && s.tries.failed(err, s.cfg.Now()):
		s.cfg.Log.Warn("space of what was removed not given back; tried again, at least once an hour", "err", err)
	}
}
