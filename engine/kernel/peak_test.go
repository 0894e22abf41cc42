package kernel_test

import (
	"testing"

	"github.com/covey-network/covey/engine/kernel"
)

func TestPeakCountsItsWork(t *testing.T) {
	t.Parallel()
	p := newPool(t, 2)
	data := make([]byte, 5<<19) // two whole slices and a part
	for _, isa := range kernel.Supported() {
		if got := kernel.PeakISA(isa, p, kernel.PeakRead, data); got != 2<<20 {
			t.Errorf("%v: read %d bytes, want %d", isa, got, 2<<20)
		}
		for _, w := range []kernel.PeakWork{kernel.PeakDot, kernel.PeakFMA} {
			if got := kernel.PeakISA(isa, p, w, nil); got <= 0 || got%(2*24*2) != 0 {
				t.Errorf("%v: %d operations of kind %d", isa, got, w)
			}
		}
	}
	if got := kernel.Peak(p, kernel.PeakRead, nil); got != 0 {
		t.Errorf("read %d bytes of nothing", got)
	}
}
