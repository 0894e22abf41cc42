package job

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
)

// The words of section swarm.
const (
	ModeDiLoCo    = "diloco"    // members train alone for a while, and take an outer step with the mean of what they have learned (arXiv 2311.08105)
	ModeAllReduce = "allreduce" // members average the gradients of each step
	ModeGossip    = "gossip"    // each mixes its parameters with those of some others, without rounds that wait

	QuorumMajority  = "majority"
	QuorumTwoThirds = "two-thirds"
)

// Defaults of section swarm.
const (
	DefaultCodec       = "int8"
	DefaultRule        = ruleMean
	DefaultGossipRule  = "gossip"
	DefaultInnerSteps  = 128 // of diloco: with int8 a 512th of the bytes of gradients of each step
	DefaultGossipSteps = 16  // of gossip: its members drift apart in between
	// The paper's outer step, 0.7 and 0.9, is for hundreds of rounds: in the first ones it goes too
	// far. docs/swarm-training.md has figures.
	DefaultOuterLR       = 1.0
	DefaultOuterMomentum = 0.4
	DefaultDelta         = 1e-5

	ruleMean    = "mean"
	maxMembers  = 10_000
	maxInner    = 1 << 20
	maxInnerSec = 24 * 3600
)

// Swarm says how peers train the job together. What is zero or nil has the default that
// WithDefaults fills in. A run alone leaves the section aside.
type Swarm struct {
	Mode       string   `toml:"mode"`        // diloco (if empty), allreduce or gossip
	Rounds     int      `toml:"rounds"`      // that end the job; 0: others do
	InnerSteps int      `toml:"inner_steps"` // of each member between two exchanges: of diloco 128 if 0, of gossip 1
	InnerTime  float64  `toml:"inner_time"`  // seconds in place of InnerSteps: each member does as many steps as it can
	Codec      string   `toml:"codec"`       // how updates are written: int8 if empty
	Rule       string   `toml:"rule"`        // how updates become one: mean if empty
	Group      int      `toml:"group"`       // members that average with each other; 0: as many as are good
	Quorum     string   `toml:"quorum"`      // that decides a round: majority (if empty), or two-thirds
	MinPeers   int      `toml:"min_peers"`   // that the first round waits for, this one included; 1 if 0
	Peers      []string `toml:"peers"`       // identities of those who may join; all of the swarm if empty
	Outer      Outer    `toml:"outer"`       // of diloco

	Target       float64  `toml:"target"`        // of the metric, the median of what members measured: reached, it ends the job; 0: none
	Patience     int      `toml:"patience"`      // rounds in a row without a better loss of validation that end the job; 0: none
	PublishEvery int      `toml:"publish_every"` // rounds after which the model is served meanwhile; 0: at the end
	Privacy      *Privacy `toml:"privacy"`       // nil: none
}

// Outer is the optimiser of diloco's outer step: sgd with Nesterov's momentum.
type Outer struct {
	LR       *float64 `toml:"lr"`       // 1 if nil
	Momentum *float64 `toml:"momentum"` // 0.4 if nil
}

// Privacy says what of a member's samples its updates may tell.
type Privacy struct {
	Clip  float64 `toml:"clip"`  // largest norm of the gradient of each sample; 0: no limit
	Noise float64 `toml:"noise"` // deviation of the noise that is added to sums of them, in Clip; 0: none
	Delta float64 `toml:"delta"` // for which epsilon is told; 1e-5 if 0
	Mask  bool    `toml:"mask"`  // members see sums of updates only
	// Epsilon is what no member's steps exceed: a member that would has no further part in what is
	// learned, and the job ends when that is so for all. 0: no bound.
	Epsilon float64 `toml:"epsilon"`
}

// WithDefaults returns the section with the defaults in place of what is not set.
func (s Swarm) WithDefaults() Swarm {
	fill := func(v *string, otherwise string) {
		if *v == "" {
			*v = otherwise
		}
	}
	fill(&s.Mode, ModeDiLoCo)
	fill(&s.Codec, DefaultCodec)
	if s.Mode == ModeGossip {
		fill(&s.Rule, DefaultGossipRule)
	}
	fill(&s.Rule, DefaultRule)
	fill(&s.Quorum, QuorumMajority)
	s.MinPeers = max(s.MinPeers, 1)
	if s.InnerSteps == 0 && s.InnerTime == 0 {
		switch s.InnerSteps = 1; s.Mode {
		case ModeDiLoCo:
			s.InnerSteps = DefaultInnerSteps
		case ModeGossip:
			s.InnerSteps = DefaultGossipSteps
		}
	}
	if s.Mode == ModeDiLoCo {
		if s.Outer.LR == nil {
			s.Outer.LR = new(DefaultOuterLR)
		}
		if s.Outer.Momentum == nil {
			s.Outer.Momentum = new(DefaultOuterMomentum)
		}
	}
	if s.Privacy != nil {
		p := *s.Privacy
		if p.Delta == 0 {
			p.Delta = DefaultDelta
		}
		s.Privacy = &p
	}
	return s
}

// steps returns how many steps a member does in all, 0 if that cannot be told.
func (s *Swarm) steps() int {
	if s == nil || s.InnerTime > 0 {
		return 0
	}
	return s.Rounds * s.WithDefaults().InnerSteps
}

// CheckSwarm reports, with their lines, names of section swarm that codec and rule do not know
// and peers that peer does not; they get the names with the defaults filled in. Validate cannot
// tell.
func (j *Job) CheckSwarm(codec, rule, peer func(name string) error) error {
	if j.Swarm == nil {
		return nil
	}
	c := &check{job: j}
	s := j.Swarm.WithDefaults()
	try := func(key, name string, known func(string) error) {
		if err := known(name); err != nil {
			c.add(key, "is %.80q: %v", name, err)
		}
	}
	try("swarm.codec", s.Codec, codec)
	try("swarm.rule", s.Rule, rule)
	for i, p := range s.Peers {
		try(fmt.Sprintf("swarm.peers[%d]", i), p, peer)
	}
	return errors.Join(c.errs...)
}

// word is what names of codecs and rules look like.
var word = regexp.MustCompile(`^[a-z0-9][a-z0-9.:+%-]{0,63}$`)

// swarm checks section swarm.
func (c *check) swarm() {
	s := c.job.Swarm
	if s == nil {
		return
	}
	const at = "swarm"
	c.oneOf(at+".mode", s.Mode, ModeDiLoCo, ModeAllReduce, ModeGossip)
	c.oneOf(at+".quorum", s.Quorum, QuorumMajority, QuorumTwoThirds)
	for _, w := range []struct{ name, v string }{{"codec", s.Codec}, {"rule", s.Rule}} {
		if w.v != "" && !word.MatchString(w.v) {
			c.add(at+"."+w.name, "is %.80q, want a name of small letters, digits and .:+%%-", w.v)
		}
	}
	c.in(at+".rounds", s.Rounds, 0, maxInner)
	c.in(at+".inner_steps", s.InnerSteps, 0, maxInner)
	c.between(at+".inner_time", s.InnerTime, 0, maxInnerSec)
	if s.Group != 0 {
		c.in(at+".group", s.Group, 2, maxMembers)
	}
	c.in(at+".min_peers", s.MinPeers, 0, maxMembers)
	c.in(at+".patience", s.Patience, 0, maxInner)
	c.in(at+".publish_every", s.PublishEvery, 0, maxInner)
	c.between(at+".target", s.Target, 0, 1e9)
	c.swarmMode(at, s)
	c.swarmPeers(at, s)
	if s.Privacy != nil {
		c.privacy(at+".privacy", s)
	}
	if t := &c.job.Train; s.Rounds == 0 && s.Target == 0 && s.Patience == 0 && (s.Privacy == nil || s.Privacy.Epsilon == 0) && t.Steps == 0 && t.Epochs == 0 {
		c.add(at, "has no end, want rounds, target or patience, or steps or epochs in train")
	}
}

// swarmMode checks what goes with a mode.
func (c *check) swarmMode(at string, s *Swarm) {
	if s.InnerSteps != 0 && s.InnerTime != 0 {
		c.add(at+".inner_time", "is %v and inner_steps is %d, want one of them", s.InnerTime, s.InnerSteps)
	}
	if s.Mode == ModeAllReduce && (s.InnerSteps > 1 || s.InnerTime != 0) {
		c.add(at+".mode", "is %q, which exchanges gradients after each step: leave out inner_steps and inner_time, or take %q", s.Mode, ModeDiLoCo)
	}
	lr, momentum := s.Outer.LR, s.Outer.Momentum
	if (lr != nil || momentum != nil) && s.Mode != "" && s.Mode != ModeDiLoCo {
		c.add(at+".outer", "belongs to mode = %q", ModeDiLoCo)
	}
	if lr != nil && !(*lr > 0 && *lr <= 10) {
		c.add(at+".outer.lr", "is %v, want more than 0 and at most 10", *lr)
	}
	if momentum != nil && !(*momentum >= 0 && *momentum < 1) {
		c.add(at+".outer.momentum", "is %v, want at least 0 and less than 1", *momentum)
	}
}

// swarmPeers checks the list of those who may join.
func (c *check) swarmPeers(at string, s *Swarm) {
	if len(s.Peers) > maxMembers {
		c.add(at+".peers", "has %d, want at most %d", len(s.Peers), maxMembers)
		return
	}
	sorted := slices.Sorted(slices.Values(s.Peers))
	for i, p := range sorted {
		if p == "" || len(p) > 128 || i > 0 && sorted[i-1] == p {
			c.add(at+".peers", "has %.80q, want identities of peers, each once", p)
		}
	}
	if n := len(s.Peers); n > 0 && s.MinPeers > n+1 {
		c.add(at+".min_peers", "is %d, and %d peers may join: the job waits for ever", s.MinPeers, n)
	}
}

func (c *check) privacy(at string, s *Swarm) {
	p := s.Privacy
	c.between(at+".clip", p.Clip, 0, 1e9)
	c.between(at+".noise", p.Noise, 0, 1e6)
	if p.Delta != 0 && !(p.Delta > 0 && p.Delta < 1) {
		c.add(at+".delta", "is %v, want more than 0 and less than 1", p.Delta)
	}
	switch {
	case p.Noise > 0 && p.Clip == 0:
		c.add(at+".noise", "needs clip, which says how much there is to hide")
	case p.Noise == 0 && p.Delta != 0:
		c.add(at+".delta", "needs noise: without it nothing is promised")
	}
	c.between(at+".epsilon", p.Epsilon, 0, 1e6)
	switch {
	case p.Epsilon > 0 && p.Noise == 0:
		c.add(at+".epsilon", "needs noise: without it nothing is promised")
	case p.Epsilon > 0 && s.Mode == ModeAllReduce:
		c.add(at+".epsilon", "has no place in mode = %q, where each step takes the gradients of all members: set rounds to what each may spend", s.Mode)
	}
	if rule := s.WithDefaults().Rule; p.Mask && rule != ruleMean {
		c.add(at+".mask", "hides single updates, which rule = %q looks at: leave out one of them", rule)
	}
}
