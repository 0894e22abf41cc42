package trainer

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// askAgain is how often a peer asks to be taken in, and looks for the first certificate.
	askAgain = time.Second
	// gatherTime is how long the initiator waits for more members when there are enough.
	gatherTime = 2 * time.Second
	// maxWishes bounds the peers that wait for the first round.
	maxWishes = 4 * protocol.MaxTrainMembers
)

// newSession makes a session; start begins its rounds.
func (t *Trainer) newSession(sealed *train.Sealed, j *train.Job, dir string, threads int) (*session, error) {
	id, err := j.ID()
	if err != nil {
		return nil, err
	}
	rule, err := robust.Parse(j.Settings.Rule)
	if err != nil {
		return nil, fmt.Errorf("rule of the job: %w", err)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &session{
		net: t.net, log: t.cfg.Log.With("job", id.Short()), job: j, id: id, sealed: sealed, me: t.net.host.ID(), files: files{dir}, rule: rule,
		threads: threads, calls: make(chan func(), maxCalls), drafts: map[train.Hash]*train.Outcome{}, changed: make(chan struct{}),
		data: map[uint64]*roundData{}, serving: map[train.Hash]*served{}, wishes: map[wire.PeerID]*train.Join{},
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	if s.chain, err = s.files.readChain(); err != nil {
		return nil, err
	}
	if err := s.files.writeJob(sealed); err != nil {
		return nil, err
	}
	s.topic, err = t.net.host.Topic(protocol.JobTopic(j.Swarm.String(), id.String()), host.TopicConfig{MaxBytes: protocol.MaxTrainMessage, Receive: s.receive})
	if err != nil {
		return nil, err
	}
	return s, t.register(s)
}

// close ends a session: all its tasks have ended when it returns.
func (t *Trainer) close(s *session) error {
	t.unregister(s)
	s.end(ErrEnded)
	s.tasks.Wait()
	ctx := context.Background() // the store is closed after the trainer
	s.unserve(ctx, true)
	for _, p := range s.now().members {
		t.net.host.Unprotect(p, "train "+s.id.Short())
	}
	return s.topic.Close()
}

// fail ends the session with an error.
func (s *session) fail(err error) {
	s.mu.Lock()
	s.view.err = err
	s.wakeLocked()
	s.mu.Unlock()
	s.log.Error("training failed", "err", err)
	s.end(err)
}

// started reports whether the rounds have begun.
func (s *session) started() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view.last != nil
}

// start begins or goes on with the rounds. root is that of the state in place.
func (s *session) start(root train.Hash, samples uint64) error {
	saved, err := s.files.readRound()
	if err != nil {
		return err
	}
	last, err := s.verifyChain()
	if err != nil {
		return err
	}
	if saved == nil {
		if last == nil {
			return errors.New("no certificate to begin with")
		}
		saved = round.Begin(last)
	}
	set := &s.job.Settings
	s.machine, err = round.New(round.Config{
		Job: s.id, Me: s.me, Quorum: set.Quorum, Whole: set.Mode == train.AllReduce, SilentRounds: set.SilentRounds,
		Limit: int(min(set.Group, protocol.MaxTrainMembers)), Sign: s.sign, Admit: s.admit, Times: times(set),
	}, saved, root)
	if err != nil {
		return err
	}
	if train.Place(s.machine.Members(), s.me) < 0 {
		s.machine.Join(samples, s.net.host.Proof())
	}
	if err := s.drain(); err != nil { // the data of the round is there when its work begins
		return err
	}
	s.task(func(context.Context) { s.loop() })
	s.task(s.keepHouse)
	return nil
}

// verifyChain checks the certificates at hand and returns the last one. Those of a peer that
// came late may begin after the first round: then the oldest one is trusted.
func (s *session) verifyChain() (last *train.Certificate, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, sealed := range s.chain {
		b, err := sealed.Open()
		if err != nil {
			return nil, err
		}
		c, ok := b.(*train.Certificate)
		if !ok || c.Outcome.Job != s.id {
			return nil, errors.New("chain of certificates: one of something else")
		}
		if err := s.follows(last, c); err != nil {
			return nil, fmt.Errorf("certificate of round %d: %w", c.Outcome.Round, err)
		}
		last = c
	}
	return last, nil
}

// follows reports whether a certificate is the first one of the job, or follows another.
func (s *session) follows(last, c *train.Certificate) error {
	if last == nil {
		if o := &c.Outcome; o.Round == 0 && (c.Peer != s.job.Initiator || o.State != s.job.Genesis) {
			return errors.New("not the initiator's")
		}
		return nil
	}
	if c.Outcome.Round != last.Outcome.Round+1 || c.Outcome.Base != last.Outcome.State {
		return errors.New("does not follow the one before")
	}
	return c.Verify(last.Outcome.Members, s.job.Settings.Quorum)
}

// admit says why a peer may not join.
func (s *session) admit(j *train.Join) error {
	if _, err := j.Membership.Verify(s.job.Swarm, j.Peer, time.Now()); err != nil {
		return err
	}
	if list := s.job.Settings.Peers; len(list) > 0 && !slices.Contains(list, j.Peer) {
		return errors.New("the job does not name it")
	}
	return nil
}

// early takes messages before the first round: wishes to join.
func (s *session) early(msgs []round.Message) host.Verdict {
	for _, m := range msgs {
		j, ok := m.Body.(*train.Join)
		if !ok || j.Job != s.id {
			return host.Ignore
		}
		if err := s.admit(j); err != nil {
			return host.Ignore
		}
		s.mu.Lock()
		if _, known := s.wishes[j.Peer]; !known && len(s.wishes) < maxWishes {
			s.wishes[j.Peer] = j
			s.wakeLocked()
		}
		s.mu.Unlock()
	}
	return host.Accept
}

// keepHouse keeps connections to the members and ends what nobody asks for any more.
func (s *session) keepHouse(ctx context.Context) {
	t := time.NewTicker(5 * time.Second)
	defer t.Stop()
	tag := "train " + s.id.Short()
	protected := map[wire.PeerID]bool{}
	for {
		v := s.now()
		now := map[wire.PeerID]bool{}
		for _, p := range v.others(s.me) {
			if now[p] = true; !protected[p] {
				s.net.host.Protect(p, tag)
			}
			s.tasks.Go(func() { s.reach(ctx, p) })
		}
		for p := range protected {
			if !now[p] {
				s.net.host.Unprotect(p, tag)
			}
		}
		protected = now
		s.unserve(ctx, false)
		select {
		case <-t.C:
		case <-ctx.Done():
			return
		}
	}
}

// reach connects to a member: gossip goes over connections that stand.
func (s *session) reach(ctx context.Context, p wire.PeerID) {
	if slices.Contains(s.topic.Peers(), p) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if st, err := s.net.host.Open(ctx, p, protocol.Train); err == nil {
		_ = st.Close()
	}
}

// initiate waits until there are enough members and certifies them as those of the first round.
func (s *session) initiate(ctx context.Context, tell func(waiting, want int)) error {
	if s.hasChain() {
		return nil
	}
	var enough time.Time
	for {
		s.mu.Lock()
		members := []wire.PeerID{s.me}
		for p := range s.wishes {
			if p != s.me {
				members = append(members, p)
			}
		}
		changed := s.changed
		s.mu.Unlock()
		most := int(min(s.job.Settings.Group, protocol.MaxTrainMembers))
		want := int(s.job.Settings.MinPeers)
		tell(len(members), want)
		wait := time.Hour
		if len(members) >= want {
			if enough.IsZero() {
				enough = time.Now()
			}
			if wait = gatherTime - time.Since(enough); wait <= 0 || want == 1 || len(members) >= most {
				slices.Sort(members)
				if len(members) > most {
					members = cut(members, s.me, most)
				}
				return s.certifyFirst(members)
			}
		}
		t := time.NewTimer(wait)
		select {
		case <-changed:
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return context.Cause(ctx)
		}
		t.Stop()
	}
}

// cut returns n of the members, sorted, this peer among them.
func cut(members []wire.PeerID, me wire.PeerID, n int) []wire.PeerID {
	rest := slices.DeleteFunc(slices.Clone(members), func(p wire.PeerID) bool { return p == me })
	out := append(rest[:n-1], me)
	slices.Sort(out)
	return out
}

func (s *session) hasChain() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.chain) > 0
}

// certifyFirst signs the certificate of round 0.
func (s *session) certifyFirst(members []wire.PeerID) error {
	c := &train.Certificate{Peer: s.me, Outcome: train.Outcome{Job: s.id, State: s.job.Genesis, Members: members}}
	sealed, err := train.Seal(s.net.key, c)
	if err != nil {
		return err
	}
	return s.addChain(sealed)
}

func (s *session) addChain(sealed ...*train.Sealed) error {
	for _, x := range sealed {
		if err := s.files.appendCertificate(x); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.chain = append(s.chain, sealed...)
	s.chain = s.chain[max(0, len(s.chain)-keptChain):]
	return nil
}

// join asks to be taken in until there is a certificate of the job, and gets those there are.
func (s *session) join(ctx context.Context, samples uint64, tell func(), peers func() []wire.PeerID) error {
	t := time.NewTicker(askAgain)
	defer t.Stop()
	for !s.hasChain() {
		tell()
		b := train.Bundle{Messages: []train.Sealed{*s.sign(&train.Join{Job: s.id, Peer: s.me, Samples: samples, Membership: s.net.host.Proof()})}, Seq: uint64(time.Now().UnixNano())}
		for _, p := range peers() {
			if err := s.firstContact(ctx, p, &b); err != nil {
				s.log.Debug("not joined yet", "peer", p, "err", err)
			}
			if s.hasChain() {
				return nil
			}
		}
		select {
		case <-t.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// firstContact gets the certificates from a peer, or tells it the wish to join.
func (s *session) firstContact(ctx context.Context, p wire.PeerID, b *train.Bundle) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var list []*train.Sealed
	var last *train.Certificate
	for {
		from := uint64(0)
		if last != nil {
			from = last.Outcome.Round + 1
		}
		sealed, got, err := s.net.client.Chain(ctx, p, train.Chain{Job: s.id, From: from})
		if err != nil {
			return err
		}
		for _, c := range got {
			if err := s.follows(last, c); err != nil {
				return fmt.Errorf("certificate of round %d: %w", c.Outcome.Round, err)
			}
			last = c
		}
		if list = append(list, sealed...); len(got) < protocol.MaxTrainChain {
			break
		}
	}
	if len(list) == 0 {
		return s.net.client.Tell(ctx, p, b)
	}
	return s.addChain(list...)
}

// settingsOf makes the settings of a job from its file.
func settingsOf(j *job.Job, minPeers int) (s train.Settings, err error) {
	w := job.Swarm{}
	if j.Swarm != nil {
		w = *j.Swarm
	}
	w = w.WithDefaults()
	if minPeers > 0 {
		w.MinPeers = minPeers
	}
	s = train.Settings{
		Mode: train.Mode(w.Mode), Rounds: uint64(w.Rounds), InnerSteps: uint64(w.InnerSteps), InnerMillis: uint64(1000 * w.InnerTime), Codec: w.Codec, Rule: w.Rule,
		Group: uint64(w.Group), Quorum: train.Quorum(w.Quorum), MinPeers: uint64(w.MinPeers), Target: w.Target, Higher: j.MetricName() == "accuracy",
		Patience: uint64(w.Patience), PublishEvery: uint64(w.PublishEvery),
	}
	if s.Group == 0 {
		s.Group = 16
	}
	if s.InnerMillis > 0 {
		s.InnerSteps = 0
	}
	if s.Mode == train.AllReduce && (j.Swarm == nil || j.Swarm.Codec == "") {
		s.Codec = "f32"
	}
	if w.Outer.LR != nil {
		s.OuterLR = *w.Outer.LR
	}
	if w.Outer.Momentum != nil {
		s.OuterMomentum = *w.Outer.Momentum
	}
	if w.Privacy != nil {
		return s, errors.New("swarm.privacy: not possible yet")
	}
	for _, p := range w.Peers {
		id, err := host.ParseID(p)
		if err != nil {
			return s, err
		}
		s.Peers = append(s.Peers, id)
	}
	slices.Sort(s.Peers)
	if _, err := codec.New(s.Codec, codec.Flat(1<<20)); err != nil {
		return s, err
	}
	if _, err := robust.Parse(s.Rule); err != nil {
		return s, err
	}
	if s.Rounds == 0 && s.InnerSteps > 0 && j.Train.Steps > 0 {
		s.Rounds = (uint64(j.Train.Steps) + s.InnerSteps - 1) / s.InnerSteps
	}
	return s, s.Validate()
}

// swarmFolder is where a run keeps what it must find again as a member.
func swarmFolder(j *job.Job) string { return filepath.Join(j.Folder(), swarmDir) }
