package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/dgraph-io/badger/v4"
	cid "github.com/ipfs/go-cid"
)

// writeBytes is how much is handed to Badger at once: enough to gather its system calls,
// little enough to ask for room in between and to bound memory.
const writeBytes = 16 << 20

// runBytes bounds a run of puts. Badger begins a file of values when the last one is full, and
// a transaction does not go on in the next: a file has up to its size and one run. That must
// stay below twice its size, which it is mapped at and has room for: Badger would grow it
// without asking for any.
func (s *Store) runBytes() int {
	t := *s.cfg.tuning
	if s.lean.Load() {
		t = s.leanTuning()
	}
	return int(min(writeBytes, t.vlogFile/2))
}

// Put hashes data and stores it under its identifier. It does not keep data.
func (s *Store) Put(ctx context.Context, data []byte) (cid.Cid, error) {
	b, err := NewBlock(data)
	if err != nil {
		return cid.Undef, fmt.Errorf("put: %w", err)
	}
	_, err = s.PutMany(ctx, []Block{b})
	return b.CID(), err
}

// PutMany stores blocks and returns how many bytes were written: what the store has
// already is skipped. When it returns without an error all blocks are there, and stay
// there if the process is killed; Sync makes them survive a loss of power too. It does not
// keep the blocks' data.
func (s *Store) PutMany(ctx context.Context, blocks []Block) (written int64, err error) {
	if s.stuck.Load() || s.lean.Load() {
		if err := s.waitRoom(blocks); err != nil {
			return 0, err
		}
	}
	return s.putAll(ctx, blocks, false)
}

// PutFew is PutMany for a little that lets much be used which is here: the manifest of a model.
// On a full disk it takes its room from what must stay free there, and from half of the reserve.
func (s *Store) PutFew(ctx context.Context, blocks []Block) (written int64, err error) {
	written, err = s.PutMany(ctx, blocks)
	full := new(SpaceError)
	if !errors.As(err, &full) || full.Margin == 0 || !s.spares(s.missing(blocks)) {
		return written, err
	}
	if openErr := s.makeWritable(true); openErr != nil {
		return written, errors.Join(err, openErr)
	}
	more, err := s.putAll(ctx, blocks, true)
	return written + more, err
}

// mostFew is the most that PutFew puts on a full disk, in bytes.
const mostFew = 1 << 20

// spares reports whether the disk and half of the reserve have the room that the database takes
// when it writes so much: removing must work after that too.
func (s *Store) spares(size int64) bool {
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil || size > mostFew {
		return false
	}
	t, cost := s.leanTuning(), int64(0)
	switch {
	case s.stuck.Load(): // it opens with small files
		cost = s.leanBytes()
	default:
		if !s.lean.Load() {
			t = *s.cfg.tuning
		}
		s.counting.Lock()
		begun := t.vlogFile - s.tail.written
		s.counting.Unlock()
		cost = 2 * t.memTable
		if size >= begun {
			cost += 2 * t.vlogFile
		}
	}
	return free+s.reserveKept()-cost >= s.reserveBytes()/2
}

// putAll puts blocks run by run. Few are put without a look at what must stay free.
func (s *Store) putAll(ctx context.Context, blocks []Block, few bool) (written int64, err error) {
	release, err := s.use()
	if err != nil {
		return 0, err
	}
	defer release()
	for len(blocks) > 0 {
		n, size, most := 0, 0, s.runBytes()
		for n < len(blocks) && (n == 0 || size+len(blocks[n].data) <= most) {
			if len(blocks[n].data) == 0 {
				return written, fmt.Errorf("put: %w: not made by NewBlock or Check", ErrUnsupported)
			}
			size += len(blocks[n].data)
			n++
		}
		if err := ctx.Err(); err != nil {
			return written, err
		}
		w, err := s.putRun(blocks[:n], few)
		written += w
		if err != nil {
			return written, err
		}
		blocks = blocks[n:]
	}
	return written, nil
}

// putRun writes blocks in one go.
func (s *Store) putRun(blocks []Block, few bool) (int64, error) {
	s.sweep.RLock()
	defer s.sweep.RUnlock()
	fresh := s.admit(blocks)
	if len(fresh) == 0 {
		return 0, nil
	}
	size := int64(0)
	for _, b := range fresh {
		size += int64(len(b.data))
	}
	if !few {
		if err := s.CheckRoom(size); err != nil {
			return 0, err
		}
	}
	if err := s.write(fresh, size); err != nil {
		return 0, putError(err)
	}
	s.metrics.put(size)
	for _, b := range fresh {
		if s.setIndex(b.key, len(b.data)) {
			s.unquarantine(b.key)
		}
	}
	return size, nil
}

// write writes blocks of size bytes in all, and counts them.
func (s *Store) write(blocks []Block, size int64) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	logged := int64(0)
	for _, b := range blocks {
		if n := int64(len(b.data)); n >= s.cfg.tuning.valueThreshold {
			logged += n
		}
	}
	_, err := s.commitAlone(len(blocks), func(txn *badger.Txn, i int) error {
		b := blocks[i]
		return txn.SetEntry(badger.NewEntry(blockKey(b.key), b.data).WithMeta(byte(len(b.data))))
	})
	if err == nil {
		s.count(len(blocks), size, logged)
	}
	return err
}

// waitRoom makes the database take writes again if there is room for blocks, or none needed.
func (s *Store) waitRoom(blocks []Block) error {
	size := s.missing(blocks)
	if size == 0 {
		return nil
	}
	return s.writableFor(size)
}

// missing counts the bytes of blocks that are not here.
func (s *Store) missing(blocks []Block) (size int64) {
	for _, b := range blocks {
		if len(b.data) > 0 && !s.Has(b.CID()) {
			size += int64(len(b.data))
		}
	}
	return size
}

// commit writes n entries in as few transactions as they fit into. A transaction is one
// write of Badger's, and the next one begins after it: Badger goes on after an error, and
// would write where a full disk gave no room. It returns how many entries were tried: after an
// error those of the last transaction may be written or not.
func (s *Store) commit(n int, set func(txn *badger.Txn, i int) error) (i int, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	return s.commitAlone(n, set)
}

// commitAlone does the work of commit. s.writing must be held.
func (s *Store) commitAlone(n int, set func(txn *badger.Txn, i int) error) (i int, err error) {
	for i < n {
		if !s.stuck.Load() {
			s.compactLevel0()
		}
		if s.stuck.Load() {
			return i, s.CheckRoom(0)
		}
		txn := s.db.NewTransaction(true)
		first := i
		for ; i < n && err == nil; i++ {
			err = set(txn, i)
		}
		if err != nil && i-1 > first && errors.Is(err, badger.ErrTxnTooBig) {
			i-- // it is the first of the next one
			err = nil
		}
		if err == nil {
			err = txn.Commit()
		}
		txn.Discard()
		if err != nil {
			return i, s.wrote(err)
		}
	}
	return i, nil
}

// admit tells a running GC about blocks, and returns those that must be written.
func (s *Store) admit(blocks []Block) []Block {
	s.mu.Lock()
	defer s.mu.Unlock()
	fresh := make([]Block, 0, len(blocks))
	for _, b := range blocks {
		if s.recent != nil {
			s.recent[b.key] = struct{}{}
		}
		if _, known := s.index[b.key]; !known {
			fresh = append(fresh, b)
		}
	}
	return fresh
}

func putError(err error) error {
	if errors.Is(err, badger.ErrDBClosed) || errors.Is(err, badger.ErrBlockedWrites) {
		err = ErrClosed
	}
	return fmt.Errorf("put blocks: %w", err)
}

// Delete removes blocks, whether pinned or not. Absent ones are no error.
func (s *Store) Delete(ctx context.Context, cids ...cid.Cid) error {
	if err := s.makeWritable(true); err != nil {
		return fmt.Errorf("delete: %w", err)
	}
	release, err := s.use()
	if err != nil {
		return err
	}
	defer release()
	keys := make([]digest, len(cids))
	for i, c := range cids {
		if keys[i], err = digestOf(c); err != nil {
			return fmt.Errorf("delete: %w", err)
		}
	}
	for len(keys) > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		n := min(sweepBlocks, len(keys))
		if _, _, err := s.remove(keys[:n], func(digest) bool { return true }); err != nil {
			return err
		}
		keys = keys[n:]
	}
	return nil
}

// remove deletes the blocks among keys that doomed confirms while no put is under way, and
// returns how many they were and their bytes. Those that may be deleted after an error are not
// here any more, and are deleted once more the next time.
func (s *Store) remove(keys []digest, doomed func(digest) bool) (blocks int, bytes int64, err error) {
	s.sweep.Lock()
	defer s.sweep.Unlock()
	var gone []digest
	s.mu.RLock()
	for _, d := range keys {
		n, known := s.index[d]
		_, unsure := s.unsure[d]
		if (known || unsure) && doomed(d) {
			gone = append(gone, d)
			bytes += int64(n)
		}
	}
	s.mu.RUnlock()
	tried, err := s.commit(len(gone), func(txn *badger.Txn, i int) error { return txn.Delete(blockKey(gone[i])) })
	for _, d := range gone[:tried] {
		s.dropIndex(d, err != nil)
	}
	if tried > 0 {
		s.stale.Store(true)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("delete blocks: %w", err)
	}
	return len(gone), bytes, nil
}
