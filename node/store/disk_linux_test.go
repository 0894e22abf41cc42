package store_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/store"
)

// These tests run on a real disk of a few MiB: a tmpfs that a child process mounts for itself
// alone, in name spaces that most systems let anybody make. Where they do not, the child uses
// a budget that stands for the disk wherever the store asks for room.
const (
	diskTask  = "COVEY_TEST_DISK_TASK"
	diskDir   = "COVEY_TEST_DISK_DIR"
	diskMount = "COVEY_TEST_DISK_MOUNT" // true: the child mounts the disk; false: none can be had; else it is there
	diskBytes = 96 << 20
	noMount   = 77 // exit code of a child that may not mount
	diskTime  = 3 * time.Minute
)

// smallDisk runs a task in a child process on a disk of diskBytes.
func smallDisk(t *testing.T, task string) {
	t.Helper()
	dir := t.TempDir()
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWUSER, UidMappings: idMap(os.Getuid()), GidMappings: idMap(os.Getgid())}
	out, err := runDiskTask(dir, task, attr)
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == noMount || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EINVAL) {
		t.Logf("no disk may be mounted (%v): a budget stands for it", err)
		out, err = runDiskTask(dir, task, nil)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Log(strings.TrimSpace(string(out)))
}

func idMap(id int) []syscall.SysProcIDMap {
	return []syscall.SysProcIDMap{{ContainerID: 0, HostID: id, Size: 1}}
}

func runDiskTask(dir, task string, attr *syscall.SysProcAttr) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), diskTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0])
	cmd.Env = append(os.Environ(), diskTask+"="+task, diskDir+"="+dir, fmt.Sprintf("%s=%t", diskMount, attr != nil))
	cmd.SysProcAttr = attr
	return cmd.CombinedOutput()
}

// childOfDiskTest does a task, if the test binary was started for that.
func childOfDiskTest() {
	task, dir := os.Getenv(diskTask), os.Getenv(diskDir)
	if task == "" {
		return
	}
	d := &smallFS{dir: dir}
	switch os.Getenv(diskMount) {
	case "true":
		err := syscall.Mount("none", "/", "", syscall.MS_REC|syscall.MS_PRIVATE, "")
		if err == nil {
			err = syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", sizeOf(task)))
		}
		if err != nil {
			fmt.Println(err)
			os.Exit(noMount)
		}
	case "false":
		d.budget = store.NewBudget(dir, sizeOf(task))
	}
	if err := map[string]func(*smallFS) error{
		"full": fullDisk, "race": filledMeanwhile, "close": closeWaiting, "again": filledAgain,
		"owed": owedOverRestart, "gives": givesBack, "few": fewWithoutRoom, "discard": discardOwed, "log": logWithoutRoom,
		"takes": takesWhatItIs, "small": modelOnSmallDisk, "tiny": tinyDisk, "over": smallFileOver, "steps": freeNeverFalls,
	}[task](d); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	os.Exit(0)
}

// sizeOf returns the size of the disk of a task.
func sizeOf(task string) int64 {
	switch task {
	case "small":
		return 400e6
	case "steps":
		return 300 << 20
	case "tiny":
		return 250 << 20
	}
	return diskBytes
}

// smallFS is a small disk.
type smallFS struct {
	dir    string
	budget *store.Budget // nil: it is a real one
}

func (d *smallFS) config() store.Config {
	cfg := store.SmallFiles(store.Config{Dir: filepath.Join(d.dir, "store"), MarginBytes: 1, MarginPercent: 0.001})
	if d.budget != nil {
		cfg.Space = d.budget.Space
	}
	return cfg
}

func (d *smallFS) other() string { return filepath.Join(d.dir, "other program's") }

// fill takes all the room that is left, as another program would.
func (d *smallFS) fill() error { return d.fillTo(0) }

// fillTo takes all but a number of bytes.
func (d *smallFS) fillTo(left int64) error {
	if d.budget != nil {
		return d.budget.Fill(left)
	}
	if left > 0 {
		free, _, err := store.DiskSpace(d.dir)
		if err != nil {
			return err
		}
		return os.WriteFile(d.other(), make([]byte, free-left), 0o600)
	}
	f, err := os.OpenFile(d.other(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	for _, n := range []int{1 << 20, 4 << 10, 1} {
		junk := make([]byte, n)
		for err == nil {
			_, err = f.Write(junk)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return err
		}
		err = nil
	}
	return f.Close()
}

func (d *smallFS) clear() error {
	if d.budget != nil {
		d.budget.Clear()
		return nil
	}
	return os.Remove(d.other())
}

func smallBlocks(rng *rand.ChaCha8, n int) []store.Block {
	out := make([]store.Block, n)
	for i := range out {
		size := 1 + rng.Uint64()%4000 // kept in the tree
		if i%4 == 0 {
			size = 100_000 + rng.Uint64()%900_000
		}
		data := make([]byte, size)
		rng.Read(data)
		b, err := store.NewBlock(data)
		if err != nil {
			panic(err)
		}
		out[i] = b
	}
	return out
}

func allReadable(s *store.Store, blocks []cid.Cid) error {
	for i, c := range blocks {
		if _, err := s.Get(context.Background(), c); err != nil { // Get hashes
			return fmt.Errorf("block %d of %d: %w", i, len(blocks), err)
		}
	}
	return nil
}

func refused(err error) bool {
	var full *store.SpaceError
	return errors.As(err, &full)
}

// fullDisk starts a store on a disk without a byte left, after a clean end and after a kill,
// reads, removes, and writes again.
func fullDisk(d *smallFS) error {
	ctx := context.Background()
	rng := rand.NewChaCha8([32]byte{1})
	var held []cid.Cid
	for round := range 3 {
		s, err := store.Open(d.config())
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		blocks := smallBlocks(rng, 40)
		if _, err := s.PutMany(ctx, blocks); err != nil {
			return fmt.Errorf("round %d: put: %w", round, err)
		}
		held = cidsOf(blocks)
		if err := s.Pin(held[0]); err != nil {
			return err
		}
		if err := s.SetName("model", held[0]); err != nil {
			return err
		}
		if err := s.Close(); err != nil {
			return err
		}
		if err := d.fill(); err != nil {
			return err
		}
		if s, err = store.Open(d.config()); err != nil {
			return fmt.Errorf("round %d: start on a full disk: %w", round, err)
		}
		if s.Stat().Full == "" || s.Stat().Free != 0 {
			return fmt.Errorf("round %d: %+v on a full disk", round, s.Stat())
		}
		if err := allReadable(s, held); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		more := smallBlocks(rng, 4)
		if _, err := s.PutMany(ctx, more); !refused(err) {
			return fmt.Errorf("round %d: put on a full disk: %v", round, err)
		}
		if err := s.SetName("model", cid.Undef); err != nil {
			return fmt.Errorf("round %d: remove a name: %w", round, err)
		}
		if err := s.Unpin(held[0]); err != nil {
			return fmt.Errorf("round %d: unpin: %w", round, err)
		}
		before := s.Stat().DiskBytes
		st, err := s.GC(ctx)
		if err != nil || st.Removed < len(held) || s.Stat().DiskBytes > before/2 {
			return fmt.Errorf("round %d: gc on a full disk: %+v, %v, %+v (%d before)", round, st, err, s.Stat(), before)
		}
		fmt.Printf("round %d: %d bytes before, %+v\n", round, before, s.Stat())
		if err := d.clear(); err != nil {
			return err
		}
		if _, err := s.PutMany(ctx, more); err != nil {
			return fmt.Errorf("round %d: put when there is room again: %w", round, err)
		}
		if err := allReadable(s, cidsOf(more)); err != nil {
			return err
		}
		if s.Stat().Full != "" {
			return fmt.Errorf("round %d: %+v with room", round, s.Stat())
		}
		if err := s.Close(); err != nil {
			return err
		}
	}
	return nil
}

// filledMeanwhile has another program fill the disk again and again while blocks are put and
// removed. Whatever was acknowledged is there and right.
func filledMeanwhile(d *smallFS) error {
	ctx := context.Background()
	rng := rand.NewChaCha8([32]byte{2})
	var held []cid.Cid
	put, no := 0, 0
	for round := range 4 {
		s, err := store.Open(d.config())
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		stop, ended := make(chan struct{}), make(chan error, 1)
		go func() {
			for {
				err := d.fill()
				if err == nil {
					err = d.clear()
				}
				select {
				case <-stop:
					ended <- err
					return
				default:
				}
				if err != nil {
					ended <- err
					return
				}
			}
		}()
		for range 60 {
			blocks := smallBlocks(rng, 24)
			_, err := s.PutMany(ctx, blocks)
			switch {
			case err == nil:
				held = append(held, cidsOf(blocks)...)
				put++
			case refused(err):
				no++
			default:
				return fmt.Errorf("round %d: put: %w", round, err)
			}
			if len(held) > 100 {
				gone := held[:50]
				err := s.Delete(ctx, gone...)
				if err != nil && !refused(err) {
					return fmt.Errorf("round %d: delete: %w", round, err)
				}
				held = held[50:]
				for _, c := range gone { // some may be deleted after an error too: none is there that is not
					if s.Has(c) {
						held = append(held, c)
					}
				}
			}
		}
		close(stop)
		if err := <-ended; err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if err := allReadable(s, held); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if _, err := s.GC(ctx); err != nil { // there are no pins: all goes
			return fmt.Errorf("round %d: gc: %w", round, err)
		}
		held = nil
		if err := s.Close(); err != nil {
			return err
		}
	}
	fmt.Printf("%d puts acknowledged, %d refused\n", put, no)
	if put == 0 || no == 0 {
		return io.ErrNoProgress
	}
	return nil
}

// closeWaiting ends a store while a put waits for room, and reads wait for the put: they fail, and
// no block is taken for damaged.
func closeWaiting(d *smallFS) error {
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	kept, err := s.Put(context.Background(), []byte("kept"))
	if err != nil {
		return err
	}
	asked, ended := store.NoLogs(), make(chan error, 1)
	go func() {
		rng := rand.NewChaCha8([32]byte{3})
		for {
			data := make([]byte, 4000) // kept in the tree
			rng.Read(data)
			if _, err := s.Put(context.Background(), data); err != nil {
				ended <- err
				return
			}
		}
	}()
	const readers = 4
	read := make(chan error, readers)
	for range readers {
		go func() {
			for {
				if _, err := s.Get(context.Background(), kept); err != nil {
					read <- err
					return
				}
			}
		}()
	}
	for range 3 { // the first time there was a reserve to give
		select {
		case <-asked:
		case err := <-ended:
			return fmt.Errorf("put: %w", err)
		}
	}
	if err := s.Close(); err != nil {
		fmt.Println(err) // it may end in the middle: the log has all
	}
	if err := <-ended; err == nil {
		return errors.New("put: no error")
	}
	for range readers {
		if err := <-read; errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("read: %w", err)
		}
	}
	if st := s.Stat(); st.Quarantined > 0 {
		return fmt.Errorf("taken for damaged: %+v", st)
	}
	return nil
}

func TestCloseOnFullDisk(t *testing.T) {
	t.Parallel()
	smallDisk(t, "close")
}

// filledAgain has another program take all that removing freed, again and again: removing works
// each time, and so does writing the small files of a node.
func filledAgain(d *smallFS) error {
	ctx := context.Background()
	rng := rand.NewChaCha8([32]byte{3})
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	var models [][]store.Block
	for range 3 {
		var blocks []store.Block
		for range 6 {
			data := make([]byte, 1<<20)
			rng.Read(data)
			b, err := store.NewBlock(data)
			if err != nil {
				return err
			}
			blocks = append(blocks, b)
		}
		if _, err := s.PutMany(ctx, blocks); err != nil {
			return err
		}
		for _, b := range blocks {
			if err := s.Pin(b.CID()); err != nil {
				return err
			}
		}
		models = append(models, blocks)
	}
	if err := s.WriteFile(filepath.Join(d.dir, "hosting.json"), []byte("[]")); err != nil {
		return err
	}
	for round, blocks := range models {
		if err := s.Close(); err != nil {
			return err
		}
		if err := d.fill(); err != nil {
			return err
		}
		if s, err = store.Open(d.config()); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		if err := s.WriteFile(filepath.Join(d.dir, "hosting.json"), []byte("[]")); err != nil {
			return fmt.Errorf("round %d: write a small file: %w", round, err)
		}
		for _, b := range blocks {
			if err := s.Unpin(b.CID()); err != nil {
				return fmt.Errorf("round %d: unpin: %w", round, err)
			}
		}
		st, err := s.GC(ctx)
		if err != nil || st.Removed != len(blocks) || st.Freed < st.RemovedBytes*9/10 {
			return fmt.Errorf("round %d: gc: %+v, %v", round, st, err)
		}
		fmt.Printf("round %d: %+v\n", round, st)
		for _, left := range models[round+1:] {
			if err := allReadable(s, cidsOf(left)); err != nil {
				return fmt.Errorf("round %d: %w", round, err)
			}
		}
	}
	if temporary, err := filepath.Glob(filepath.Join(d.dir, "hosting.json?*")); err != nil || len(temporary) > 0 {
		return fmt.Errorf("%v left, %w", temporary, err)
	}
	return s.Close()
}

func TestDiskFilledAgain(t *testing.T) {
	t.Parallel()
	smallDisk(t, "again")
}

func TestStartOnFullDisk(t *testing.T) {
	t.Parallel()
	smallDisk(t, "full")
}

func TestDiskFilledByAnotherProgram(t *testing.T) {
	t.Parallel()
	smallDisk(t, "race")
}
