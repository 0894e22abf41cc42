package kernel

// convWeights is the product that gives the gradient of the weights: output channels are
// rows, and weights of 16 neighbouring input channels, or of neighbouring columns of the
// kernel and their channels, are lanes. The images are copied with the channels of a position
// side by side for it.
type convWeights struct {
	Conv
	isa        ISA
	rows, cols int       // of an image with its margins
	stride     int       // of positions in buf
	buf        []float32 // (batch, rows, cols, stride)
	steps      convSteps // positions of a block: some images, or some result rows of one
	images     int       // of a block
	block      int       // result rows of a block
	groups     []int     // pairs (offset in an image, 16 * index in its unit)
	unitGroups int       // a multiple of a part
	unitRows   int
	parts      int        // channel parts that groups come in: 16 channels, or all of them
	zip        [lanes]int // places of weights of 16 input channels
	places     []int      // of the positions of an image in buf
	scratch    scratchList
	copying    convCopy
	bias       convBias

	dw, dy []float32 // during Do
}

// convWeightDepth is how many multiply-adds a kernel does for each weight at a time, about.
const convWeightDepth = 128

func newConvWeights(isa ISA, c Conv) *convWeights {
	o := &convWeights{Conv: c, isa: isa, rows: c.H + 2*c.Pad, cols: c.W + 2*c.Pad, parts: 1}
	if c.InC%lanes == 0 {
		o.parts = c.InC / lanes
	}
	// A stride of an even number of cache lines would use few places of a cache. Neighbouring
	// columns must be side by side where one group of lanes covers several.
	o.stride = c.InC
	if o.parts%2 == 0 {
		o.stride += lanes
	}
	o.buf = make([]float32, c.Batch*o.imageStride()+lanes)
	o.block = min(c.OutH(), (convWeightDepth+c.OutW()-1)/c.OutW())
	o.steps = o.positions(o.block)
	o.images = 1
	if o.block == c.OutH() {
		o.images = min(c.Batch, max(1, convWeightDepth/o.results()))
		o.steps = o.steps.repeat(o.images, o.imageStride(), c.OutC*o.results())
	}
	for part := range o.parts {
		for ky := range c.KH {
			for at := 0; at < o.partWidth(); at += lanes {
				x := ky*o.cols*o.stride + at
				if o.parts > 1 {
					x = (ky*o.cols+at/lanes)*o.stride + part*lanes
				}
				o.groups = append(o.groups, x, 0)
			}
		}
	}
	for i := range o.zip {
		o.zip[i] = i * c.KH * c.KW
	}
	for i := range c.H * c.W {
		o.places = append(o.places, ((c.Pad+i/c.W)*o.cols+c.Pad+i%c.W)*o.stride)
	}
	o.copying.convWeights, o.bias.convWeights = o, o
	return o
}

// partWidth returns how many outputs of a kernel row a part has.
func (o *convWeights) partWidth() int { return o.KW * o.InC / o.parts }

// partGroups returns the number of groups of a part.
func (o *convWeights) partGroups() int { return len(o.groups) / 2 / o.parts }

// results returns the number of positions of an image's result.
func (o *convWeights) results() int { return o.OutH() * o.OutW() }

func (o *convWeights) imageStride() int { return o.rows * o.cols * o.stride }

// positions lists the positions of some result rows.
func (o *convWeights) positions(rows int) convSteps {
	var t convSteps
	for y := range rows {
		for x := range o.OutW() {
			t.add((y*o.cols+x)*o.Stride*o.stride, y*o.OutW()+x)
		}
	}
	return t
}

func (o *convWeights) run(p *Pool, dw, dbias, dy, x []float32) {
	o.copying.x = x
	p.Run(o.Batch*o.copying.parts(), 1, &o.copying)
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
const convUnitFloats = 56 << 10

// split cuts the weights into units of work and returns how many.
func (o *convWeights) split(threads int) int {
	part := o.partGroups()
	// Two rows at a time are fast enough to share the rows evenly.
	o.unitRows = min((o.OutC+threads-1)/threads+1, 16*tileRows+1) &^ 1
	parts := min(o.parts, max(1, convUnitFloats/(o.unitRows*part*lanes)))
	if threads > 1 && parts == o.parts && parts >= 4 {
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
	size, image := o.results(), o.imageStride()
	t := convTile{
		isa: o.isa, dst: sums, dstStride: o.unitGroups * lanes, wStride: size,
		groups: o.groups[2*g : 2*end], steps: &o.steps,
	}
	for n := 0; n < o.Batch; n += o.images {
		for y := 0; y < o.OutH(); y += o.block {
			images, rows := min(o.images, o.Batch-n), min(o.block, o.OutH()-y)
			t.x = o.buf[n*image+y*o.Stride*o.cols*o.stride:]
			t.w = o.dy[n*o.OutC*size+row*size+y*o.OutW():]
			t.n = images * rows * o.OutW()
			t.maxX = (images-1)*image + ((rows-1)*o.cols+o.OutW()-1)*o.Stride*o.stride
			t.maxW = (images-1)*o.OutC*size + rows*o.OutW() - 1
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
			convTranspose(o.isa, dst[first:first+lanes*taps], o.zip[:], src, taps, lanes)
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

// convCopy copies images with the channels of a position side by side. The margins stay
// zero.
type convCopy struct {
	*convWeights
	x []float32
}

// parts returns the number of parts of 16 channels, the last with what is left.
func (o *convCopy) parts() int { return (o.InC + lanes - 1) / lanes }

// Do copies parts [lo, hi) of all images.
func (o *convCopy) Do(lo, hi int) {
	size, parts := o.H*o.W, o.parts()
	for i := lo; i < hi; i++ {
		n, first := i/parts, i%parts*lanes
		channels := min(lanes, o.InC-first)
		src := o.x[(n*o.InC+first)*size:][:channels*size]
		dst := o.buf[n*o.imageStride()+first:]
		at := 0
		if channels == lanes {
			for ; at+lanes <= size; at += lanes {
				convTranspose(o.isa, dst, o.places[at:], src[at:], lanes, size)
			}
		}
		for c := range channels {
			for j := at; j < size; j++ {
				dst[o.places[j]+c] = src[c*size+j]
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
	size := o.results()
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
