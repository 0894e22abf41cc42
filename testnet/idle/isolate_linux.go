package idle

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
)

// inside marks the run of the program that has a network of its own.
const inside = "COVEY_IDLE_ISOLATED"

// Isolate runs this program once more in a network namespace of its own, which ends with it,
// and exits as it does. In that run it brings up loopback and returns. The error says why there
// is no such namespace.
func Isolate() error {
	if os.Getenv(inside) != "" {
		if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
			return fmt.Errorf("bring up loopback: %w: %s", err, out)
		}
		return nil
	}
	if os.Geteuid() != 0 {
		return errors.New("a network namespace needs root")
	}
	if _, err := exec.LookPath("ip"); err != nil {
		return errors.New("the program ip is not there: install the package iproute2")
	}
	c := exec.Command("/proc/self/exe", os.Args[1:]...)
	c.Args[0] = os.Args[0]
	c.Env = append(os.Environ(), inside+"=1")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stdout, os.Stderr
	c.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	if err := c.Start(); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	// An interrupt reaches both; the one inside ends its nodes.
	err := c.Wait()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return err
	}
	os.Exit(max(0, c.ProcessState.ExitCode()))
	return nil
}
