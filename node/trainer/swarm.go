package trainer

import (
	"context"
	"errors"
	"fmt"
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
	// askedAtOnce is how many peers are asked at once for what was decided.
	askedAtOnce = 3
	// maxWishes bounds the peers that wait for the first round.
	maxWishes = 4 * protocol.MaxTrainMembers
	// maxMinPeers bounds the members that a job may wait for before its first round.
	maxMinPeers = 256
	// contactTime bounds one question to a peer that may take this one in.
	contactTime = 10 * time.Second
	// maxChain bounds the certificates that a peer that comes takes in.
	maxChain = 1 << 20
	// keptRetired is how many jobs that are over a peer still answers for, and retiredLife how
	// long: members that were away when it ended get the certified state then.
	keptRetired = 4
	retiredLife = 30 * time.Minute
	// houseTime is how often a session looks after its connections.
	houseTime = 5 * time.Second
	// missedOften is how often in a row a member is not reached before that is told.
	missedOften = 2
)

// newSession makes a session; start begins its rounds.
func (t *Trainer) newSession(sealed *train.Sealed, j *train.Job, dir string, threads int) (*session, error) {
	id, err := j.ID()
	if err != nil {
		return nil, err
	}
	rule, err := roundRule(&j.Settings)
	if err != nil {
		return nil, err
	}
	folder := files{dir}
	if err := folder.make(); err != nil {
		return nil, err
	}
	if err := folder.isOf(id); err != nil {
		return nil, err
	}
	s := &session{
		net: t.net, log: t.cfg.Log.With("job", id.Short()), job: j, id: id, sealed: sealed, me: t.net.host.ID(), files: folder, rule: rule,
		threads: threads, clock: t.cfg.Now, calls: make(chan func(), maxCalls), drafts: map[train.Hash]*train.Outcome{}, changed: make(chan struct{}),
		data: map[uint64]*roundData{}, serving: map[train.Hash]*shelved{}, waiting: map[wire.PeerID]bool{}, making: make(chan struct{}, 1), missed: map[wire.PeerID]int{}, wishes: map[wire.PeerID]*train.Join{},
	}
	s.ctx, s.end = context.WithCancelCause(context.Background())
	s.others = func() []wire.PeerID { return t.board.peers(id, j.Initiator) }
	if err := s.load(); err != nil {
		return nil, err
	}
	if err := s.files.writeJob(sealed); err != nil {
		return nil, err
	}
	s.topic, err = t.net.host.Topic(protocol.JobTopic(j.Swarm.String(), id.String()), host.TopicConfig{MaxBytes: protocol.MaxTrainMessage, Receive: s.receive})
	if err != nil {
		return nil, err
	}
	if err := t.register(s); err != nil {
		return nil, errors.Join(err, s.topic.Close())
	}
	return s, nil
}

// isOf refuses a folder that has another job in it.
func (f files) isOf(id train.Hash) error {
	sealed, err := f.readJob()
	if err != nil || sealed == nil {
		return err
	}
	b, err := sealed.Open()
	if err != nil {
		return fmt.Errorf("%s: %w", f.dir, err)
	}
	if j, ok := b.(*train.Job); ok {
		if other, err := j.ID(); err == nil && other == id {
			return nil
		}
	}
	return fmt.Errorf("%w: %s is of another job: remove it, or take another folder", job.ErrExists, f.dir)
}

// close ends a session: all its tasks have ended when it returns. One whose job is over answers
// those who come late for a while.
func (t *Trainer) close(s *session) error {
	s.end(ErrEnded)
	s.tasks.Wait()
	for _, p := range s.now().members {
		t.net.host.Unprotect(p, "train "+s.id.Short())
	}
	if s.now().over {
		t.retire(s)
	} else {
		t.unregister(s)
		s.unserve(context.Background(), true) // the store is closed after the trainer
	}
	return s.topic.Close()
}

// retire keeps a session whose job is over for those who come late: its certificates, the
// results of the last round and the state as it is on disk.
func (t *Trainer) retire(s *session) {
	last := s.now().last
	s.mu.Lock()
	s.retired = t.cfg.Now()
	for n := range s.data {
		if n < last.Outcome.Round {
			delete(s.data, n)
		}
	}
	s.mu.Unlock()
	s.stateMu.Lock()
	layout := s.layout
	s.kept = func() [][]float32 {
		vectors, err := s.files.readState(stateFile, layout)
		if err != nil {
			s.log.Debug("state of a job that is over", "err", err)
		}
		return vectors
	}
	s.stateMu.Unlock()
	s.asks = nil
	t.dismiss(keptRetired, retiredLife)
}

// dismiss forgets the retired sessions but the last few, and those that are too old.
func (t *Trainer) dismiss(keep int, life time.Duration) {
	t.mu.Lock()
	var list []*session
	for _, s := range t.sessions {
		if !s.retiredAt().IsZero() {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b *session) int { return b.retiredAt().Compare(a.retiredAt()) })
	var out []*session
	for i, s := range list {
		if i >= keep || t.cfg.Now().Sub(s.retiredAt()) > life {
			delete(t.sessions, s.id)
			out = append(out, s)
		}
	}
	t.mu.Unlock()
	for _, s := range list {
		s.unserve(context.Background(), slices.Contains(out, s))
	}
}

// retiredAt is when the session was retired, zero while it goes on.
func (s *session) retiredAt() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.retired
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
	saved, err := s.begins()
	if err != nil {
		return err
	}
	s.samples, saved.Leaving = samples, false
	if len(saved.Last.Outcome.Members) == 1 && saved.Decided == nil {
		// Nobody has seen what one member alone began: it does the work again.
		saved.Header, saved.Reduced, saved.Agree = nil, nil, nil
	}
	set := &s.job.Settings
	s.machine, err = round.New(round.Config{
		Job: s.id, Me: s.me, Quorum: set.Quorum, Whole: set.Mode == train.AllReduce, SilentRounds: set.SilentRounds,
		Limit: protocol.MaxTrainMembers, Group: groupSize(set), Initiator: s.job.Initiator, Sign: s.sign, Admit: s.admit, Times: times(set),
	}, saved, root)
	if err != nil {
		return err
	}
	if err := s.open(); err != nil { // the data of the round is there when its work begins
		return err
	}
	if h := s.machine.Header(); h != nil {
		d := s.running()
		if d.own, err = s.files.readUpdate(h); err != nil {
			return err
		}
	}
	if err := s.drain(); err != nil {
		return err
	}
	if err := s.relearn(); err != nil {
		return err
	}
	s.task(func(context.Context) { s.loop() })
	s.task(s.keepHouse)
	return nil
}

// begins returns what the rounds begin with: what the last process has left, or what the chain says.
func (s *session) begins() (*round.Saved, error) {
	saved := s.saved
	if saved == nil {
		saved = s.past
	}
	if s.past = nil; saved == nil {
		return nil, errors.New("no certificate to begin with")
	}
	return saved, nil
}

// relearn shows the machine the certificates that were kept before it could note them.
func (s *session) relearn() error {
	for _, sealed := range s.chain {
		b, err := sealed.Open()
		if err != nil {
			return err
		}
		if c := b.(*train.Certificate); c.Outcome.Round >= s.machine.Round() {
			if err := s.machine.Learn(c); err != nil {
				return err
			}
			if err := s.drain(); err != nil {
				return err
			}
		}
	}
	return nil
}

// admit says why a peer may not join.
func (s *session) admit(j *train.Join) error {
	if err := holds(&j.Membership, s.job.Swarm, j.Peer, s.clock()); err != nil {
		return err
	}
	if list := s.job.Settings.Peers; len(list) > 0 && !slices.Contains(list, j.Peer) {
		return errors.New("the job does not name it")
	}
	if len(j.Columns) > 0 && s.started() {
		return errors.New("it tells of its data when that counts no longer")
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
	t := time.NewTicker(houseTime)
	defer t.Stop()
	tag := "train " + s.id.Short()
	protected := map[wire.PeerID]bool{}
	var round uint64
	turn := 0
	for {
		v := s.now()
		if round == v.status.Round && !v.over {
			s.seek(&v, turn)
			turn++
		}
		round = v.status.Round
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
				s.mu.Lock()
				delete(s.missed, p)
				s.mu.Unlock()
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

// seek asks a member, or another peer that is said to train the job, for what was decided: this
// one has seen no new round for a while.
func (s *session) seek(v *view, turn int) {
	list := v.others(s.me)
	for _, p := range s.others() {
		if p != s.me && !slices.Contains(list, p) {
			list = append(list, p)
		}
	}
	for i := range min(askedAtOnce, len(list)) {
		s.fetchChain(round.Chain{From: v.last.Outcome.Round + 1, Peer: list[(turn*askedAtOnce+i)%len(list)]})
	}
}

// reach connects to a member, at what the host knows of where it is: gossip goes over connections
// that stand, and a member that is not reached gets no slice from here.
func (s *session) reach(ctx context.Context, p wire.PeerID) {
	if slices.Contains(s.topic.Peers(), p) {
		s.reached(p, nil)
		return
	}
	short, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	st, err := s.net.host.Open(short, p, protocol.Train)
	if err == nil {
		_ = st.Close()
	}
	if ctx.Err() == nil {
		s.reached(p, err)
	}
}

// reached notes whether a member was reached, and tells once that it is not, and that it is again.
func (s *session) reached(p wire.PeerID, err error) {
	s.mu.Lock()
	before := s.missed[p]
	if err == nil {
		delete(s.missed, p)
	} else {
		s.missed[p] = before + 1
	}
	s.mu.Unlock()
	switch {
	case err != nil && before+1 == missedOften:
		s.log.Warn("a member is not reached: slices for it and from it are lost while that is so", "peer", p, "err", err)
	case err == nil && before >= missedOften:
		s.log.Info("a member is reached again", "peer", p)
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
		want := int(s.job.Settings.MinPeers)
		tell(len(members), want)
		wait := time.Hour
		if len(members) >= want {
			if enough.IsZero() {
				enough = time.Now()
			}
			if wait = gatherTime - time.Since(enough); wait <= 0 || want == 1 || len(members) >= max(want, int(s.job.Settings.Group)) {
				slices.Sort(members)
				if len(members) > protocol.MaxTrainMembers {
					members = cut(members, s.me, protocol.MaxTrainMembers)
				}
				return s.certifyFirst(members, s.scales(members))
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

// certifyFirst signs the certificate of round 0.
func (s *session) certifyFirst(members []wire.PeerID, columns []train.Moments) error {
	c := &train.Certificate{Peer: s.me, Outcome: train.Outcome{Job: s.id, State: s.job.Genesis, Members: members, Columns: columns}}
	sealed, err := train.Seal(s.net.key, c)
	if err != nil {
		return err
	}
	s.pass(c)
	return s.addChain(sealed)
}

// join asks to be taken in until there is a certificate of the job, and gets those there are.
func (s *session) join(ctx context.Context, samples uint64, stopped func() bool, peers func() []wire.PeerID) error {
	t := time.NewTicker(askAgain)
	defer t.Stop()
	for !s.hasChain() {
		if stopped() {
			return errStopped
		}
		b := train.Bundle{Messages: []train.Sealed{*s.sign(&train.Join{Job: s.id, Peer: s.me, Samples: samples, Membership: s.net.host.Proof(), Columns: s.columns})}, Seq: uint64(time.Now().UnixNano())}
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

// firstContact gets the certificates from a peer, from the first one on, or tells it the wish to
// join. Those before one that does not hold stand by themselves and are kept.
func (s *session) firstContact(ctx context.Context, p wire.PeerID, b *train.Bundle) error {
	for n := uint64(0); n < maxChain; {
		list, err := s.nextPage(ctx, p, n)
		if err := errors.Join(err, s.addChain(list...)); err != nil {
			return err
		}
		if n += uint64(len(list)); len(list) < protocol.MaxTrainChain {
			break
		}
	}
	if s.tip != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, contactTime)
	defer cancel()
	return s.net.client.Tell(ctx, p, b)
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
	if err := hide(&s, w.Privacy); err != nil {
		return s, err
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
	rule, err := roundRule(&s)
	if err != nil {
		return s, err
	}
	if w.MinPeers > maxMinPeers {
		return s, fmt.Errorf("swarm.min_peers: %d, at most %d", w.MinPeers, maxMinPeers)
	}
	if minPeers > 0 || j.Swarm != nil && j.Swarm.MinPeers > 0 {
		if err := rule.Check(smallest(&s)); err != nil {
			return s, fmt.Errorf("swarm.rule: with swarm.min_peers = %d: %w", w.MinPeers, err)
		}
	}
	if s.Rounds == 0 && s.InnerSteps > 0 && j.Train.Steps > 0 {
		s.Rounds = (uint64(j.Train.Steps) + s.InnerSteps - 1) / s.InnerSteps
	}
	if s.Rounds == 0 && s.Target == 0 && s.Patience == 0 && s.Epsilon == 0 {
		return s, errors.New("swarm: the job has no end that all members see alike: set rounds, target or patience (epochs are as long as each member's own data)")
	}
	return s, s.Validate()
}

// ruleOf parses a rule and refuses the one of mode gossip, which each member uses for itself.
func ruleOf(name string) (robust.Rule, error) {
	rule, err := robust.Parse(name)
	if err != nil {
		return rule, fmt.Errorf("swarm.rule: %w", err)
	}
	if rule.Weighted() && rule.Referenced() {
		return rule, fmt.Errorf("swarm.rule: %q mixes a member's own numbers with those of its neighbours, which rounds have none of: want another rule, or mode gossip", name)
	}
	return rule, nil
}

// roundRule is the rule that combines the updates of a round.
func roundRule(s *train.Settings) (robust.Rule, error) {
	if s.Mode != train.Gossip {
		return ruleOf(s.Rule)
	}
	if err := gossipSettings(s); err != nil {
		return robust.Rule{}, err
	}
	return ruleOf(snapshotRule)
}

// swarmFolder is where a run keeps what it must find again as a member.
func swarmFolder(j *job.Job) string { return filepath.Join(j.Folder(), swarmDir) }
