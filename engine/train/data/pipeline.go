package data

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
)

// PipelineConfig says what happens to an image file on its way to the network.
type PipelineConfig struct {
	// Steps change the picture in turn. One of them must fix its size.
	Steps []Step
	// Gray makes one channel instead of three, after the steps: (299 R + 587 G + 114 B) /
	// 1000 as Pillow's convert("L") rounds it.
	Gray bool
	// Scale multiplies the values 0 to 255; 0 stands for dividing by 255.
	Scale float64
	// Mean and Std are what is subtracted from and divided out of the scaled values, one
	// for each channel or one for all; nil stands for 0 and 1.
	Mean, Std []float32
	// MaxPixels bounds the images decoded; 0 stands for DefaultMaxPixels.
	MaxPixels int
	// Budget bounds the memory of decoding at once; nil stands for one of MaxDecodeBytes for
	// this pipeline alone.
	Budget *Budget
}

const (
	// maxStepPixels bounds what steps make, whatever may be decoded.
	maxStepPixels = 32 << 20
	// keptBytes is the memory of a picture that is kept for the next one.
	keptBytes = 64 << 20
	// collectBytes is what a picture has to take for a collection of its own: else the garbage
	// of several large ones would pile up.
	collectBytes = 256 << 20
)

// Pipeline decodes an image file, changes the picture and writes it as float32 numbers.
// It is safe for concurrent use.
type Pipeline struct {
	cfg   PipelineConfig
	w, h  int
	table [][256]float32 // the number for each value of each channel
	spare sync.Pool      // of *canvas
}

// NewPipeline checks the configuration.
func NewPipeline(cfg PipelineConfig) (*Pipeline, error) {
	p := &Pipeline{cfg: cfg, table: make([][256]float32, 3)}
	if cfg.Gray {
		p.table = p.table[:1]
	}
	if cfg.MaxPixels <= 0 {
		p.cfg.MaxPixels = DefaultMaxPixels
	}
	if cfg.Budget == nil {
		p.cfg.Budget = NewBudget(MaxDecodeBytes)
	}
	limit := p.maxStepPixels()
	var errs []error
	for i, s := range cfg.Steps {
		if s == nil {
			return nil, fmt.Errorf("pipeline: step %d is nil", i)
		}
		if err := s.Check(); err != nil {
			errs = append(errs, fmt.Errorf("pipeline: step %d: %w", i, err))
		}
	}
	if len(errs) == 0 {
		for i, s := range cfg.Steps {
			if p.w, p.h = s.size(p.w, p.h); p.w > limit/max(p.h, 1) {
				return nil, fmt.Errorf("pipeline: step %d makes %d x %d pixels, at most %d pixels", i, p.w, p.h, limit)
			}
		}
		if p.w == 0 || p.h == 0 {
			errs = append(errs, errors.New("pipeline: no step fixes the size of the images"))
		}
	}
	if err := errors.Join(append(errs, p.normalise())...); err != nil {
		return nil, err
	}
	return p, nil
}

// normalise fills the table with (v * scale - mean) / std.
func (p *Pipeline) normalise() error {
	n := len(p.table)
	for _, v := range [][]float32{p.cfg.Mean, p.cfg.Std} {
		if len(v) > 1 && len(v) != n {
			return fmt.Errorf("pipeline: mean or std of %d numbers for %d channels", len(v), n)
		}
	}
	of := func(v []float32, c int, none float32) float32 {
		if len(v) == 0 {
			return none
		}
		return v[c%len(v)]
	}
	for c := range p.table {
		mean, std := of(p.cfg.Mean, c, 0), of(p.cfg.Std, c, 1)
		for v := range p.table[c] {
			scaled := float32(v) / 255
			if p.cfg.Scale != 0 {
				scaled = float32(float64(v) * p.cfg.Scale)
			}
			x := (scaled - mean) / std
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return fmt.Errorf("pipeline: scale %g, mean %g, std %g make %g of %d", p.cfg.Scale, mean, std, x, v)
			}
			p.table[c][v] = x
		}
	}
	return nil
}

// Dims returns the shape of what comes out: channels, height, width.
func (p *Pipeline) Dims() (c, h, w int) { return len(p.table), p.h, p.w }

// Run decodes an image file by [Decode] and writes the result to dst of length
// channels x height x width in that order. Random steps draw from r; a pipeline without
// any takes nil.
func (p *Pipeline) Run(dst []float32, file []byte, r *Rand) error {
	m, err := openPicture(file, p.cfg.MaxPixels)
	if err != nil {
		return err
	}
	defer p.cfg.Budget.take(m.bytes)()
	c := p.canvas()
	defer p.keep(c)
	if err := m.decode(c.image); err != nil {
		return err
	}
	if m.bytes > collectBytes {
		runtime.GC()
	}
	return p.run(dst, c, r)
}

// RunImage is [Pipeline.Run] for a decoded picture, which it leaves as it is.
func (p *Pipeline) RunImage(dst []float32, m *Image, r *Rand) error {
	if m.W < 1 || m.H < 1 || len(m.Pix) != 3*m.W*m.H {
		return fmt.Errorf("image of %d x %d pixels in %d bytes", m.W, m.H, len(m.Pix))
	}
	c := p.canvas()
	defer p.keep(c)
	cropTo(c.image, m, 0, 0, m.W, m.H, [3]byte{})
	return p.run(dst, c, r)
}

func (p *Pipeline) canvas() *canvas {
	if c, ok := p.spare.Get().(*canvas); ok {
		return c
	}
	return &canvas{image: new(Image), spare: new(Image), maxPixels: p.maxStepPixels()}
}

// keep keeps a canvas for the next picture, without its memory if that is large.
func (p *Pipeline) keep(c *canvas) {
	size := cap(c.image.Pix) + cap(c.spare.Pix)
	if size > keptBytes {
		c.image.Pix, c.spare.Pix = nil, nil
	}
	if size > collectBytes {
		runtime.GC()
	}
	p.spare.Put(c)
}

func (p *Pipeline) maxStepPixels() int { return min(p.cfg.MaxPixels, maxStepPixels) }

func (p *Pipeline) run(dst []float32, c *canvas, r *Rand) error {
	if r == nil {
		r = new(Rand)
	}
	for _, s := range p.cfg.Steps {
		if err := s.run(c, r); err != nil {
			return err
		}
	}
	m, n := c.image, p.w*p.h
	if m.W != p.w || m.H != p.h || len(dst) != len(p.table)*n {
		return fmt.Errorf("image of %d x %d pixels for %d numbers, want %d x %d pixels in %d channels", m.W, m.H, len(dst), p.w, p.h, len(p.table))
	}
	if p.cfg.Gray {
		for i := range dst {
			dst[i] = p.table[0][luma(m.Pix[3*i:3*i+3])]
		}
		return nil
	}
	red, green, blue := dst[:n], dst[n:2*n], dst[2*n:3*n]
	tr, tg, tb := &p.table[0], &p.table[1], &p.table[2]
	pix := m.Pix[:3*n]
	for i := range red {
		red[i], green[i], blue[i] = tr[pix[3*i]], tg[pix[3*i+1]], tb[pix[3*i+2]]
	}
	return nil
}

// luma is Pillow's L24 (libImaging/Convert.c).
func luma(p []byte) byte {
	return byte((uint32(p[0])*19595 + uint32(p[1])*38470 + uint32(p[2])*7471 + 0x8000) >> 16)
}
