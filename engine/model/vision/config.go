package vision

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/nn"
	"github.com/covey-network/covey/engine/tensor"
)

// Limits of a configuration, far above what is published. They bound the memory and the
// work of a model whose configuration comes from a file or a peer.
const (
	MaxSide     = 1 << 13
	MaxChannels = 1 << 16
	MaxKernel   = 1 << 8
	MaxLayers   = 1 << 10
	MaxLabels   = 1 << 16
	// MaxInput is how many numbers an image has at most: they cross the network in one
	// tensor of 32 MiB, protocol.MaxTensor.
	MaxInput = 8 << 20
	// MaxPlanes bounds the numbers between two layers, 256 MiB.
	MaxPlanes = 1 << 26
	// MaxWork bounds the multiply-adds of an image: a ResNet-50 has 2^32 at 224 x 224.
	MaxWork = 1 << 40
	// maxNameBytes bounds the names of tensors, which manifests allow 128 bytes.
	maxNameBytes = 96
)

// The types of layers.
const (
	Conv       = "conv"
	MaxPool    = "maxpool"
	AvgPool    = "avgpool"    // padding counts
	GlobalPool = "globalpool" // mean of each plane
	Basic      = "basic"      // residual block of two 3x3 convolutions
	Bottleneck = "bottleneck" // residual block of 1x1, 3x3 and 1x1 convolutions; the inner ones have a quarter of the channels
	Flatten    = "flatten"
	Linear     = "linear"
)

// Layer is one layer. Which fields count depends on Type. A residual block has its tensors
// below its name: conv1, bn1, conv2, ..., downsample.0 and downsample.1 for the short cut
// where the shape changes.
type Layer struct {
	Type     string `json:"type"`
	Name     string `json:"name,omitempty"`     // of its tensors
	Norm     string `json:"norm,omitempty"`     // conv: of the batch norm's tensors; empty for none
	Channels int    `json:"channels,omitempty"` // conv, basic, bottleneck: of the result; linear: its length
	Kernel   int    `json:"kernel,omitempty"`   // conv, maxpool, avgpool: side of the window
	Stride   int    `json:"stride,omitempty"`   // of these and of residual blocks
	Pad      int    `json:"pad,omitempty"`      // of conv, maxpool, avgpool
	Bias     bool   `json:"bias,omitempty"`     // conv, linear
	// Activation of the results of conv and linear, as kernel.ParseActivation reads it;
	// empty for none. Residual blocks have ReLU.
	Activation string `json:"activation,omitempty"`
}

// Config describes a model. It goes into the manifest as JSON.
type Config struct {
	Input   []int    `json:"input"`   // channels (1 gray, 3 red, green, blue), height, width
	Prepare Prepare  `json:"prepare"` // how a picture becomes Input
	Layers  []Layer  `json:"layers"`  // the last one is linear and gives the scores
	Eps     float64  `json:"eps"`     // of the batch norms
	Labels  []string `json:"labels"`  // one for each score
}

// Validate reports what is out of range, and follows the shape through the layers.
func (c *Config) Validate() error {
	_, err := c.plan()
	if err != nil {
		return fmt.Errorf("check image model: %w", err)
	}
	return nil
}

// checkScalars checks what the plan of the layers relies on.
func (c *Config) checkScalars() error {
	var errs []error
	in := func(name string, v, lo, hi int) {
		if v < lo || v > hi {
			errs = append(errs, fmt.Errorf("%s is %d, want %d to %d", name, v, lo, hi))
		}
	}
	if len(c.Input) != 3 || c.Input[0] != 1 && c.Input[0] != 3 {
		return fmt.Errorf("input is %.60s, want 1 or 3 channels, height and width", fmt.Sprint(c.Input))
	}
	in("height of the input", c.Input[1], 1, MaxSide)
	in("width of the input", c.Input[2], 1, MaxSide)
	in("number of layers", len(c.Layers), 1, MaxLayers)
	in("number of labels", len(c.Labels), 1, MaxLabels)
	if !(c.Eps > 0 && c.Eps < 1) {
		errs = append(errs, fmt.Errorf("eps is %v, want more than 0 and less than 1", c.Eps))
	}
	if len(errs) == 0 && c.InputLen() > MaxInput {
		errs = append(errs, fmt.Errorf("input of %v has %d numbers, at most %d", c.Input, c.InputLen(), MaxInput))
	}
	if len(errs) == 0 {
		_, err := c.Pipeline()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// InputLen returns how many numbers an image has.
func (c *Config) InputLen() int { return c.Input[0] * c.Input[1] * c.Input[2] }

// Specs lists the tensors of a part and their shapes. All are in block 0: an image model
// is one piece. The configuration must be valid.
func (c *Config) Specs(part nn.Part) []nn.Spec {
	if part.Kind != nn.Block {
		return nil
	}
	steps, err := c.plan()
	if err != nil {
		panic("vision: " + err.Error()) // it has been validated
	}
	var out []nn.Spec
	for i := range steps {
		steps[i].tensors(func(name string, shape ...int) {
			out = append(out, nn.Spec{Name: name, Shape: tensor.Shape(shape)})
		})
	}
	return out
}
