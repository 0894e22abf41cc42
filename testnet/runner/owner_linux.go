package runner

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
)

// checkLinks returns why there can be no links between nodes here.
func checkLinks() error { return nil }

// owner returns which of the processes has dialled a connection that was accepted here; 0 if
// it was another one. The kernel tells whose socket has the other end's port.
func owner(c *net.TCPConn, pids []int) (int, error) {
	from, to := c.RemoteAddr().(*net.TCPAddr), c.LocalAddr().(*net.TCPAddr)
	f, err := os.Open("/proc/net/tcp")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	// proc(5): number, local address:port, remote address:port, state, …, inode as the tenth.
	local, remote := fmt.Sprintf(":%04X", from.Port), fmt.Sprintf(":%04X", to.Port)
	for s := bufio.NewScanner(f); s.Scan(); {
		row := strings.Fields(s.Text())
		if len(row) < 10 || !strings.HasSuffix(row[1], local) || !strings.HasSuffix(row[2], remote) {
			continue
		}
		for _, pid := range pids {
			if holds(pid, "socket:["+row[9]+"]") {
				return pid, nil
			}
		}
	}
	return 0, nil
}

// holds reports whether a process has a file open. One that has ended has none.
func holds(pid int, file string) bool {
	files, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid)) // the pattern is well formed
	for _, f := range files {
		if at, err := os.Readlink(f); err == nil && at == file {
			return true
		}
	}
	return false
}
