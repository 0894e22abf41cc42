//go:build !windows

package host

import "syscall"

var ( // constants in all but name
	refusedErrnos = []syscall.Errno{syscall.ECONNREFUSED, syscall.ECONNRESET}
	endedErrnos   = []syscall.Errno{syscall.EPIPE}
	noRouteErrnos = []syscall.Errno{syscall.ENETUNREACH, syscall.EHOSTUNREACH, syscall.ENETDOWN, syscall.EADDRNOTAVAIL}
)
