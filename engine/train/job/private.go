package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"github.com/covey-network/covey/engine/train"
	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/net"
	"github.com/covey-network/covey/engine/train/privacy"
)

// PrivateFile is the file in the folder of a run with the steps that what has left the machine
// rests on. A run that begins in its folder goes on counting from there.
const PrivateFile = "privacy.json"

// EndSpent is Result.End of a run whose budget of epsilon does not allow one more step.
const EndSpent = "privacy budget spent"

// errSpent is the error of a step that the budget does not allow. Whoever ends the run asks
// Running.Affords first.
var errSpent = errors.New("the step would exceed the privacy budget")

// Private lets a run hide each of its samples: batches are drawn by chance, gradients of single
// samples are cut off and noise is added to their sum (train.Trainer.PrivateGradient), and what all
// steps together tell of a sample is counted (package privacy). The loss of a step and validations
// are not hidden.
type Private struct {
	Clip    float64 // largest norm of the gradient of a sample
	Noise   float64 // deviation of the noise, in units of Clip; 0: none, and nothing is counted
	Delta   float64 // for which epsilon is told
	Epsilon float64 // no step is done that would exceed it; 0: no bound
	// Seed is where chance and noise come from. Nobody else may know it, and it must be another one
	// in each call of Run: noise that is used twice hides nothing.
	Seed [32]byte
}

// Spent is what a run's steps have told of one of its samples so far.
type Spent struct {
	Epsilon float64 `json:"epsilon"`
	Delta   float64 `json:"delta"`
	Budget  float64 `json:"budget,omitempty"` // Private.Epsilon
	Steps   int     `json:"steps"`            // those that were lost count too
	Rate    float64 `json:"rate"`             // probability that a step has a sample
}

// hiding is Private at work.
type hiding struct {
	Private
	kind       privacy.Steps // of each step
	gradient   train.Private
	source     *privacy.Source
	accountant *privacy.Accountant
	loss       float64 // of the last batch with samples
	score      train.Score
}

// spentFile is what PrivateFile has.
type spentFile struct {
	Steps []privacy.Steps `json:"steps"`
}

// hide makes what hides the samples. What Options.Private cannot be of is refused.
func (r *runner) hide(model net.Config) error {
	p := r.private
	if p == nil {
		return nil
	}
	c := &check{job: r.job}
	if _, stats, err := net.Sizes(model); err == nil && stats > 0 {
		c.add("model", "has batch norms, through which the samples of a batch see each other: there is no gradient of one sample to cut off, so privacy needs a model without")
	}
	if r.job.Train.accumulated() > 1 {
		c.add("train.accumulate", "is %d: with privacy gradients are made sample by sample, so that a larger train.batch takes no more memory; leave it out", r.job.Train.Accumulate)
	}
	if err := errors.Join(c.errs...); err != nil {
		return err
	}
	p.source = privacy.NewSource(p.Seed)
	return nil
}

// expect says what samples there are, once the data is open.
func (r *runner) expect() {
	p := r.private
	if p == nil {
		return
	}
	samples, batch := r.streams[0].loader.Samples(), r.job.Train.Batch
	p.kind = privacy.Steps{Rate: data.DrawnRate(samples, batch), Noise: p.Noise, Count: 1}
	p.gradient = train.Private{Clip: p.Clip, Noise: p.Noise, Expected: float64(min(samples, batch)), Normal: p.source.Normal}
}

// recall takes up what was spent before: by this run, and by what of it has left the machine. It is
// an error if not one step can be afforded.
func (r *runner) recall() error {
	p := r.private
	if p == nil {
		return nil
	}
	list := r.at.Private
	left, err := r.released()
	if err != nil {
		return err
	}
	if counted(left) > counted(list) {
		list = left
	}
	if p.accountant, err = privacy.Resume(list); err != nil {
		return fmt.Errorf("%s: %w", PrivateFile, err)
	}
	s := r.spent()
	if s == nil {
		r.note("privacy: gradients of samples are cut to %v, without noise: nothing is promised", p.Clip)
		return nil
	}
	samples := r.samples()
	if !r.affords() && s.Steps == 0 {
		c := &check{job: r.job}
		c.add("swarm.privacy.epsilon", "is %v, and the first step takes %.3g of it: each has each of the %d samples with probability %.3g; take more noise, a smaller train.batch, or data with more samples",
			p.Epsilon, p.accountant.With(p.kind, p.Delta), samples, p.kind.Rate)
		return c.errs[0]
	}
	text := fmt.Sprintf("privacy: each step has each of the %d samples with probability %.3g; epsilon %.3g is spent at delta %v", samples, p.kind.Rate, s.Epsilon, s.Delta)
	if p.Epsilon > 0 {
		text += fmt.Sprintf(", of %v: enough for %d more steps", p.Epsilon, r.left())
	}
	r.note("%s", text)
	if s.Delta*float64(samples) >= 1 {
		r.data.warnings = append(r.data.warnings, fmt.Sprintf("swarm.privacy.delta is %v, and there are %d samples: it should be well below one in as many, as it is the probability that a sample is not hidden", s.Delta, samples))
	}
	return nil
}

func counted(list []privacy.Steps) (n int) {
	for _, s := range list {
		n += s.Count
	}
	return n
}

// spent returns what was spent so far; nil without noise.
func (r *runner) spent() *Spent {
	p := r.private
	if p == nil || p.Noise == 0 || p.accountant == nil {
		return nil
	}
	return &Spent{Epsilon: min(p.accountant.Epsilon(p.Delta), math.MaxFloat64), Delta: p.Delta, Budget: p.Epsilon, Steps: p.accountant.Count(), Rate: p.kind.Rate}
}

// affords reports whether the budget allows one more step.
func (r *runner) affords() bool { return r.affordsSteps(1) }

func (r *runner) affordsSteps(n int) bool {
	p := r.private
	if p == nil || p.Noise == 0 || p.Epsilon == 0 {
		return true
	}
	more := p.kind
	more.Count = n
	return p.accountant.With(more, p.Delta) <= p.Epsilon
}

// left returns how many more steps the budget allows.
func (r *runner) left() int {
	lo, hi := 0, 1
	for hi < 1<<40 && r.affordsSteps(hi) {
		lo, hi = hi, 2*hi
	}
	for hi-lo > 1 {
		if mid := lo + (hi-lo)/2; r.affordsSteps(mid) {
			lo = mid
		} else {
			hi = mid
		}
	}
	return lo
}

// privateGradient is gradient that hides the samples.
func (r *runner) privateGradient() (loss float64, score train.Score, samples int, err error) {
	p, s := r.private, &r.streams[0]
	if !r.affords() {
		return 0, score, 0, errSpent
	}
	// What becomes of one sample's numbers stops nothing, as others would see it; those of the model
	// are no secret.
	for _, v := range r.trainer.Params().Values {
		if v-v != 0 {
			return 0, score, 0, fmt.Errorf("step %d: parameters: %w", r.trainer.Steps()+1, train.ErrNotFinite)
		}
	}
	if s.batch = (train.Batch{IDs: s.batch.IDs[:0]}); s.got.N > 0 {
		fill(r.trainer.Model(), &s.batch, s.got)
	}
	classes := r.job.MetricName() == accuracy
	loss, err = r.trainer.PrivateGradient(&s.batch, &p.gradient, func(_ int, one *train.Batch) error {
		if !classes {
			return nil
		}
		s, err := r.trainer.TrainScore(one)
		score.Add(s)
		return err
	})
	if err == nil && p.Noise > 0 {
		err = p.accountant.Add(p.kind)
		r.at.Private = p.accountant.Steps()
	}
	if err != nil {
		return 0, score, 0, err
	}
	if !classes {
		score = train.Score{Loss: loss, Count: 1}
	}
	if s.got.N > 0 {
		p.loss, p.score = loss, score
	}
	return p.loss, p.score, int(p.gradient.Expected), nil
}

// released returns the steps that what has left the machine rests on.
func (r *runner) released() ([]privacy.Steps, error) {
	b, err := os.ReadFile(filepath.Join(r.folder, PrivateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var f spentFile
	if err == nil {
		err = json.Unmarshal(b, &f)
	}
	if err != nil {
		return nil, fmt.Errorf("what was spent of privacy before: %s: %w", PrivateFile, err)
	}
	return f.Steps, nil
}

// release keeps, durably, how many steps have been done.
func (r *runner) release() error {
	p := r.private
	if p == nil || p.Noise == 0 {
		return nil
	}
	b, err := json.Marshal(spentFile{p.accountant.Steps()})
	if err != nil {
		return err
	}
	path := filepath.Join(r.folder, PrivateFile)
	temp := path + ".tmp" // of a process that was killed, it goes
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := writeSynced(temp, b); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	d, err := os.Open(r.folder)
	if err != nil {
		return err
	}
	if err = d.Sync(); errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrInvalid) {
		err = nil // Windows
	}
	return errors.Join(err, d.Close())
}

// Spent returns what the run has spent so far; nil if it counts nothing.
func (r *Running) Spent() *Spent { return r.run.spent() }

// Affords reports whether the budget allows one more step. A run that goes on without ends with an
// error, so a Sync that ends a run asks.
func (r *Running) Affords() bool { return r.run.affords() }

// Release keeps, durably, what was spent so far. It is called before anything that was learned
// leaves the machine: after a kill the run counts on from there.
func (r *Running) Release() error {
	if err := r.run.release(); err != nil {
		return fmt.Errorf("keep what was spent of privacy: %w", err)
	}
	return nil
}
