package job_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"

	"go.uber.org/goleak"

	"github.com/covey-network/covey/engine/train/job"
)

// childEnv names the job that this program runs instead of its tests: the one that a test
// kills.
const childEnv = "COVEY_TEST_JOB"

// childSyncEnv, if it is set, gives that run the Sync of outer. At the step that it names the
// Sync prints a line and waits for the end of the standard input.
const childSyncEnv = "COVEY_TEST_JOB_SYNC"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := child(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

// child runs a job and prints a line after every step.
func child(path string) error {
	j, err := job.Read(path)
	if err != nil {
		return err
	}
	_, err = os.Stat(j.Folder())
	o := job.Options{Resume: err == nil, Events: job.Events{
		Step: func(p job.Progress) { fmt.Println("step", p.Step) },
	}}
	if at := os.Getenv(childSyncEnv); at != "" {
		o.Sync = outer(func(_ context.Context, s job.Step) error {
			if strconv.Itoa(s.Step) != at {
				return nil
			}
			fmt.Println("waits")
			_, err := io.Copy(io.Discard, os.Stdin)
			return err
		})
	}
	res, err := job.Run(context.Background(), j, o)
	if err == nil {
		fmt.Println("ended", res.End)
	}
	return err
}
