//go:build !linux

package runner

import (
	"errors"
	"fmt"
	"net"
)

// owner is told by Linux only.
func owner(*net.TCPConn, []int) (int, error) {
	return 0, fmt.Errorf("links between nodes need Linux: %w", errors.ErrUnsupported)
}
