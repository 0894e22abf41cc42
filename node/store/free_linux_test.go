package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/covey-network/covey/node/store"
)

// takesWhatItIs puts models until there is no room, with other runs of blocks each, over a removal
// and a restart: each takes as much of what is said to be free as it has, what is lent stays, and
// what is said to be free can be taken.
func takesWhatItIs(d *smallFS) error {
	ctx := context.Background()
	s, err := store.Open(d.config())
	if err != nil {
		return err
	}
	const apart = 2 << 20 // half of a file
	rng := rand.NewChaCha8([32]byte{9})
	before := s.Stat()
	same := func(what string, taken int64) error {
		is := s.Stat()
		fmt.Printf("%s: %d bytes free, and %d occupied\n", what, is.Free, is.DiskBytes)
		free, lent := is.Free-before.Free+taken, is.Free+is.DiskBytes-before.Free-before.DiskBytes
		if max(free, -free, lent, -lent) > apart {
			return fmt.Errorf("%s: %d bytes are free and %d lent more than expected: %+v, before %+v", what, free, lent, is, before)
		}
		before = is
		return nil
	}
	for i, run := range []int{1, 2, 7, 3, 5} {
		blocks, err := largeBlocks(rng, 7)
		if err != nil {
			return err
		}
		for len(blocks) > 0 {
			n := min(run, len(blocks))
			if _, err := s.PutMany(ctx, blocks[:n]); err != nil {
				return fmt.Errorf("model %d: %w", i, err)
			}
			if i%2 == 0 {
				if err := s.Pin(blocks[0].CID()); err != nil {
					return err
				}
			}
			blocks = blocks[n:]
		}
		if err := same(fmt.Sprint("model ", i), 7<<20); err != nil {
			return err
		}
	}
	st, err := s.GC(ctx)
	if err == nil {
		err = same("collected", -st.Freed)
	}
	if err != nil {
		return err
	}
	if err := s.Close(); err != nil {
		return err
	}
	outside, err := store.Look(d.config())
	if err != nil || outside.Room < before.Free-apart || outside.Room > before.Free+apart {
		return fmt.Errorf("seen from outside: %+v, %w; before %+v", outside, err, before)
	}
	if s, err = store.Open(d.config()); err != nil {
		return err
	}
	if err := same("restarted", 0); err != nil {
		return err
	}
	blocks, err := largeBlocks(rng, int(before.Free>>20))
	if err == nil {
		err = s.CheckModel(int64(len(blocks)) << 20)
	}
	for i := 0; err == nil && i < len(blocks); i++ {
		_, err = s.PutMany(ctx, blocks[i:i+1])
	}
	if err != nil {
		return fmt.Errorf("what is said to be free is not: %w", err)
	}
	return s.Close()
}

func TestFreeFallsByWhatIsPut(t *testing.T) {
	t.Parallel()
	smallDisk(t, "takes")
}
