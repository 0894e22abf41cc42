package store_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/store"
)

// childDir names the directory in which a re-executed test binary writes blocks until it
// is killed.
const childDir = "COVEY_TEST_CRASH_DIR"

// childOfCrashTest puts random blocks without end and prints the identifier of each one
// after it was acknowledged, if the test binary was started for that.
func childOfCrashTest() {
	dir := os.Getenv(childDir)
	if dir == "" {
		return
	}
	err := func() error {
		s, err := store.Open(store.Config{Dir: dir})
		if err != nil {
			return err
		}
		rng := rand.NewChaCha8([32]byte([]byte(os.Getenv(childDir + "_SEED"))))
		for {
			batch := make([]store.Block, 1+rng.Uint64()%8)
			for i := range batch {
				data := make([]byte, 1+rng.Uint64()%200_000)
				rng.Read(data)
				if batch[i], err = store.NewBlock(data); err != nil {
					return err
				}
			}
			if _, err := s.PutMany(context.Background(), batch); err != nil {
				return err
			}
			for _, b := range batch {
				fmt.Println(b.CID())
			}
		}
	}()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// TestKilledWhileWriting kills a process that writes, several times in one directory. All
// that it acknowledged is there and right.
func TestKilledWhileWriting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var acknowledged []cid.Cid
	for round := range 5 {
		cmd := exec.Command(os.Args[0])
		seed := fmt.Sprintf("%032d", round)
		cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_SEED="+seed)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		for n := 0; ; n++ {
			if n == 50*(round+1) {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
			line, err := lines.ReadString('\n')
			if errors.Is(err, io.EOF) { // a line cut short was not acknowledged
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			c, err := cid.Decode(line[:len(line)-1])
			if err != nil {
				t.Fatal(err)
			}
			acknowledged = append(acknowledged, c)
		}
		var exit *exec.ExitError
		if err := cmd.Wait(); !errors.As(err, &exit) || exit.Exited() {
			t.Fatalf("round %d: the child was not killed: %v", round, err)
		}
		s := open(t, store.Config{Dir: dir})
		if s.Moved() != "" {
			t.Fatalf("round %d: the database was moved aside", round)
		}
		for i, c := range acknowledged {
			if _, err := s.Get(t.Context(), c); err != nil { // Get hashes
				t.Fatalf("round %d: block %d of %d: %v", round, i, len(acknowledged), err)
			}
		}
		closed(t, s)
	}
	t.Logf("%d blocks acknowledged", len(acknowledged))
}
