package store

import (
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// SmallFile is the size of a log file of values of SmallFiles.
const SmallFile = 4 << 20

// SmallReserve is the size of the reserve of SmallFiles on a small disk: two small files of values,
// four logs, and twice what a start may take.
const SmallReserve = 2*(5<<18) + 4<<20 + 2*startBytes

// SmallFiles makes the database write small files.
func SmallFiles(c Config) Config {
	t := defaultTuning()
	t.vlogFile, t.memTable = SmallFile, 1<<20
	c.tuning = &t
	return c
}

// Budget stands for a small disk where none can be had: asking for room fails when what lies
// in a directory, and what Fill took, has used it up.
type Budget struct {
	dir    string
	total  int64
	filled atomic.Int64
}

// NewBudget makes a budget, for the whole process.
func NewBudget(dir string, total int64) *Budget {
	b := &Budget{dir: dir, total: total}
	fallocate = func(fd int, mode uint32, offset, size int64) error {
		var st unix.Stat_t
		if err := unix.Fstat(fd, &st); err != nil {
			return err
		}
		if free, _, _ := b.Space(dir); offset+size-st.Blocks*512 > free {
			return unix.ENOSPC
		}
		return unix.Fallocate(fd, mode, offset, size)
	}
	return b
}

// Space returns what is free.
func (b *Budget) Space(string) (free, total int64, err error) {
	free = b.total - b.filled.Load()
	err = filepath.WalkDir(b.dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				free -= occupied(info)
			}
		}
		return nil
	})
	return max(0, free), b.total, err
}

// Fill takes all that is free but a number of bytes.
func (b *Budget) Fill(left int64) error {
	free, _, err := b.Space(b.dir)
	b.filled.Add(max(0, free-left))
	return err
}

// Clear gives back what Fill took.
func (b *Budget) Clear() { b.filled.Store(0) }

// NoLogs leaves no room for logs of changes, in the whole process, and returns a channel that
// tells each time that room was asked for one.
func NoLogs() <-chan struct{} {
	asked := make(chan struct{})
	fallocate = func(fd int, mode uint32, offset, size int64) error {
		if name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd)); err != nil || filepath.Ext(name) != ".mem" {
			return unix.Fallocate(fd, mode, offset, size)
		}
		select {
		case asked <- struct{}{}:
		default:
		}
		return unix.ENOSPC
	}
	return asked
}

// Logs gives back what NoLogs took.
func Logs() { fallocate = unix.Fallocate }

// QuickWaits makes the store wait for room for moments only, in the whole process.
func QuickWaits() { logWait, closePoll = 300*time.Millisecond, 20*time.Millisecond }
