package doctor

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// dontFragment lets packets of a connection pass whole or not at all. False: they may be cut.
func dontFragment(c net.Conn) bool {
	s, ok := c.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return false
	}
	done := false
	err = raw.Control(func(fd uintptr) {
		err4 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_PROBE)
		err6 := unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_MTU_DISCOVER, unix.IPV6_PMTUDISC_PROBE)
		done = err4 == nil || err6 == nil
	})
	return err == nil && done
}
