//go:build unix

package store

import (
	"io/fs"
	"syscall"
)

// occupied returns the disk space of a file. Badger's newest files are sparse: their
// length says little.
func occupied(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return int64(st.Blocks) * 512
	}
	return info.Size()
}
