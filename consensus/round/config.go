package round

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/covey-network/covey/consensus/agree"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// fresh is for how many rounds a signed Join counts.
const fresh = 8

// Span bounds how long a member waits for the others in one phase, in ticks: until the median
// of what it measured and K median absolute deviations, at least Floor, after it, but no
// longer than Cap. Nothing measured: Cap.
type Span struct {
	Floor, Cap int
}

// Times are in ticks. Zero values mean the defaults.
type Times struct {
	Headers Span    // from the begin of the round, so the work is in it; default 10, 200
	Slices  Span    // from when the headers are complete; default 5, 50
	Results Span    // likewise, after the deadline of the slices; default 5, 50
	K       float64 // default 5
	Resend  int     // own messages are first repeated after this; default 4
	// ResendMax bounds the time until the next repeat, which doubles with each until there is something
	// new to say; default Resend.
	ResendMax int
	Votes     agree.Timeouts
}

func (t *Times) defaults() {
	for _, d := range []struct {
		field *int
		value int
	}{
		{&t.Headers.Floor, 10},
		{&t.Headers.Cap, 200},
		{&t.Slices.Floor, 5},
		{&t.Slices.Cap, 50},
		{&t.Results.Floor, 5},
		{&t.Results.Cap, 50},
		{&t.Resend, 4},
	} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	if t.K == 0 {
		t.K = 5
	}
	t.ResendMax = max(t.ResendMax, t.Resend)
	if t.Votes.Resend == 0 {
		t.Votes.Resend, t.Votes.ResendMax = t.Resend, max(t.Votes.ResendMax, t.ResendMax)
	}
}

// Config says who takes part and how.
type Config struct {
	Job    train.Hash
	Me     wire.PeerID
	Quorum train.Quorum
	// Whole wants each outcome to rest on all slices of all members, as averaging gradients
	// step by step does, or on nothing.
	Whole bool
	// SilentRounds without an update, after which a member is out. 0: 3, or 1 with Whole.
	SilentRounds uint64
	// Limit is the most members; 0: protocol.MaxTrainMembers.
	Limit int
	// Group is the most members that average at once; 0: all. Where there are more, they stand in
	// groups ([Machine.Groups]): slices go to the owners of the own group, an outcome has the results
	// of all groups, and what comes of them together is the driver's.
	Group int
	// Initiator may stop the job, by its signed Stop; empty: nobody may.
	Initiator wire.PeerID
	// Sign seals a message of this member. The same message gives the same bytes.
	Sign func(train.Body) *train.Sealed
	// Admit says why a peer may not join; nil: every peer may. The signature is verified.
	Admit func(*train.Join) error
	Times Times
}

func (c *Config) validate() error {
	var errs []error
	if c.Job.IsZero() || c.Me == "" {
		errs = append(errs, errors.New("no job or no peer"))
	}
	if c.Quorum != train.Majority && c.Quorum != train.TwoThirds {
		errs = append(errs, fmt.Errorf("quorum %q", c.Quorum))
	}
	if c.Limit < 0 || c.Limit > protocol.MaxTrainMembers {
		errs = append(errs, fmt.Errorf("limit of %d members, at most %d", c.Limit, protocol.MaxTrainMembers))
	}
	if c.Group < 0 || c.Group == 1 {
		errs = append(errs, fmt.Errorf("groups of %d", c.Group))
	}
	if c.Sign == nil {
		errs = append(errs, errors.New("nothing to sign with"))
	}
	return errors.Join(errs...)
}

func (c *Config) defaults() {
	c.Times.defaults()
	if c.Limit == 0 {
		c.Limit = protocol.MaxTrainMembers
	}
	if c.SilentRounds == 0 {
		if c.SilentRounds = 3; c.Whole {
			c.SilentRounds = 1
		}
	}
}

// Saved is what a member must not forget. [Saved.Encode] makes the bytes of it.
type Saved struct {
	Last    *train.Certificate // of the round before: its outcome names the members
	Decided *train.Certificate // of this round, not yet committed; or nil
	Header  *train.Sealed      // own, of this round; or nil
	Reduced *train.Sealed      // own, of this round; or nil
	Agree   *agree.State       // of this round; or nil
	// Seen is for each member the last round that counted its update, or took it in.
	Seen Rounds
	// Gone is for each peer that was a member the last round without it, for a while.
	Gone Rounds
	// Banned are the expelled, sorted.
	Banned []wire.PeerID
	// Stop is the initiator's, if it is known; or nil.
	Stop *train.Sealed
	// Leaving: this peer has said that it goes.
	Leaving bool
}

// Rounds has a round for each of some peers.
type Rounds map[wire.PeerID]uint64

// MarshalJSON writes the peers in their text form.
func (r Rounds) MarshalJSON() ([]byte, error) {
	text := make(map[string]uint64, len(r))
	for p, v := range r {
		b, err := p.MarshalText()
		if err != nil {
			return nil, err
		}
		text[string(b)] = v
	}
	return json.Marshal(text)
}

// UnmarshalJSON reads what MarshalJSON wrote.
func (r *Rounds) UnmarshalJSON(data []byte) error {
	var text map[string]uint64
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*r = Rounds{}
	for t, v := range text {
		var p wire.PeerID
		if err := p.UnmarshalText([]byte(t)); err != nil {
			return err
		}
		(*r)[p] = v
	}
	return nil
}

// Encode returns the state as bytes.
func (s *Saved) Encode() ([]byte, error) { return json.Marshal(s) }

// DecodeSaved reads what Encode made.
func DecodeSaved(data []byte) (*Saved, error) {
	s := new(Saved)
	if err := json.Unmarshal(data, s); err != nil {
		return nil, fmt.Errorf("saved state of a training round: %w", err)
	}
	if s.Last == nil {
		return nil, errors.New("saved state of a training round: no certificate")
	}
	return s, nil
}

// Begin returns the state of a member that knows one certificate, which it trusts: the
// first one, of round 0, or a later one.
func Begin(c *train.Certificate) *Saved {
	s := &Saved{Last: c, Seen: Rounds{}, Gone: Rounds{}}
	if c.Outcome.Round == 0 {
		for _, m := range c.Outcome.Members {
			s.Seen[m] = 0
		}
	}
	return s
}

// Follow makes c, which follows the last certificate and has been checked, the last one. Who goes
// over all certificates from the first one on knows what the members know: who is expelled, who
// has gone, and when who was heard.
func (s *Saved) Follow(c *train.Certificate) {
	s.Decided = c
	s.next()
}

// clone copies what the machine changes in place.
func (s *Saved) clone() *Saved {
	c := *s
	c.Seen, c.Gone = maps.Clone(s.Seen), maps.Clone(s.Gone)
	c.Banned = slices.Clone(s.Banned)
	return &c
}

// next makes the certificate of the running round the last one.
func (s *Saved) next() {
	members, o := s.Last.Outcome.Members, &s.Decided.Outcome
	for i, m := range members {
		if o.Senders.Has(i) {
			s.Seen[m] = o.Round
		}
		if train.Place(o.Members, m) < 0 {
			s.Gone[m] = o.Round
			delete(s.Seen, m)
		}
	}
	for _, m := range o.Members {
		if train.Place(members, m) < 0 {
			s.Seen[m] = o.Round
			delete(s.Gone, m)
		}
	}
	for p, r := range s.Gone {
		if r+fresh < o.Round {
			delete(s.Gone, p)
		}
	}
	for i := range o.Expelled {
		if p := o.Expelled[i].Peer; !s.banned(p) {
			s.Banned = append(s.Banned, p)
			slices.Sort(s.Banned)
		}
	}
	s.Last, s.Decided, s.Header, s.Reduced, s.Agree = s.Decided, nil, nil, nil, nil
}

func (s *Saved) banned(p wire.PeerID) bool {
	_, ok := slices.BinarySearch(s.Banned, p)
	return ok
}
