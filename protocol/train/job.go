package train

import (
	"math"
	"slices"
	"time"
	"unicode"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

// Mode is how the members of a job learn from each other.
type Mode string

// The modes.
const (
	// DiLoCo: each member does many steps by itself, then the changes are averaged.
	DiLoCo Mode = "diloco"
	// AllReduce: the gradients of each step are averaged.
	AllReduce Mode = "allreduce"
	// Gossip: each member mixes its parameters with those of its neighbours.
	Gossip Mode = "gossip"
)

// Quorum says how many members must sign an outcome.
type Quorum string

// The quorums of n members.
const (
	// Majority is n/2 + 1: members may stop, but not sign two outcomes.
	Majority Quorum = "majority"
	// TwoThirds is 2n/3 + 1: less than a third of the members may do anything.
	TwoThirds Quorum = "two-thirds"
)

// Of returns how many of n members are a quorum; n is at least 1.
func (q Quorum) Of(n int) int {
	if q == TwoThirds {
		return 2*n/3 + 1
	}
	return n/2 + 1
}

// Settings say how a job is trained by several peers.
type Settings struct {
	Mode          Mode          `cbor:"1,keyasint" json:"mode"`
	Rounds        uint64        `cbor:"2,keyasint" json:"rounds"`                // 0: another end is set
	InnerSteps    uint64        `cbor:"3,keyasint" json:"inner_steps"`           // of each member in a round; 0: as many as fit InnerMillis
	InnerMillis   uint64        `cbor:"4,keyasint" json:"inner_millis"`          // time of a round's steps
	Codec         string        `cbor:"5,keyasint" json:"codec"`                 // see consensus/codec
	Rule          string        `cbor:"6,keyasint" json:"rule"`                  // see consensus/robust
	Group         uint64        `cbor:"7,keyasint" json:"group"`                 // most members that average at once
	Quorum        Quorum        `cbor:"8,keyasint" json:"quorum"`                //
	MinPeers      uint64        `cbor:"9,keyasint" json:"min_peers"`             // members before the first round
	Peers         []wire.PeerID `cbor:"10,keyasint,omitempty" json:"peers"`      // who may join, sorted; none: every member of the swarm
	OuterLR       float64       `cbor:"11,keyasint" json:"outer_lr"`             // DiLoCo
	OuterMomentum float64       `cbor:"12,keyasint" json:"outer_momentum"`       // DiLoCo, Nesterov's
	Target        float64       `cbor:"13,keyasint,omitempty" json:"target"`     // of the metric; 0: none
	Higher        bool          `cbor:"23,keyasint,omitempty" json:"higher"`     // a larger metric is a better one
	Patience      uint64        `cbor:"14,keyasint,omitempty" json:"patience"`   // rounds without a better loss before the job ends; 0: no such end
	PublishEvery  uint64        `cbor:"15,keyasint,omitempty" json:"publish"`    // rounds between models that are published on the way; 0: only the last
	Clip          float64       `cbor:"16,keyasint,omitempty" json:"clip"`       // privacy: largest norm of the gradient of one example; 0: no privacy
	Noise         float64       `cbor:"17,keyasint,omitempty" json:"noise"`      // privacy: deviation of the noise in units of Clip
	Delta         float64       `cbor:"18,keyasint,omitempty" json:"delta"`      // privacy: of (epsilon, delta)
	Epsilon       float64       `cbor:"25,keyasint,omitempty" json:"epsilon"`    // privacy: that no member exceeds; 0: no bound
	Mask          bool          `cbor:"19,keyasint,omitempty" json:"mask"`       // updates are hidden from the owners of slices, which see sums
	SilentRounds  uint64        `cbor:"20,keyasint,omitempty" json:"silent"`     // rounds without a word after which a member is out; 0: 3
	MaxSteps      uint64        `cbor:"21,keyasint,omitempty" json:"max_steps"`  // of a member in all; 0: no bound
	PublishAs     string        `cbor:"24,keyasint,omitempty" json:"publish_as"` // name under which each member serves the model at the end; empty: not at all
	RoundTimeout  uint64        `cbor:"22,keyasint,omitempty" json:"timeout_ms"` // most time that a round waits for its members, in milliseconds; 0: by measure alone
}

// Validate checks form and ranges. Codec and Rule are checked by those who read them.
func (s *Settings) Validate() error {
	switch {
	case s.Mode != DiLoCo && s.Mode != AllReduce && s.Mode != Gossip:
		return invalid("mode %.80q", s.Mode)
	case s.Quorum != Majority && s.Quorum != TwoThirds:
		return invalid("quorum %.80q", s.Quorum)
	case s.Rounds > protocol.MaxTrainRounds || s.Patience > protocol.MaxTrainRounds || s.PublishEvery > protocol.MaxTrainRounds || s.SilentRounds > protocol.MaxTrainRounds:
		return invalid("%d rounds, patience of %d, a model each %d, %d of silence", s.Rounds, s.Patience, s.PublishEvery, s.SilentRounds)
	case s.Rounds == 0 && s.Target == 0 && s.Patience == 0 && s.MaxSteps == 0 && s.Epsilon == 0:
		return invalid("a job without an end: no rounds, steps, target, patience or privacy budget")
	case s.InnerSteps > protocol.MaxTrainSteps || s.MaxSteps > math.MaxInt64 || s.InnerMillis > uint64(protocol.MaxTrainRound/time.Millisecond) || s.RoundTimeout > uint64(protocol.MaxTrainRound/time.Millisecond):
		return invalid("%d steps or %d ms in a round of at most %d ms", s.InnerSteps, s.InnerMillis, s.RoundTimeout)
	case s.InnerSteps == 0 && s.InnerMillis == 0:
		return invalid("a round without steps or time")
	case s.Mode == AllReduce && s.InnerSteps != 1:
		return invalid("%d steps in a round of %s, want 1", s.InnerSteps, s.Mode)
	case s.Group < 1 || s.Group > protocol.MaxTrainMembers:
		return invalid("groups of %d", s.Group)
	case s.MinPeers < 1 || s.MinPeers > protocol.MaxTrainPeers:
		return invalid("at least %d members", s.MinPeers)
	case len(s.Codec) > protocol.MaxTextName || len(s.Rule) > protocol.MaxTextName:
		return invalid("names of %d and %d bytes", len(s.Codec), len(s.Rule))
	case s.PublishAs != "" && !validName(s.PublishAs):
		return invalid("name of the model %.80q", s.PublishAs)
	}
	for _, v := range []float64{s.OuterLR, s.OuterMomentum, s.Target, s.Clip, s.Noise, s.Delta, s.Epsilon} {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return invalid("setting %v", v)
		}
	}
	if s.OuterLR < 0 || s.OuterMomentum < 0 || s.OuterMomentum >= 1 || s.Clip < 0 || s.Noise < 0 || s.Delta < 0 || s.Delta >= 1 || s.Epsilon < 0 {
		return invalid("outer step %v, momentum %v, privacy %v, %v, %v, %v", s.OuterLR, s.OuterMomentum, s.Clip, s.Noise, s.Delta, s.Epsilon)
	}
	return sortedPeers(s.Peers, protocol.MaxTrainPeers)
}

// Job is what is trained: its hash names it. It has nothing of any member's data.
type Job struct {
	Swarm     wire.SwarmID `cbor:"1,keyasint"`
	Initiator wire.PeerID  `cbor:"2,keyasint"` // signs
	Name      string       `cbor:"3,keyasint"`
	Issued    int64        `cbor:"4,keyasint"` // Unix milliseconds
	Spec      []byte       `cbor:"5,keyasint"` // the job file without what is local to a machine
	Schema    []byte       `cbor:"6,keyasint"` // JSON: what the data of all members must have in common
	Settings  Settings     `cbor:"7,keyasint"`
	Values    uint64       `cbor:"8,keyasint"` // parameters and running statistics: floats in an update
	Genesis   Hash         `cbor:"9,keyasint"` // root of the state before the first round
	Seed      uint64       `cbor:"10,keyasint"`
}

// Kind implements Body.
func (*Job) Kind() Kind { return KindJob }

// Signer implements Body.
func (j *Job) Signer() wire.PeerID { return j.Initiator }

// Validate checks form and limits.
func (j *Job) Validate() error {
	if err := j.Initiator.Validate(); err != nil {
		return err
	}
	switch {
	case !validName(j.Name):
		return invalid("job name %.80q", j.Name)
	case j.Issued < 0 || j.Values == 0 || j.Values > protocol.MaxTrainValues || j.Genesis.IsZero():
		return invalid("job of %d values, issued %d", j.Values, j.Issued)
	case len(j.Spec) == 0 || len(j.Spec) > protocol.MaxTrainSpec || len(j.Schema) == 0 || len(j.Schema) > protocol.MaxTrainSchema:
		return invalid("job file of %d bytes, schema of %d", len(j.Spec), len(j.Schema))
	}
	return j.Settings.Validate()
}

// ID returns the hash that names the job.
func (j *Job) ID() (Hash, error) {
	b, err := wire.Encode(j)
	return HashOf(b), err
}

// Phase is how far a job is.
type Phase uint8

// The phases of a job.
const (
	PhaseWaiting Phase = 0 // for members
	PhaseRunning Phase = 1
	PhaseDone    Phase = 2
	PhaseStopped Phase = 3 // by its initiator
)

// Announce tells the swarm of a job. Whoever trains it repeats it.
type Announce struct {
	Swarm      wire.SwarmID    `cbor:"1,keyasint"`
	Peer       wire.PeerID     `cbor:"2,keyasint"` // signs
	Job        Hash            `cbor:"3,keyasint"`
	Initiator  wire.PeerID     `cbor:"4,keyasint"`
	Name       string          `cbor:"5,keyasint"`
	Issued     int64           `cbor:"6,keyasint"` // Unix milliseconds
	Phase      Phase           `cbor:"7,keyasint"`
	Round      uint64          `cbor:"8,keyasint"` // the last one that is certified
	Members    uint64          `cbor:"9,keyasint"`
	Membership wire.Membership `cbor:"10,keyasint"`
}

// Kind implements Body.
func (*Announce) Kind() Kind { return KindAnnounce }

// Signer implements Body.
func (a *Announce) Signer() wire.PeerID { return a.Peer }

// Validate checks form.
func (a *Announce) Validate() error {
	for _, id := range []wire.PeerID{a.Peer, a.Initiator} {
		if err := id.Validate(); err != nil {
			return err
		}
	}
	switch {
	case !validName(a.Name) || a.Job.IsZero():
		return invalid("announcement of job %.80q", a.Name)
	case a.Phase > PhaseStopped || a.Issued < 0 || a.Members > protocol.MaxTrainPeers || a.Round > protocol.MaxTrainRounds:
		return invalid("announcement of phase %d, round %d, %d members", a.Phase, a.Round, a.Members)
	case a.Phase == PhaseStopped && a.Peer != a.Initiator:
		return invalid("a job stopped by another than its initiator")
	}
	return a.Membership.Validate()
}

// validName reports whether text is a name: short, and without characters that control a screen or
// the direction of writing.
func validName(text string) bool {
	if text == "" || len(text) > protocol.MaxTextName {
		return false
	}
	for _, r := range text {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return false
		}
	}
	return true
}

// sortedPeers checks a list of peers: valid, sorted, unique.
func sortedPeers(list []wire.PeerID, limit int) error {
	if len(list) > limit {
		return invalid("%d peers, at most %d", len(list), limit)
	}
	for _, p := range list {
		if err := p.Validate(); err != nil {
			return err
		}
	}
	if !slices.IsSorted(list) || len(slices.Compact(slices.Clone(list))) != len(list) {
		return invalid("peers that are not sorted and unique")
	}
	return nil
}
