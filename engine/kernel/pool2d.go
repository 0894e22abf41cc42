package kernel

import "fmt"

// window is the geometry that pools share.
type window struct{ planes, h, w, k, stride, pad int }

func (o window) outH() int { return (o.h+2*o.pad-o.k)/o.stride + 1 }
func (o window) outW() int { return (o.w+2*o.pad-o.k)/o.stride + 1 }

func (o window) check(name string) error {
	if min(o.planes, o.h, o.w, o.k, o.stride) < 1 || o.pad < 0 {
		return fmt.Errorf("%s pool %+v: all but the padding must be positive", name, o)
	}
	if 2*o.pad > o.k {
		return fmt.Errorf("%s pool %+v: the padding exceeds half the window", name, o)
	}
	if o.k > min(o.h, o.w)+2*o.pad {
		return fmt.Errorf("%s pool %+v: the window is larger than the padded image", name, o)
	}
	return nil
}

// bounds returns which of an axis of n elements window number i covers.
func (o window) bounds(i, n int) (lo, hi int) {
	lo = i*o.stride - o.pad
	return max(lo, 0), min(lo+o.k, n)
}

func (o window) need(name string, y, x int) {
	if y < o.planes*o.outH()*o.outW() || x < o.planes*o.h*o.w {
		panic(fmt.Sprintf("kernel: %s pool %+v of %d results and %d inputs", name, o, y, x))
	}
}

// planesAtOnce returns a grain for tasks over planes of the given size.
func planesAtOnce(size int) int { return max(1, 16384/size) }
