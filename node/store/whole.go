package store

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
)

// Badger rewrites a log file of values up to its first damaged entry, without a word, and removes
// it: what is whole behind that would be lost. So a file is read before.

const (
	logHead     = 20           // bytes of a log file before its first entry
	mostKey     = 64 << 10     // more than any key has
	discardSlot = 16           // bytes of a line of discardName
	discardName = "DISCARD"    // numbers of log files, each with its bytes of garbage, big endian
	maxDiscards = 16 << 20     // bytes of that file that are read
	mostValue   = 2 * maxEntry // more than any value has
)

// errCutOff is a log file that has a damaged entry before its end.
var errCutOff = errors.New("a damaged entry is before its end")

// nextLog returns the log file that Badger rewrites next, "" if none has garbage.
func (s *Store) nextLog() (string, error) {
	f, err := os.Open(filepath.Join(s.databaseDir(), discardName))
	if err != nil {
		return "", err
	}
	defer f.Close()
	list, err := io.ReadAll(io.LimitReader(f, maxDiscards))
	if err != nil {
		return "", err
	}
	next, most := "", uint64(0)
	for ; len(list) >= discardSlot; list = list[discardSlot:] {
		n, garbage := binary.BigEndian.Uint64(list), binary.BigEndian.Uint64(list[8:])
		if n == 0 {
			break
		}
		if name := filepath.Join(s.databaseDir(), logName(n)); garbage > most && exists(name) {
			next, most = name, garbage
		}
	}
	return next, nil
}

// checkLog reads a log file of values, and returns an error if an entry before its end is damaged.
func checkLog(name string) (err error) {
	end, err := lastWritten(name)
	if err != nil {
		return err
	}
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(logHead, io.SeekStart); err != nil {
		return err
	}
	r := bufio.NewReaderSize(f, 1<<20)
	for at := int64(logHead); at < end; {
		n, err := skipEntry(r)
		if err != nil {
			return fmt.Errorf("log file %q, byte %d: %w", name, at, err)
		}
		at += n
	}
	return nil
}

// summedReader keeps the checksum of what is read.
type summedReader struct {
	r   *bufio.Reader
	sum uint32
	n   int64
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func (r *summedReader) ReadByte() (byte, error) {
	b, err := r.r.ReadByte()
	if err == nil {
		r.sum, r.n = crc32.Update(r.sum, castagnoli, []byte{b}), r.n+1
	}
	return b, err
}

func (r *summedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	r.sum, r.n = crc32.Update(r.sum, castagnoli, p[:n]), r.n+int64(n)
	return n, err
}

// skipEntry reads an entry, see entryKey, and returns its length. What is not one is errCutOff.
func skipEntry(r *bufio.Reader) (int64, error) {
	in := &summedReader{r: r}
	var lengths [5]uint64 // two bytes of flags, key, value, expiry
	for i := range lengths {
		var err error
		if i < 2 {
			var b byte
			b, err = in.ReadByte()
			lengths[i] = uint64(b)
		} else {
			lengths[i], err = binary.ReadUvarint(in)
		}
		if err != nil {
			return 0, errCutOff
		}
	}
	key, value := lengths[2], lengths[3]
	if key == 0 || key > mostKey || value > mostValue {
		return 0, errCutOff
	}
	if _, err := io.CopyN(io.Discard, in, int64(key+value)); err != nil {
		return 0, errCutOff
	}
	want := in.sum
	var sum [crc32.Size]byte
	if _, err := io.ReadFull(in, sum[:]); err != nil || binary.BigEndian.Uint32(sum[:]) != want {
		return 0, errCutOff
	}
	return in.n, nil
}
