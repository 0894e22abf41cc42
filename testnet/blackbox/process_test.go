package blackbox_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// process is a command in the background, with what it shows.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	shown  chan string // its lines; closed when it has ended
	before []string    // lines that were seen
	err    error       // of its end; valid after shown is closed
	stop   func()      // interrupts it and waits for its end
}

// background starts a command. It is interrupted at the end of the test.
func background(t *testing.T, cmd *exec.Cmd) *process {
	t.Helper()
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out.Close()
	p := &process{t: t, cmd: cmd, shown: make(chan string, 10_000)} // more lines than any test reads
	go func() {
		for s := bufio.NewScanner(in); s.Scan(); {
			p.shown <- s.Text()
		}
		p.err = cmd.Wait()
		in.Close()
		close(p.shown)
	}()
	p.stop = sync.OnceFunc(func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		for range p.shown {
		}
	})
	t.Cleanup(p.stop)
	return p
}

// see waits for a line with a text and returns it.
func (p *process) see(text string) string {
	p.t.Helper()
	late := time.After(30 * time.Second)
	for {
		select {
		case line, ok := <-p.shown:
			if !ok {
				p.t.Fatalf("ended with %v and without %q:\n%s", p.err, text, strings.Join(p.before, "\n"))
			}
			p.before = append(p.before, line)
			if strings.Contains(line, text) {
				return line
			}
		case <-late:
			p.t.Fatalf("does not show %q, but:\n%s", text, strings.Join(p.before, "\n"))
		}
	}
}

// up starts a node on loopback.
func up(t *testing.T, data string, args ...string) *process {
	t.Helper()
	return background(t, command(t, data, append([]string{"up", "--api", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0", "--mdns=false", "--nat=false"}, args...)...))
}

// TestSecondSignal takes a node's data directory away, so that its store cannot end, and
// signals it twice.
func TestSecondSignal(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "data")
	n := up(t, dir)
	n.see("covey is up")
	if _, messages, code := covey(t, dir, "", "model", "import", "demo"); code != 0 {
		t.Fatal(messages)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	interrupt := func() {
		if err := n.cmd.Process.Signal(os.Interrupt); err != nil {
			t.Fatal(err)
		}
	}
	interrupt()
	n.see("Ctrl-C again ends at once")
	interrupt()
	for range n.shown {
	}
	if code := exitOf(t, n.err); code != 130 {
		t.Errorf("exit code %d, want 130", code)
	}
}
