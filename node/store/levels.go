package store

import "math"

// Badger's own compactors look at the tree forty times a second, also when nothing is written:
// two thirds of what an idle node computes. There are none here: who writes looks, before each
// transaction, and compacts what would have woken a compactor.
const (
	// fullLevel0 is how many tables of level 0 are compacted; each read asks all of them. It is
	// the least that Badger compacts while there is no other level.
	fullLevel0 = 6
	// noStall keeps Badger from waiting for a compactor at level 0.
	noStall = math.MaxInt32
)

// compactLevel0 compacts the tree if level 0 is full; s.writing is held. Without room writes go on,
// and it is tried again when as many tables have come.
func (s *Store) compactLevel0() {
	tables := s.db.Levels()[0].NumTables
	if tables < fullLevel0 { // it was compacted, or the database opened again
		s.level0Due = fullLevel0
	}
	if tables < max(s.level0Due, fullLevel0) {
		return
	}
	s.level0Due = tables + fullLevel0
	if err := s.flatten(); err != nil {
		s.cfg.Log.Info("tree not compacted", "tables", tables, "err", err)
	}
}

// flatten compacts the tree down to one level. Badger takes no notice of a table that it could not
// make, and loses what was to be in it: so there must be room, see roomForMap too.
func (s *Store) flatten() error {
	tree := int64(0)
	for _, l := range s.db.Levels() {
		tree += l.Size
	}
	free, _, err := s.cfg.Space(s.cfg.Dir)
	if err != nil {
		return err
	}
	if free+s.reserveKept() < tree {
		return opening(tree, free, nil)
	}
	return s.db.Flatten(1)
}
