package catalog

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	cid "github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// healAttempts is how often the blocks of a run of bytes are fetched before reading it is
// given up: a fetched block may be damaged on disk again.
const healAttempts = 2

// weights reads the tensors of a model from blocks.
type weights struct {
	c *Catalog
	m *Model
}

var _ model.Weights = (*weights)(nil)

// Weights returns the tensors of a model. A block that is missing or damaged is fetched
// from Providers, and stays. The weights also tell sizes: Bytes(ctx, part) is the memory
// that the tensors of a part take as they are stored, or, of a model of images or tables, as it runs.
func (c *Catalog) Weights(m *Model) model.Weights { return &weights{c, m} }

// Bytes returns the size of the tensors of a part, 0 if there is no such part.
func (w *weights) Bytes(_ context.Context, part model.Part) int64 {
	var n int64
	if p := w.m.Manifest.Part(wirePart(part)); p != nil {
		for i := range p.Tensors {
			t := &p.Tensors[i]
			if !w.m.Config.TakesNumbers() {
				n += t.Bytes
				continue
			}
			size := int64(4) // 16 bits become 32
			for _, d := range t.Shape {
				size *= int64(d) // the manifest's bytes agree with its shape, so this is far from overflow
			}
			n += size
		}
	}
	return n
}

// Tensor reads a tensor whose bytes are those that the manifest names.
func (w *weights) Tensor(ctx context.Context, part model.Part, name string) (tensor.Tensor, error) {
	t := w.m.Manifest.Part(wirePart(part)).Tensor(name)
	if t == nil {
		return tensor.Tensor{}, fmt.Errorf("model %s has no tensor %q in %v", w.m.CID, name, part)
	}
	dtype, shape, err := typeOf(t)
	if err != nil {
		return tensor.Tensor{}, err
	}
	data, err := w.c.read(ctx, w.m.CID, t.Bytes, t.Blocks)
	if err != nil {
		return tensor.Tensor{}, fmt.Errorf("read tensor %q of %v: %w", name, part, err)
	}
	return tensor.Tensor{Name: name, DType: dtype, Shape: shape, Data: data}, nil
}

// typeOf returns what the manifest says of a tensor as the engine has it.
func typeOf(t *wire.Tensor) (tensor.DType, tensor.Shape, error) {
	dtype, err := tensor.Parse(t.DType)
	shape := make(tensor.Shape, len(t.Shape))
	for i, d := range t.Shape {
		shape[i] = int(d)
	}
	return dtype, shape, err
}

// read returns a run of bytes that is cut into blocks. Memory is taken only when all blocks
// are here and have the lengths that the manifest needs.
func (c *Catalog) read(ctx context.Context, id cid.Cid, size int64, blocks wire.Digests) ([]byte, error) {
	var data []byte
	for attempt := 0; ; attempt++ {
		bad, err := c.absent(size, blocks)
		if err != nil {
			return nil, err
		}
		if len(bad) == 0 {
			if data == nil {
				data = make([]byte, size)
			}
			if bad, err = c.readBlocks(ctx, data, blocks); err != nil {
				return nil, err
			}
		}
		if len(bad) == 0 {
			return data, nil
		}
		if attempt == healAttempts {
			return nil, fmt.Errorf("%d blocks were fetched and cannot be read, the first is %s: %w", len(bad), bad[0], store.ErrNotFound)
		}
		if err := c.heal(ctx, id, bad); err != nil {
			return nil, err
		}
	}
}

// absent lists the blocks of a run of bytes that are not here. It is an error if one that
// is here has another length than its place.
func (c *Catalog) absent(size int64, blocks wire.Digests) ([]cid.Cid, error) {
	var out []cid.Cid
	for i := range blocks.Len() {
		b := blocks.At(i)
		n, here := c.store.Size(b)
		if !here {
			out = append(out, b)
		} else if err := checkLen(b, n, wire.BlockLen(size, i)); err != nil {
			return nil, err
		}
	}
	return unique(out), nil
}

func unique(ids []cid.Cid) []cid.Cid {
	seen := make(map[cid.Cid]struct{}, len(ids))
	return slices.DeleteFunc(ids, func(id cid.Cid) bool {
		_, twice := seen[id]
		seen[id] = struct{}{}
		return twice
	})
}

// heal fetches blocks that a reader waits for.
func (c *Catalog) heal(ctx context.Context, id cid.Cid, bad []cid.Cid) error {
	st, err := c.fetch(ctx, id, bad, nil, exchange.Options{Priority: wire.PriorityLoad})
	if err != nil {
		return fmt.Errorf("fetch %d missing blocks, the first is %s: %w", len(bad), bad[0], err)
	}
	c.log.Info("missing blocks fetched", "model", id, "blocks", len(bad), "bytes", st.Bytes)
	return nil
}

func checkLen(b cid.Cid, got, want int) error {
	if got != want {
		return fmt.Errorf("block %s has %d bytes, the manifest needs %d", b, got, want)
	}
	return nil
}

// readBlocks fills dst from its blocks, on all cores, and lists those that must be fetched.
func (c *Catalog) readBlocks(ctx context.Context, dst []byte, blocks wire.Digests) (bad []cid.Cid, err error) {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	var mu sync.Mutex
	at := 0
	for i := range blocks.Len() {
		n := wire.BlockLen(int64(len(dst)), i)
		place := dst[at : at : at+n]
		at += n
		g.Go(func() error {
			b := blocks.At(i)
			data, err := c.store.GetTo(ctx, place, b)
			if errors.Is(err, store.ErrNotFound) {
				mu.Lock()
				defer mu.Unlock()
				bad = append(bad, b)
				return nil
			}
			if err != nil {
				return err
			}
			return checkLen(b, len(data), n)
		})
	}
	err = g.Wait()
	return unique(bad), err
}
