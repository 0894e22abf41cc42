//go:build !linux

package host

import "syscall"

// limitSegments does nothing: the system has no such setting, or none before a connection stands.
func limitSegments(_, _ string, _ syscall.RawConn) error { return nil }
