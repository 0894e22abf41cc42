package store

import (
	"io/fs"
	"path/filepath"
)

// room returns how many bytes may still be written, and by which bound: a margin of 0
// means the owner's limit.
func (s *Store) room() (left, margin int64, err error) {
	free, total, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return 0, 0, err
	}
	margin = max(s.cfg.MarginBytes, int64(float64(total)*s.cfg.MarginPercent/100))
	left = free - margin
	if s.cfg.Limit > 0 {
		if l := s.cfg.Limit - s.used.Load(); l < left {
			return l, 0, nil
		}
	}
	return left, margin, nil
}

// checkRoom returns a SpaceError if size bytes must not be written. A full disk kills the
// process (Badger writes through memory maps), so this comes before every write.
func (s *Store) checkRoom(size int64) error {
	left, margin, err := s.room()
	if err != nil {
		return err
	}
	if size <= left {
		return nil
	}
	return &SpaceError{Need: size, Free: max(0, left+margin), Margin: margin}
}

// checkDisk returns a SpaceError if the disk is so full that Badger's own files (logs of
// changes in memory, tables, a value log file rewritten) might not fit. Operations that
// free space need no more than that.
func (s *Store) checkDisk() error {
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return err
	}
	if need := s.cfg.tuning.vlogFile/2 + 8*s.cfg.tuning.memTable; free < need {
		return &SpaceError{Need: need, Free: free, Margin: need}
	}
	return nil
}

// measure counts the bytes that the database occupies on disk.
func (s *Store) measure() {
	var sum int64
	err := filepath.WalkDir(s.databaseDir(), func(_ string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return nil // files come and go
		}
		if info, err := e.Info(); err == nil {
			sum += occupied(info)
		}
		return nil
	})
	if err != nil {
		s.cfg.Log.Warn("disk use not measured", "err", err)
		return
	}
	s.used.Store(sum)
}
