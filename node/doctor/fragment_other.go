//go:build !linux

package doctor

import "net"

// dontFragment is not known how on this system: packets may be cut on their way.
func dontFragment(net.Conn) bool { return false }
