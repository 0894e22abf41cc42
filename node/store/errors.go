package store

import (
	"errors"
	"fmt"

	cid "github.com/ipfs/go-cid"
)

// Errors that callers branch on.
var (
	// ErrNotFound means that the block must be fetched from elsewhere. A CorruptError
	// wraps it too.
	ErrNotFound = errors.New("block not found")
	// ErrClosed is returned by every method after Close.
	ErrClosed = errors.New("store is closed")
	// ErrInUse is wrapped by the error of opening a store that another process has open.
	ErrInUse = errors.New("another covey process uses it now")
	// ErrPinsLost is returned by GC after both copies of the roots file were damaged,
	// until AcceptLostPins: without pins it would remove everything.
	ErrPinsLost = errors.New("pins were lost to disk damage")
	// ErrUnsupported is wrapped by errors about identifiers that are not CIDv1 raw
	// sha2-256, and blocks that are empty or over 1 MiB.
	ErrUnsupported = errors.New("unsupported block")
)

// errNoDatabase is wrapped with the reason, mostly a SpaceError, where the database was closed
// and did not open again.
var errNoDatabase = errors.New("the database did not open again")

// Reason says what was wrong with a quarantined block.
type Reason string

// The reasons.
const (
	Missing    Reason = "missing"    // it was put, and is not there any more
	Empty      Reason = "empty"      // it has no bytes
	Mismatch   Reason = "mismatch"   // its bytes have another hash
	Unreadable Reason = "unreadable" // the database failed to read it
)

// CorruptError tells that a block was damaged on disk. By the time it is returned the
// block is quarantined. It wraps ErrNotFound.
type CorruptError struct {
	CID    cid.Cid
	Reason Reason
	Cause  error // of Unreadable
}

// Error names the block and what was wrong.
func (e *CorruptError) Error() string {
	if e.Cause != nil {
		return fmt.Sprintf("block %s is damaged: %s: %v", e.CID, e.Reason, e.Cause)
	}
	return fmt.Sprintf("block %s is damaged: %s", e.CID, e.Reason)
}

// Unwrap returns ErrNotFound.
func (e *CorruptError) Unwrap() error { return ErrNotFound }

// SpaceError tells that a write was refused for lack of room. Nothing was written.
type SpaceError struct {
	Need    int64 // bytes of the write
	Free    int64 // bytes on the disk, or left of the owner's limit: less than 0 if more is used
	Margin  int64 // bytes that must stay free on the disk; 0 if the limit was the reason
	Extra   int64 // bytes for files that the store makes before what is to be written
	Claimed int64 // bytes for models that are being stored
	Opens   bool  // Need is what the database takes to be opened for writing, and includes Margin
	Owed    bool  // what was removed occupies its space until there is room
	Limit   int64 // the owner's, in bytes
	Models  bool  // there are models that could be removed
	Total   int64 // bytes of the disk
	Least   int64 // bytes that a disk must have for this, if that is more than Total; else 0
	Cause   error // of the operating system, if it was asked
}

// lacks returns the error of a database that has no room for its own files.
func (s *Store) lacks(need, free int64, cause error) *SpaceError {
	return s.advise(&SpaceError{Need: need, Free: free, Margin: need, Opens: true, Cause: cause})
}

// Error tells what is short, the disk or the owner's limit, and what to do. Where it was so only
// for a moment, it tells that.
func (e *SpaceError) Error() string {
	need := e.Need + e.Margin + e.Extra + e.Claimed
	if e.Opens {
		need = e.Need
	}
	switch {
	case e.Free >= need && (e.Margin > 0 || e.Limit > 0):
		return fmt.Sprintf("the disk was full a moment ago, and has room for %s now: try again", needText(e.Need))
	case e.Margin == 0:
		return fmt.Sprintf("no room for %s: %s; %s", needText(e.Need), e.limit(e.Limit), e.mend())
	case e.Opens:
		return fmt.Sprintf("no room for files of the store: the disk has %s free, and they take %s; %s", haveText(e.Free), needText(e.Need), e.mend())
	}
	return fmt.Sprintf("no room for %s: %s; %s", needText(e.Need), e.disk(), e.mend())
}

// Unwrap returns the error of the operating system, if there was one.
func (e *SpaceError) Unwrap() error { return e.Cause }

// LayoutError tells that the data directory was written by another version.
type LayoutError struct{ Got, Want uint32 }

// Error names both versions.
func (e *LayoutError) Error() string {
	return fmt.Sprintf("data layout is version %d, this program reads version %d", e.Got, e.Want)
}

// RootError tells that what a pin reaches could not be found out, so that GC removed
// nothing.
type RootError struct {
	Root, Block cid.Cid
	Name        string // of the root, the first in order; empty if it has none
	Err         error
}

// Error names the pin and the block under it.
func (e *RootError) Error() string {
	if e.Name != "" {
		return fmt.Sprintf("collect garbage: read block %s under pin %s of %q: %v", e.Block, e.Root, e.Name, e.Err)
	}
	return fmt.Sprintf("collect garbage: read block %s under pin %s: %v", e.Block, e.Root, e.Err)
}

// Unwrap returns why the block could not be read.
func (e *RootError) Unwrap() error { return e.Err }
