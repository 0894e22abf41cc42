package trainer

import (
	"errors"
	"os"
	"syscall"
	"unsafe"
)

const (
	// directUnit is what direct writes are of: no disk has larger sectors.
	directUnit = 4096
	// directLeast is from how many bytes on they are worth it.
	directLeast = 1 << 20
)

// writeDirect makes data the content of a file, durably, from its own memory: a copy in the system's
// cache takes four times as long as all else of it, and nobody reads it. It reports false where the
// file system cannot do that, or data do not fit.
func writeDirect(path string, data []byte) (done bool, err error) {
	if len(data) < directLeast || uintptr(unsafe.Pointer(unsafe.SliceData(data)))%directUnit != 0 {
		return false, nil
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|syscall.O_DIRECT, 0o600)
	if err != nil {
		return false, nil
	}
	whole := len(data) &^ (directUnit - 1)
	_, err = file.Write(data[:whole])
	if err == nil && whole < len(data) {
		room := make([]byte, 2*directUnit)
		at := -uintptr(unsafe.Pointer(unsafe.SliceData(room))) % directUnit
		last := room[at : at+directUnit]
		copy(last, data[whole:])
		_, err = file.Write(last)
	}
	if errors.Is(err, syscall.EINVAL) {
		return false, file.Close()
	}
	if err == nil {
		err = file.Truncate(int64(len(data)))
	}
	if err == nil {
		err = file.Sync()
	}
	return true, errors.Join(err, file.Close())
}
