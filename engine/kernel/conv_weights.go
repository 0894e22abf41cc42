package kernel

// convWeights is the product that gives the gradient of the weights: output channels are
// rows, and weights of 16 neighbouring input channels, or of neighbouring columns of the
// kernel and their channels, are lanes. The images are copied with the channels of a position
// side by side for it.
type convWeights struct {
	Conv
	isa        ISA
	rows, cols int       // of an image with its margins
	buf        []float32 // (batch, rows, cols, channels)
	taps, rest convTaps  // positions of a block of result rows, of a smaller last block
	block      int       // result rows of a block
	groups     []int     // pairs (offset in an image, 16 * index in its unit)
	unitGroups int       // a multiple of a part
	unitRows   int
	parts      int // channel parts that groups come in: 16 channels, or all of them
	scratch    scratchList
	copying    convCopy
	bias       convBias

	dw, dy []float32 // during Do
}

// convWeightDepth is how many multiply-adds a kernel does for each weight at a time, about.
const convWeightDepth = 128

func newConvWeights(isa ISA, c Conv) *convWeights {
	o := &convWeights{Conv: c, isa: isa, rows: c.H + 2*c.Pad, cols: c.W + 2*c.Pad, parts: 1}
	o.buf = make([]float32, c.Batch*o.imageStride()+lanes)
	o.block = min(c.OutH(), (convWeightDepth+c.OutW()-1)/c.OutW())
	o.positions(&o.taps, o.block)
	o.positions(&o.rest, c.OutH()%o.block)
	if c.InC%lanes == 0 {
		o.parts = c.InC / lanes
	}
	for part := range o.parts {
		for ky := range c.KH {
			for at := 0; at < o.partWidth(); at += lanes {
				x := ky*o.cols*c.InC + at
				if o.parts > 1 {
					x = (ky*o.cols+at/lanes)*c.InC + part*lanes
				}
				o.groups = append(o.groups, x, 0)
			}
		}
	}
	o.copying.convWeights, o.bias.convWeights = o, o
	return o
}

// partWidth returns how many outputs of a kernel row a part has.
func (o *convWeights) partWidth() int { return o.KW * o.InC / o.parts }

// partGroups returns the number of groups of a part.
func (o *convWeights) partGroups() int { return len(o.groups) / 2 / o.parts }

func (o *convWeights) imageStride() int { return o.rows * o.cols * o.InC }

// positions lists the positions of some result rows.
func (o *convWeights) positions(t *convTaps, rows int) {
	for y := range rows {
		for x := range o.OutW() {
			t.add((y*o.cols+x)*o.Stride*o.InC, y*o.OutW()+x)
		}
	}
}

func (o *convWeights) run(p *Pool, dw, dbias, dy, x []float32) {
	o.copying.x = x
	p.Run(o.Batch*o.H, max(1, 4096/(o.W*o.InC)), &o.copying)
	o.copying.x = nil
	o.dw, o.dy = dw, dy
	units := o.split(p.Threads())
	o.scratch.reserve(p.Threads(), o.unitRows*o.unitGroups*lanes)
	p.Run(units, 1, o)
	o.dw = nil
	if dbias != nil {
		o.bias.dbias = dbias
		p.Run(o.OutC, 1, &o.bias)
		o.bias.dbias = nil
	}
	o.dy = nil
}

// convUnitFloats is how many sums a unit of work keeps at most, about: a part of an L2 cache.
const convUnitFloats = 48 << 10

// split cuts the weights into units of work and returns how many.
func (o *convWeights) split(threads int) int {
	part := o.partGroups()
	o.unitRows = (o.OutC + threads - 1) / threads
	o.unitRows = (min(o.unitRows, 256) + tileRows - 1) / tileRows * tileRows
	parts := min(o.parts, max(1, convUnitFloats/(o.unitRows*part*lanes)))
	if threads > 1 && parts == o.parts && parts > 1 {
		parts = (parts + 1) / 2
	}
	o.unitGroups = parts * part
	for i := 1; i < len(o.groups); i += 2 {
		o.groups[i] = i / 2 % o.unitGroups * lanes
	}
	return o.across() * ((o.OutC + o.unitRows - 1) / o.unitRows)
}

func (o *convWeights) across() int { return (len(o.groups)/2 + o.unitGroups - 1) / o.unitGroups }

// Do computes units [lo, hi).
func (o *convWeights) Do(lo, hi int) {
	sums := o.scratch.get(o.unitRows * o.unitGroups * lanes)
	defer o.scratch.put(sums)
	down := (o.OutC + o.unitRows - 1) / o.unitRows
	for u := lo; u < hi; u++ {
		row, g := u%down*o.unitRows, u/down*o.unitGroups
		last, end := min(row+o.unitRows, o.OutC), min(g+o.unitGroups, len(o.groups)/2)
		o.compute(sums, row, last, g, end)
		for r := row; r < last; r++ {
			o.scatter(sums[(r-row)*o.unitGroups*lanes:], r, g, end)
		}
	}
}

// compute computes rows [row, last) of groups [g, end).
func (o *convWeights) compute(sums []float32, row, last, g, end int) {
	size := o.OutH() * o.OutW()
	t := convTile{
		isa: o.isa, dstStride: o.unitGroups * lanes, groups: o.groups[2*g : 2*end], taps: &o.taps,
		xOuter: o.imageStride(), wStride: size, wOuter: o.OutC * size,
	}
	images := 1
	if o.block == o.OutH() {
		images = max(1, convWeightDepth/size)
	}
	for n := 0; n < o.Batch; n += images {
		for y := 0; y < o.OutH(); y += o.block {
			t.dst, t.taps = sums, &o.taps
			if o.OutH()-y < o.block {
				t.taps = &o.rest
			}
			t.outer = min(images, o.Batch-n)
			t.x = o.buf[n*t.xOuter+y*o.Stride*o.cols*o.InC:]
			t.w = o.dy[n*t.wOuter+row*size+y*o.OutW():]
			t.run(last - row)
			t.more = true
		}
	}
}

// scatter moves groups [g, end) of a row from src to where they belong.
func (o *convWeights) scatter(src []float32, row, g, end int) {
	taps := o.KH * o.KW
	dst := o.dw[row*o.InC*taps : (row+1)*o.InC*taps]
	if o.parts > 1 || o.InC == lanes {
		for ; g < end; g += taps {
			first := g / taps * lanes * taps
			convUnzip(dst[first:first+lanes*taps], src[:lanes*taps])
			src = src[lanes*taps:]
		}
		return
	}
	width := o.KW * o.InC
	for ky := range o.KH {
		for f := range width {
			dst[f%o.InC*taps+ky*o.KW+f/o.InC] = src[f]
		}
		src = src[(width+lanes-1)/lanes*lanes:]
	}
}

// convUnzip writes src (taps, 16) to dst (16, taps).
func convUnzip(dst, src []float32) {
	taps := len(src) / lanes
	for t := range taps {
		in := (*[lanes]float32)(src[t*lanes:])
		out := dst[t:]
		for l, v := range in {
			out[l*taps] = v
		}
	}
}

// convCopy copies images with the channels of a position side by side. The margins stay
// zero.
type convCopy struct {
	*convWeights
	x []float32
}

// Do copies rows [lo, hi) of all images.
func (o *convCopy) Do(lo, hi int) {
	for i := lo; i < hi; i++ {
		n, y := i/o.H, i%o.H
		src := o.x[n*o.InC*o.H*o.W+y*o.W:]
		dst := o.buf[n*o.imageStride()+((o.Pad+y)*o.cols+o.Pad)*o.InC:]
		for c := range o.InC {
			in, out := src[c*o.H*o.W:][:o.W], dst[c:]
			for x, v := range in {
				out[x*o.InC] = v
			}
		}
	}
}

// convBias sums the gradient of each output channel in 16 lanes, by the position in the
// image modulo 16.
type convBias struct {
	*convWeights
	dbias []float32
}

// Do sums channels [lo, hi).
func (o *convBias) Do(lo, hi int) {
	size := o.OutH() * o.OutW()
	for c := lo; c < hi; c++ {
		var acc lanesOf
		for n := range o.Batch {
			plane := o.dy[(n*o.OutC+c)*size:][:size]
			for i := sumSIMD(o.isa, &acc, plane); i < size; i++ {
				acc[i%lanes] += plane[i]
			}
		}
		o.dbias[c] = acc.sum()
	}
}
