package job

import (
	"github.com/covey-network/covey/engine/train/data"
)

// pipelines read an image as in training and as in use.
type pipelines struct{ train, plain *data.Pipeline }

func (d *Images) pipelines() (pipelines, error) {
	filter := d.filter()
	plain := d.fitted(filter)
	mean, std := floats(d.Mean), floats(d.Std)
	cfg := data.PipelineConfig{Steps: plain, Gray: d.Gray, Mean: mean, Std: std, Budget: data.NewBudget(data.MaxDecodeBytes)}
	var p pipelines
	var err error
	if p.plain, err = data.NewPipeline(cfg); err != nil {
		return p, err
	}
	cfg.Steps = d.augmented(plain, filter)
	p.train, err = data.NewPipeline(cfg)
	return p, err
}

func (d *Images) filter() data.Filter {
	f, err := data.ParseFilter(d.Filter)
	if err != nil {
		return data.Bilinear
	}
	return f
}

// shorter is the length of the shorter side before the middle is cut out.
func (d *Images) shorter() int {
	if d.Resize == 0 {
		return max(d.Size[0], d.Size[1])
	}
	return d.Resize
}

// fitted returns the steps to the size that the model sees.
func (d *Images) fitted(f data.Filter) []data.Step {
	h, w := d.Size[0], d.Size[1]
	if d.Fit == fitStretch {
		return []data.Step{data.ResizeExact{W: w, H: h, Filter: f}}
	}
	return []data.Step{data.Resize{Shorter: d.shorter(), Filter: f}, data.CenterCrop{W: w, H: h}}
}

// augmented returns the steps of training.
func (d *Images) augmented(plain []data.Step, f data.Filter) []data.Step {
	a := &d.Augment
	h, w := d.Size[0], d.Size[1]
	var steps []data.Step
	switch a.Crop {
	case cropResized:
		step := data.RandomResizedCrop{W: w, H: h, Filter: f}
		if len(a.Scale) == 2 {
			step.Scale = [2]float64{a.Scale[0], a.Scale[1]}
		}
		steps = append(steps, step)
	case cropRandom:
		steps = append(steps, plain[0], data.RandomCrop{W: w, H: h, Padding: a.Padding})
	default:
		steps = append(steps, plain...)
	}
	if a.Flip > 0 {
		steps = append(steps, data.HorizontalFlip{P: a.Flip})
	}
	if a.Rotate > 0 || a.Shear > 0 || a.Shift > 0 || len(a.Zoom) == 2 {
		step := data.Affine{
			Degrees: [2]float64{-a.Rotate, a.Rotate}, ShearX: [2]float64{-a.Shear, a.Shear}, ShearY: [2]float64{-a.Shear, a.Shear},
			Translate: [2]float64{a.Shift, a.Shift},
		}
		if len(a.Zoom) == 2 {
			step.Zoom = [2]float64{a.Zoom[0], a.Zoom[1]}
		}
		steps = append(steps, step)
	}
	return steps
}

func floats(v []float64) []float32 {
	var out []float32
	for _, x := range v {
		out = append(out, float32(x))
	}
	return out
}
