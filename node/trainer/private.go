package trainer

import (
	"crypto/rand"
	"errors"

	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol/train"
)

// hide puts section privacy of a job file into the settings of a job.
func hide(s *train.Settings, p *job.Privacy) error {
	if p != nil {
		s.Clip, s.Noise, s.Epsilon, s.Mask = p.Clip, p.Noise, p.Epsilon, p.Mask
		if p.Noise > 0 {
			s.Delta = p.Delta
		}
	}
	return hides(s)
}

// hides reports what this program cannot hide as the settings want it.
func hides(s *train.Settings) error {
	switch {
	case s.Mask:
		return errors.New("swarm.privacy.mask: not possible yet")
	case s.Noise > 0 && s.Clip == 0:
		return errors.New("swarm.privacy.noise: needs clip")
	case s.Noise > 0 && s.Delta == 0:
		return errors.New("swarm.privacy.delta: needs to be more than 0")
	case s.Epsilon > 0 && s.Noise == 0:
		return errors.New("swarm.privacy.epsilon: needs noise")
	case s.Epsilon > 0 && s.Mode == train.AllReduce:
		return errors.New("swarm.privacy.epsilon: in mode allreduce each step takes the gradients of all members, so that none can stop before the others: set rounds to what each may spend, or take another mode")
	}
	return nil
}

// private is how a run of the job hides its samples, by a seed that is made now and kept nowhere;
// nil if it does not.
func private(s *train.Settings) *job.Private {
	if s.Clip == 0 {
		return nil
	}
	p := &job.Private{Clip: s.Clip, Noise: s.Noise, Delta: s.Delta, Epsilon: s.Epsilon}
	_, _ = rand.Read(p.Seed[:]) // never fails
	return p
}

// spent reports whether this member may do no further step.
func (l *learner) spent() bool { return l.run != nil && !l.run.Affords() }

// release keeps what was spent of privacy: something that was learned is about to leave.
func (l *learner) release() error {
	if l.run == nil {
		return nil
	}
	l.s.spent.Store(l.run.Spent())
	return l.run.Release()
}

// tellsLoss reports whether losses of training may be told. They are of the samples themselves, and
// no noise is in them.
func tellsLoss(s *train.Settings) bool { return s.Noise == 0 }

// tellsMeasured reports whether what validations find may be told: with noise only where the job's
// end depends on it.
func tellsMeasured(s *train.Settings) bool { return s.Noise == 0 || s.Target > 0 || s.Patience > 0 }
