package kernel

// prepare decides how results get from groups of lanes to where they belong.
func (p *convPass) prepare() {
	merge := p.planes.merge
	for m := range merge {
		var index convIndex
		for i := range lanes / merge {
			index[i] = int32(i*merge + m)
		}
		p.picks = append(p.picks, index)
	}
	if len(p.phases) != 4 || p.outW%2 != 0 {
		return
	}
	p.zip.convPass = p
	for m := range merge {
		for half := range 2 {
			var index convIndex
			for i := range index {
				column := half*lanes + i
				index[i] = int32(column/2%(lanes/merge)*merge + m + column%2*lanes)
			}
			p.zip.picks = append(p.zip.picks, index)
		}
	}
}

// where returns the first image of a group of lanes and its number of columns.
func (f *convPhase) where(g int) (image, columns int) {
	return int(f.images[g]), int(f.columns[g])
}

// scatter moves groups [g, end) of a row from src to where they belong; no src stands for
// zeros.
func (f *convPhase) scatter(src []float32, row, g, end int) {
	c, plane := &f.planes, f.outH*f.outW
	for ; g < end; g++ {
		image, n := f.where(g)
		at := f.places[g] + row*plane
		for m := range min(c.merge, c.batch-image) {
			out := f.out[at+m*f.rows*plane:]
			switch {
			case src == nil:
				for i := range n {
					out[i*f.stride] = 0
				}
			case f.stride == 1:
				in := src[g*lanes:]
				convPick(f.isa, out, in, in, &f.picks[m], n)
			default:
				in := (*[lanes]float32)(src[g*lanes:])
				for i := range n {
					out[i*f.stride] = in[i*c.merge+m]
				}
			}
		}
	}
}

// convZip puts the results of a gradient of stride 2 together: even columns come from one
// phase, odd ones from the next.
type convZip struct {
	*convPass
	picks []convIndex // of each interleaved image, two: its columns from a group of each phase
}

// Do completes rows, which are channels, [lo, hi).
func (z *convZip) Do(lo, hi int) { z.complete(lo, hi, 0, z.planes.blocks()) }

// complete completes rows [lo, hi) of blocks of images [block, end).
func (z *convZip) complete(lo, hi, block, end int) {
	for row := lo; row < hi; row++ {
		for i := 0; i < len(z.phases); i += 2 {
			even := z.phases[i]
			n := len(even.places) / z.planes.blocks()
			z.pair(even, z.phases[i+1], row, block*n, end*n)
		}
	}
}

// pair puts groups [g, end) of two phases of a row together; a phase without results counts
// as zeros.
func (z *convZip) pair(even, odd *convPhase, row, g, end int) {
	var zeros [lanes]float32
	plane, merge := z.outH*z.outW, z.planes.merge
	if even.dst != nil && odd.dst != nil && merge == 1 && even.w%lanes == 0 {
		out := z.out[row*plane:]
		_ = out[even.places[end-1]+2*lanes-1] // places grow
		a, b := even.dst[row*even.dstStride()+g*lanes:], odd.dst[row*odd.dstStride()+g*lanes:]
		if convZipSIMD(z.isa, out, even.places[g:end], a, b) {
			return
		}
	}
	for ; g < end; g++ {
		a, b := zeros[:], zeros[:]
		if even.dst != nil {
			a = even.dst[row*even.dstStride()+g*lanes:]
		}
		if odd.dst != nil {
			b = odd.dst[row*odd.dstStride()+g*lanes:]
		}
		image, n := even.where(g)
		at := even.places[g] + row*plane
		for m := range min(merge, z.planes.batch-image) {
			out := z.out[at+m*z.rows*plane:]
			convPick(z.isa, out, a, b, &z.picks[2*m], min(2*n, lanes))
			if 2*n > lanes {
				convPick(z.isa, out[lanes:], a, b, &z.picks[2*m+1], 2*n-lanes)
			}
		}
	}
}
