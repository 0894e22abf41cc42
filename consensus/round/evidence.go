package round

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// errHonest is returned for two messages that an honest peer may have signed both.
var errHonest = errors.New("the two messages do not contradict each other")

// Contradiction verifies two signed messages of a job and returns the peer that signed both
// though they contradict each other: two headers or results of one slice in a round, or two
// proposals or votes of one view and step. It verifies both signatures.
func Contradiction(job train.Hash, first, second *train.Sealed) (wire.PeerID, uint64, error) {
	for _, s := range []*train.Sealed{first, second} {
		if len(s.Payload) > protocol.MaxTrainEvidence {
			return "", 0, fmt.Errorf("evidence of %d bytes, at most %d", len(s.Payload), protocol.MaxTrainEvidence)
		}
	}
	a, err := first.Open()
	if err != nil {
		return "", 0, err
	}
	b, err := second.Open()
	if err != nil {
		return "", 0, err
	}
	pa, ra, oka := place(job, a)
	pb, rb, okb := place(job, b)
	if !oka || !okb || a.Signer() != b.Signer() || ra != rb || pa != pb || bytes.Equal(first.Payload, second.Payload) {
		return "", 0, errHonest
	}
	return a.Signer(), ra, nil
}

// place says in the place of what a message stands: a peer signs one for each place.
func place(job train.Hash, b train.Body) (what [3]uint64, round uint64, ok bool) {
	switch v := b.(type) {
	case *train.Header:
		return [3]uint64{uint64(v.Kind())}, v.Round, v.Job == job
	case *train.Reduced:
		return [3]uint64{uint64(v.Kind()), v.Slice}, v.Round, v.Job == job
	case *train.Proposal:
		return [3]uint64{uint64(v.Kind()), v.View}, v.Round, v.Job == job
	case *train.Vote:
		return [3]uint64{uint64(v.Kind()), v.View, uint64(v.Step)}, v.Round, v.Job == job
	}
	return what, 0, false
}

// accuse keeps two contradicting messages of a member for the next outcome, and shows them
// to all, so that whoever leads knows of them.
func (m *Machine) accuse(p wire.PeerID, first, second *train.Sealed) {
	if _, known := m.evidence[p]; known || m.place(p) < 0 || p == m.cfg.Me || bytes.Equal(first.Payload, second.Payload) {
		return
	}
	if len(first.Payload) > protocol.MaxTrainEvidence || len(second.Payload) > protocol.MaxTrainEvidence {
		return // it does not fit an outcome
	}
	e := train.Expelled{Peer: p, First: *first, Second: *second}
	m.evidence[p] = e
	m.out.Evidence = append(m.out.Evidence, e)
	m.send("", first, second)
}
