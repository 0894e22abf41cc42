package store

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/protocol"
)

// In the files of values and of changes, Badger writes each entry as: two bytes of flags,
// the lengths of key and value and the expiry as uvarints, the key with a version of 8
// bytes, the value, a checksum.
const (
	entryKey  = 1 + sha256.Size + 8 // length of a block's key
	entryHead = 1 + 3 + 1           // at most: the three uvarints of a block
	maxEntry  = entryHead + entryKey + protocol.MaxBlock
)

// salvageWindow is how much of a file is in memory at once.
const salvageWindow = 8 * maxEntry

// salvage takes over the blocks that are whole in a database that was moved aside, and
// removes each file that it is through with: cut off, it goes on at the next start. No index is needed: an entry is a block's if
// its value has the hash that its key says. Small blocks, which Badger keeps in its tables
// only, are not found.
func (s *Store) salvage(dir string) (blocks int, err error) {
	for _, pattern := range []string{"*.vlog", "*.mem"} {
		names, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			return blocks, err
		}
		for _, name := range names {
			n, err := s.salvageFile(name)
			blocks += n
			if err != nil {
				return blocks, fmt.Errorf("salvage %q: %w", name, err)
			}
			if err := os.Remove(name); err != nil {
				return blocks, err
			}
		}
	}
	return blocks, nil
}

func (s *Store) salvageFile(name string) (n int, err error) {
	f, err := os.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	r := bufio.NewReaderSize(f, 1<<20)
	window, filled := make([]byte, salvageWindow), 0
	for end := false; !end; {
		got, err := io.ReadFull(r, window[filled:])
		filled += got
		if end = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF); err != nil && !end {
			return n, err
		}
		found, used := findBlocks(window[:filled], end)
		if _, err := s.PutMany(context.Background(), found); err != nil { // local writes: nothing to cancel
			return n, err
		}
		n += len(found)
		filled = copy(window, window[used:filled])
	}
	return n, nil
}

// findBlocks returns the blocks in b, which refer to it, and how much of b it is through
// with; at the end of the file that is all.
func findBlocks(b []byte, end bool) (found []Block, used int) {
	for used < len(b) && (end || len(b)-used >= maxEntry) {
		at := bytes.IndexByte(b[used:], entryKey)
		if at < 0 {
			return found, len(b)
		}
		used += at
		if !end && len(b)-used < maxEntry {
			return found, used
		}
		if block, size := entryBlock(b[used:]); size > 0 {
			found = append(found, block)
			used += size
		} else {
			used++
		}
	}
	return found, used
}

// entryBlock reads an entry from the length of its key on. The size is 0 if there is no
// block of ours.
func entryBlock(b []byte) (block Block, size int) {
	length, n := binary.Uvarint(b[1:])
	at := 1 + n + 1
	if n <= 0 || length == 0 || length > protocol.MaxBlock || len(b) < at+entryKey+int(length) || b[at-1] != 0 || b[at] != prefixBlock {
		return Block{}, 0
	}
	key := digest(b[at+1:][:sha256.Size])
	data := b[at+entryKey:][:length]
	if sha256.Sum256(data) != key {
		return Block{}, 0
	}
	return Block{key: key, data: data}, at + entryKey + int(length)
}
