package store

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4"
	cid "github.com/ipfs/go-cid"
)

// sweepBlocks is how many blocks are deleted while puts wait: some milliseconds.
const sweepBlocks = 256

// The share of garbage from which a value log file is rewritten: now and then, and when blocks
// were removed to free room. Then whatever was removed goes, so that who removes as much as a
// refusal says has the room.
const (
	rewriteRatio  = 0.5
	thoroughRatio = 1e-4
)

// thorough is the least share of garbage of the files for whose rest there is room, before they go.
func (s *Store) thorough() float64 {
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return rewriteRatio
	}
	room := free - s.leanFiles(false).firstBytes()
	if s.cfg.tuning.roomForMaps {
		room += s.reserveKept()
	}
	largest := s.cfg.tuning.vlogFile + min(writeBytes, s.cfg.tuning.vlogFile/2)
	return min(max(thoroughRatio, 1-float64(room)/float64(largest)), rewriteRatio)
}

// GCStats tells what a GC did.
type GCStats struct {
	Kept         int   `json:"kept"` // blocks
	Removed      int   `json:"removed"`
	RemovedBytes int64 `json:"removed_bytes"`
	Reclaimed    int   `json:"reclaimed"` // value log files rewritten
	Freed        int64 `json:"freed"`     // bytes that the disk got back
}

// GC deletes the blocks that no pin and nothing in use reaches, no hold protects and nobody
// put since it began, then gives their space back to the disk. If what these reach cannot be
// found out because a block of structure is damaged or absent, it removes nothing and returns
// a RootError. Puts and gets may go on; they wait for some milliseconds at a time. One GC
// runs at a time.
func (s *Store) GC(ctx context.Context) (st GCStats, err error) {
	s.gcing.Lock()
	defer s.gcing.Unlock()
	r := s.roots.get()
	if r.Lost {
		return st, fmt.Errorf("collect garbage: %w", ErrPinsLost)
	}
	freed := s.freed()
	defer func() {
		if !s.owe(owesGC, err) && err == nil {
			s.paid()
		}
		st.Freed = freed()
	}()
	if err := s.makeWritable(true); err != nil { // it may not even be open, and pins are read in it
		return st, fmt.Errorf("collect garbage: %w", err)
	}
	s.setRecent(map[digest]struct{}{})
	defer s.setRecent(nil)
	marked := map[digest]struct{}{}
	if err := s.mark(ctx, marked, append(s.pinnedRoots(), s.inUse()...)); err != nil {
		return st, err
	}
	st.Removed, st.RemovedBytes, err = s.sweepAll(ctx, s.unmarked(marked), func(run []digest) ([]digest, error) {
		err := s.mark(ctx, marked, s.inUse()) // what has come into use since, although nobody put it
		return without(run, marked), err
	})
	if err != nil {
		return st, err
	}
	s.metrics.collected(st.Removed)
	s.mu.RLock()
	st.Kept = len(s.index)
	s.mu.RUnlock()
	st.Reclaimed, err = s.giveBack(ctx)
	return st, err
}

// freed begins to count what the disk gets back. The function that it returns ends that.
func (s *Store) freed() func() int64 {
	s.measure()
	used, made := s.used.Load(), s.filesInAdvance()
	return func() int64 {
		return max(0, used-s.used.Load()+max(0, made-s.filesInAdvance()))
	}
}

// giveBack gives the space of deleted blocks back to the disk, on a full disk that of the files
// in advance too, and returns how many files it took to that. Without room to compact the tree it
// does so with what was known to be garbage before, and returns a SpaceError.
func (s *Store) giveBack(ctx context.Context) (files int, err error) {
	if err := s.makeWritable(true); err != nil {
		return 0, fmt.Errorf("collect garbage: %w", err)
	}
	var noRoom error
	left, _, err := s.diskRoom()
	if hoards := err == nil && left <= 0 && !s.lean.Load(); hoards || s.stale.Load() {
		if noRoom = s.compact(); noRoom != nil && !isSpace(noRoom) {
			return 0, noRoom
		}
	}
	files, err = s.reclaim(ctx, s.thorough)
	if noRoom != nil {
		err = noRoom
	}
	s.measure()
	s.watch()
	return files, err
}

// setRecent begins or ends the record of what is put.
func (s *Store) setRecent(m map[digest]struct{}) {
	s.sweep.Lock() // puts under way are in the index before unmarked looks, or in the record
	defer s.sweep.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recent = m
}

func (s *Store) pinnedRoots() (out []cid.Cid) {
	for _, p := range s.Pins() {
		out = append(out, p.CID)
	}
	return out
}

// inUse returns what is in use beside that, as far as it is here.
func (s *Store) inUse() []cid.Cid {
	if s.cfg.InUse == nil {
		return nil
	}
	return slices.DeleteFunc(s.cfg.InUse(), func(c cid.Cid) bool { return !s.Has(c) })
}

// mark adds to marked all that roots reach. What is marked is not looked at again.
func (s *Store) mark(ctx context.Context, marked map[digest]struct{}, roots []cid.Cid) error {
	for _, root := range roots {
		if at, err := s.markRoot(ctx, marked, root); err != nil {
			return &RootError{Root: root, Block: at, Name: s.nameOf(root), Err: err}
		}
	}
	return nil
}

// markRoot adds to marked what a root reaches. With an error it returns the block that it met it
// at: what that block reaches is not found out, the rest is.
func (s *Store) markRoot(ctx context.Context, marked map[digest]struct{}, root cid.Cid) (at cid.Cid, err error) {
	fail := func(c cid.Cid, e error) {
		if err == nil {
			at, err = c, e
		}
	}
	nodes := []cid.Cid{root}
	for len(nodes) > 0 {
		c := nodes[len(nodes)-1]
		nodes = nodes[:len(nodes)-1]
		d, e := digestOf(c)
		if e != nil {
			fail(c, e)
			continue
		}
		if _, seen := marked[d]; seen {
			continue
		}
		marked[d] = struct{}{}
		more, leaves, e := s.links(ctx, c)
		if e != nil {
			fail(c, e)
			continue
		}
		for _, l := range leaves {
			if d, e := digestOf(l); e != nil {
				fail(c, e)
			} else {
				marked[d] = struct{}{}
			}
		}
		nodes = append(nodes, more...)
	}
	return at, err
}

// nameOf returns the first name that stands for an identifier, empty if none does.
func (s *Store) nameOf(c cid.Cid) (first string) {
	for name, id := range s.Names() {
		if id == c && (first == "" || name < first) {
			first = name
		}
	}
	return first
}

func (s *Store) links(ctx context.Context, c cid.Cid) (nodes, leaves []cid.Cid, err error) {
	if s.cfg.Links == nil {
		return nil, nil, nil
	}
	data, err := s.Get(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	return s.cfg.Links(data)
}

// unmarked lists the blocks that are not marked, in the order of their keys.
func (s *Store) unmarked(marked map[digest]struct{}) []digest {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []digest
	for _, known := range []iter.Seq[digest]{maps.Keys(s.index), maps.Keys(s.unsure)} {
		for d := range known {
			if _, ok := marked[d]; !ok {
				out = append(out, d)
			}
		}
	}
	slices.SortFunc(out, func(a, b digest) int { return slices.Compare(a[:], b[:]) })
	return out
}

// without takes from keys, in place, what is marked.
func without(keys []digest, marked map[digest]struct{}) []digest {
	return slices.DeleteFunc(keys, func(d digest) bool {
		_, needed := marked[d]
		return needed
	})
}

// sweepAll deletes blocks, some at a time. Of each run it asks sift what to delete.
func (s *Store) sweepAll(ctx context.Context, doomed []digest, sift func(run []digest) ([]digest, error)) (blocks int, bytes int64, err error) {
	for run := range slices.Chunk(doomed, sweepBlocks) {
		if err := ctx.Err(); err != nil {
			return blocks, bytes, err
		}
		run, err := sift(run)
		if err != nil {
			return blocks, bytes, err
		}
		n, size, err := s.sweepRun(run)
		blocks, bytes = blocks+n, bytes+size
		if err != nil {
			return blocks, bytes, err
		}
	}
	return blocks, bytes, nil
}

// sweepRun deletes those of keys that nothing has come to protect.
func (s *Store) sweepRun(keys []digest) (blocks int, bytes int64, err error) {
	if err := s.makeWritable(true); err != nil {
		return 0, 0, fmt.Errorf("collect garbage: %w", err)
	}
	release, err := s.use()
	if err != nil {
		return 0, 0, err
	}
	defer release()
	return s.remove(keys, func(d digest) bool { // with s.mu held
		_, again := s.recent[d]
		_, held := s.held[d]
		return !again && !held
	})
}

// compact makes Badger notice what was deleted: it counts the garbage of value log files
// only when it compacts the tree, from memory through level 0 to the level below. Closing
// the database does the first two steps, reopening and flattening the rest: then there is nothing in
// memory.
func (s *Store) compact() error {
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return ErrClosed
	}
	if s.db == nil {
		return s.lost
	}
	if err := s.syncDatabase(); err != nil {
		return fmt.Errorf("compact database: %w", err)
	}
	if err := s.secure(); err != nil { // Badger compacts level 0 when it closes, too
		return fmt.Errorf("compact database: %w", err)
	}
	defer s.trimReserve()
	if err := s.renew(true); err != nil || s.stuck.Load() {
		return err
	}
	if err := s.flatten(0); err != nil {
		return fmt.Errorf("compact database: %w", s.wrote(err))
	}
	s.stale.Store(false)
	return nil
}

// renew closes the database and opens it again: if the disk is full, with small files for what
// frees room, else for reading. While a compaction waits for room it stays open as it is. s.life
// must be held for writing.
func (s *Store) renew(freeing bool) error {
	if s.isFlattening() {
		return s.noLog()
	}
	s.freeing = freeing
	defer func() { s.freeing = false }()
	if s.db != nil {
		if err := s.closeDatabase(s.db); err != nil {
			s.cfg.Log.Warn("database not closed cleanly", "err", err)
		}
		s.db = nil
	}
	db, err := s.reopen()
	if err != nil {
		s.away.Store(true)
		s.stuck.Store(true) // and tried again
		s.lost = fmt.Errorf("%w: %w", errNoDatabase, err)
		s.cfg.Log.Error("database does not open again", "err", err)
		return s.lost
	}
	s.restartTail()
	s.db, s.lost = db, nil
	s.away.Store(false)
	return nil
}

// reopen opens the database that was closed, if it has come to its end.
func (s *Store) reopen() (*badger.DB, error) {
	select {
	case <-s.closing:
		db, err := s.openFitting()
		if err != nil {
			return nil, err
		}
		if err := checkLayout(db); err != nil {
			if closeErr := s.closeDatabase(db); closeErr != nil {
				err = fmt.Errorf("%w (and close: %w)", err, closeErr)
			}
			return nil, err
		}
		return db, nil
	default:
		free, _, _ := s.cfg.Space(s.cfg.Dir)
		return nil, s.lacks(s.openBytes(), free, errUnclosed)
	}
}

// reclaim rewrites value log files of which that share is garbage, and returns their number.
func (s *Store) reclaim(ctx context.Context, ratio func() float64) (int, error) {
	for n := 0; ; n++ {
		if err := ctx.Err(); err != nil {
			return n, err
		}
		if err := s.reclaimOne(ratio()); err != nil {
			if errors.Is(err, badger.ErrNoRewrite) || errors.Is(err, badger.ErrRejected) {
				return n, nil
			}
			return n, fmt.Errorf("reclaim value log: %w", err)
		}
	}
}

func (s *Store) reclaimOne(ratio float64) error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	// Badger looks at its newest table without a lock while it rewrites a file, so nothing
	// is written meanwhile; a file has 32 MiB.
	s.sweep.Lock()
	defer s.sweep.Unlock()
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.stuck.Load() {
		return badger.ErrNoRewrite
	}
	name, err := s.nextLog()
	if err == nil && name != "" {
		err = checkLog(name)
	}
	if err != nil {
		s.cfg.Log.Warn("garbage stays, so that what lies beside damage is not lost", "err", err)
		return badger.ErrNoRewrite
	}
	if err := s.db.RunValueLogGC(ratio); err != nil {
		return s.wrote(err)
	}
	s.recountTail()
	return nil
}

func isSpace(err error) bool {
	var full *SpaceError
	return isFull(err) || errors.As(err, &full)
}
