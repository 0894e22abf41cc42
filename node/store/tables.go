package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/fb"
	"github.com/dgraph-io/badger/v4/options"
	"github.com/dgraph-io/badger/v4/table"
)

// maxOpening is how many times in a row the program may die while it opens the database
// before that counts as damage.
const maxOpening = 3

// errTable is a table file that is not as it was written.
var errTable = errors.New("table file damaged")

// checkTables reads all tables of a closed database and compares their checksums. Badger
// opens and compacts tables in goroutines of its own, and panics there on some damage,
// which nothing can stop.
func checkTables(opt badger.Options) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = &damageError{fmt.Errorf("database panic: %v", r)}
		}
	}()
	if opt.Compression != options.None {
		return nil // benchmarks only
	}
	f, err := os.Open(filepath.Join(opt.Dir, badger.ManifestFilename))
	if errors.Is(err, fs.ErrNotExist) {
		return nil // a new database
	}
	if err != nil {
		return err
	}
	manifest, _, err := badger.ReplayManifestFile(f, opt.ExternalMagicVersion, opt)
	if err := errors.Join(err, f.Close()); err != nil {
		return &damageError{fmt.Errorf("read table list: %w", err)}
	}
	for id := range manifest.Tables { // other tables were not finished, and are removed
		name := table.NewFilename(id, opt.Dir)
		b, err := os.ReadFile(name)
		if err != nil && environmental(err) {
			return err
		}
		if err == nil {
			err = checkTable(b)
		}
		if err != nil {
			return &damageError{fmt.Errorf("read %q: %w", name, err)}
		}
	}
	return nil
}

// checkTable checks a table: blocks, index, length of the index in 4 bytes, checksum of
// the index, length of the checksum in 4 bytes.
func checkTable(b []byte) error {
	rest, sum, err := cutSum(b)
	if err != nil {
		return err
	}
	rest, index, err := cutTail(rest)
	if err != nil {
		return err
	}
	if err := sum.check(index); err != nil {
		return err
	}
	x := fb.GetRootAsTableIndex(index, 0)
	var at fb.BlockOffset
	for i := range x.OffsetsLength() {
		if !x.Offsets(&at, i) {
			return fmt.Errorf("%w: block %d is not in the index", errTable, i)
		}
		from, to := uint64(at.Offset()), uint64(at.Offset())+uint64(at.Len())
		if to > uint64(len(rest)) {
			return fmt.Errorf("%w: block %d is outside", errTable, i)
		}
		body, sum, err := cutSum(rest[from:to])
		if err == nil {
			err = sum.check(body)
		}
		if err != nil {
			return fmt.Errorf("block %d: %w", i, err)
		}
	}
	return nil
}

// cutTail splits off a tail that is followed by its length.
func cutTail(b []byte) (rest, tail []byte, err error) {
	if len(b) < 4 {
		return nil, nil, fmt.Errorf("%w: it ends too early", errTable)
	}
	n := uint64(binary.BigEndian.Uint32(b[len(b)-4:]))
	b = b[:len(b)-4]
	if n > uint64(len(b)) {
		return nil, nil, fmt.Errorf("%w: length %d", errTable, n)
	}
	return b[:uint64(len(b))-n], b[uint64(len(b))-n:], nil
}

// checksum is CRC-32C in the form that Badger keeps it: a protobuf message of algorithm
// (field 1, absent for this one) and sum (field 2).
type checksum uint64

func cutSum(b []byte) (rest []byte, sum checksum, err error) {
	rest, tail, err := cutTail(b)
	if err != nil || len(tail) == 0 {
		return rest, 0, err // a sum of 0 is left out
	}
	v, n := binary.Uvarint(tail[1:])
	if tail[0] != 2<<3 || n <= 0 || n+1 != len(tail) {
		return nil, 0, fmt.Errorf("%w: checksum %x", errTable, tail)
	}
	return rest, checksum(v), nil
}

func (c checksum) check(b []byte) error {
	if got := crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)); uint64(got) != uint64(c) {
		return fmt.Errorf("%w: checksum differs", errTable)
	}
	return nil
}

// openingFile counts how often the program has died while it opened the database.
func (s *Store) openingFile() string { return filepath.Join(s.cfg.Dir, "blocks.opening") }

// opening counts an attempt to open the database, and reports whether so many before have
// not come to an end that the database must be damaged.
func (s *Store) opening() (damaged bool, err error) {
	b, err := os.ReadFile(s.openingFile())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	n, _ := strconv.Atoi(string(b)) // none, or of a full disk: 0
	damaged = n >= maxOpening
	if damaged {
		n = 0
	}
	err = os.WriteFile(s.openingFile(), []byte(strconv.Itoa(n+1)), 0o600)
	if isFull(err) {
		err = nil
	}
	return damaged, err
}

// opened ends what opening began.
func (s *Store) opened() error {
	if err := os.Remove(s.openingFile()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
