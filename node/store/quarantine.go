package store

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/dgraph-io/badger/v4"
	cid "github.com/ipfs/go-cid"
)

// Quarantined is the record of a block that was found damaged. It is kept until the block
// is put again.
type Quarantined struct {
	CID    cid.Cid   `json:"-"`
	Reason Reason    `json:"reason"`
	Bytes  int       `json:"bytes"` // found in its place
	At     time.Time `json:"at"`
}

// errChanged tells that a block is not the one any more that was read.
var errChanged = errors.New("block changed")

// quarantine records and deletes a block that was read as version and found to be bad. It
// returns the event, and bad as the error to give to the reader.
func (s *Store) quarantine(d digest, version uint64, bad *CorruptError, size int) (*Quarantined, error) {
	q := Quarantined{CID: bad.CID, Reason: bad.Reason, Bytes: size, At: s.cfg.Now().UTC()}
	record, err := json.Marshal(q)
	if err != nil {
		return nil, fmt.Errorf("quarantine %s: %w", bad.CID, err)
	}
	s.sweep.Lock()
	defer s.sweep.Unlock()
	s.mu.RLock()
	_, known := s.index[d]
	s.mu.RUnlock()
	if !known {
		return nil, errChanged
	}
	// Badger gives an empty value, and no error, where a file of its log was rewritten and
	// removed between finding the entry and reading its value. While sweep is held none is.
	// Nor is a block damaged because the database has no log of changes.
	if _, _, err := s.load(nil, d); err == nil || isSpace(err) {
		return nil, errChanged
	}
	_, err = s.commit(1, func(txn *badger.Txn, _ int) error {
		item, err := txn.Get(blockKey(d))
		switch {
		case errors.Is(err, badger.ErrKeyNotFound):
			if version != 0 {
				return errChanged
			}
		case err == nil:
			if version == 0 || item.Version() != version {
				return errChanged
			}
			if err := txn.Delete(blockKey(d)); err != nil {
				return err
			}
		}
		return txn.Set(quarantineKey(d), record)
	})
	if errors.Is(err, errChanged) {
		return nil, err
	}
	if err != nil { // the block is damaged all the same, and will be found so again
		s.cfg.Log.Warn("quarantine not recorded", "block", bad.CID, "err", err)
	}
	s.dropIndex(d, false)
	s.mu.Lock()
	s.bad[d] = struct{}{}
	s.mu.Unlock()
	return &q, bad
}

// announce tells about a quarantined block. No lock may be held.
func (s *Store) announce(q Quarantined) {
	s.metrics.quarantined(q.Reason)
	s.cfg.Log.Warn("block quarantined", "block", q.CID, "reason", string(q.Reason), "bytes", q.Bytes)
	if s.cfg.OnQuarantine != nil {
		s.cfg.OnQuarantine(q)
	}
}

// unquarantine removes the record of a block that was put again.
func (s *Store) unquarantine(d digest) {
	_, err := s.commit(1, func(txn *badger.Txn, _ int) error { return txn.Delete(quarantineKey(d)) })
	if err != nil {
		s.cfg.Log.Warn("quarantine record not removed", "block", d.cid(), "err", err)
	}
	s.metrics.healed()
}

// keyDigest returns the digest in a key of a block or a quarantine record.
func keyDigest(key []byte) (digest, bool) {
	if len(key) != 1+len(digest{}) {
		return digest{}, false
	}
	return digest(key[1:]), true
}
