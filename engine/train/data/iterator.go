package data

import (
	"context"
	"errors"
	"io"
	"sync"
)

// Batch is a number of samples side by side. It is valid until the next call of Next.
type Batch struct {
	N       int       // samples
	Values  []float32 // (N, Shape.Values)
	Tokens  []int32   // (N, Shape.Tokens)
	Targets []float32 // (N, Shape.Targets)
	Labels  []int32   // (N): class, -1 without one
	Lengths []int32   // (N): tokens that count
	Indexes []int     // (N): numbers of the samples in the dataset
	Next    Cursor    // where the batch after this one begins: what a checkpoint keeps
}

// reset empties the batch and keeps its memory.
func (b *Batch) reset() {
	*b = Batch{
		Values: b.Values[:0], Tokens: b.Tokens[:0], Targets: b.Targets[:0],
		Labels: b.Labels[:0], Lengths: b.Lengths[:0], Indexes: b.Indexes[:0],
	}
}

func (b *Batch) add(s *Sample, index int) {
	b.N++
	b.Values = append(b.Values, s.Values...)
	b.Tokens = append(b.Tokens, s.Tokens...)
	b.Targets = append(b.Targets, s.Targets...)
	b.Labels = append(b.Labels, s.Label)
	b.Lengths = append(b.Lengths, s.Length)
	b.Indexes = append(b.Indexes, index)
}

// piece is a run of consecutive samples of one epoch, the unit of work. It passes from the
// iterator to a worker by the channel of work and back by done.
type piece struct {
	epoch, first int // Position of the first sample
	indexes      []int
	samples      []Sample
	errs         []error
	done         chan struct{} // 1: signalled once for each time the piece is given out
}

const (
	// bigSample is the size in bytes from which a piece holds one sample: reading it takes
	// so long that handing it over does not matter.
	bigSample = 1 << 14
	// smallRun is the number of samples in a piece of smaller ones.
	smallRun = 32
	// maxAheadBytes bounds the samples that are read ahead of a batch.
	maxAheadBytes = 256 << 20
)

// Iterator gives the batches of a [Loader], epoch by epoch. Workers read samples into a
// fixed number of places, so it holds about Ahead + 2 batches, and a sample for each worker,
// however large the dataset is. It belongs to one goroutine.
type Iterator struct {
	loader *Loader
	ctx    context.Context // the run scope: ends the workers
	cancel context.CancelFunc
	work   chan *piece // as large as there are pieces, so that sending never blocks
	group  sync.WaitGroup

	waiting []*piece // ring of pieces given out, oldest at head
	head, n int
	taken   int      // samples used of the oldest
	ahead   Cursor   // the first sample not given out
	order   []uint32 // of the epoch of ahead
	at      Cursor   // the first sample not used
	used    int      // samples in batches of the current epoch
	over    int      // samples of the last epoch in no batch
	skipped int
	batch   Batch
	err     error
}

func newIterator(ctx context.Context, l *Loader, at Cursor) (*Iterator, error) {
	run := smallRun
	if l.shape.bytes() >= bigSample {
		run = 1
	}
	ahead := min(l.cfg.Ahead*l.cfg.Batch, 2*l.part, max(1, maxAheadBytes/max(1, l.shape.bytes())))
	pieces := l.cfg.Workers + (ahead+run-1)/run
	it := &Iterator{loader: l, at: at, ahead: at, used: at.Position, work: make(chan *piece, pieces), waiting: make([]*piece, pieces)}
	var err error
	if it.order, err = l.order(nil, at.Epoch); err != nil {
		return nil, err
	}
	it.ctx, it.cancel = context.WithCancel(ctx)
	for range l.cfg.Workers {
		it.group.Go(it.read)
	}
	for range pieces {
		p := &piece{done: make(chan struct{}, 1), samples: make([]Sample, run), errs: make([]error, run), indexes: make([]int, 0, run)}
		for i := range p.samples {
			p.samples[i] = l.shape.NewSample()
		}
		if !it.send(p) {
			break
		}
	}
	return it, nil
}

// read is a worker.
func (it *Iterator) read() {
	seed := it.loader.cfg.Seed
	var r Rand
	for {
		select {
		case <-it.ctx.Done():
			return
		case p := <-it.work:
			for k, i := range p.indexes {
				r = NewRand(seed, p.epoch, i)
				p.errs[k] = it.loader.set.Sample(&p.samples[k], i, &r)
			}
			p.done <- struct{}{}
		}
	}
}

// send sends a free piece to the workers with the samples that come next. It reports false
// at the end of the last epoch.
func (it *Iterator) send(p *piece) bool {
	l := it.loader
	if it.ahead.Position == l.part {
		it.ahead = Cursor{Epoch: it.ahead.Epoch + 1}
		if l.cfg.Epochs == 0 || it.ahead.Epoch < l.cfg.Epochs {
			if it.order, it.err = l.order(it.order, it.ahead.Epoch); it.err != nil {
				return false
			}
		}
	}
	if l.cfg.Epochs > 0 && it.ahead.Epoch >= l.cfg.Epochs {
		return false
	}
	p.epoch, p.first = it.ahead.Epoch, it.ahead.Position
	p.indexes = p.indexes[:min(cap(p.indexes), l.part-p.first)]
	for k := range p.indexes {
		p.indexes[k] = int(it.order[(p.first+k)*l.cfg.Of+l.cfg.Rank])
	}
	it.ahead.Position += len(p.indexes)
	it.waiting[(it.head+it.n)%len(it.waiting)] = p
	it.n++
	it.work <- p
	return true
}

// Next returns the next batch. At the end of each epoch it returns io.EOF once, and the call
// after that goes on with the next epoch; after the last of the Epochs it stays at io.EOF.
// Samples that are unusable are skipped, and the batch is filled from those that follow.
// Any other error, the end of the context included, is final.
func (it *Iterator) Next() (*Batch, error) {
	it.batch.reset()
	for it.err == nil {
		epoch := it.at.Epoch
		if l := it.loader; it.at.Position == l.part || l.cfg.Epochs > 0 && epoch >= l.cfg.Epochs {
			return it.endEpoch()
		}
		if it.err = it.takeSample(); it.err == nil && it.batch.N == it.loader.cfg.Batch {
			return it.give(), nil
		}
	}
	return nil, it.err
}

// endEpoch returns what is left of an epoch, or passes over to the next one.
func (it *Iterator) endEpoch() (*Batch, error) {
	if it.batch.N >= max(it.loader.cfg.Least, 1) {
		return it.give(), nil
	}
	if it.at.Position > 0 {
		it.over = it.batch.N
		it.skipped += it.over
		if it.used == 0 {
			it.err = ErrNoSamples
			return nil, it.err
		}
		it.at, it.used = Cursor{Epoch: it.at.Epoch + 1}, 0
	}
	return nil, io.EOF
}

// give returns the batch.
func (it *Iterator) give() *Batch {
	it.used += it.batch.N
	it.batch.Next = it.at
	return &it.batch
}

// takeSample waits for the next sample and adds it to the batch if it is usable.
func (it *Iterator) takeSample() error {
	p := it.waiting[it.head]
	if it.taken == 0 {
		select {
		case <-p.done:
		case <-it.ctx.Done():
			return it.ctx.Err()
		}
	}
	k := it.taken
	if err := p.errs[k]; err == nil {
		it.batch.add(&p.samples[k], p.indexes[k])
	} else if err := it.skip(err); err != nil {
		return err
	}
	it.taken++
	it.at.Position++
	if it.taken == len(p.indexes) {
		it.taken = 0
		it.head = (it.head + 1) % len(it.waiting)
		it.n--
		it.send(p)
	}
	return it.err
}

// skip reports a bad sample; other errors it returns.
func (it *Iterator) skip(err error) error {
	var bad *Bad
	if !errors.As(err, &bad) {
		return err
	}
	it.skipped++
	if it.loader.cfg.OnBad != nil {
		it.loader.cfg.OnBad(*bad)
	}
	return nil
}

// Cursor returns where the next batch begins.
func (it *Iterator) Cursor() Cursor { return it.at }

// Skipped returns how many samples are in no batch since the iterator began: unusable ones,
// and those left over at the ends of epochs.
func (it *Iterator) Skipped() int { return it.skipped }

// Over returns how many samples were left over at the end of the last epoch, too few for
// the smallest batch.
func (it *Iterator) Over() int { return it.over }

// Close ends the workers and waits for them; a file being decoded is finished first. It may
// be called more than once.
func (it *Iterator) Close() {
	it.cancel()
	it.group.Wait()
	if it.err == nil {
		it.err = context.Canceled
	}
}
