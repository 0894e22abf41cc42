package kernel

import "fmt"

// Conv is the shape of a two-dimensional convolution as neural networks use the word, a
// cross-correlation. Images are (Batch, InC, H, W), weights (OutC, InC, KH, KW), results
// (Batch, OutC, OutH, OutW), all row-major. Pad rows and columns of zeros surround each image.
type Conv struct{ Batch, InC, H, W, OutC, KH, KW, Stride, Pad int }

// OutH returns the number of rows of a result.
func (c Conv) OutH() int { return (c.H+2*c.Pad-c.KH)/c.Stride + 1 }

// OutW returns the number of columns of a result.
func (c Conv) OutW() int { return (c.W+2*c.Pad-c.KW)/c.Stride + 1 }

// Check reports a shape that has no result.
func (c Conv) Check() error {
	if min(c.Batch, c.InC, c.H, c.W, c.OutC, c.KH, c.KW, c.Stride) < 1 || c.Pad < 0 {
		return fmt.Errorf("convolution %+v: all but the padding must be positive", c)
	}
	if c.KH > c.H+2*c.Pad || c.KW > c.W+2*c.Pad {
		return fmt.Errorf("convolution %+v: the kernel is larger than the padded image", c)
	}
	return nil
}

// inputs, outputs and weights return numbers of elements.
func (c Conv) inputs() int  { return c.Batch * c.InC * c.H * c.W }
func (c Conv) outputs() int { return c.Batch * c.OutC * c.OutH() * c.OutW() }
func (c Conv) weights() int { return c.OutC * c.InC * c.KH * c.KW }

// ConvOp computes a convolution and its gradients. It owns the scratch memory, which the
// first call of each method allocates; later calls allocate nothing. An op is for one
// goroutine at a time.
//
// Every output is one chain of fused multiply-adds: of a result over (input channel, row,
// column of the kernel), of a gradient of the input over (output channel, row, column), of a
// gradient of a weight over (image, row, column of the result). Zeros of the padding and
// terms of value zero count as terms, so that infinite weights or gradients give NaN there.
type ConvOp struct {
	shape   Conv
	isa     ISA
	forward *convPass
	back    *convPass
	weights *convWeights
}

// NewConvOp returns an op for a shape that passed [Conv.Check].
func NewConvOp(c Conv) *ConvOp { return newConvOp(current, c) }

func newConvOp(isa ISA, c Conv) *ConvOp {
	if err := c.Check(); err != nil {
		panic("kernel: " + err.Error())
	}
	return &ConvOp{shape: c, isa: isa}
}

// Forward computes the result y of images x with weights w, plus bias[channel] unless bias
// is nil.
func (o *ConvOp) Forward(p *Pool, y, x, w, bias []float32) {
	o.check("Forward", len(y), len(x), len(w))
	if bias != nil && len(bias) < o.shape.OutC {
		panic(fmt.Sprintf("kernel: Conv %+v with a bias of %d", o.shape, len(bias)))
	}
	if o.forward == nil {
		o.forward = newConvForward(o.isa, o.shape)
	}
	o.forward.run(p, y, x, w, bias)
}

// GradInput overwrites dx with the gradient of the images, given the gradient dy of the
// result.
func (o *ConvOp) GradInput(p *Pool, dx, dy, w []float32) {
	o.check("GradInput", len(dy), len(dx), len(w))
	if o.back == nil {
		o.back = newConvBack(o.isa, o.shape)
	}
	o.back.run(p, dx, dy, w, nil)
}

// GradWeights overwrites dw with the gradient of the weights and, unless it is nil, dbias
// with that of the bias.
func (o *ConvOp) GradWeights(p *Pool, dw, dbias, dy, x []float32) {
	o.check("GradWeights", len(dy), len(x), len(dw))
	if dbias != nil && len(dbias) < o.shape.OutC {
		panic(fmt.Sprintf("kernel: Conv %+v with a gradient of the bias of %d", o.shape, len(dbias)))
	}
	if o.weights == nil {
		o.weights = newConvWeights(o.isa, o.shape)
	}
	o.weights.run(p, dw, dbias, dy, x)
}

func (o *ConvOp) check(what string, y, x, w int) {
	c := o.shape
	if y < c.outputs() || x < c.inputs() || w < c.weights() {
		panic(fmt.Sprintf("kernel: Conv %+v: %s got %d results, %d inputs, %d weights", c, what, y, x, w))
	}
}
