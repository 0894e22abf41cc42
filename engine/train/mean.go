package train

import "fmt"

// mean is the memory of Gradients.
type mean struct {
	grads, stats []float32 // sums
	first        []float32 // running statistics before
}

// Gradients computes the gradients of several batches at the same parameters and leaves their
// mean in Params().Grads, summed in the order of the batches: ((g0+g1)+...) * (1/n). The loss
// is the mean of their losses, each a mean itself: a sample of a small batch counts for more
// than one of a large batch. Running statistics become the mean, in the same way, of what
// each batch alone would have made of those before. Random choices are those of parts that
// follow the one of SetPart: n trainers with a batch and a part each, whose gradients and
// running statistics are averaged in this order, have the bits of one trainer with all
// batches. each, if it is not nil, is called after each gradient with its number, from 0;
// that is when TrainScore knows the batch. Nothing is remembered of an error but what
// ErrNotFinite says.
func (t *Trainer) Gradients(batches []*Batch, each func(i int) error) (loss float64, err error) {
	if len(batches) == 0 {
		return 0, fmt.Errorf("%w: none given", ErrBatch)
	}
	m, stats, part := &t.mean, t.Stats(), t.part
	defer func() { t.part = part }()
	if len(batches) > 1 {
		m.first = append(m.first[:0], stats...)
	}
	for i, b := range batches {
		if i > 0 {
			copy(stats, m.first)
		}
		t.part = part + i
		l, err := t.Gradient(b)
		if err == nil && each != nil {
			err = each(i)
		}
		if err != nil {
			return l, err
		}
		loss += l
		if i == 0 && len(batches) > 1 {
			m.grads, m.stats = append(m.grads[:0], t.Params().Grads...), append(m.stats[:0], stats...)
		} else if i > 0 {
			addTo(m.grads, t.Params().Grads)
			addTo(m.stats, stats)
		}
	}
	if n := len(batches); n > 1 {
		scaleTo(t.Params().Grads, m.grads, 1/float32(n))
		scaleTo(stats, m.stats, 1/float32(n))
	}
	return loss / float64(len(batches)), nil
}

func addTo(dst, x []float32) {
	for i, v := range x {
		dst[i] += v
	}
}

func scaleTo(dst, x []float32, by float32) {
	for i, v := range x {
		dst[i] = v * by
	}
}
