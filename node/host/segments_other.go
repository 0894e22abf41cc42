//go:build !linux && !darwin

package host

import "syscall"

// limitSegments does nothing: the system has no such setting.
func limitSegments(_, _ string, _ syscall.RawConn) error { return nil }
