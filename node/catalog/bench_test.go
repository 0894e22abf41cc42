package catalog_test

import (
	"fmt"
	"testing"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/catalog"
)

// BenchmarkImport imports 600 MB that are made up in memory: hashing and storing.
func BenchmarkImport(b *testing.B) {
	ck := synthetic(b, 1<<16, 1024, 16)
	b.SetBytes(ck.Bytes())
	for i := range b.N {
		b.StopTimer()
		c := newCatalog(b, catalog.Config{Store: openStore(b)})
		b.StartTimer()
		if _, err := c.Import(b.Context(), ck, fmt.Sprint("m", i), nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWeights reads all tensors back.
func BenchmarkWeights(b *testing.B) {
	ck := synthetic(b, 1<<16, 1024, 16)
	c := newCatalog(b, catalog.Config{Store: openStore(b)})
	m, err := c.Import(b.Context(), ck, "m", nil)
	if err != nil {
		b.Fatal(err)
	}
	w := c.Weights(m)
	b.SetBytes(ck.Bytes())
	for b.Loop() {
		for _, s := range ck.Tensors {
			if _, err := w.Tensor(b.Context(), s.Part, s.Name); err != nil {
				b.Fatal(err)
			}
		}
	}
}

// BenchmarkHeld looks for what is here of a model with 70 thousand blocks.
func BenchmarkHeld(b *testing.B) {
	s := openStore(b)
	c := newCatalog(b, catalog.Config{Store: s})
	id := put(b, s, bare(b, tiny(b, func(c *model.Config) { c.Llama.Blocks, c.Llama.Dim, c.Llama.FFN = 50, 8192, 28672 })))
	m, err := c.Get(b.Context(), id, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(m.Manifest.Bytes)/(1<<20), "MiB/model")
	for b.Loop() {
		c.Held(m)
	}
}
