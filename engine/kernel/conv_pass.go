package kernel

// convPass is the product of a forward pass or of a gradient of the input: output channels
// are rows, positions are lanes. A strided gradient is computed in phases, as each kind of
// position (by row and column modulo the stride) sees other taps.
type convPass struct {
	planes          convPlanes
	isa             ISA
	phases          []*convPhase
	rows            int // output channels
	inputs          int // input channels
	wStride, wOuter int
	outH, outW      int       // of the output's planes
	out, w, bias    []float32 // during Do
	zip             convZip
	picks           []convIndex // of each interleaved image, those of its elements in a group
}

// convPhase is the part of a pass that shares taps: output rows y0 + i*stride and columns
// x0 + j*stride, i < h, j < w.
type convPhase struct {
	*convPass
	y0, x0, stride  int
	h, w            int
	taps            convSteps // of one input channel
	steps           convSteps // of as many as a kernel does at a time
	groups          []int     // pairs (offset in the planes, offset in dst)
	places          []int     // of each group: the output's offset of lane 0 for channel 0
	images, columns []int32   // of each group: its first image, and its number of columns
	dst             []float32 // (rows, groups, 16) of the results, nil if they go where they belong
	tiles, unit     int       // groups of a unit, and rows of a unit
}

func newConvForward(isa ISA, c Conv) *convPass {
	p := &convPass{
		isa: isa, rows: c.OutC, inputs: c.InC, outH: c.OutH(), outW: c.OutW(),
		wStride: c.InC * c.KH * c.KW, wOuter: c.KH * c.KW,
		planes: convPlanes{isa: isa, batch: c.Batch, channels: c.InC, h: c.H, w: c.W, top: c.Pad, left: c.Pad, step: c.Stride, merge: mergeFor(c.OutW(), c.Batch)},
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
	p.prepare()
	return p
}

func newConvBack(isa ISA, c Conv) *convPass {
	p := &convPass{
		isa: isa, rows: c.InC, inputs: c.OutC, outH: c.H, outW: c.W,
		wStride: c.KH * c.KW, wOuter: c.InC * c.KH * c.KW,
		planes: convPlanes{isa: isa, batch: c.Batch, channels: c.OutC, h: c.OutH(), w: c.OutW(), step: 1, merge: mergeFor((c.W+c.Stride-1)/c.Stride, c.Batch)},
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
	p.prepare()
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
				f.images = append(f.images, int32(b*c.merge))
				f.columns = append(f.columns, int32(min(lanes/c.merge, f.w-x)))
			}
		}
	}
	if f.taps.len() > 0 {
		f.steps = f.taps.repeat(min(f.depth(step), f.inputs), c.planeStride(), f.wOuter)
	}
	if !direct && f.taps.len() > 0 {
		f.dst = make([]float32, f.rows*f.dstStride())
	}
}

// dstStride is the distance of the rows of dst. It is no power of two, so that rows do not
// compete for the same places in the caches.
func (f *convPhase) dstStride() int { return (len(f.places) + 1) * lanes }

func (p *convPass) run(pool *Pool, out, in, w, bias []float32) {
	p.w, p.bias = w, bias
	if p.byBlocks(pool.Threads()) {
		p.planes.free.reserve(pool.Threads(), p.planes.size(1))
		p.planes.src, p.out = in, out
		pool.Run(p.planes.blocks(), 1, (*convBlocks)(p))
		p.planes.src, p.out, p.w, p.bias = nil, nil, nil, nil
		return
	}
	p.planes.fill(pool, in)
	for _, f := range p.phases {
		p.out = out
		pool.Run(f.split(pool.Threads()), 1, f)
	}
	if p.zip.convPass != nil {
		pool.Run(p.rows, max(1, 4096/(p.outH*p.outW)), &p.zip)
	}
	p.out, p.w, p.bias = nil, nil, nil
}

// unitGroupsMost is how many groups a unit of work has at most: with them the products of a
// block of weights that come from memory only once.
const unitGroupsMost = 8 * convGroups

// byBlocks reports whether there is enough work in each block of images, and enough blocks
// for the threads, to copy and convolve one after the other: its copy is then in the caches.
func (p *convPass) byBlocks(threads int) bool {
	blocks := p.planes.blocks()
	for _, f := range p.phases {
		if len(f.places)/blocks < 4*convGroups {
			return false
		}
	}
	return blocks%threads == 0 || blocks >= 8*threads
}

// convBlocks is a pass as a task over blocks of images.
type convBlocks convPass

// Do computes blocks [lo, hi).
func (b *convBlocks) Do(lo, hi int) {
	p := (*convPass)(b)
	c := &p.planes
	// A buffer that another block has used has the same margins. In the last block it may hold
	// images that are not there; their lanes go nowhere.
	x := c.free.get(c.size(1))
	defer c.free.put(x)
	for block := lo; block < hi; block++ {
		for channel := range c.channels {
			c.planes(x[channel*c.planeStride():], block, channel)
		}
		for _, f := range p.phases {
			n := len(f.places) / c.blocks()
			for g := 0; g < n; g += unitGroupsMost {
				first := block * n
				f.compute(convUnit{x: x, skip: first, row: 0, last: p.rows, g: first + g, end: first + min(g+unitGroupsMost, n)})
			}
		}
		if p.zip.convPass != nil {
			p.zip.complete(0, p.rows, block, block+1)
		}
	}
}

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
		f.compute(convUnit{x: f.planes.buf, row: row, last: min(row+f.unit, f.rows), g: g, end: min(g+f.tiles, len(f.places))})
	}
}

// convDepth is how many multiply-adds a kernel does for each output before it goes on to
// other outputs, at most, and convCache how many elements of the planes it may read for them:
// these stay in the L1 cache, along with some weights.
const (
	convDepth = 320
	convCache = 5 << 10
)

// depth returns how many input channels a kernel sums up at a time; step is the distance of
// the rows that neighbouring outputs see.
func (f *convPhase) depth(step int) int {
	c := &f.planes
	perRow := (f.w*c.merge + lanes - 1) / lanes
	rows := (max(1, convGroups/perRow)-1)*step + f.taps.maxX/c.rowStride() + 1
	return max(1, min(convDepth/f.taps.len(), convCache/(rows*min(c.rowStride(), convGroups*lanes*c.step))))
}

// convUnit is a piece of a phase: rows [row, last) of groups [g, end). Its images are in x,
// which begins with those of group skip.
type convUnit struct {
	x                       []float32
	skip, row, last, g, end int
}

// compute computes a unit.
func (f *convPhase) compute(u convUnit) {
	p, zipped := f.convPass, f.zip.convPass != nil
	if f.taps.len() == 0 {
		for r := u.row; r < u.last && !zipped; r++ {
			f.scatter(nil, r, u.g, u.end)
		}
		return
	}
	t := convTile{isa: p.isa, wStride: p.wStride, groups: f.groups[2*(u.g-u.skip) : 2*(u.end-u.skip)], steps: &f.steps}
	t.dst, t.dstStride = f.out, f.outH*f.outW
	if f.dst != nil {
		t.dst, t.dstStride = f.dst, f.dstStride()
	}
	t.dst = t.dst[u.row*t.dstStride+f.groups[2*u.skip+1]-f.groups[1]:]
	if p.bias != nil {
		t.more = true
		t.start(p.bias[u.row:u.last])
	}
	plane, taps := p.planes.planeStride(), f.taps.len()
	depth := f.steps.len() / taps
	for in := 0; in < p.inputs; in += depth {
		t.x, t.w = u.x[in*plane:], p.w[u.row*t.wStride+in*p.wOuter:]
		n := min(depth, p.inputs-in)
		t.n, t.maxX, t.maxW = n*taps, (n-1)*plane+f.taps.maxX, (n-1)*p.wOuter+f.taps.maxW
		t.run(u.last - u.row)
		t.more = true
	}
	for r := u.row; r < u.last && f.dst != nil && !zipped; r++ {
		f.scatter(f.dst[r*t.dstStride:(r+1)*t.dstStride], r, u.g, u.end)
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
