package job_test

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
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

// trainAndKill starts a process that trains, waits for some steps and for work of some
// length more, and kills it; a negative number of steps lets it end.
func trainAndKill(t *testing.T, path string, steps, spin int) (seen int, ended bool) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(self)
	c.Env = append(os.Environ(), childEnv+"="+path)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for (steps < 0 || seen < steps) && lines.Scan() {
		if strings.HasPrefix(lines.Text(), "step ") {
			seen++
		}
		ended = ended || strings.HasPrefix(lines.Text(), "ended ")
	}
	if steps >= 0 && !ended {
		h := uint32(1) // a random part of a step
		for range spin * 1000 {
			h = h*1664525 + 1013904223
		}
		if err := c.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Fatal(err, h)
		}
	}
	if _, err := io.Copy(io.Discard, out); err != nil {
		t.Fatal(err)
	}
	if err := c.Wait(); err == nil {
		ended = true
	} else if steps < 0 {
		t.Fatal(err)
	}
	return seen, ended
}
