package store

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// maxOwedWait is the longest that what is owed waits for the next try, after errors that
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

// debt is what is owed to the disk until there is room to do it.
type debt = int32

const (
	owesNothing debt = iota
	owesDrafts       // to discard drafts: nothing else may go without a command
	owesGC
)

// owedFile is the empty file that says over a restart what is owed: on a full disk its name is
// all that can be written.
func (s *Store) owedFile(what debt) string {
	name := "collect"
	if what == owesDrafts {
		name = "discard"
	}
	return filepath.Join(s.cfg.Dir, name)
}

// readOwed reads at the start what is owed.
func (s *Store) readOwed() debt {
	for _, what := range []debt{owesGC, owesDrafts} {
		if exists(s.owedFile(what)) {
			return what
		}
	}
	return owesNothing
}

// owe takes note that removing ended for want of room, and reports whether it did: then Run
// does what is owed when there is some. s.gcing must be held.
func (s *Store) owe(what debt, err error) bool {
	if !isSpace(err) && !(err == nil && s.stuck.Load() && s.stale.Load()) {
		return false
	}
	s.owed.Store(max(what, s.owed.Load()))
	if !exists(s.owedFile(what)) {
		if err := s.WriteFile(s.owedFile(what), nil); err != nil {
			s.cfg.Log.Warn("not noted for the next start that space is to be given back", "err", err)
		}
	}
	return true
}

// paid takes note that nothing is owed any more. s.gcing must be held.
func (s *Store) paid() {
	s.owed.Store(owesNothing)
	for _, name := range append(s.undiscarded, s.owedFile(owesDrafts), s.owedFile(owesGC)) {
		if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			s.cfg.Log.Warn("space is given back once more at the next start", "err", err)
		}
	}
	s.undiscarded = nil
}

// payOwed does what is owed, if there is room for it now. After an error that more room
// does not mend it waits, longer each time. Run alone calls it.
func (s *Store) payOwed(ctx context.Context) {
	what := s.owed.Load()
	if what == owesNothing {
		s.tries = owedTries{}
		return
	}
	if s.cfg.Now().Before(s.tries.next) {
		return
	}
	if free, _, err := s.cfg.Space(s.cfg.Dir); err != nil || free < s.leanBytes() {
		return
	}
	do := s.GC
	if what == owesDrafts {
		do = s.discardOwed
	}
	st, err := do(ctx)
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
