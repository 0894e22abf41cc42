package vision

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/train/data"
)

// Prepare says how a picture becomes the input of a model: resized, cut to size, scaled to
// 0 to 1, and normalised with mean and deviation. It is what training did to validate.
type Prepare struct {
	// Resize is the length that the shorter side gets before the middle is cut out. 0
	// stretches the picture to the input's size instead.
	Resize int `json:"resize,omitempty"`
	// Filter is bilinear, bicubic or nearest, as Pillow has them.
	Filter string `json:"filter"`
	// Mean and Std are what is subtracted from and divided out of values of 0 to 1: one
	// number, or one for each channel. Empty means 0 and 1.
	Mean []float32 `json:"mean,omitempty"`
	Std  []float32 `json:"std,omitempty"`
}

// Pipeline returns what turns image files into the model's input, with the limits of those
// that train it. A pipeline is safe for concurrent use.
func (c *Config) Pipeline() (*data.Pipeline, error) {
	p := c.Prepare
	filter, err := data.ParseFilter(p.Filter)
	if err != nil {
		return nil, fmt.Errorf("prepare images: %w", err)
	}
	for _, s := range p.Std {
		if !(s > 0) {
			return nil, fmt.Errorf("prepare images: std has %v, want more than 0", s)
		}
	}
	if p.Resize < 0 || p.Resize > MaxSide {
		return nil, fmt.Errorf("prepare images: resize is %d, want 0 to %d", p.Resize, MaxSide)
	}
	h, w := c.Input[1], c.Input[2]
	steps := []data.Step{data.Resize{Shorter: p.Resize, Filter: filter}, data.CenterCrop{W: w, H: h}}
	if p.Resize == 0 {
		steps = []data.Step{data.ResizeExact{W: w, H: h, Filter: filter}}
	}
	pipe, err := data.NewPipeline(data.PipelineConfig{Steps: steps, Gray: c.Input[0] == 1, Mean: p.Mean, Std: p.Std})
	if err != nil {
		return nil, fmt.Errorf("prepare images: %w", err)
	}
	if n, _, _ := pipe.Dims(); n != c.Input[0] {
		return nil, errors.New("prepare images: the channels are not those of the input")
	}
	return pipe, nil
}
