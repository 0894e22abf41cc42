package kernel

// convPass is the product of a forward pass or of a gradient of the input: output channels
// are rows, positions are lanes. A strided gradient is computed in phases, as each kind of
// position (by row and column modulo the stride) sees other taps.
type convPass struct {
	planes          convPlanes
	isa             ISA
	phases          []*convPhase
	rows            int // output channels
	steps           int // input channels
	wStride, wOuter int
	outH, outW      int // of the output's planes
	w, bias         []float32
}

// convPhase is the part of a pass that shares taps: output rows y0 + i*stride and columns
// x0 + j*stride, i < h, j < w.
type convPhase struct {
	*convPass
	y0, x0, stride int
	h, w           int
	taps           convTaps
	groups         []int     // pairs (offset in the planes, offset in dst)
	places         []int     // of each group: the output's offset of lane 0 for channel 0
	dst            []float32 // (rows, groups, 16) of the results, nil if they go where they belong
	out            []float32 // during Do
	tiles, unit    int       // groups of a unit, and rows of a unit
}

func newConvForward(isa ISA, c Conv) *convPass {
	p := &convPass{
		isa: isa, rows: c.OutC, steps: c.InC, outH: c.OutH(), outW: c.OutW(),
		wStride: c.InC * c.KH * c.KW, wOuter: c.KH * c.KW,
		planes: convPlanes{batch: c.Batch, channels: c.InC, h: c.H, w: c.W, top: c.Pad, left: c.Pad, step: c.Stride, merge: mergeFor(c.OutW(), c.Batch)},
	}
	p.planes.place(c.Pad, c.Pad)
	f := &convPhase{convPass: p, stride: 1, h: p.outH, w: p.outW}
	for ky := range c.KH {
		for kx := range c.KW {
			f.taps.add(p.planes.at(ky, kx), ky*c.KW+kx)
		}
	}
	f.place(c.Stride)
	p.phases = []*convPhase{f}
	return p
}

func newConvBack(isa ISA, c Conv) *convPass {
	p := &convPass{
		isa: isa, rows: c.InC, steps: c.OutC, outH: c.H, outW: c.W,
		wStride: c.KH * c.KW, wOuter: c.InC * c.KH * c.KW,
		planes: convPlanes{batch: c.Batch, channels: c.OutC, h: c.OutH(), w: c.OutW(), step: 1, merge: mergeFor((c.W+c.Stride-1)/c.Stride, c.Batch)},
	}
	// Row y of the input meets row (y + pad - ky) / stride of the result in tap ky.
	s := c.Stride
	top, left := max(0, (c.KH-1-c.Pad+s-1)/s), max(0, (c.KW-1-c.Pad+s-1)/s)
	bottom, right := max(0, (c.H-1+c.Pad)/s-c.OutH()+1), max(0, (c.W-1+c.Pad)/s-c.OutW()+1)
	p.planes.top, p.planes.left = top, left
	p.planes.place(bottom, right)
	for y0 := range min(s, c.H) {
		for x0 := range min(s, c.W) {
			f := &convPhase{convPass: p, y0: y0, x0: x0, stride: s, h: (c.H - y0 + s - 1) / s, w: (c.W - x0 + s - 1) / s}
			for ky := range c.KH {
				for kx := range c.KW {
					y, x := y0+c.Pad-ky+top*s, x0+c.Pad-kx+left*s
					if y%s == 0 && x%s == 0 {
						f.taps.add(p.planes.at(y/s, x/s), ky*c.KW+kx)
					}
				}
			}
			f.place(1)
			p.phases = append(p.phases, f)
		}
	}
	return p
}

// place lists the groups of 16 lanes; step is the distance of the rows in the planes that
// neighbouring outputs see.
func (f *convPhase) place(step int) {
	c := &f.planes
	direct := c.merge == 1 && f.stride == 1 && f.w%lanes == 0
	for b := range c.blocks() {
		for y := range f.h {
			for at := 0; at < f.w*c.merge; at += lanes {
				x := at / c.merge
				place := b*c.merge*f.rows*f.outH*f.outW + (f.y0+y*f.stride)*f.outW + f.x0 + x*f.stride
				dst := place
				if !direct {
					dst = len(f.places) * lanes
				}
				f.groups = append(f.groups, b*c.blockStride()+y*step*c.rowStride()+at, dst)
				f.places = append(f.places, place)
			}
		}
	}
	if !direct && f.taps.len() > 0 {
		f.dst = make([]float32, f.rows*len(f.places)*lanes)
	}
}

func (p *convPass) run(pool *Pool, out, in, w, bias []float32) {
	p.planes.fill(pool, in)
	p.w, p.bias = w, bias
	for _, f := range p.phases {
		f.out = out
		pool.Run(f.split(pool.Threads()), 1, f)
		f.out = nil
	}
	p.w, p.bias = nil, nil
}

// unitGroupsMost is how many groups a unit of work has at most: with them the products of a
// block of weights that come from memory only once.
const unitGroupsMost = 8 * convGroups

// split cuts the phase into units of work and returns how many.
func (f *convPhase) split(threads int) int {
	f.tiles = min(unitGroupsMost, (len(f.places)+convGroups-1)/convGroups*convGroups)
	across, want := f.across(), 1
	if threads > 1 {
		want = 8 * threads
	}
	down := min((want+across-1)/across, (f.rows+tileRows-1)/tileRows)
	f.unit = ((f.rows+down-1)/down + tileRows - 1) / tileRows * tileRows
	return across * ((f.rows + f.unit - 1) / f.unit)
}

// across returns the number of units side by side.
func (f *convPhase) across() int { return (len(f.places) + f.tiles - 1) / f.tiles }

// Do computes units [lo, hi).
func (f *convPhase) Do(lo, hi int) {
	across := f.across()
	for u := lo; u < hi; u++ {
		g, row := u%across*f.tiles, u/across*f.unit
		f.compute(row, min(row+f.unit, f.rows), g, min(g+f.tiles, len(f.places)))
	}
}

// convDepth is how many multiply-adds a kernel does for each output before it goes on to
// other outputs, about: what it reads then fits the L1 cache.
const convDepth = 320

// compute computes rows [row, last) of groups [g, end).
func (f *convPhase) compute(row, last, g, end int) {
	p := f.convPass
	if f.taps.len() == 0 {
		for r := row; r < last; r++ {
			f.scatter(nil, r, g, end)
		}
		return
	}
	t := convTile{
		isa: p.isa, xOuter: p.planes.planeStride(), wStride: p.wStride, wOuter: p.wOuter,
		groups: f.groups[2*g : 2*end], taps: &f.taps,
	}
	if f.dst == nil {
		t.dstStride = f.outH * f.outW
		t.dst = f.out[row*t.dstStride:]
	} else {
		t.dstStride = len(f.places) * lanes
		t.dst = f.dst[row*t.dstStride:]
	}
	if p.bias != nil {
		t.more = true
		t.start(p.bias[row:last])
	}
	depth := max(1, convDepth/f.taps.len())
	for step := 0; step < p.steps; step += depth {
		t.x, t.w = p.planes.buf[step*t.xOuter:], p.w[row*t.wStride+step*t.wOuter:]
		t.outer = min(depth, p.steps-step)
		t.run(last - row)
		t.more = true
	}
	if f.dst != nil {
		for r := row; r < last; r++ {
			f.scatter(f.dst[r*t.dstStride:(r+1)*t.dstStride], r, g, end)
		}
	}
}

// start sets the outputs of each row to a value.
func (t *convTile) start(values []float32) {
	for r, v := range values {
		for g := 1; g < len(t.groups); g += 2 {
			out := (*[lanes]float32)(t.dst[r*t.dstStride+t.groups[g]:])
			for l := range out {
				out[l] = v
			}
		}
	}
}

// scatter moves groups [g, end) of a row from src to where they belong; no src stands for
// zeros.
func (f *convPhase) scatter(src []float32, row, g, end int) {
	c := &f.planes
	plane := f.outH * f.outW
	perRow := (f.w*c.merge + lanes - 1) / lanes
	perBlock := perRow * f.h
	for ; g < end; g++ {
		n := min(lanes/c.merge, f.w-g%perRow*lanes/c.merge) // columns
		image := g / perBlock * c.merge
		at := f.places[g] + row*plane
		for m := range min(c.merge, c.batch-image) {
			out := f.out[at+m*f.rows*plane:]
			if src == nil {
				for i := range n {
					out[i*f.stride] = 0
				}
				continue
			}
			in := (*[lanes]float32)(src[g*lanes:])
			for i := range n {
				out[i*f.stride] = in[i*c.merge+m]
			}
		}
	}
}
