package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// spaces is where ip(8) keeps the namespaces that have a name.
const spaces = "/run/netns"

// inSpace calls f on a thread that is in a namespace for so long: what f opens belongs there,
// whoever uses it later.
func inSpace(space string, f func() error) (err error) {
	to, err := os.Open(filepath.Join(spaces, space))
	if err != nil {
		return err
	}
	defer to.Close()
	runtime.LockOSThread()
	back, err := os.Open("/proc/thread-self/ns/net")
	if err != nil {
		runtime.UnlockOSThread()
		return err
	}
	defer back.Close()
	if err := unix.Setns(int(to.Fd()), unix.CLONE_NEWNET); err != nil {
		runtime.UnlockOSThread()
		return err
	}
	err = f()
	if failed := unix.Setns(int(back.Fd()), unix.CLONE_NEWNET); failed != nil {
		return errors.Join(err, failed) // the thread stays locked, so that nothing else runs on it
	}
	runtime.UnlockOSThread()
	return err
}

// openTap opens a TAP device of a namespace, which is there.
func openTap(space, dev string) (tap io.ReadWriteCloser, err error) {
	err = inSpace(space, func() error {
		fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return fmt.Errorf("open /dev/net/tun: %w", err)
		}
		q, err := unix.NewIfreq(dev)
		if err == nil {
			q.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
			err = unix.IoctlIfreq(fd, unix.TUNSETIFF, q)
		}
		if err != nil {
			_ = unix.Close(fd)
			return fmt.Errorf("open device %s: %w", dev, err)
		}
		tap = os.NewFile(uintptr(fd), dev) // polled from here on: it must be a device by now
		return nil
	})
	return tap, err
}
