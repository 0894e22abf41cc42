package runner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/covey-network/covey/node/api"
)

// stopTimeout is how long a process may take to end in order before it is killed.
const stopTimeout = 20 * time.Second

// Process is one node.
type Process struct {
	cfg   Config
	spec  *Node
	dir   string
	token string

	announce string // address of the door in front of it; empty: its own
	pid      atomic.Int64
	began    time.Time // its last start

	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has ended; err is set before
	err    error
	log    *os.File
	client atomic.Pointer[api.Client]
	paused bool
}

// Dir returns the data directory.
func (p *Process) Dir() string { return p.dir }

// Log returns the path of the file that the process's messages go to.
func (p *Process) Log() string { return p.dir + ".log" }

// PID returns the id of the process, as of its last start; 0 before the first. As API it may
// be called at any time.
func (p *Process) PID() int { return int(p.pid.Load()) }

// Began returns when the process was started last; the zero time before the first.
func (p *Process) Began() time.Time { return p.began }

// API returns a client of the node's control API, as of its last start. Unlike the other
// methods it may be called while another goroutine starts the node again.
func (p *Process) API() *api.Client { return p.client.Load() }

// Running reports whether the process lives.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Start starts the process and waits until it is ready. After a Kill or Stop it starts
// again on the same data.
func (p *Process) Start(ctx context.Context) (err error) {
	if p.Running() {
		return fmt.Errorf("start node %s: it is running", p.spec.Name)
	}
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return err
	}
	ready := filepath.Join(p.dir, "api.json")
	if err := os.Remove(ready); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if p.log, err = os.OpenFile(p.Log(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
		return err
	}
	cmd := exec.Command(p.cfg.Binary, p.args()...)
	cmd.Env = append(os.Environ(), p.spec.Env...)
	cmd.Stdout, cmd.Stderr = p.log, p.log
	if err := cmd.Start(); err != nil {
		p.log.Close()
		return fmt.Errorf("start node %s: %w", p.spec.Name, err)
	}
	p.pid.Store(int64(cmd.Process.Pid))
	p.began = time.Now()
	exited := make(chan struct{})
	p.cmd, p.exited, p.paused = cmd, exited, false
	go func() {
		p.err = p.cmd.Wait()
		p.log.Close()
		close(exited)
	}()
	return p.await(ctx, ready)
}

func (p *Process) args() []string {
	n := p.spec
	args := []string{"up", "--data", p.dir, "--name", n.Name, "--api", "127.0.0.1:0", "--listen", cmp.Or(n.Listen, "/ip4/127.0.0.1/tcp/0"), "--mdns=false", "--nat=false"}
	if p.token != "" {
		args = append(args, "--join", p.token)
	}
	if p.announce != "" {
		args = append(args, "--announce", p.announce)
	}
	for _, f := range []struct{ flag, value string }{{"--memory", n.Memory}, {"--disk", n.Disk}, {"--upload", n.Upload}} {
		if f.value != "" {
			args = append(args, f.flag, f.value)
		}
	}
	if n.Cores > 0 {
		args = append(args, "--cores", strconv.Itoa(n.Cores))
	}
	return append(args, n.Args...)
}

// await waits for the file that a ready node writes.
func (p *Process) await(ctx context.Context, ready string) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	t := time.NewTicker(poll)
	defer t.Stop()
	for {
		var at struct {
			URL string `json:"url"`
			Key string `json:"key"`
		}
		if data, err := os.ReadFile(ready); err == nil && json.Unmarshal(data, &at) == nil && at.URL != "" {
			p.client.Store(&api.Client{Base: at.URL, Key: at.Key})
			return nil
		}
		select {
		case <-p.exited:
			return fmt.Errorf("node %s ended at its start: %w; its log is %s", p.spec.Name, p.err, p.Log())
		case <-ctx.Done():
			return errors.Join(fmt.Errorf("node %s is not ready: %w; its log is %s", p.spec.Name, ctx.Err(), p.Log()), p.Kill())
		case <-t.C:
		}
	}
}

// Pause stops the process as a laptop's sleep would.
func (p *Process) Pause() error {
	if !p.Running() || p.paused {
		return fmt.Errorf("pause node %s: it is not running", p.spec.Name)
	}
	if err := pause(p.cmd.Process); err != nil {
		return err
	}
	p.paused = true
	return nil
}

// Resume lets a paused process go on.
func (p *Process) Resume() error {
	if !p.Running() || !p.paused {
		return fmt.Errorf("resume node %s: it is not paused", p.spec.Name)
	}
	if err := resume(p.cmd.Process); err != nil {
		return err
	}
	p.paused = false
	return nil
}

// Kill ends the process at once, as a power cut would, and waits until it is gone.
func (p *Process) Kill() error {
	if !p.Running() {
		return nil
	}
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-p.exited
	return nil
}

// Stop asks the process to end and waits. One that does not end in time is killed, and
// that is an error. A paused one goes on first.
func (p *Process) Stop() error {
	if !p.Running() {
		return nil
	}
	if p.paused {
		if err := p.Resume(); err != nil {
			return errors.Join(err, p.Kill())
		}
	}
	if err := interrupt(p.cmd.Process); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return errors.Join(err, p.Kill())
	}
	select {
	case <-p.exited:
		return p.err
	case <-time.After(stopTimeout):
		return errors.Join(fmt.Errorf("did not end within %s", stopTimeout), p.Kill())
	}
}
