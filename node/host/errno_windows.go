package host

import (
	"syscall"

	"golang.org/x/sys/windows"
)

var ( // constants in all but name
	refusedErrnos = []syscall.Errno{windows.WSAECONNREFUSED, windows.WSAECONNRESET}
	endedErrnos   = []syscall.Errno{windows.WSAECONNABORTED}
	noRouteErrnos = []syscall.Errno{windows.WSAENETUNREACH, windows.WSAEHOSTUNREACH, windows.WSAENETDOWN, windows.WSAEADDRNOTAVAIL}
)
