//go:build !linux

package store

import "os"

// roomForMaps tells that files are mapped without room.
const roomForMaps = false

// reserveRoom makes a file that occupies a number of bytes.
func reserveRoom(f *os.File, size int64) error {
	zeros := make([]byte, min(size, 1<<20))
	for size > 0 {
		n, err := f.Write(zeros[:min(size, int64(len(zeros)))])
		if err != nil {
			return err
		}
		size -= int64(n)
	}
	return nil
}
