package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// prefix starts the names of all namespaces of labs; the number of the process that made them
// follows.
const prefix = "covey-lab-"

// Lab is a set of namespaces that stands.
type Lab struct {
	prefix string
	wires  []*stretched
}

// Missing says what a lab needs and this machine does not have; nil: nothing.
func Missing() error {
	var errs []error
	if os.Geteuid() != 0 {
		errs = append(errs, errors.New("namespaces need root: run it as root, in a container or a virtual machine"))
	}
	for _, p := range []struct{ program, from string }{{"ip", "iproute2"}, {"nft", "nftables"}, {"sysctl", "procps"}} {
		if _, err := exec.LookPath(p.program); err != nil {
			errs = append(errs, fmt.Errorf("the program %s is not there: install the package %s", p.program, p.from))
		}
	}
	return errors.Join(errs...)
}

// Possible says why no lab can be built on this machine, although the programs may be there: a
// container or a kernel may not allow what it consists of. nil: one can.
func Possible(ctx context.Context) (err error) {
	if err := Missing(); err != nil {
		return err
	}
	p := plan{prefix: fmt.Sprintf("%s%d-", prefix, os.Getpid())}
	p.addSpace("try")
	p.bridge("try", "net")
	p.in("try", "link add one type veth peer name two")
	p.sysctl("try", "net.ipv4.ip_forward=1")
	p.rules("try", Symmetric.rules())
	for _, st := range p.steps {
		if err := st.run(ctx); err != nil {
			return errors.Join(err, (&Lab{prefix: p.prefix}).Close())
		}
	}
	return (&Lab{prefix: p.prefix}).Close()
}

// New builds a lab. It removes what labs of processes that are gone have left.
func New(ctx context.Context, s Spec) (_ *Lab, err error) {
	if err := errors.Join(s.Validate(), Missing()); err != nil {
		return nil, fmt.Errorf("build lab: %w", err)
	}
	if _, err := Clean(ctx); err != nil {
		return nil, err
	}
	l := &Lab{prefix: fmt.Sprintf("%s%d-", prefix, os.Getpid())}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	for _, st := range s.steps(l.prefix) {
		if err := st.run(ctx); err != nil {
			return nil, fmt.Errorf("build lab: %w", err)
		}
	}
	for _, h := range s.Hosts {
		if w, ok := s.Far[h.Name]; ok {
			end, err := l.stretch(h, w)
			if err != nil {
				return nil, fmt.Errorf("build lab: wire of %s: %w", h.Name, err)
			}
			l.wires = append(l.wires, end)
		}
	}
	return l, nil
}

// stretch begins to carry what passes the wire of a host.
func (l *Lab) stretch(h Host, w Wire) (*stretched, error) {
	at := h.Name
	if h.Kind != Public {
		at = routerOf(h.Name)
	}
	return w.stretch(l.prefix+at, wireEnd, l.prefix+coreName, corePort(at))
}

// Close ends what runs in the lab and removes it.
func (l *Lab) Close() error {
	for _, w := range l.wires {
		w.close()
	}
	_, err := remove(context.Background(), func(space string) bool { return strings.HasPrefix(space, l.prefix) })
	return err
}

// Exec returns a command that runs in a host when it is started. When ctx ends it is asked to
// end, and killed if it has not after a while.
func (l *Lab) Exec(ctx context.Context, host string, args ...string) *exec.Cmd {
	c := exec.CommandContext(ctx, "ip", append([]string{"netns", "exec", l.prefix + host}, args...)...)
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // ip has become the program
	c.WaitDelay = 10 * time.Second
	return c
}

// serveProxy starts a proxy on the router of a home. This program must be one that serves it when
// its arguments are "proxy ADDR".
func (l *Lab) serveProxy(ctx context.Context, host, addr string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := l.Exec(ctx, routerOf(host), self, "proxy", addr)
	cmd.Stderr = os.Stderr
	return cmd, cmd.Start()
}

// Clean removes the labs of processes that are gone, and returns how many namespaces they had.
func Clean(ctx context.Context) (int, error) {
	return remove(ctx, func(space string) bool {
		pid, _, _ := strings.Cut(strings.TrimPrefix(space, prefix), "-")
		_, err := os.Stat("/proc/" + pid)
		return errors.Is(err, fs.ErrNotExist)
	})
}

// remove removes the namespaces of labs that match, with the processes in them.
func remove(ctx context.Context, match func(space string) bool) (n int, err error) {
	list, err := exec.CommandContext(ctx, "ip", "netns", "list").Output()
	if err != nil {
		return 0, fmt.Errorf("list namespaces: %w", err)
	}
	var errs []error
	for line := range strings.Lines(string(list)) {
		f := strings.Fields(line)
		if len(f) == 0 || !strings.HasPrefix(f[0], prefix) || !match(f[0]) {
			continue
		}
		pids, _ := exec.CommandContext(ctx, "ip", "netns", "pids", f[0]).Output() // none if it is half made
		for _, p := range strings.Fields(string(pids)) {
			pid, err := strconv.Atoi(p)
			if process, found := os.FindProcess(pid); err == nil && found == nil && pid > 0 {
				_ = process.Kill() // it may have ended
			}
		}
		errs = append(errs, step{args: []string{"ip", "netns", "del", f[0]}}.run(ctx))
		n++
	}
	return n, errors.Join(errs...)
}

func (s step) run(ctx context.Context) error {
	c := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	c.Stdin = strings.NewReader(s.input)
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(s.args, " "), err, bytes.TrimSpace(out))
	}
	return nil
}
