package train

import (
	"errors"
	"fmt"
	"math"
)

// Private says how a gradient hides the samples that it is of (DP-SGD, Abadi et al. 2016, arXiv
// 1607.00133, algorithm 1).
type Private struct {
	Clip  float64 // largest norm of the gradient of one sample, more than 0
	Noise float64 // deviation of the noise on the sum, in units of Clip; 0: none
	// Expected is how many samples batches have in the mean: sums are divided by that, as how many
	// a batch has depends on chance and on the samples that there are.
	Expected float64
	// Normal gives numbers of the normal distribution; needed with Noise.
	Normal func() float64
}

func (p *Private) check() error {
	for _, v := range []float64{p.Clip, p.Expected} {
		if !(v > 0) || math.IsInf(v, 0) {
			return fmt.Errorf("private gradient: clip %v, %v samples expected", p.Clip, p.Expected)
		}
	}
	if !(p.Noise >= 0) || math.IsInf(p.Noise, 0) || p.Noise > 0 && p.Normal == nil {
		return fmt.Errorf("private gradient: noise %v", p.Noise)
	}
	return nil
}

// PrivateGradient computes the gradient of each sample of a batch by itself, scales those that are
// longer than Clip down to it, adds them up, adds noise, divides by Expected, and leaves that in
// Params().Grads. A batch without samples is noise alone. So one sample more or less changes what
// is there before the noise by Clip / Expected at most, and one in the place of another by twice
// that, whatever is in it: the gradient of a sample that is not finite counts as zero. Models whose
// samples see each other, by batch norm, have no gradient of one sample and are refused.
//
// The loss is the mean of the samples' finite losses, and not private. each, if it is not nil, is
// called after each sample, as a batch of one, with its number; that is when TrainScore knows it.
// Random choices are those of parts far behind that of SetPart.
func (t *Trainer) PrivateGradient(b *Batch, p *Private, each func(i int, one *Batch) error) (loss float64, err error) {
	if err := p.check(); err != nil {
		return 0, err
	}
	if len(t.Stats()) > 0 {
		return 0, errors.New("private gradient: the model has batch norms, through which samples see each other")
	}
	sum := t.room()
	if b.N > 0 {
		if err := b.check(t.model); err != nil {
			return 0, err
		}
		if loss, err = t.addClipped(sum, b, p.Clip, each); err != nil {
			return 0, err
		}
	}
	grads, scale := t.Params().Grads, 1/p.Expected
	if p.Noise > 0 {
		std := p.Noise * p.Clip
		for i, v := range sum {
			grads[i] = float32((v + std*p.Normal()) * scale)
		}
	} else {
		for i, v := range sum {
			grads[i] = float32(v * scale)
		}
	}
	return loss, nil
}

// room returns memory for a sum over samples, with zeros. It has more digits than a gradient: what
// sums are rounded by is not bounded by Clip.
func (t *Trainer) room() []float64 {
	if t.sum == nil {
		t.sum = make([]float64, len(t.Params().Grads))
	}
	clear(t.sum)
	return t.sum
}

// partsApart keeps the random choices of a batch's samples apart from those of other parts.
const partsApart = 1 << 21

// sumGrain is how many numbers are added by a thread at a time.
const sumGrain = 1 << 14

// addClipped adds the clipped gradients of the samples to a sum.
func (t *Trainer) addClipped(sum []float64, b *Batch, clip float64, each func(i int, one *Batch) error) (loss float64, err error) {
	part := t.part
	defer func() { t.part = part }()
	grads, finite := t.Params().Grads, 0
	for i := range b.N {
		t.part = part + (i+1)*partsApart
		one := b.sample(i)
		l, err := t.Gradient(&one)
		if err != nil && !errors.Is(err, ErrNotFinite) {
			return 0, err
		}
		norm := math.Sqrt(t.squares.Run(t.pool, grads))
		if err == nil && !math.IsNaN(norm) && !math.IsInf(norm, 0) {
			loss, finite = loss+l, finite+1
			scale := min(1, clip/norm) // of a norm of 0 it is 1
			t.pool.For(len(sum), sumGrain, func(lo, hi int) {
				for k := lo; k < hi; k++ {
					sum[k] += float64(scale * float64(grads[k]))
				}
			})
		}
		if each != nil {
			if err := each(i, &one); err != nil {
				return 0, err
			}
		}
	}
	return loss / float64(max(finite, 1)), nil
}

// sample returns sample i as a batch of one. The two share memory.
func (b *Batch) sample(i int) Batch {
	one := Batch{N: 1, Seq: b.Seq}
	cut := func(list []int32, width int) []int32 {
		if list == nil {
			return nil
		}
		return list[i*width : (i+1)*width]
	}
	if width := len(b.Floats) / b.N; width > 0 {
		one.Floats = b.Floats[i*width : (i+1)*width]
	}
	if width := len(b.Targets) / b.N; width > 0 {
		one.Targets = b.Targets[i*width : (i+1)*width]
	}
	one.IDs, one.Lengths, one.Labels = cut(b.IDs, b.Seq), cut(b.Lengths, 1), cut(b.Labels, len(b.Labels)/b.N)
	return one
}
