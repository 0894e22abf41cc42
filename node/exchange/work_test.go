package exchange

import (
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
)

// TestRelayedIsLast gives a relayed provider work when nobody else may have it, and when those
// who may are silent.
func TestRelayedIsLast(t *testing.T) {
	t.Parallel()
	var want []cid.Cid
	for i := range byte(4) {
		b, err := store.NewBlock([]byte{i})
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, b.CID())
	}
	now := time.Unix(1e9, 0)
	w := newWork(want, []host.ID{"a", "b", "c"}, func() {})
	a, b, c := w.living[0], w.living[1], w.living[2]
	gets := func(p *provider, what string, n int) {
		t.Helper()
		if ask, _, _ := w.take(p, now); len(ask) != n {
			t.Errorf("%s: asked for %d blocks, want %d", what, len(ask), n)
		}
	}
	w.reached(b, relayed)
	gets(b, "relayed, beside two that may be direct", 0)
	w.reached(a, away)
	gets(b, "beside one that may be direct", 0)
	w.settle()
	gets(b, "beside two that are not reached", 1)
	w.reached(c, direct)
	w.release(b)
	gets(b, "beside one that came late", 0)
	gets(c, "direct", 4)
	now = now.Add(relayTakesOver / 2)
	gets(b, "beside a slow one", 0)
	now = now.Add(relayTakesOver)
	gets(b, "beside a silent one", 1)
	w.drop(c)
	w.release(b)
	gets(b, "alone", 1)
}
