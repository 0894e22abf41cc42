package host

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// limitSegments bounds the segments of a connection that is being made, both ways.
func limitSegments(_, _ string, c syscall.RawConn) error {
	var err error
	if failed := c.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_MAXSEG, maxSegment) }); failed != nil {
		return failed
	}
	return err
}
