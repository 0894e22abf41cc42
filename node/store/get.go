package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/dgraph-io/badger/v4"
	cid "github.com/ipfs/go-cid"
)

// Get returns the bytes of a block after hashing them. The error is, or wraps, ErrNotFound
// if the block must be fetched; a CorruptError tells that it was there and was damaged.
func (s *Store) Get(ctx context.Context, c cid.Cid) ([]byte, error) {
	return s.GetTo(ctx, nil, c)
}

// GetTo is Get into the memory of dst, if its capacity suffices. What is in dst after an
// error is unspecified.
func (s *Store) GetTo(ctx context.Context, dst []byte, c cid.Cid) ([]byte, error) {
	d, err := digestOf(c)
	if err != nil {
		return nil, fmt.Errorf("get: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	release, err := s.use()
	if err != nil {
		return nil, err
	}
	event, data, err := s.get(dst, d)
	release()
	if event != nil {
		s.announce(*event)
	}
	return data, err
}

func (s *Store) get(dst []byte, d digest) (*Quarantined, []byte, error) {
	for {
		s.mu.RLock()
		_, known := s.index[d]
		s.mu.RUnlock()
		if !known {
			return nil, nil, fmt.Errorf("get %s: %w", d.cid(), ErrNotFound)
		}
		data, version, err := s.load(dst, d)
		if err == nil {
			s.metrics.got(len(data))
			return nil, data, nil
		}
		var bad *CorruptError
		if !errors.As(err, &bad) {
			return nil, nil, err
		}
		event, err := s.quarantine(d, version, bad, len(data))
		if errors.Is(err, errChanged) {
			continue // deleted, put again or moved since it was read
		}
		return event, nil, err
	}
}

// load reads a block and hashes it. It returns the version of what it found, 0 if there
// was none. Badger panics on some damage, and a truncated file under a memory map faults:
// both become a CorruptError. It panics without its log of changes too: no block is to blame.
func (s *Store) load(dst []byte, d digest) (data []byte, version uint64, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil && s.logless() {
			err = s.noLog()
		} else if r != nil {
			err = &CorruptError{CID: d.cid(), Reason: Unreadable, Cause: fmt.Errorf("database panic: %v", r)}
		}
	}()
	data = dst[:0]
	err = s.db.View(func(txn *badger.Txn) error {
		item, err := txn.Get(blockKey(d))
		if err != nil {
			return err
		}
		version = item.Version()
		return item.Value(func(v []byte) error {
			data = append(data, v...) // the hash must be of the copy: the file may change
			return nil
		})
	})
	switch {
	case errors.Is(err, badger.ErrDBClosed):
		return nil, 0, ErrClosed
	case errors.Is(err, badger.ErrKeyNotFound):
		return nil, 0, &CorruptError{CID: d.cid(), Reason: Missing}
	case err != nil:
		return nil, version, &CorruptError{CID: d.cid(), Reason: Unreadable, Cause: err}
	case len(data) == 0:
		return nil, version, &CorruptError{CID: d.cid(), Reason: Empty}
	case sha256.Sum256(data) != d:
		return data, version, &CorruptError{CID: d.cid(), Reason: Mismatch}
	}
	return data, version, nil
}
