package store

import (
	"fmt"
	"math"
	"sort"
)

// smallModel is the size of a model that a disk must be able to hold to be of use.
const smallModel = 16 << 20

// margin returns how much of a disk of a size must stay free: the owner's margin, or else 512 MiB
// but not more than a quarter of a small disk, and never less than the database needs for files of
// its own. Where files are mapped without room nothing but the margin protects them from other
// programs, and it is the same on a small disk.
func (s *Store) margin(total int64) int64 {
	least := s.cfg.MarginBytes
	if least == 0 {
		least = defaultMarginBytes
		if s.cfg.tuning.roomForMaps {
			least = min(least, total/smallDiskPart)
		}
	}
	return max(least, int64(float64(total)*s.cfg.MarginPercent/100), s.openBytes())
}

// holds reports whether an empty disk of a size could hold a model of so many bytes beside the
// store's own files.
func (s *Store) holds(total, size int64) bool {
	return total-s.margin(total)-s.reserveSize(total)-2*s.cfg.tuning.vlogFile-2*s.cfg.tuning.memTable-writeBytes >= size
}

// leastDisk returns the size of the smallest disk that can hold a model of so many bytes, and is of
// use, 0 if one of total bytes can once other files make room.
func (s *Store) leastDisk(total, size int64) int64 {
	if s.holds(total, size) {
		return 0
	}
	size = max(size, smallModel)
	return int64(sort.Search(math.MaxInt32, func(mib int) bool { return s.holds(int64(mib)<<20, size) })) << 20
}

// hasModels reports whether anything is pinned or named.
func (s *Store) hasModels() bool {
	if s.roots == nil { // it is only looked at
		return modelsAt(s.cfg.Dir) > 0
	}
	r := s.roots.get()
	return len(r.Pins)+len(r.Names) > 0
}

// advise completes an error with what its advice depends on.
func (s *Store) advise(e *SpaceError) *SpaceError {
	e.Limit, e.Models = s.cfg.Limit, s.hasModels()
	_, total, err := s.cfg.Space(s.cfg.Dir)
	if err != nil || e.Margin == 0 {
		return e
	}
	size := e.Need
	if e.Opens {
		size = smallModel
	}
	e.Total, e.Least = total, s.leastDisk(total, size)
	return e
}

// needText and haveText write bytes for messages about room: all in one unit, so that they can be
// compared and added up. What is needed is rounded up, what is there down.
func needText(n int64) string { return fmt.Sprintf("%d MiB", mibUp(n)) }
func haveText(n int64) string { return fmt.Sprintf("%d MiB", n>>20) }

func mibUp(n int64) int64 { return (n + 1<<20 - 1) >> 20 }

// short is how much is to be removed, in MiB, by the figures that are told.
func (e *SpaceError) short() int64 {
	if e.Free < 0 { // of the owner's limit more is used
		return max(1, mibUp(e.Need+e.Claimed-e.Free))
	}
	need := mibUp(e.Need)
	if !e.Opens {
		need += mibUp(e.Margin) + mibUp(e.Extra) + mibUp(e.Claimed)
	}
	return max(1, need-e.Free>>20)
}

// limit tells what is left of the owner's limit.
func (e *SpaceError) limit(limit int64) string {
	switch {
	case e.Free == 0:
		return fmt.Sprintf("the disk limit of %s is used up", needText(limit))
	case e.Free < 0:
		return fmt.Sprintf("the disk limit of %s is used up: the store takes %s", needText(limit), needText(limit-e.Free))
	}
	return fmt.Sprintf("%s are left of the disk limit of %s%s", haveText(e.Free), needText(limit), e.claimed())
}

// disk tells what is free and what must stay so.
func (e *SpaceError) disk() string {
	text := fmt.Sprintf("the disk has %s free, and %s must stay free", haveText(e.Free), needText(e.Margin))
	if e.Extra > 0 {
		text += fmt.Sprintf(" beside %s for files of the store", needText(e.Extra))
	}
	return text + e.claimed()
}

// claimed tells what models take that are being stored.
func (e *SpaceError) claimed() string {
	if e.Claimed == 0 {
		return ""
	}
	return fmt.Sprintf(", and %s are for what is being stored", needText(e.Claimed))
}

// mend tells what to do.
func (e *SpaceError) mend() string {
	const limit = "raise the limit (covey up --disk, or limits.disk in config.toml)"
	switch {
	case e.Owed:
		return fmt.Sprintf("remove at least %d MiB of other files, and the space of what was removed is given back by itself when a node runs, or by covey model gc", e.short())
	case e.Margin == 0 && !e.Models:
		return fmt.Sprintf("%s by at least %d MiB", limit, e.short())
	case e.Margin == 0:
		return fmt.Sprintf("remove at least %d MiB of models (covey model ls, covey model rm MODEL) or %s", e.short(), limit)
	case e.Least > 0:
		return fmt.Sprintf("the disk is too small for that: it has %s in all, and must have %s; choose a directory on a larger one (covey up --data)", haveText(e.Total), needText(e.Least))
	case e.Models:
		return fmt.Sprintf("remove at least %d MiB: models (covey model ls, covey model rm MODEL) or other files", e.short())
	}
	return fmt.Sprintf("remove at least %d MiB of other files, or choose a directory on another disk (covey up --data)", e.short())
}
