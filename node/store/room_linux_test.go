package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/store"
)

// TestRoomGrowsWithDisk lends no less of a larger disk than of a smaller one, and says what a disk
// must have that is too small.
func TestRoomGrowsWithDisk(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	last := int64(0)
	for total := int64(100 * mib); total < 4096*mib; total += 10 * mib {
		var d disk
		d.total.Store(total)
		d.free.Store(total)
		v, err := store.Look(store.Config{Dir: t.TempDir(), Space: d.space})
		if err != nil || v.Room < last {
			t.Fatalf("an empty disk of %d MiB lends %d MiB, a smaller one %d, %v", total/mib, v.Room/mib, last/mib, err)
		}
		if tooSmall := total < 240*mib; tooSmall != (v.Room == 0) || tooSmall && !strings.Contains(v.Mend, "and must have 251 MiB") {
			t.Errorf("an empty disk of %d MiB lends %d bytes: %s", total/mib, v.Room, v.Mend)
		}
		last = v.Room
	}
}

// tinyDisk fills a disk of 250 MiB under a store that is open, and removes.
func tinyDisk(d *smallFS) error {
	ctx := context.Background()
	cfg := store.Config{Dir: filepath.Join(d.dir, "store")}
	if d.budget != nil {
		cfg.Space = d.budget.Space
	}
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	blocks, err := largeBlocks(rand.NewChaCha8([32]byte{1}), 10)
	if err != nil {
		return err
	}
	if err := s.CheckModel(10 << 20); err != nil {
		return err
	}
	if _, err := s.PutMany(ctx, blocks); err != nil {
		return err
	}
	if err := errors.Join(s.Pin(blocks[0].CID()), d.fill()); err != nil {
		return err
	}
	st, err := s.GC(ctx)
	if err != nil || st.Removed != 9 || st.Freed < 9<<20 {
		return fmt.Errorf("gc on a full disk: %+v, %w", st, err)
	}
	return errors.Join(allReadable(s, []cid.Cid{blocks[0].CID()}), s.Close())
}

func TestRemoveOnTinyFullDisk(t *testing.T) {
	t.Parallel()
	smallDisk(t, "tiny")
}

// smallFileOver writes a small file on a full disk without a reserve: over what is there, or not at
// all if it has become too long for that.
func smallFileOver(d *smallFS) error {
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	if d.budget != nil { // a budget does not stop such writes
		return s.Close()
	}
	store.QuickWaits()
	name := filepath.Join(d.dir, "hosting.json")
	first := []byte(`["first", "second"]`)
	if err := errors.Join(s.WriteFile(name, first), d.withoutReserve()); err != nil {
		return err
	}
	same := func(want []byte) error {
		b, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(bytes.TrimSpace(b), want) || !json.Valid(b) {
			return fmt.Errorf("there is %q, %w; want %q", b, err, want)
		}
		return nil
	}
	for _, next := range []string{`["first"]`, `[]`, `["first", "second", "third"]`} {
		if err := s.WriteFile(name, []byte(next)); err != nil {
			return fmt.Errorf("write %s: %w", next, err)
		}
		first = []byte(next)
		if err := same(first); err != nil {
			return err
		}
	}
	if err := s.WriteFile(name, []byte("["+strings.Repeat(`"long", `, 10_000)+`""]`)); !store.IsFull(err) {
		return fmt.Errorf("write what does not fit: %w", err)
	}
	if err := same(first); err != nil {
		return err
	}
	return errors.Join(d.clear(), s.Close())
}

func TestSmallFileOver(t *testing.T) {
	t.Parallel()
	smallDisk(t, "over")
}

var atLeast = regexp.MustCompile(`at least (\d+) MiB`)

// told returns how much an error says is to be removed.
func told(err error) (int, error) {
	if err == nil {
		return 0, errors.New("no error")
	}
	m := atLeast.FindStringSubmatch(err.Error())
	if m == nil {
		return 0, fmt.Errorf("no figure: %w", err)
	}
	return strconv.Atoi(m[1])
}

// freeNeverFalls fills a disk with models of different sizes, and removes some again: what is free
// is no less after that, and who removes as much as a refusal says has the room.
func freeNeverFalls(d *smallFS) error {
	ctx := context.Background()
	cfg := store.Config{Dir: filepath.Join(d.dir, "store")}
	if d.budget != nil {
		cfg.Space = d.budget.Space
	}
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	rng := rand.NewChaCha8([32]byte{11})
	var models [][]store.Block
	put := func(blocks int) error {
		model, err := largeBlocks(rng, blocks)
		if err == nil {
			err = s.CheckModel(int64(blocks) << 20)
		}
		if err != nil {
			return err
		}
		for i := range model { // one by one, as they come
			if _, err := s.PutMany(ctx, model[i:i+1]); err != nil {
				return fmt.Errorf("put what was to fit: %w", err)
			}
			if err := s.Pin(model[i].CID()); err != nil {
				return err
			}
		}
		models = append(models, model)
		return nil
	}
	remove := func() error {
		before := s.Stat().Free
		for _, b := range models[0] {
			if err := s.Unpin(b.CID()); err != nil {
				return err
			}
		}
		st, err := s.GC(ctx)
		fmt.Printf("removed %d MiB, %d bytes back: free %d before, %d after\n", len(models[0]), st.Freed, before, s.Stat().Free)
		if after := s.Stat().Free; err != nil || after < before {
			return fmt.Errorf("%d bytes are free after removing %d MiB, %d before: %+v, %w", after, len(models[0]), before, st, err)
		}
		models = models[1:]
		return nil
	}
	for i := 0; ; i++ {
		size := []int{5, 1, 3, 2, 20}[i%5]
		if err := put(size); refused(err) {
			break
		} else if err != nil {
			return err
		}
	}
	for range 6 {
		if err := remove(); err != nil {
			return err
		}
		const wanted = 13
		err := s.CheckModel(wanted << 20)
		if err == nil {
			err = put(wanted)
			if err != nil {
				return err
			}
			continue
		}
		n, err := told(err)
		if err != nil {
			return err
		}
		for gone := 0; gone < n; {
			gone += len(models[0])
			if err := remove(); err != nil {
				return err
			}
		}
		if err := put(wanted); err != nil {
			return fmt.Errorf("after %d MiB were removed, as told: %w", n, err)
		}
	}
	return s.Close()
}

func TestFreeNeverFalls(t *testing.T) {
	t.Parallel()
	smallDisk(t, "steps")
}

// TestLimitBelowWhatIsUsed lends less than models take already: what is told to be removed is enough.
func TestLimitBelowWhatIsUsed(t *testing.T) {
	t.Parallel()
	cfg := store.Config{Dir: t.TempDir()}
	s := open(t, cfg)
	b := randomBlocks(t, 1, 24, 1<<20)
	put(t, s, b...)
	for _, b := range b {
		if err := s.Pin(b.CID()); err != nil {
			t.Fatal(err)
		}
	}
	closed(t, s)
	cfg.Limit = 10 << 20
	s = open(t, cfg)
	n, err := told(errors.New(s.Stat().Mend))
	if used := int(s.Stat().DiskBytes >> 20); err != nil || n < used-10 || n > used-8 {
		t.Errorf("%d MiB are to be removed, %v, of %d with a limit of 10", n, err, used)
	}
	refusal := s.CheckModel(4 << 20)
	n, err = told(refusal)
	if err != nil || n >= len(b) || !strings.Contains(refusal.Error(), "the disk limit of 10 MiB is used up: the store takes ") {
		t.Fatalf("%d MiB are to be removed, %v: %v", n, err, refusal)
	}
	for _, b := range b[:n] {
		if err := s.Unpin(b.CID()); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.GC(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.CheckModel(4 << 20); err != nil {
		t.Errorf("after %d MiB were removed, as told: %v", n, err)
	}
}

// TestClaim keeps room for what is being stored from others, until it is stored or given up.
func TestClaim(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	var d disk
	d.total.Store(4096 * mib)
	d.free.Store(4000 * mib)
	s := open(t, store.Config{Space: d.space})
	d.free.Store(s.Stat().Free + 200*mib) // files and margin have the rest
	d.free.Store(d.free.Load() - s.Stat().Free + 100*mib)
	first, err := s.Claim("one", 60*mib)
	if err != nil || s.Stat().Free != 40*mib || s.Stat().Full != "" {
		t.Fatalf("%v, %+v", err, s.Stat())
	}
	again, err := s.Claim("one", 60*mib) // the same model by another way
	if err != nil || s.Stat().Free != 40*mib {
		t.Errorf("%v, %d bytes free", err, s.Stat().Free)
	}
	_, err = s.Claim("two", 60*mib)
	if n, toldErr := told(err); toldErr != nil || n != 20 || !strings.Contains(err.Error(), "60 MiB are for what is being stored") {
		t.Errorf("refused with %d MiB, %v: %v", n, toldErr, err)
	}
	first.Left(10 * mib)
	again.Left(30 * mib)
	if free := s.Stat().Free; free != 70*mib {
		t.Errorf("%d bytes are free beside 30 MiB", free)
	}
	first.Release()
	again.Release()
	again.Release()
	if free := s.Stat().Free; free != 100*mib {
		t.Errorf("%d bytes are free without a claim", free)
	}
	if err := s.Refused(60 * mib); err == nil || !strings.HasSuffix(err.Error(), "has room for 60 MiB now: try again") {
		t.Errorf("refused with room: %v", err)
	}
}
