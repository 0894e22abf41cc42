//go:build !linux

package runner

import (
	"errors"
	"fmt"
	"net"
)

// checkLinks returns why there can be no links between nodes here.
func checkLinks() error {
	return fmt.Errorf("the manifest has links between nodes, which need Linux: leave them out, or run it there: %w", errors.ErrUnsupported)
}

// owner is told by Linux only; checkLinks says so before.
func owner(*net.TCPConn, []int) (int, error) { return 0, errors.ErrUnsupported }
