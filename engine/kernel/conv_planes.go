package kernel

// convPlanes is a copy of images (batch, channels, h, w) with margins of zeros, laid out so
// that 16 neighbouring outputs of a row find their inputs side by side. The columns are dealt
// out to step phases (column x is number x/step of phase x mod step), and merge images are
// interleaved, for rows that are no multiple of 16: (blocks, channels, rows, step, cols,
// merge) with images block*merge+i, i < merge, side by side.
type convPlanes struct {
	batch, channels, h, w int
	top, left             int // margins
	step, merge           int
	rows, cols            int         // of a plane, with margins; cols of each phase
	buf                   []float32   // of all blocks, nil until fill
	free                  scratchList // of one block each, for threads

	isa    ISA
	places []int32   // of the elements of a plane
	src    []float32 // during Do
}

// place lays the planes out; bottom and right are the margins at the far ends.
func (c *convPlanes) place(bottom, right int) {
	c.rows = c.top + c.h + bottom
	c.cols = (c.left + c.w + right + c.step - 1) / c.step
	c.places = make([]int32, c.h*c.w)
	for i := range c.places {
		c.places[i] = int32(c.at(c.top+i/c.w, c.left+i%c.w))
	}
}

func (c *convPlanes) blocks() int      { return (c.batch + c.merge - 1) / c.merge }
func (c *convPlanes) phaseStride() int { return c.cols * c.merge }
func (c *convPlanes) rowStride() int   { return c.step * c.phaseStride() }
func (c *convPlanes) planeStride() int { return c.rows * c.rowStride() }
func (c *convPlanes) blockStride() int { return c.channels * c.planeStride() }

// at returns the offset of a row and column, margins included, in a plane.
func (c *convPlanes) at(row, col int) int {
	return row*c.rowStride() + col%c.step*c.phaseStride() + col/c.step*c.merge
}

// size returns the number of elements of some blocks: lanes of a row's last group that are
// no outputs read on into what follows.
func (c *convPlanes) size(blocks int) int { return blocks*c.blockStride() + lanes }

// fill copies the images. The margins and the places of images beyond the batch stay zero.
func (c *convPlanes) fill(p *Pool, src []float32) {
	if c.buf == nil {
		c.buf = make([]float32, c.size(c.blocks()))
	}
	c.src = src
	p.Run(c.blocks()*c.channels, max(1, 4096/c.planeStride()), c)
	c.src = nil
}

// Do copies planes [lo, hi) of all blocks.
func (c *convPlanes) Do(lo, hi int) {
	for i := lo; i < hi; i++ {
		c.planes(c.buf[i*c.planeStride():], i/c.channels, i%c.channels)
	}
}

// planes copies a channel of the images of a block.
func (c *convPlanes) planes(dst []float32, block, channel int) {
	dst = dst[:c.planeStride()]
	for m := range min(c.merge, c.batch-block*c.merge) {
		image := (block*c.merge+m)*c.channels + channel
		c.plane(dst[m:], c.src[image*c.h*c.w:(image+1)*c.h*c.w])
	}
}

// plane copies one plane of one image.
func (c *convPlanes) plane(dst, src []float32) {
	stride := c.rowStride()
	switch {
	case c.merge == 1 && c.step == 1:
		dst = dst[c.at(c.top, c.left):]
		if convRowsSIMD(c.isa, dst, stride, src, c.w) {
			return
		}
		for y := range c.h {
			copy(dst[y*stride:], src[y*c.w:(y+1)*c.w])
		}
	case c.merge == 1 && c.step == 2 && convSplitSIMD(c.isa, dst[c.at(c.top, c.left):], dst[c.at(c.top, c.left+1):], stride, src, c.w):
	default:
		_ = dst[c.planeStride()-c.merge] // the last place of a plane
		for i := convSpreadSIMD(c.isa, dst, c.places, src); i < len(src); i++ {
			dst[c.places[i]] = src[i]
		}
	}
}

// mergeFor returns how many images to interleave so that rows of width outputs fill groups
// of 16 lanes, if the batch has that many.
func mergeFor(width, batch int) int {
	merge := 1
	for merge < lanes && merge < batch && width*merge%lanes != 0 {
		merge *= 2
	}
	return merge
}
