package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/store"
)

// modelOnSmallDisk puts a model of 60 MiB on a disk of 400 MB, fills the disk, and makes room. A
// model that would not fit on an empty one is refused with the size that the disk must have.
func modelOnSmallDisk(d *smallFS) error {
	cfg := store.Config{Dir: filepath.Join(d.dir, "store")}
	if d.budget != nil {
		cfg.Space = d.budget.Space
	}
	s, err := store.Open(cfg)
	if err != nil {
		return err
	}
	rng, blocks := rand.NewChaCha8([32]byte{1}), make([]store.Block, 60)
	for i := range blocks {
		data := make([]byte, 1<<20)
		rng.Read(data)
		if blocks[i], err = store.NewBlock(data); err != nil {
			return err
		}
	}
	if err := s.CheckModel(60 << 20); err != nil {
		return fmt.Errorf("of 60 MiB: %w", err)
	}
	if _, err := s.PutMany(context.Background(), blocks[:40]); err != nil {
		return err
	}
	if err := s.Pin(blocks[0].CID()); err != nil {
		return err
	}
	if err := s.CheckModel(300 << 20); err == nil || !strings.Contains(err.Error(), "the disk is too small for that: it has 381 MiB in all, and must have ") {
		return fmt.Errorf("of 300 MiB: %w", err)
	}
	if err := d.fillTo(100 << 20); err != nil {
		return err
	}
	err = s.CheckModel(20 << 20)
	if err == nil || !strings.Contains(err.Error(), "and 96 MiB must stay free") || !strings.Contains(err.Error(), ": models (covey model ls, covey model rm MODEL) or other files") {
		return fmt.Errorf("of 20 MiB on a full disk: %w", err)
	}
	if err := d.clear(); err != nil {
		return err
	}
	if _, err := s.PutMany(context.Background(), blocks[40:]); err != nil {
		return fmt.Errorf("after the disk was full: %w", err)
	}
	return errors.Join(allReadable(s, cidsOf(blocks)), s.Close())
}

func TestModelOnSmallDisk(t *testing.T) {
	t.Parallel()
	smallDisk(t, "small")
}

// TestSmallMargin leaves a quarter of a small disk free, and no less than the database needs.
func TestSmallMargin(t *testing.T) {
	t.Parallel()
	for total, want := range map[int64]int64{400e6: 96 << 20, 1 << 30: 256 << 20, 2 << 30: 512 << 20, 4 << 30: 512 << 20, 100 << 30: 5 << 30} {
		var d disk
		d.total.Store(total)
		d.free.Store(total)
		v, err := store.Look(store.Config{Dir: t.TempDir(), Space: d.space})
		if err != nil || v.Margin != want {
			t.Errorf("of %d bytes %d stay free, want %d, %v", total, v.Margin, want, err)
		}
	}
}

// TestAdvice asks for room in vain: all figures are in MiB and add up, and the advice helps.
func TestAdvice(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20
	for name, c := range map[string]struct {
		total, free, need int64
		limit             int64
		model             bool
		want              string
	}{
		"no model":  {4096 * mib, 600 * mib, 300 * mib, 0, false, "no room for 300 MiB: the disk has 600 MiB free, and 512 MiB must stay free beside 16 MiB for files of the store; remove at least 228 MiB of other files, or choose a directory on another disk (covey up --data)"},
		"a model":   {4096 * mib, 600 * mib, 300*mib + 1, 0, true, "no room for 301 MiB: the disk has 600 MiB free, and 512 MiB must stay free beside 18 MiB for files of the store; remove at least 231 MiB: models (covey model ls, covey model rm MODEL) or other files"},
		"too small": {400e6, 200 * mib, 300 * mib, 0, false, "no room for 300 MiB: the disk has 200 MiB free, and 96 MiB must stay free beside 16 MiB for files of the store; the disk is too small for that: it has 381 MiB in all, and must have 634 MiB; choose a directory on a larger one (covey up --data)"},
		"limit":     {4096 * mib, 4000 * mib, 30 * mib, 20 * mib, false, "no room for 30 MiB: LEFT MiB are left of the disk limit of 20 MiB; raise the limit (covey up --disk, or limits.disk in config.toml) by at least SHORT MiB"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var d disk
			d.total.Store(100 << 30)
			d.free.Store(90 << 30)
			s := open(t, store.Config{Space: d.space, Limit: c.limit})
			if c.model {
				b := randomBlocks(t, 1, 1, 1<<20)[0]
				put(t, s, b)
				if err := s.Pin(b.CID()); err != nil {
					t.Fatal(err)
				}
			}
			d.total.Store(c.total)
			d.free.Store(c.free)
			left := (20*mib - s.Stat().DiskBytes) >> 20 // the store has lists of its own
			want := strings.NewReplacer("LEFT", fmt.Sprint(left), "SHORT", fmt.Sprint(30-left)).Replace(c.want)
			if err := s.CheckModel(c.need); err == nil || err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
		})
	}
}
