package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/net"
)

// stream gives one of the batches of each step. Each goes through a part of the data of its
// own, by its own epochs: what stream i of n gives is what a run of rank i of n takes.
type stream struct {
	loader *data.Loader
	iter   batches
	base   int         // LeftOutNow when the iterator had skipped none
	got    *data.Batch // for the next step, nil before it is asked for
	batch  train.Batch // of the step
}

// batches are a data.Iterator, or a data.Drawn.
type batches interface {
	Next() (*data.Batch, error)
	Cursor() data.Cursor
	Skipped() int
	Over() int
	Close()
}

// batches returns the batches of a stream, from where it stands.
func (r *runner) batches(ctx context.Context, i int) (batches, error) {
	at := r.at.stream(i).Data
	if p := r.private; p != nil {
		return data.NewDrawn(ctx, r.data.train, data.DrawnConfig{Batch: r.job.Train.Batch, Chosen: p.source.Chosen, Seed: r.job.Train.Seed, Rank: r.rank, Of: r.of, OnBad: r.bad}, at)
	}
	return r.streams[i].loader.From(ctx, at)
}

// place is where a stream stands.
type place struct {
	Data data.Cursor `json:"data"`
	// LeftOut is how many samples the epoch with most of them left out, of the whole ones;
	// LeftOutNow is of the epoch that is going on, so far.
	LeftOut    int `json:"left_out"`
	LeftOutNow int `json:"left_out_now"`
}

// stream returns the place of a stream.
func (p *position) stream(i int) *place {
	if i == 0 {
		return &p.place
	}
	return &p.More[i-1]
}

// leftOut returns how many samples an epoch left out, of all streams.
func (p *position) leftOut() int {
	n := 0
	for i := range len(p.More) + 1 {
		n += max(p.stream(i).LeftOut, p.stream(i).LeftOutNow)
	}
	return n
}

// maxParts is how many runs may share the data.
const maxParts = 1 << 20

// accumulated returns how many batches a step takes.
func (t *Train) accumulated() int { return max(t.Accumulate, 1) }

// openStreams makes the loaders, for batches of some samples at least.
func (r *runner) openStreams(least int) error {
	t := &r.job.Train
	n := t.accumulated()
	if r.of = cmp.Or(r.of, 1); r.of < 1 || r.of > maxParts || r.rank < 0 || r.rank >= r.of {
		return fmt.Errorf("part %d of %d of the data: want one of 0 up to less than their number, which is at most %d", r.rank, r.of, maxParts)
	}
	if have := r.data.train.Len(); n > 1 && n*r.of > have {
		c := &check{job: r.job}
		c.add("train.accumulate", "is %d for %d samples: each of its batches takes a part of its own of them", n, have/r.of)
		return c.errs[0]
	}
	r.streams, r.at.More = make([]stream, n), make([]place, n-1)
	cfg := data.LoaderConfig{Batch: t.Batch, Least: least, Shuffle: true, Seed: t.Seed, Of: r.of * n, OnBad: r.bad}
	if n == 1 { // others may have to go on when the first is at its end
		if cfg.Epochs = t.Epochs; r.together {
			cfg.Epochs = 0
		}
	}
	for i := range r.streams {
		var err error
		cfg.Rank = r.rank*n + i
		if r.streams[i].loader, err = data.NewLoader(r.data.train, cfg); err != nil {
			return err
		}
	}
	return nil
}

// samples returns the number of samples of an epoch.
func (r *runner) samples() int {
	n := 0
	for i := range r.streams {
		n += r.streams[i].loader.Samples()
	}
	return n
}

// gather gets a batch from each stream. It reports true when the last of the streams has come
// to the end of an epoch; what the others gave stays for the next call.
func (r *runner) gather() (over bool, err error) {
	for i := range r.streams {
		for s := &r.streams[i]; s.got == nil; {
			b, err := s.iter.Next()
			if errors.Is(err, io.EOF) {
				r.endEpoch(i)
				if r.advance() {
					return true, nil
				}
				continue
			}
			if err != nil {
				return false, err
			}
			s.got = b
		}
	}
	return false, nil
}

// endEpoch goes over to the next epoch of a stream.
func (r *runner) endEpoch(i int) {
	s, at := &r.streams[i], r.at.stream(i)
	at.Data, at.LeftOut, at.LeftOutNow = s.iter.Cursor(), max(at.LeftOut, s.base+s.iter.Skipped()), 0
	s.base = -s.iter.Skipped()
	r.leftOver(at.Data.Epoch, s.iter.Over())
}

// advance reports whether all streams have ended an epoch.
func (r *runner) advance() bool {
	done := r.at.Data.Epoch
	for _, p := range r.at.More {
		done = min(done, p.Data.Epoch)
	}
	more := done > r.at.Epochs
	r.at.Epochs = max(r.at.Epochs, done)
	return more
}

// leftOver tells once that samples at the end of an epoch were too few for a batch.
func (r *runner) leftOver(epoch, n int) {
	if n > 0 && !r.over {
		r.over = true
		r.bad(data.Bad{Name: fmt.Sprintf("last batch of epoch %d", epoch), Err: fmt.Errorf("has %d sample, too few for the model's batch norm (told once)", n)})
	}
}

// gradient computes the gradient of the batches that were gathered, and scores them.
func (r *runner) gradient() (loss float64, score train.Score, samples int, err error) {
	if r.private != nil {
		return r.privateGradient()
	}
	batches := make([]*train.Batch, len(r.streams))
	for i := range r.streams {
		s := &r.streams[i]
		fill(r.trainer.Model(), &s.batch, s.got)
		batches[i] = &s.batch
		samples += s.got.N
	}
	classes := r.job.MetricName() == accuracy
	loss, err = r.trainer.Gradients(batches, func(i int) error {
		if !classes {
			return nil
		}
		s, err := r.trainer.TrainScore(batches[i])
		score.Add(s)
		return err
	})
	if !classes {
		score = train.Score{Loss: loss, Count: 1}
	}
	return loss, score, samples, err
}

// used goes on behind the batches of a step.
func (r *runner) used() {
	for i := range r.streams {
		s, at := &r.streams[i], r.at.stream(i)
		at.Data, at.LeftOutNow = s.got.Next, s.base+s.iter.Skipped()
		s.got = nil
	}
}

// fill makes a batch of the loader one of the trainer; the two share memory.
func fill(m *net.Model, dst *train.Batch, b *data.Batch) {
	*dst = train.Batch{N: b.N, Floats: b.Values, Labels: b.Labels, Targets: b.Targets, IDs: dst.IDs[:0], Lengths: nil}
	switch m.Task() {
	case net.Regress:
		dst.Labels = nil
	case net.Generate:
		fillText(dst, b)
	default:
		if m.Context() > 0 {
			dst.Floats, dst.Targets = nil, nil
			dst.Seq, dst.IDs, dst.Lengths = len(b.Tokens)/b.N, b.Tokens, b.Lengths
			for i, n := range b.Lengths {
				b.Lengths[i] = max(n, 1) // a text without tokens counts as one of padding
			}
		}
	}
}

// fillText makes all tokens but the last the input, and all but the first what follows.
func fillText(dst *train.Batch, b *data.Batch) {
	n := len(b.Tokens) / b.N
	ids, labels := dst.IDs, b.Tokens[:0] // labels come before what they are made from
	for i := range b.N {
		row := b.Tokens[i*n : (i+1)*n]
		ids = append(ids, row[:n-1]...)
		labels = append(labels, row[1:]...)
	}
	dst.Seq, dst.IDs, dst.Labels, dst.Floats, dst.Targets = n-1, ids, labels, nil, nil
}
