package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	cid "github.com/ipfs/go-cid"
)

// draftPattern matches the files that list what was put under drafts: digests, one after
// another. A file outlives its draft only if the program is killed.
const draftPattern = "draft-*"

// Draft is a Hold of blocks that are to become something whole, such as a model that is
// imported. What was put under it is removed again, at Discard or by the next start, unless
// it is kept. Make it with Store.Draft and end it with Keep or Discard. It is safe for
// concurrent use.
type Draft struct {
	hold *Hold

	mu    sync.Mutex
	file  *os.File
	noted int64    // bytes written to it
	fresh []digest // not there before
}

// Draft returns a draft of nothing yet.
func (s *Store) Draft() (*Draft, error) {
	var f *os.File
	err := withReserve(s.cfg.Dir, func() (err error) {
		f, err = os.CreateTemp(s.cfg.Dir, draftPattern)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("begin draft: %w", err)
	}
	return &Draft{hold: s.Hold(), file: f}, nil
}

// Name tells the draft from others.
func (d *Draft) Name() string { return d.file.Name() }

// Add protects blocks that are about to be put.
func (d *Draft) Add(cids ...cid.Cid) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	var fresh []byte
	for _, c := range cids {
		key, err := digestOf(c)
		if err != nil {
			return fmt.Errorf("draft: %w", err)
		}
		if !d.hold.s.Has(c) {
			d.fresh = append(d.fresh, key)
			fresh = append(fresh, key[:]...)
		}
	}
	err := withReserve(d.hold.s.cfg.Dir, func() error {
		_, err := d.file.WriteAt(fresh, d.noted)
		return err
	})
	if err != nil {
		return fmt.Errorf("draft: %w", err)
	}
	d.noted += int64(len(fresh))
	return d.hold.Add(cids...)
}

// Keep ends the draft and leaves the blocks, which something pins by now.
func (d *Draft) Keep() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hold.Release()
	return d.end()
}

// Discard ends the draft and removes what was put under it and nothing else needs.
func (d *Draft) Discard(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hold.Release()
	if err := d.hold.s.discard(ctx, d.file.Name(), d.fresh); err != nil {
		return errors.Join(fmt.Errorf("discard draft: %w", err), d.file.Close()) // Run or the next start does it
	}
	return d.end()
}

func (d *Draft) end() error {
	return errors.Join(d.file.Close(), os.Remove(d.file.Name()))
}

// discard removes the blocks of a draft that no pin reaches, no hold protects and nobody puts
// meanwhile, and gives their space back. What there is no room to remove is owed to Run.
func (s *Store) discard(ctx context.Context, file string, keys []digest) error {
	if len(keys) == 0 {
		return nil
	}
	s.gcing.Lock()
	defer s.gcing.Unlock()
	_, _, err := s.discardKeys(ctx, keys)
	if s.owe(owesDrafts, err) && err != nil {
		s.undiscarded = append(s.undiscarded, file)
	}
	return err
}

// discardOwed discards the drafts that there was no room to discard, and gives back the space
// of those that were.
func (s *Store) discardOwed(ctx context.Context) (st GCStats, err error) {
	s.gcing.Lock()
	defer s.gcing.Unlock()
	if s.owed.Load() != owesDrafts { // a GC was done meanwhile, or is owed
		return st, nil
	}
	var keys []digest
	for _, name := range s.undiscarded {
		more, err := draftKeys(name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return st, err
		}
		keys = append(keys, more...)
	}
	freed := s.freed()
	st.Removed, st.RemovedBytes, err = s.discardKeys(ctx, keys)
	if !s.owe(owesDrafts, err) && err == nil {
		s.paid()
	}
	st.Freed = freed()
	return st, err
}

// discardKeys does the work of discard. s.gcing must be held.
func (s *Store) discardKeys(ctx context.Context, keys []digest) (blocks int, bytes int64, err error) {
	if s.roots.get().Lost {
		return 0, 0, ErrPinsLost
	}
	if err := s.makeWritable(true); err != nil {
		return 0, 0, err
	}
	s.setRecent(map[digest]struct{}{})
	defer s.setRecent(nil)
	marked := map[digest]struct{}{}
	for _, root := range s.pinnedRoots() {
		at, err := s.markRoot(ctx, marked, root)
		if ctx.Err() != nil {
			return 0, 0, ctx.Err()
		}
		if err != nil { // what it reaches was here before the draft, or is absent: no key is needed
			s.cfg.Log.Warn("a pinned model cannot be read", "pin", root, "name", s.nameOf(root), "block", at, "err", err)
		}
	}
	blocks, bytes, err = s.sweepAll(ctx, slices.Clone(keys), func(run []digest) ([]digest, error) {
		return without(run, marked), nil
	})
	if err != nil {
		return blocks, bytes, err
	}
	_, err = s.giveBack(ctx)
	return blocks, bytes, err
}

// discardDrafts removes what drafts left behind when the program was killed.
func (s *Store) discardDrafts() {
	names, err := filepath.Glob(filepath.Join(s.cfg.Dir, draftPattern))
	if err != nil {
		return
	}
	for _, name := range names {
		if err := s.discardFile(name); err != nil {
			s.cfg.Log.Warn("blocks of an unfinished import stay", "err", err)
		}
	}
}

func (s *Store) discardFile(name string) error {
	keys, err := draftKeys(name)
	if err != nil {
		return err
	}
	if err := s.discard(context.Background(), name, keys); err != nil { // a few local reads: nothing to cancel
		return err
	}
	s.cfg.Log.Info("removed what an unfinished import left", "blocks", len(keys))
	return os.Remove(name)
}

// draftKeys reads what was put under a draft.
func draftKeys(name string) (keys []digest, err error) {
	list, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(list, len(digest{})) {
		if len(chunk) == len(digest{}) { // the last one may be cut off
			keys = append(keys, digest(chunk))
		}
	}
	return keys, nil
}
