package trainer

import (
	"errors"
	"fmt"

	"github.com/covey-network/covey/engine/train/data"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// Numbers of tables are scaled by the moments of all first members' samples: each tells its own with
// its wish to join, the initiator adds them up, and the certificate of round 0 has the sums, so that
// all hold the same bits. Whoever comes later takes those.

// leastRows is of how many samples a member's moments are at least: those of fewer tell too much of
// each.
const leastRows = 8

// columnsOf returns the moments that a member tells: none if its data has none, or too few samples,
// or if liars could spoil the scale of all, which the job's rule is there for.
func columnsOf(set *train.Settings, run *job.Running) (out []train.Moments) {
	if set.Rule != job.DefaultRule || set.Noise > 0 || set.Mask || run.Samples < leastRows {
		return nil
	}
	list := run.Moments()
	if len(list) > protocol.MaxTrainColumns {
		return nil
	}
	for _, m := range list {
		out = append(out, train.Moments{Count: uint64(m.Count), Mean: m.Mean, Squares: m.Squares})
	}
	return out
}

// scales adds up what the first members have told: this peer itself, the initiator, and the others in
// their order; nil if it tells nothing. Who makes sums that no certificate can have does not count.
func (s *session) scales(members []wire.PeerID) []train.Moments {
	if len(s.columns) == 0 {
		return nil
	}
	told := make([][]train.Moments, len(members))
	s.mu.Lock()
	for i, p := range members {
		if p != s.me && s.wishes[p] != nil {
			told[i] = s.wishes[p].Columns
		}
	}
	s.mu.Unlock()
	sum := s.columns
	for i, list := range told {
		if len(list) != len(sum) {
			continue
		}
		next := plus(sum, list)
		if err := train.ValidMoments(next); err != nil {
			s.log.Warn("what a member tells of its columns does not count", "peer", members[i], "err", err)
			continue
		}
		sum = next
	}
	return sum
}

// plus adds moments column by column.
func plus(a, b []train.Moments) []train.Moments {
	sum := make([]train.Moments, len(a))
	for i := range a {
		m := data.Moments{Count: int(a[i].Count), Mean: a[i].Mean, Squares: a[i].Squares}.Plus(data.Moments{Count: int(b[i].Count), Mean: b[i].Mean, Squares: b[i].Squares})
		sum[i] = train.Moments{Count: uint64(m.Count), Mean: m.Mean, Squares: m.Squares}
	}
	return sum
}

// rescale scales the data of a run as the certificate of round 0 says.
func (s *session) rescale(run *job.Running) error {
	if len(run.Moments()) == 0 {
		return nil
	}
	s.mu.Lock()
	known := s.first == 0 && len(s.starts) > 1
	var end int64
	if known {
		end = s.starts[1]
	}
	s.mu.Unlock()
	if !known {
		return errors.New("the first certificate of the job, which says how numbers are scaled, is lost here: join anew, in another folder")
	}
	list, err := s.files.readCertificates(0, end)
	if err != nil || len(list) != 1 {
		return errors.Join(errors.New("first certificate of the job"), err)
	}
	b, err := list[0].Open()
	if err != nil {
		return err
	}
	c, ok := b.(*train.Certificate)
	if !ok || c.Outcome.Round != 0 {
		return errors.New("the first certificate of the job is none")
	}
	if len(c.Outcome.Columns) == 0 {
		return nil
	}
	moments := make([]data.Moments, len(c.Outcome.Columns))
	for i, m := range c.Outcome.Columns {
		moments[i] = data.Moments{Count: int(m.Count), Mean: m.Mean, Squares: m.Squares}
	}
	if err := run.Rescale(moments); err != nil {
		return fmt.Errorf("how the job scales numbers: %w", err)
	}
	return nil
}
