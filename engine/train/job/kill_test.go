package job_test

import (
	"bufio"
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/engine/train/job"
)

var seed = flag.Uint64("seed", 1, "of the moments at which runs are killed")

const kills = 20

// TestKill kills a process that trains at 20 random moments, and goes on each time. What it
// leaves in the end has the bits of a run that nobody disturbed.
func TestKill(t *testing.T) {
	t.Parallel()
	t.Logf("-seed %d", *seed)
	r := rand.New(rand.NewPCG(*seed, 0))
	var folders, jobs [2]string
	for i := range folders {
		dir := t.TempDir()
		pictures(t, filepath.Join(dir, "images"), 16)
		jobs[i] = write(t, dir, "job.toml", fmt.Sprintf(imageJob, "cnn", cnnSection, 30))
		j, err := job.Read(jobs[i])
		if err != nil {
			t.Fatal(err)
		}
		if folders[i] = j.Folder(); i == 0 {
			run(t, j, job.Options{})
		}
	}
	done, killed := 0, 0
	for ; killed < kills; killed++ {
		steps, ended := trainAndKill(t, jobs[1], r.IntN(12), r.IntN(2000))
		if ended {
			break
		}
		done += steps
	}
	if killed < kills {
		t.Fatalf("the run ended after %d kills: make it longer", killed)
	}
	if _, ended := trainAndKill(t, jobs[1], -1, 0); !ended {
		t.Fatal("the run did not end")
	}
	t.Logf("%d steps seen before the kills, of 150", done)
	sameFiles(t, folders[1], folders[0])
}

// TestOneProcess lets a second process begin in the folder of a run: it must end at once and
// leave the first alone. A killed process leaves nothing that is in the way.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pictures(t, filepath.Join(dir, "images"), 16)
	path := write(t, dir, "job.toml", fmt.Sprintf(imageJob, "cnn", cnnSection, 1<<20))
	first := start(t, path)
	if !first.Scan() {
		t.Fatal("the first process did no step")
	}
	second := start(t, path)
	if second.Scan() {
		defer second.kill(t)
		t.Fatalf("the second process says %q", second.Text())
	}
	if err := second.Wait(); err == nil || !strings.Contains(second.errors.String(), "another process trains in the folder "+dir) {
		t.Errorf("the second process: %v: %s", err, second.errors.String())
	}
	if ended := first.kill(t); ended || first.errors.Len() > 0 {
		t.Errorf("the first process has ended: %v, %s", ended, first.errors.String())
	}
	third := start(t, path)
	went := third.Scan()
	third.kill(t)
	if !went {
		t.Errorf("after the kill: %s", third.errors.String())
	}
}

// process is a process that trains, see child.
type process struct {
	*exec.Cmd
	*bufio.Scanner // of what it prints
	errors         bytes.Buffer
}

// start starts a process that trains.
func start(t *testing.T, path string, env ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Cmd: exec.Command(self)}
	p.Env = append(append(os.Environ(), childEnv+"="+path), env...)
	p.Stderr = &p.errors
	in, err := p.StdinPipe() // open as long as the process lives
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p.Scanner = bufio.NewScanner(out)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// kill kills the process and waits for it; whether it had ended by itself is the result.
func (p *process) kill(t *testing.T) (ended bool) {
	t.Helper()
	if err := p.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		t.Fatal(err)
	}
	for p.Scan() { // Wait closes what is read from
	}
	return p.Wait() == nil
}

// trainAndKill starts a process that trains, waits for some steps and for work of some
// length more, and kills it; a negative number of steps lets it end.
func trainAndKill(t *testing.T, path string, steps, spin int) (seen int, ended bool) {
	t.Helper()
	p := start(t, path)
	for (steps < 0 || seen < steps) && p.Scan() {
		if strings.HasPrefix(p.Text(), "step ") {
			seen++
		}
	}
	if steps < 0 {
		if err := p.Wait(); err != nil {
			t.Fatal(err, p.errors.String())
		}
		return seen, true
	}
	h := uint32(1) // a random part of a step
	for range spin * 1000 {
		h = h*1664525 + 1013904223
	}
	ended = p.kill(t)
	if s := p.errors.String(); s != "" {
		t.Fatal(s, h)
	}
	return seen, ended
}
