package store

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
	_ "unsafe" // for linkname

	"golang.org/x/sys/unix"
)

// Badger writes all its files through memory maps, and makes them sparse. A page for which
// the disk has no room when it is written first ends the process with SIGBUS, in a goroutine
// of Badger's where nothing can stop it. So every file that is mapped for writing gets its
// room on the disk before that, or is not mapped: then Badger has an error. The package unix
// maps through a variable, which is replaced here before anything can use it.
//
//go:linkname mapper golang.org/x/sys/unix.mapper
var mapper *struct {
	sync.Mutex
	active map[*byte][]byte
	mmap   func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error)
	munmap func(addr, length uintptr) error
}

var _ = wrapMap()

func wrapMap() struct{} {
	plain := mapper.mmap
	mapper.mmap = func(addr, length uintptr, prot, flags, fd int, offset int64) (uintptr, error) {
		if fd >= 0 && flags&unix.MAP_SHARED != 0 && prot&unix.PROT_WRITE != 0 {
			if err := roomForMap(fd, offset, int64(length)); err != nil {
				return 0, err
			}
		}
		return plain(addr, length, prot, flags, fd, offset)
	}
	return struct{}{}
}

// roomForMaps tells that roomForMap is there.
const roomForMaps = true

// roomRetry is how often room is looked for where there must be some.
const roomRetry = 100 * time.Millisecond

// logWait is how long: reads wait too.
var logWait = 5 * time.Second

// roomForMap gives a file its room on the disk, at the cost of the reserve of the store if it
// is one of its files. A file that is new and gets none is removed. Without a next log of
// changes an open database cannot even read: that one is waited for, at most logWait. A table is
// waited for without end: Badger tries that of a log again and again, and takes no notice that it
// lacks one of a compaction, whose entries would be lost. It draws on the room that was taken for
// compacting the tree before it does on the reserve. That one waits can be seen in waitingTables.
func roomForMap(fd int, offset, size int64) error {
	var st unix.Stat_t
	fresh := unix.Fstat(fd, &st) == nil && st.Blocks == 0
	err := allocate(fd, offset, size, fresh)
	if !isFull(err) {
		return err
	}
	name, linkErr := os.Readlink("/proc/self/fd/" + strconv.Itoa(fd))
	if linkErr != nil {
		return err
	}
	dir := filepath.Dir(name)
	late, waits, isTable := time.After(logWait), false, fresh && filepath.Ext(name) == ".sst"
	for isFull(err) {
		switch {
		case isTable && releaseRoom(filepath.Dir(dir), size):
		case releaseReserve(filepath.Dir(dir)):
		case isTable:
			if !waits {
				waits = true
				waitingTables(dir).Add(1)
				defer waitingTables(dir).Add(-1)
			}
			time.Sleep(roomRetry)
		default:
			if logs, _ := openDatabases.Load(dir); logs != true || filepath.Ext(name) != ".mem" {
				return errors.Join(err, discardFresh(fd, name, fresh))
			}
			select {
			case <-time.After(roomRetry):
			case <-late:
				openDatabases.CompareAndSwap(dir, true, false)
			}
		}
		err = allocate(fd, offset, size, fresh)
	}
	if err != nil {
		return errors.Join(err, discardFresh(fd, name, fresh))
	}
	return nil
}

// discardFresh removes a file that got no room, if it is new.
func discardFresh(fd int, name string, fresh bool) error {
	if !fresh {
		return nil
	}
	return errors.Join(unix.Ftruncate(fd, 0), os.Remove(name))
}

// fallocate is the system call; tests stand in for a full disk here.
var fallocate = unix.Fallocate

// allocate gives a part of a file its room on the disk. Where the file system cannot promise
// room, zeros are written to a fresh file.
func allocate(fd int, offset, size int64, fresh bool) error {
	for {
		err := fallocate(fd, 0, offset, size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EOPNOTSUPP) && fresh:
			return writeZeros(fd, offset, size)
		case isFull(err):
			return err
		}
		return nil // or this is no file on a disk
	}
}

func writeZeros(fd int, offset, size int64) error {
	zeros := make([]byte, min(size, 1<<20))
	for size > 0 {
		n, err := unix.Pwrite(fd, zeros[:min(size, int64(len(zeros)))], offset)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return err
		}
		offset, size = offset+int64(n), size-int64(n)
	}
	return nil
}

// reserveRoom makes a file that occupies a number of bytes.
func reserveRoom(f *os.File, size int64) error {
	return allocate(int(f.Fd()), 0, size, true)
}
