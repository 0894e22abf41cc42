package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/train"
)

// ErrLost is the error of a folder whose run cannot go on because its checkpoints are
// missing or damaged.
var ErrLost = errors.New("no whole checkpoint to go on from")

// damagedSuffix is appended to the name of a damaged checkpoint, which is kept.
const damagedSuffix = ".damaged"

// fresh refuses a new run in a folder that has one.
func (r *runner) fresh() error {
	for _, name := range []string{lastFile, bestFile, ExportDir} {
		_, err := os.Stat(filepath.Join(r.folder, name))
		if err == nil {
			return fmt.Errorf("%w: %s (resume it, remove it, or set train.folder)", ErrExists, r.folder)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("folder of the run: %w", err)
		}
	}
	if step := r.checkpointed(); step > 0 {
		return fmt.Errorf("%w: %s (its history goes to step %d; remove it, or set train.folder)", ErrExists, r.folder, step)
	}
	return nil
}

// checkpointed returns the last step of a history that is longer than one without a
// checkpoint can be, else 0.
func (r *runner) checkpointed() int {
	points, _ := readHistory(filepath.Join(r.folder, HistoryFile)) // of a run that was killed, the last row may be cut
	saved, last := false, 0
	for _, p := range points {
		if every := r.job.Train.CheckpointEvery; every > 0 {
			saved = saved || p.Step > every
		} else {
			saved = saved || !p.Validation && p.Epoch > 1
		}
		last = max(last, p.Step)
	}
	if !saved {
		return 0
	}
	return last
}

// load takes the last checkpoint over if the run shall go on.
func (r *runner) load(resume bool) error {
	r.at.Validated = -1
	now, err := r.job.digests(r.data)
	if err != nil {
		return err
	}
	if r.of > 1 {
		now.Part = fmt.Sprintf("%d of %d", r.rank, r.of)
	}
	if p := r.private; p != nil {
		now.Private = fmt.Sprintf("clip %v, noise %v", p.Clip, p.Noise)
	}
	if resume {
		if err := r.resume(now); err != nil {
			return err
		}
	}
	r.at.Digests = now
	want := r.at.History
	if r.at.History, err = r.history.rewind(want); err != nil {
		return err
	}
	if r.at.History < want {
		r.note("%s has lost rows since the checkpoint", HistoryFile)
	}
	return nil
}

// note tells, when the run starts, of something that is not as it was meant to be.
func (r *runner) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// resume goes on from the last checkpoint, or where that is lost from the best. A run that
// was killed before its first checkpoint begins again: that loses nothing.
func (r *runner) resume(now digests) error {
	last := r.restore(lastFile, now)
	switch {
	case last == nil:
		r.savedAt, r.saved = r.trainer.Steps(), r.at
		return r.checkBest()
	case !lost(last):
		return last
	}
	switch best := r.restore(bestFile, now); {
	case best == nil:
		if err := r.setAside(lastFile, last); err != nil {
			return err
		}
		r.note("%s: going on from %s, after step %d", state(lastFile, last), bestFile, r.trainer.Steps())
		return nil
	case !lost(best):
		return best
	case errors.Is(last, fs.ErrNotExist) && errors.Is(best, fs.ErrNotExist):
		return r.anew()
	default:
		return fmt.Errorf("%w in %s: %s, %s: put a copy of one back, or remove the folder to begin anew", ErrLost, r.folder, state(lastFile, last), state(bestFile, best))
	}
}

// again lets a run go on that ended for want of a better validation.
func (r *runner) again() {
	t := &r.job.Train
	if t.Patience == 0 || r.at.Stale < t.Patience || t.Steps > 0 && r.trainer.Steps() >= t.Steps {
		return
	}
	r.at.Stale = 0
	r.note("the run had ended after %d validations without a better one: it goes on as more steps are asked for, and its patience counts anew", t.Patience)
}

// anew begins a run again that has no checkpoint, unless it has had one.
func (r *runner) anew() error {
	had := ""
	if step := r.checkpointed(); step > 0 {
		had = fmt.Sprintf("%s goes to step %d", HistoryFile, step)
	} else if _, err := os.Stat(filepath.Join(r.folder, ExportDir)); err == nil {
		had = "it has a " + ExportDir
	}
	if had != "" {
		return fmt.Errorf("%w in %s: %s, but %s and %s are missing: put one of them back, or remove the folder to begin anew", ErrLost, r.folder, had, lastFile, bestFile)
	}
	r.note("there was no checkpoint yet: the run begins again")
	return nil
}

// restore takes a checkpoint over, if the data and settings are still those. If there is an
// error, the position of the run has not changed.
func (r *runner) restore(name string, now digests) error {
	path := filepath.Join(r.folder, name)
	cursor, vectors, err := r.trainer.LoadExtra(path)
	var other *train.ConfigError
	if errors.As(err, &other) {
		return changedConfig(other)
	}
	if err != nil {
		return err
	}
	at := position{}
	if err := json.Unmarshal(cursor, &at); err != nil { // the checksum is right
		return fmt.Errorf("load training state %q: %w: position: %w", path, train.ErrNewer, err)
	}
	if err := at.Digests.changed(now); err != nil {
		return err
	}
	if len(at.More) != len(r.streams)-1 {
		return fmt.Errorf("load training state %q: %w: %d places in the data, want %d", path, train.ErrState, len(at.More)+1, len(r.streams))
	}
	if r.sync == nil && (at.Pending != nil || len(at.Sync)+len(vectors) > 0) {
		return fmt.Errorf("%w: the run trained with others and was not alone: go on with them, or set train.folder and begin anew", ErrChanged)
	}
	r.kept, r.resumed = Kept{at.Sync, vectors}, true
	at.Sync = nil
	r.at = at
	for i := range r.streams {
		r.streams[i].base = at.stream(i).LeftOutNow
	}
	return nil
}

// checkBest finds out before training whether the best model could be exported after it.
func (r *runner) checkBest() error {
	if !r.at.HasBest {
		return nil
	}
	err := train.Check(filepath.Join(r.folder, bestFile))
	if err == nil || !lost(err) {
		return err
	}
	if err := r.setAside(bestFile, err); err != nil {
		return err
	}
	r.note("%s: the next validation counts as the best so far, until then the last model does", state(bestFile, err))
	r.at.HasBest, r.at.Best, r.at.Stale = false, Validation{}, 0
	return nil
}

// setAside keeps a damaged checkpoint under another name.
func (r *runner) setAside(name string, why error) error {
	if errors.Is(why, fs.ErrNotExist) {
		return nil
	}
	path := filepath.Join(r.folder, name)
	if err := os.Rename(path, path+damagedSuffix); err != nil {
		return fmt.Errorf("keep the damaged checkpoint: %w", err)
	}
	return nil
}

// lost reports whether an error tells of a checkpoint that is missing or damaged.
func lost(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, train.ErrState)
}

// state says what is wrong with a checkpoint that is lost.
func state(name string, err error) string {
	if errors.Is(err, fs.ErrNotExist) {
		return name + " is missing"
	}
	return name + " is damaged"
}
