package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"
	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/filelock"
)

// Store keeps blocks. Make it with Open.
type Store struct {
	cfg     Config
	metrics *metrics
	roots   *rootsFile
	moved   string       // where a damaged database was put at Open
	used    atomic.Int64 // bytes on disk when last measured, and all written since
	stuck   atomic.Bool  // the database takes no writes until it is opened again
	reading atomic.Bool  // it was opened for reading only
	away    atomic.Bool  // it was closed and did not open again
	lean    atomic.Bool  // the database has small files, for what frees room
	owed    atomic.Int32 // a debt: there was too little room to remove all
	told    atomic.Bool  // that there is no room
	ending  atomic.Bool  // Close was called
	stale   atomic.Bool  // blocks were deleted since the tree was last compacted
	tries   owedTries    // Run's alone
	lock    *filelock.Lock

	// life is held for reading by every operation, for writing by Close and reopening.
	life    sync.RWMutex
	db      *badger.DB // nil while it does not open again
	lost    error      // why; wraps errNoDatabase
	closed  bool
	closing chan struct{} // closed when the database that was closed last has ended
	// flattening is closed when the last compaction of the tree has ended. It is set with life
	// held for writing, or for reading with writing.
	flattening chan struct{}
	// freeing is set while the database is opened for what frees room: it must take writes.
	freeing bool

	// sweep is held for reading by puts, and for writing where blocks are deleted, I/O
	// included: a put that finds its block in the index is acknowledged without a write,
	// so the block must not be on its way out.
	sweep sync.RWMutex
	// writing is held while the database is written to, so that nothing comes after what met a
	// full disk.
	writing sync.Mutex
	// level0Due is how many tables of level 0 are compacted next. Guarded by writing.
	level0Due int
	gcing     sync.Mutex // held while GC, Pin or Unpin runs
	// undiscarded are the files of drafts that there was no room to discard. Guarded by gcing.
	undiscarded []string

	counting sync.Mutex
	tail     logTail
	due      int64 // what the disk will have of what was put since the database was opened, beside values

	beginning sync.Mutex // held while a Claim is made
	claiming  sync.Mutex // guards claims
	claims    map[*Claim]struct{}

	mu     sync.RWMutex
	index  map[digest]uint32   // sizes of all blocks; what reading a block finds may differ
	bytes  int64               // sum of the sizes
	bad    map[digest]struct{} // quarantined
	held   map[digest]int      // protected by Holds, with the number of them
	recent map[digest]struct{} // put since GC began; nil if none runs
	unsure map[digest]struct{} // not in the index, and may be in the database: deleting them met an error
}

// The first byte of keys in Badger.
const (
	prefixBlock      = 'b' // digest → bytes
	prefixQuarantine = 'q' // digest → Quarantined as JSON
	prefixMeta       = 'm'
)

func blockKey(d digest) []byte      { return append([]byte{prefixBlock}, d[:]...) }
func quarantineKey(d digest) []byte { return append([]byte{prefixQuarantine}, d[:]...) }

// Stat is the size of a store.
type Stat struct {
	Blocks      int   `json:"blocks"`
	Bytes       int64 `json:"bytes"`       // of all blocks
	DiskBytes   int64 `json:"disk_bytes"`  // occupied, about
	Limit       int64 `json:"limit"`       // the owner's; 0 is none
	Free        int64 `json:"free"`        // that a model may still take, beside those that are being stored
	Quarantined int   `json:"quarantined"` // blocks found damaged and not put again
	// Full tells why nothing can be stored now; it is empty if something can. Mend tells what to do.
	Full string `json:"full,omitempty"`
	Mend string `json:"mend,omitempty"`
}

// Open opens the store in cfg.Dir, or makes one. If the database is damaged so that Badger
// cannot open it, it is moved aside and a new one started: see Moved. On a full disk it is
// opened for reading, until there is room or something is to be removed: see Stat.Full.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("open store %q: %w", cfg.Dir, err)
	}
	s := &Store{
		cfg: cfg.withDefaults(), index: map[digest]uint32{}, bad: map[digest]struct{}{}, held: map[digest]int{}, unsure: map[digest]struct{}{},
		claims: map[*Claim]struct{}{},
	}
	if err := s.open(); err != nil {
		return nil, fmt.Errorf("open store %q: %w", cfg.Dir, err)
	}
	return s, nil
}

func (s *Store) open() (err error) {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return err
	}
	// Before anything is read or counted: who is not alone here leaves all as it is.
	if s.lock, err = filelock.Try(s.lockFile()); errors.Is(err, filelock.ErrHeld) {
		return ErrInUse
	} else if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = releaseAfter(s.lock, err)
		}
	}()
	if err := os.Remove(filepath.Join(s.cfg.Dir, roomName)); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a run that was cut off
		return err
	}
	s.easeStart()
	if s.roots, err = loadRoots(s.cfg.Dir, s.cfg.Log); err != nil {
		return err
	}
	if err := s.openDatabase(); err != nil {
		return err
	}
	if s.metrics, err = newMetrics(s.cfg.Registry, s); err != nil {
		return closeAfter(s.db, err)
	}
	s.restartTail()
	s.measure()
	s.owed.Store(s.readOwed())
	left := !s.cfg.tuning.roomForMaps && s.db.Levels()[0].NumTables > 0
	s.stale.Store(left || s.owed.Load() != owesNothing) // what was deleted before is not counted as garbage yet
	s.makeReserve()
	s.tell()
	if n, err := s.salvage(s.asideDir()); n > 0 || err != nil {
		s.cfg.Log.Warn("blocks taken over from the damaged database", "blocks", n, "err", err)
	}
	s.discardDrafts()
	return nil
}

// releaseAfter keeps an error of opening as it is if there is no other.
func releaseAfter(l *filelock.Lock, err error) error {
	if releaseErr := l.Release(); releaseErr != nil {
		return fmt.Errorf("%w (and release: %w)", err, releaseErr)
	}
	return err
}

func (s *Store) lockFile() string    { return filepath.Join(s.cfg.Dir, "lock") }
func (s *Store) databaseDir() string { return filepath.Join(s.cfg.Dir, "blocks") }
func (s *Store) asideDir() string    { return filepath.Join(s.cfg.Dir, "blocks.damaged") }

// Moved returns where a damaged database was put by Open, "" if it opened well. Open took
// over the blocks that it found whole there; the others are lost until fetched again. Pins
// and names are not lost.
func (s *Store) Moved() string { return s.moved }

// Close closes the database. Operations that run are waited for; later ones fail. On a full
// disk the database may not come to its end: then the store stays in use until it has.
func (s *Store) Close() error {
	if !s.ending.Swap(true) {
		openDatabases.CompareAndSwap(s.realDir(), true, false) // who waits for room fails, and who reads then
	}
	s.life.Lock()
	defer s.life.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.metrics.unregister()
	var err error
	if s.db != nil {
		s.flattenToClose()
		err = s.closeDatabase(s.db)
	}
	if err := errors.Join(err, s.releaseLock()); err != nil {
		return fmt.Errorf("close store %q: %w", s.cfg.Dir, err)
	}
	return nil
}

// releaseLock gives the lock back when the database has come to its end. Until then it may
// write, and nobody else may open it: the lock goes then, or with the process.
func (s *Store) releaseLock() error {
	select {
	case <-s.closing:
		return s.lock.Release()
	default:
	}
	go func() {
		<-s.closing
		if err := s.lock.Release(); err != nil {
			s.cfg.Log.Warn("lock not released", "err", err)
		}
	}()
	return nil
}

// watchEvery is how often Run looks at the room on the disk.
const watchEvery = 5 * time.Second

// Run reclaims the space of deleted blocks from time to time, and goes back to writing after
// the disk was full, until ctx ends.
func (s *Store) Run(ctx context.Context) error {
	tick := time.NewTicker(s.cfg.Every)
	defer tick.Stop()
	look := time.NewTicker(watchEvery)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
			s.payOwed(ctx)
			s.watch()
			continue
		case <-tick.C:
		}
		if _, err := s.reclaim(ctx, func() float64 { return rewriteRatio }); err != nil && ctx.Err() == nil {
			s.cfg.Log.Warn("value log not reclaimed", "err", err)
		}
		s.measure()
	}
}

// use takes the right to use the database; release gives it back.
func (s *Store) use() (release func(), err error) {
	s.life.RLock()
	if s.closed {
		s.life.RUnlock()
		return nil, ErrClosed
	}
	if s.db == nil {
		defer s.life.RUnlock()
		return nil, s.lost
	}
	return s.life.RUnlock, nil
}

// Has reports whether the store has a block. It does not read it: a Get may yet find it
// damaged.
func (s *Store) Has(c cid.Cid) bool {
	_, ok := s.Size(c)
	return ok
}

// Size returns the length of a block without reading it.
func (s *Store) Size(c cid.Cid) (int, bool) {
	d, err := digestOf(c)
	if err != nil {
		return 0, false
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	n, ok := s.index[d]
	return int(n), ok
}

// Stat returns the size of the store and how much may still be written.
func (s *Store) Stat() Stat {
	s.mu.RLock()
	st := Stat{Blocks: len(s.index), Bytes: s.bytes, Quarantined: len(s.bad)}
	s.mu.RUnlock()
	st.Limit, st.DiskBytes = s.cfg.Limit, s.used.Load()
	st.Free = s.free()
	st.Full, st.Mend = s.full()
	return st
}

// Sync makes everything put so far survive a loss of power.
func (s *Store) Sync() error {
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	if err := s.syncDatabase(); err != nil {
		return fmt.Errorf("sync store: %w", err)
	}
	return nil
}

// syncDatabase syncs the database. Without a log of changes Badger would panic, and keep a lock
// for good; it loses its log only while it writes.
func (s *Store) syncDatabase() error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.logless() {
		return s.noLog()
	}
	return s.db.Sync()
}

// setIndex records that a block is there. s.mu must not be held.
func (s *Store) setIndex(d digest, size int) (healed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, known := s.index[d]; !known {
		s.bytes += int64(size)
	}
	s.index[d] = uint32(size)
	delete(s.unsure, d)
	_, healed = s.bad[d]
	delete(s.bad, d)
	return healed
}

// dropIndex records that a block is gone, or unsure to be. s.mu must not be held.
func (s *Store) dropIndex(d digest, unsure bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytes -= int64(s.index[d])
	delete(s.index, d)
	delete(s.unsure, d)
	if unsure {
		s.unsure[d] = struct{}{}
	}
}
