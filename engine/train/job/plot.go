package job

import (
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/image/font"
	"golang.org/x/image/font/basicfont"
	"golang.org/x/image/math/fixed"
)

const (
	plotW, plotH                                 = 960, 540
	plotLeft, plotRight, plotTop, plotBottom     = 70, 20, 30, 40
	plotColumns                                  = plotW - plotLeft - plotRight
	plotTicks, plotTick, glyphWidth, glyphHeight = 6, 4, 7, 13
)

// Curve is a history thinned out to some columns, each the mean of its steps.
type Curve struct {
	Steps             int // of the last row
	Train, Validation []XY
	Low, High         float64 // of all Y
}

// XY is a point of a curve: a step and a loss.
type XY struct{ X, Y float64 }

// NewCurve thins out a history to at most the given number of points for training.
func NewCurve(points []Point, columns int) Curve {
	c := Curve{Low: math.Inf(1), High: math.Inf(-1)}
	for _, p := range points {
		c.Steps = max(c.Steps, p.Step)
	}
	sum, n, first, column := 0.0, 0, 0, 0
	flush := func(last int) {
		if n > 0 {
			c.Train = append(c.Train, XY{float64(first+last) / 2, sum / float64(n)})
		}
		sum, n = 0, 0
	}
	last := 0
	for _, p := range points {
		if p.Validation {
			c.Validation = append(c.Validation, XY{float64(p.Step), p.Loss})
			continue
		}
		if at := (p.Step - 1) * columns / max(c.Steps, 1); at != column || n == 0 {
			flush(last)
			column, first = at, p.Step
		}
		sum, n, last = sum+p.Loss, n+1, p.Step
	}
	flush(last)
	for _, l := range [][]XY{c.Train, c.Validation} {
		for _, p := range l {
			c.Low, c.High = min(c.Low, p.Y), max(c.High, p.Y)
		}
	}
	return c
}

// drawCurve draws the history in the folder of a run.
func drawCurve(folder string) (err error) {
	points, err := ReadHistory(filepath.Join(folder, HistoryFile))
	if err != nil || len(points) == 0 {
		return err
	}
	f, err := os.Create(filepath.Join(folder, CurveFile))
	if err != nil {
		return fmt.Errorf("draw curve: %w", err)
	}
	defer func() {
		if closed := f.Close(); err == nil && closed != nil {
			err = fmt.Errorf("draw curve: %w", closed)
		}
	}()
	if err := png.Encode(f, plot(NewCurve(points, plotColumns/2))); err != nil {
		return fmt.Errorf("draw curve: %w", err)
	}
	return nil
}

// canvas is a plot with its scales.
type canvas struct {
	*image.RGBA
	curve     Curve
	low, high float64
}

var (
	ink       = color.RGBA{0x30, 0x30, 0x30, 0xff}
	grid      = color.RGBA{0xe4, 0xe4, 0xe4, 0xff}
	trainInk  = color.RGBA{0x1f, 0x77, 0xb4, 0xff}
	validInk  = color.RGBA{0xd6, 0x27, 0x28, 0xff}
	paperFill = color.RGBA{0xff, 0xff, 0xff, 0xff}
)

// plot draws both losses over the steps.
func plot(c Curve) image.Image {
	p := &canvas{RGBA: image.NewRGBA(image.Rect(0, 0, plotW, plotH)), curve: c, low: c.Low, high: c.High}
	for i := range p.Pix {
		p.Pix[i] = paperFill.R
	}
	if !(p.high > p.low) {
		p.low, p.high = p.low-0.5, p.low+0.5
	}
	p.axes()
	p.lines(c.Train, trainInk)
	p.lines(c.Validation, validInk)
	for _, v := range c.Validation {
		x, y := p.at(v)
		p.dot(x, y, validInk)
	}
	p.text(plotLeft, plotTop-10, "loss of training", trainInk)
	if len(c.Validation) > 0 {
		p.text(plotLeft+20*glyphWidth, plotTop-10, "loss of validation", validInk)
	}
	p.text(plotW/2, plotH-6, "step", ink)
	return p
}

func (p *canvas) at(v XY) (x, y int) {
	fx := v.X / float64(max(p.curve.Steps, 1))
	fy := (v.Y - p.low) / (p.high - p.low)
	return plotLeft + int(math.Round(fx*plotColumns)), plotH - plotBottom - int(math.Round(fy*(plotH-plotTop-plotBottom)))
}

func (p *canvas) axes() {
	for _, v := range Ticks(p.low, p.high, plotTicks) {
		x, y := p.at(XY{0, v})
		p.line(x, y, plotW-plotRight, y, grid)
		label := strconv.FormatFloat(v, 'g', 4, 64)
		p.text(x-plotTick-glyphWidth*len(label), y+glyphHeight/2-2, label, ink)
	}
	for _, v := range Ticks(0, float64(p.curve.Steps), plotTicks) {
		x, y := p.at(XY{v, p.low})
		p.line(x, y, x, plotTop, grid)
		label := strconv.FormatFloat(v, 'f', -1, 64)
		p.text(x-glyphWidth*len(label)/2, y+glyphHeight+plotTick, label, ink)
	}
	p.line(plotLeft, plotTop, plotLeft, plotH-plotBottom, ink)
	p.line(plotLeft, plotH-plotBottom, plotW-plotRight, plotH-plotBottom, ink)
}

// Ticks returns round numbers from low to high, about n of them.
func Ticks(low, high float64, n int) []float64 {
	if !(high > low) || math.IsInf(high-low, 0) {
		return nil
	}
	raw := (high - low) / float64(n)
	exponent := int(math.Floor(math.Log10(raw)))
	var out []float64
	for _, m := range []int{1, 2, 5, 10} {
		step := float64(m) * math.Pow10(exponent)
		if step < raw*(1-1e-9) {
			continue
		}
		for i := math.Ceil(low/step - 1e-9); i*step <= high+step*1e-9 && len(out) <= 2*n; i++ {
			v, _ := strconv.ParseFloat(strconv.FormatFloat(i*step, 'g', 12, 64), 64)
			out = append(out, v+0) // no -0
		}
		break
	}
	return out
}

func (p *canvas) text(x, y int, s string, c color.Color) {
	d := font.Drawer{Dst: p, Src: image.NewUniform(c), Face: basicfont.Face7x13, Dot: fixed.P(x, y)}
	d.DrawString(s)
}

func (p *canvas) dot(x, y int, c color.RGBA) {
	for dy := -2; dy <= 2; dy++ {
		for dx := -2; dx <= 2; dx++ {
			p.SetRGBA(x+dx, y+dy, c)
		}
	}
}

func (p *canvas) lines(l []XY, c color.RGBA) {
	for i := 1; i < len(l); i++ {
		x0, y0 := p.at(l[i-1])
		x1, y1 := p.at(l[i])
		p.line(x0, y0, x1, y1, c)
		p.line(x0, y0+1, x1, y1+1, c)
	}
}

// line draws a straight line pixel by pixel (Bresenham, "Algorithm for computer control of
// a digital plotter", 1965).
func (p *canvas) line(x0, y0, x1, y1 int, c color.RGBA) {
	dx, dy := max(x1-x0, x0-x1), -max(y1-y0, y0-y1)
	sx, sy := 1, 1
	if x0 > x1 {
		sx = -1
	}
	if y0 > y1 {
		sy = -1
	}
	for e := dx + dy; ; {
		p.SetRGBA(x0, y0, c)
		if x0 == x1 && y0 == y1 {
			return
		}
		twice := 2 * e
		if twice >= dy {
			e, x0 = e+dy, x0+sx
		}
		if twice <= dx {
			e, y0 = e+dx, y0+sy
		}
	}
}
