package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/store"
)

// withoutReserve fills a disk to the last byte, and leaves no reserve either.
func (d *smallFS) withoutReserve() error {
	return errors.Join(os.Remove(filepath.Join(d.config().Dir, "reserve")), d.fill())
}

// owed reports whether the store has noted that a GC is owed, or to discard drafts.
func (d *smallFS) owed() bool {
	_, gcErr := os.Stat(filepath.Join(d.config().Dir, "collect"))
	_, draftErr := os.Stat(filepath.Join(d.config().Dir, "discard"))
	return gcErr == nil || draftErr == nil
}

// largeBlocks makes n blocks of 1 MiB, which are kept outside of the tree.
func largeBlocks(rng *rand.ChaCha8, n int) (out []store.Block, err error) {
	for range n {
		data := make([]byte, 1<<20)
		rng.Read(data)
		b, err := store.NewBlock(data)
		if err != nil {
			return nil, err
		}
		out = append(out, b)
	}
	return out, nil
}

// often tries something until it is done; the child's deadline bounds it.
func often(done func() bool) {
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for !done() {
		<-t.C
	}
}

// owedOverRestart removes blocks while there is no room to give their space back, nor to close
// the database: nobody else opens it meanwhile, and after a restart with room a GC does what
// is owed. One that is cancelled does not.
func owedOverRestart(d *smallFS) error {
	ctx := context.Background()
	store.QuickWaits()
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	blocks, err := largeBlocks(rand.NewChaCha8([32]byte{4}), 16)
	if err != nil {
		return err
	}
	if _, err := s.PutMany(ctx, blocks); err != nil {
		return err
	}
	kept, gone := blocks[0].CID(), cidsOf(blocks[1:])
	if err := s.Pin(kept); err != nil {
		return err
	}
	if err := s.Delete(ctx, gone...); err != nil {
		return err
	}
	before := s.Stat().DiskBytes
	if err := d.withoutReserve(); err != nil {
		return err
	}
	if st, err := s.GC(ctx); !refused(err) || !d.owed() {
		return fmt.Errorf("gc without room: %+v, %v, noted: %t", st, err, d.owed())
	}
	if err := allReadable(s, []cid.Cid{kept}); err != nil {
		return fmt.Errorf("after a gc without room: %w", err)
	}
	if err := s.Close(); !store.Unclosed(err) {
		return fmt.Errorf("close without room for a table: %v", err)
	}
	if _, err := store.Open(d.config()); !errors.Is(err, store.ErrInUse) {
		return fmt.Errorf("open while another one is still being closed: %v", err)
	}
	if err := d.clear(); err != nil {
		return err
	}
	often(func() bool { s, err = store.Open(d.config()); return !errors.Is(err, store.ErrInUse) })
	if err != nil {
		return err
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := s.GC(cancelled); err == nil || !d.owed() {
		return fmt.Errorf("gc that is cancelled: %v, noted: %t", err, d.owed())
	}
	s.PayOwed(ctx)
	if after := s.Stat().DiskBytes; d.owed() || after > before/2 {
		return fmt.Errorf("after the gc that was owed: %d bytes of %d, noted: %t", after, before, d.owed())
	}
	if err := allReadable(s, []cid.Cid{kept}); err != nil {
		return err
	}
	return s.Close()
}

func TestGCOwedOverRestart(t *testing.T) {
	t.Parallel()
	smallDisk(t, "owed")
}

// discardOwed discards a draft while there is no room for that: its blocks go when there is, also
// after a restart, and no others, such as those of a model that was unpinned and not removed.
func discardOwed(d *smallFS) error {
	ctx := context.Background()
	store.QuickWaits()
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	loose, err := s.Put(ctx, []byte("of no draft, and not pinned"))
	if err != nil {
		return err
	}
	for _, restart := range []bool{false, true} {
		blocks, err := largeBlocks(rand.NewChaCha8([32]byte{5}), 16)
		if err != nil {
			return err
		}
		draft, err := s.Draft()
		if err != nil {
			return err
		}
		if err := draft.Add(cidsOf(blocks)...); err != nil {
			return err
		}
		if _, err := s.PutMany(ctx, blocks); err != nil {
			return err
		}
		before := s.Stat().DiskBytes
		if err := d.withoutReserve(); err != nil {
			return err
		}
		if err := draft.Discard(ctx); !refused(err) || !d.owed() {
			return fmt.Errorf("discard without room: %v, noted: %t", err, d.owed())
		}
		if restart {
			if err = s.Close(); store.Unclosed(err) { // it is still open on the full disk
				err = nil
			}
		}
		if err := errors.Join(err, d.clear()); err != nil {
			return err
		}
		if restart { // the last one may still be closing
			often(func() bool { s, err = store.Open(d.config()); return !errors.Is(err, store.ErrInUse) })
			if err != nil {
				return err
			}
		}
		often(func() bool { s.PayOwed(ctx); return !d.owed() }) // the database may still be closing
		if st := s.Stat(); st.Blocks != 1 || st.DiskBytes > before/2 {
			return fmt.Errorf("after what was owed, restarted: %t: %+v, %d bytes before", restart, st, before)
		}
		if err := allReadable(s, []cid.Cid{loose}); err != nil {
			return err
		}
		if left, err := filepath.Glob(filepath.Join(d.config().Dir, "draft-*")); err != nil || len(left) > 0 {
			return fmt.Errorf("%v left, %w", left, err)
		}
		s.Watch() // it makes the reserve again
	}
	return s.Close()
}

func TestDiscardOwed(t *testing.T) {
	t.Parallel()
	smallDisk(t, "discard")
}

// givesBack removes what is in the newest file, on a disk that is full but for what the database
// has in advance: the disk gets both back, whatever ran before.
func givesBack(d *smallFS) error {
	ctx := context.Background()
	cfg := d.config()
	cfg.MarginBytes = 40 << 20
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	for round := range 2 {
		blocks, err := largeBlocks(rand.NewChaCha8([32]byte{7}), 3)
		if err != nil {
			return err
		}
		if _, err := s.PutMany(ctx, blocks); err != nil {
			return err
		}
		if err := d.fillTo(20 << 20); err != nil { // the database could open with its usual files
			return err
		}
		before, _, err := s.Space()
		if err != nil {
			return err
		}
		st, err := s.GC(ctx)
		if err != nil || st.Removed != len(blocks) {
			return fmt.Errorf("gc: %+v, %w", st, err)
		}
		after, _, err := s.Space()
		if got := after - before; err != nil || got < st.RemovedBytes+2<<20 || got < st.Freed-1<<20 || got > st.Freed+1<<20 {
			return fmt.Errorf("round %d: the disk got %d bytes back, %w: %+v", round, got, err, st)
		}
		if err := d.clear(); err != nil {
			return err
		}
		s.Watch()
	}
	return s.Close()
}

func TestGCGivesFilesInAdvanceBack(t *testing.T) {
	t.Parallel()
	smallDisk(t, "gives")
}

// fewWithoutRoom puts a little on a full disk: that takes no more than half of the reserve, and
// once there is room what was said to be free is free after the next put too.
func fewWithoutRoom(d *smallFS) error {
	ctx := context.Background()
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	rng := rand.NewChaCha8([32]byte{8})
	blocks, err := largeBlocks(rng, 12)
	if err != nil {
		return err
	}
	if _, err := s.PutMany(ctx, blocks[:10]); err != nil {
		return err
	}
	if err := errors.Join(s.Close(), d.fill()); err != nil {
		return err
	}
	if s, err = store.Open(d.config()); err != nil {
		return err
	}
	if _, err := s.PutMany(ctx, blocks[10:11]); !refused(err) {
		return fmt.Errorf("put much without room: %w", err)
	}
	var held []cid.Cid
	for err == nil {
		data := make([]byte, 100_000)
		rng.Read(data)
		b, blockErr := store.NewBlock(data)
		if blockErr != nil {
			return blockErr
		}
		if _, err = s.PutFew(ctx, []store.Block{b}); err == nil {
			held = append(held, b.CID())
		}
	}
	kept, statErr := os.Stat(filepath.Join(d.config().Dir, "reserve"))
	free, _, spaceErr := s.Space() // the reserve goes in steps
	if !refused(err) || len(held) < 10 || statErr != nil || spaceErr != nil || kept.Size()+free < store.SmallReserve/2 {
		return fmt.Errorf("put few without room, %d times: %w; of the reserve there is %v, %w", len(held), err, kept, statErr)
	}
	if err := d.clear(); err != nil {
		return err
	}
	said := s.Stat()
	if err := s.CheckModel(said.Free); err != nil || said.Full != "" { // nobody looked at the room since
		return fmt.Errorf("%+v: %w", said, err)
	}
	if _, err := s.PutMany(ctx, blocks[11:]); err != nil {
		return err
	}
	s.Watch()
	const apart = 2 << 20 // what the files hold changes a little when they are made again; they have 10 MiB
	if is := s.Stat().Free + 1<<20; is < said.Free-apart || is > said.Free+apart {
		return fmt.Errorf("%d bytes are free before and after 1 MiB, of %d", is, said.Free)
	}
	if err := allReadable(s, append(held, cidsOf(blocks[:10])...)); err != nil {
		return err
	}
	return s.Close()
}

func TestFewWithoutRoom(t *testing.T) {
	t.Parallel()
	smallDisk(t, "few")
}

// logWithoutRoom has no room for a log of changes: who puts and who reads is told so after a
// while, no block is taken for damaged, and all goes on when there is room.
func logWithoutRoom(d *smallFS) error {
	ctx := context.Background()
	store.QuickWaits()
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	rng := rand.NewChaCha8([32]byte{6})
	var held []cid.Cid
	store.NoLogs()
	for err == nil {
		data := make([]byte, 4000) // kept in the tree
		rng.Read(data)
		var c cid.Cid
		if c, err = s.Put(ctx, data); err == nil {
			held = append(held, c)
		}
	}
	if !refused(err) || len(held) == 0 {
		return fmt.Errorf("put without a log: %w after %d", err, len(held))
	}
	for _, c := range held {
		if _, err := s.Get(ctx, c); !refused(err) || errors.Is(err, store.ErrNotFound) {
			return fmt.Errorf("get without a log: %v", err)
		}
	}
	if err := s.Pin(held[0]); !refused(err) {
		return fmt.Errorf("pin without a log: %v", err)
	}
	if st := s.Stat(); st.Quarantined > 0 || st.Blocks != len(held) {
		return fmt.Errorf("%+v, %d blocks were put", st, len(held))
	}
	store.Logs()
	s.Watch()
	if err := allReadable(s, held); err != nil {
		return err
	}
	if _, err := s.PutMany(ctx, smallBlocks(rng, 8)); err != nil {
		return err
	}
	return s.Close()
}

func TestLogWithoutRoom(t *testing.T) {
	t.Parallel()
	smallDisk(t, "log")
}

// TestLogFilesDoNotGrow puts more at once than a log file of values has room for.
func TestLogFilesDoNotGrow(t *testing.T) {
	t.Parallel()
	cfg := store.SmallFiles(store.Config{Dir: t.TempDir()})
	s := open(t, cfg)
	put(t, s, randomBlocks(t, 1, 40, 1<<20)...)
	files, err := filepath.Glob(filepath.Join(cfg.Dir, "blocks", "*.vlog"))
	if err != nil || len(files) < 5 {
		t.Fatalf("files are %v, %v", files, err)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Size() > store.SmallFile*2 {
			t.Errorf("%s has %d bytes, %v: it was mapped at %d", f, info.Size(), err, store.SmallFile*2)
		}
	}
}
