package router_test

import (
	"slices"
	"testing"
	"time"

	"github.com/covey-network/covey/protocol/wire"
)

// TestImage sends images to the nearest peer, which fails at the second one, and on to
// another.
func TestImage(t *testing.T) {
	t.Parallel()
	near, far := &chainPeer{id: peer(1)}, &chainPeer{id: peer(2)}
	near.fail = func(n int) (error, bool) { return wireErrorAt(n, 2, wire.CodeInternal) }
	s := newSwarm(stage(near.id, 0, 8, time.Millisecond, nil), stage(far.id, 0, 8, 3*time.Millisecond, nil))
	serveAll(t, s, near, far)
	ses, err := s.router(t).Open(t.Context(), request())
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	for i := range 3 {
		vec, err := ses.Numbers(t.Context(), make([]float32, 12), 1)
		if err != nil || !slices.Equal(vec, []float32{1, -1}) {
			t.Errorf("image %d: got %v, %v", i, vec, err)
		}
	}
	if near.images != 2 || far.images != 2 || ses.Reroutes() != 1 {
		t.Errorf("%d and %d images, %d reroutes; want 2, 2 and 1", near.images, far.images, ses.Reroutes())
	}
	if _, err := ses.Numbers(t.Context(), nil, 1); err == nil {
		t.Error("an empty image passes")
	}
}
