package catalog_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/kernel"
	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/catalog"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol/wire"
)

// sameTensors checks that weights are those of a checkpoint, to the bit.
func sameTensors(t *testing.T, ck *model.Checkpoint, w model.Weights) {
	t.Helper()
	whole := ck.Weights()
	for _, s := range ck.Tensors {
		want, err := whole.Tensor(t.Context(), s.Part, s.Name)
		if err != nil {
			t.Fatal(err)
		}
		got, err := w.Tensor(t.Context(), s.Part, s.Name)
		if err != nil {
			t.Fatal(err)
		}
		if got.DType != want.DType || !got.Shape.Equal(want.Shape) || !bytes.Equal(got.Data, want.Data) {
			t.Errorf("%q of %v differs", s.Name, s.Part)
		}
	}
}

func TestWeights(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	m := imported(t, c)
	ck := demoCheckpoint(t)
	w := c.Weights(m)
	sameTensors(t, ck, w)

	pool := kernel.NewPool(2)
	t.Cleanup(pool.Close)
	want := logits(t, ck.Config, ck.Weights(), pool)
	if got := logits(t, m.Config, w, pool); !slices.Equal(got, want) {
		t.Error("logits differ from those of the files")
	}

	part := model.Part{Kind: model.Block, Index: 1}
	sized := w.(interface {
		Bytes(ctx context.Context, p model.Part) int64
	})
	var bytes int64
	for _, s := range ck.Tensors {
		if s.Part == part {
			bytes += s.Bytes
		}
	}
	if got := sized.Bytes(t.Context(), part); got != bytes {
		t.Errorf("%v has %d bytes, want %d", part, got, bytes)
	}
	if got := sized.Bytes(t.Context(), model.Part{Kind: model.Block, Index: 99}); got != 0 {
		t.Errorf("a part that is not there has %d bytes", got)
	}
	for _, p := range []model.Part{{}, {Kind: model.Block, Index: -1}, {Kind: model.Block, Index: 99}, {Kind: 9}, part} {
		if _, err := w.Tensor(t.Context(), p, "nothing"); err == nil {
			t.Errorf("%v has a tensor called nothing", p)
		}
	}
}

// logits are those of all positions of a short text, from a stage of the whole model.
func logits(t *testing.T, cfg model.Config, w model.Weights, pool *kernel.Pool) []float32 {
	t.Helper()
	stage, err := model.Load(t.Context(), cfg, cfg.Whole(), w, pool)
	if err != nil {
		t.Fatal(err)
	}
	s, err := stage.NewSession(16)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	out, err := stage.Forward(t.Context(), []model.Input{{Session: s, Tokens: []int32{1, 17, 300, 4000, 5}, Logits: model.LogitsAll}})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(out[0].Logits)
}

func TestHeal(t *testing.T) {
	t.Parallel()
	_, m, empty, f := pair(t)
	if _, err := empty.Get(t.Context(), m.CID, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := empty.Fetch(t.Context(), m, m.Manifest.Whole(), exchange.Options{}); err != nil {
		t.Fatal(err)
	}
	embedding := m.Manifest.Part(wire.PartEmbedding, 0).Tensor("tokens.weight")
	lost := embedding.Blocks.At(1)
	if err := f.to.Delete(t.Context(), lost); err != nil {
		t.Fatal(err)
	}
	calls := f.calls
	f.asked = nil
	sameTensors(t, demoCheckpoint(t), empty.Weights(m))
	if !f.to.Has(lost) || f.calls != calls+1 || !slices.Equal(f.asked, []cid.Cid{lost}) {
		t.Errorf("%d fetches of %v", f.calls-calls, f.asked)
	}

	// What nobody has is an error.
	if err := errors.Join(f.to.Delete(t.Context(), lost), f.from.Delete(t.Context(), lost)); err != nil {
		t.Fatal(err)
	}
	var missing *exchange.MissingError
	if _, err := empty.Weights(m).Tensor(t.Context(), model.Part{Kind: model.Embedding}, "tokens.weight"); !errors.As(err, &missing) {
		t.Errorf("got %v", err)
	}
	offline := newCatalog(t, catalog.Config{Store: f.to})
	if _, err := offline.Weights(m).Tensor(t.Context(), model.Part{Kind: model.Embedding}, "tokens.weight"); !errors.Is(err, catalog.ErrNotHere) {
		t.Errorf("offline: %v", err)
	}
}

// TestHealConcurrent loads all tensors at once into an empty catalog.
func TestHealConcurrent(t *testing.T) {
	t.Parallel()
	_, m, empty, _ := pair(t)
	cfg, w, err := empty.Model(t.Context(), m.CID)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, p := range cfg.Parts() {
		for _, s := range cfg.Specs(p) {
			wg.Go(func() {
				if _, err := w.Tensor(t.Context(), p, s.Name); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
	if held := empty.Held(m); !slices.Equal(held, []wire.Range{m.Manifest.Whole()}) {
		t.Errorf("holds %v", held)
	}
	sameTensors(t, demoCheckpoint(t), w)
}

// forgetful is a Fetcher that says it has done what it has not.
type forgetful struct{ copier }

func (f *forgetful) Fetch(context.Context, []cid.Cid, []host.ID, exchange.Options) (exchange.Stats, error) {
	f.calls++
	return exchange.Stats{}, nil
}

func TestHealGivesUp(t *testing.T) {
	t.Parallel()
	s := openStore(t)
	f := &forgetful{}
	c := newCatalog(t, catalog.Config{Store: s, Fetcher: f, Providers: func(context.Context, cid.Cid) []host.ID { return []host.ID{peer} }})
	id := put(t, s, bare(t, tiny(t, nil)))
	_, w, err := c.Model(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Tensor(t.Context(), model.Part{Kind: model.Embedding}, "tokens.weight"); !errors.Is(err, store.ErrNotFound) || f.calls == 0 || f.calls > 5 {
		t.Errorf("got %v after %d fetches", err, f.calls)
	}
}

func TestWeightsCanceled(t *testing.T) {
	t.Parallel()
	c := newCatalog(t, catalog.Config{Store: openStore(t)})
	m := imported(t, c)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Weights(m).Tensor(ctx, model.Part{Kind: model.Embedding}, "tokens.weight"); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
