package trainer

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/trainer/transfer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// announceEvery is how often a member tells the swarm of its job.
	announceEvery = 20 * time.Second
	// announced is how long an announcement counts.
	announced = 90 * time.Second
	// announcers is how many others a member leaves it to; the initiator always announces.
	announcers = 2
	// maxBoard bounds the announcements that are kept, maxOfPeer those of one peer.
	maxBoard  = 1024
	maxOfPeer = 16
	// askBoard is how often other peers are asked for the jobs that they have heard of, maxAsked of
	// them at once.
	askBoard = 3 * time.Second
	maxAsked = 8
	// bytesPerValue is about what a number of the model takes while it is trained: itself, its
	// gradient, the optimiser's moments, the round's beginning, outer momentum, update and result.
	bytesPerValue = 4 * 12
	// tellEvery is how often a run tells where the swarm stands.
	tellEvery = time.Second
	// lookEvery is how often the board is looked at for a job that is not there yet.
	lookEvery = 100 * time.Millisecond
	// slowClock is how slow a clock may be for memberships to count that have not begun by it.
	slowClock = 24 * time.Hour
	// leaveTime is how long a member that goes waits for a round without it.
	leaveTime = 10 * time.Second
)

// together is what a run needs to train with others.
type together struct {
	settings train.Settings
	job      *train.Job    // of another peer; nil: this peer's own
	sealed   *train.Sealed // likewise
	schema   *job.Schema   // likewise
}

// runTogether runs a job with other peers.
func (t *Trainer) runTogether(ctx context.Context, r *Run, alone *polite, o job.Options, p *publisher) (res *job.Result, err error) {
	var s *session
	run, end := context.WithCancel(context.WithoutCancel(ctx)) // it goes on until the others know that this member goes
	defer end()
	l := &learner{settings: &r.swarm.settings, wait: alone, now: t.cfg.Now, leaving: func() bool { return ctx.Err() != nil }, left: end}
	l.publish = func(round uint64, export func(dir string) error) { p.onTheWay(ctx, round, export) }
	l.open = func(ctx context.Context, run *job.Running, values int, genesis train.Hash) (*session, error) {
		s, err = t.openSession(ctx, r, run, values, genesis)
		return s, err
	}
	defer func() {
		if s != nil {
			if v := s.now(); v.over { // whoever follows the run or the job learns it
				r.record.add(Event{Swarm: t.describe(s, &v)})
				if i := train.Place(v.members, s.me); s.me == s.job.Initiator || i >= 0 && i < announcers {
					t.announce(s.ctx, s)
				}
			}
			err = errors.Join(err, t.close(s))
		}
	}()
	o.Sync, o.SyncEnds, o.Schema, o.Private = l, true, r.swarm.schema, private(l.settings)
	if l.settings.Mode == train.Gossip {
		o.Sync = &gossiper{learner: l}
	}
	if j := r.swarm.job; j != nil {
		o.Values = int(j.Values)
	}
	var leaving sync.WaitGroup
	leaving.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer leaving.Done()
		defer end()
		if s := r.session.Load(); s != nil {
			s.goodbye(run)
		}
	})
	defer func() {
		end()
		if stop() {
			leaving.Done()
		}
		leaving.Wait()
	}()
	return job.Run(run, r.job, o)
}

// openSession makes the session of a run: of a job that goes on, of another peer's, or of a new
// one. It returns when there is a certificate to begin with; nil if ctx ends before.
func (t *Trainer) openSession(ctx context.Context, r *Run, run *job.Running, values int, genesis train.Hash) (s *session, err error) {
	sealed, j, err := t.jobOf(r, run, values, genesis)
	if err != nil {
		return nil, err
	}
	if s, err = t.newSession(sealed, j, swarmFolder(r.job), r.job.Train.Threads); err != nil {
		return nil, err
	}
	s.columns = columnsOf(&j.Settings, run)
	r.session.Store(s)
	s.task(func(ctx context.Context) { t.tell(ctx, r, s) })
	if j.Initiator == s.me {
		err = s.initiate(ctx, func(have, want int) {
			r.record.add(Event{Swarm: &Swarm{Job: s.id.String(), Phase: "waiting", Members: have, Want: want}})
		})
	} else {
		err = s.join(ctx, uint64(run.Samples), func() bool { return t.board.stopped(s.id, j.Initiator) }, func() []wire.PeerID { return t.board.peers(s.id, j.Initiator) })
	}
	if ctx.Err() != nil {
		return nil, t.close(s)
	}
	if err == nil {
		err = s.rescale(run)
	}
	if err != nil {
		return nil, errors.Join(err, t.close(s))
	}
	return s, nil
}

// jobOf returns the job of a run, as it was signed: the one that the run began with, another
// peer's, or a new one.
func (t *Trainer) jobOf(r *Run, run *job.Running, values int, genesis train.Hash) (*train.Sealed, *train.Job, error) {
	if r.swarm.job != nil {
		return r.swarm.sealed, r.swarm.job, nil
	}
	sealed, err := files{swarmFolder(r.job)}.readJob()
	if err != nil {
		return nil, nil, fmt.Errorf("job of the run: %w", err)
	}
	if sealed != nil && !r.resume {
		return nil, nil, fmt.Errorf("%w: %s (go on with it, remove it, or set train.folder)", job.ErrExists, r.job.Folder())
	}
	if sealed != nil {
		b, err := sealed.Open()
		if err != nil {
			return nil, nil, err
		}
		j, ok := b.(*train.Job)
		if !ok {
			return nil, nil, errors.New("the folder of the run has no job of a swarm")
		}
		return sealed, j, nil
	}
	spec, err := r.job.Shared()
	if err != nil {
		return nil, nil, err
	}
	schema, err := json.Marshal(run.Schema)
	if err != nil {
		return nil, nil, err
	}
	j := &train.Job{
		Swarm: t.cfg.Net.Host.Swarm(), Initiator: t.cfg.Net.Host.ID(), Name: r.job.Name, Issued: t.cfg.Now().UnixMilli(), Spec: spec, Schema: schema,
		Settings: r.swarm.settings, Values: uint64(values), Genesis: genesis, Seed: r.job.Train.Seed,
	}
	sealed, err = train.Seal(t.cfg.Net.Key, j)
	return sealed, j, err
}

// submitJoin queues a run of another peer's job.
func (t *Trainer) submitJoin(ctx context.Context, r *Run, req Request) error {
	if !filepath.IsAbs(req.Folder) { // never one after the job's name, which is another peer's
		return fmt.Errorf("%w: to join a job takes a folder for it, with its absolute path", ErrUsage)
	}
	sealed, j, err := files{filepath.Join(req.Folder, swarmDir)}.readOwn(req.Join)
	if err != nil {
		return err
	}
	if j != nil { // the same member again: nobody has to be there
		return t.enqueueJoin(r, req, sealed, j)
	}
	sealed, j, err = t.find(ctx, req.Join)
	if err != nil {
		return err
	}
	return t.enqueueJoin(r, req, sealed, j)
}

func (t *Trainer) enqueueJoin(r *Run, req Request, sealed *train.Sealed, j *train.Job) error {
	if j.Swarm != t.cfg.Net.Host.Swarm() {
		return fmt.Errorf("%w: the job is of another swarm", ErrUsage)
	}
	if need := bytesOf(&j.Settings) * j.Values; t.cfg.Memory > 0 && need > uint64(t.cfg.Memory) {
		return fmt.Errorf("%w: the job's model needs about %d MiB to train, and this node lends %d MiB: raise limits.memory (covey up --memory)", ErrUsage, need>>20, t.cfg.Memory>>20)
	}
	if _, err := roundRule(&j.Settings); err != nil {
		return asked{err}
	}
	if err := hides(&j.Settings); err != nil {
		return asked{err}
	}
	schema, err := job.ParseSchema(j.Schema)
	if err != nil {
		return fmt.Errorf("the job cannot be read by this version: %w", err)
	}
	if r.job, err = job.Join(j.Spec, req.Local); err != nil {
		return asked{err}
	}
	r.job.Name = j.Name
	r.job.Train.Folder = req.Folder
	if _, err := os.Stat(filepath.Join(r.job.Folder(), "last.state")); err == nil {
		r.resume = true // the same member again
	}
	t.limit(r.job, req.Threads)
	r.path = j.Name
	r.swarm = &together{settings: j.Settings, job: j, sealed: sealed, schema: schema}
	return t.enqueue(r)
}

// bytesOf is about what a number of the model takes in a mode.
func bytesOf(s *train.Settings) uint64 {
	if s.Mode == train.Gossip { // what comes from neighbours waits, and is decoded to be mixed
		return bytesPerValue + 2*mixDegree*(4+4)
	}
	return bytesPerValue
}

// roundsOf is how many rounds a job has, 0 if its end is another one.
func roundsOf(s *train.Settings) uint64 {
	if s.Mode == train.Gossip {
		return snapshots(s.Rounds)
	}
	return s.Rounds
}

// client returns the client of all sessions.
func (t *Trainer) client() *transfer.Client { return t.net.client }

// name returns what people call a peer.
func (t *Trainer) name(p wire.PeerID) string {
	if n := t.cfg.Net.Name(p); n != "" {
		return n
	}
	return p.String()
}

// readOwn returns the job of a folder if it is the one that a name, or the beginning of a hash,
// means; nil if not.
func (f files) readOwn(name string) (*train.Sealed, *train.Job, error) {
	sealed, err := f.readJob()
	if err != nil || sealed == nil {
		return nil, nil, err
	}
	b, err := sealed.Open()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", f.dir, err)
	}
	j, ok := b.(*train.Job)
	if !ok {
		return nil, nil, nil
	}
	id, err := j.ID()
	if err != nil || !means(name, j.Name, id) {
		return nil, nil, err
	}
	return sealed, j, nil
}

// find gets a job from one of the peers that announce it. One that has come a moment ago tries
// again until it must have heard of all of them.
func (t *Trainer) find(ctx context.Context, name string) (*train.Sealed, *train.Job, error) {
	look := time.NewTicker(lookEvery)
	defer look.Stop()
	for {
		t.ask(ctx)
		id, peers, err := t.board.find(name)
		if errors.Is(err, ErrUsage) {
			return nil, nil, err
		}
		if err == nil {
			sealed, j, errs := t.get(ctx, id, peers)
			if j != nil {
				return sealed, j, nil
			}
			err = fmt.Errorf("job %s: no peer that trains it answers: %w", name, errs)
		}
		if t.cfg.Now().Sub(t.board.since()) > announceEvery+tellEvery {
			return nil, nil, err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return nil, nil, err
		}
	}
}

// get gets a job from the first peer that answers.
func (t *Trainer) get(ctx context.Context, id train.Hash, peers []wire.PeerID) (*train.Sealed, *train.Job, error) {
	var errs error
	for _, p := range peers {
		short, cancel := context.WithTimeout(ctx, 20*time.Second)
		sealed, j, err := t.client().Job(short, p, id)
		cancel()
		if err == nil {
			return sealed, j, nil
		}
		errs = errors.Join(errs, fmt.Errorf("%s: %w", t.name(p), err))
	}
	return nil, nil, errs
}

// goodbye tells the members that this one goes, and waits until they have certified a round
// without it: until then they count on its vote, and may lack what it has. It gives up when ctx
// ends and after leaveTime.
func (s *session) goodbye(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, leaveTime)
	defer cancel()
	v := s.now()
	if v.last == nil || v.over || !v.member || len(v.members) == 1 || v.status.Phase == round.Catching {
		return
	}
	err := s.call(ctx, func() {
		s.leaving = true
		s.machine.Leave()
	})
	if err != nil {
		return
	}
	s.mu.Lock()
	s.wakeLocked()
	s.mu.Unlock()
	<-ctx.Done() // the run ends it
}

// Swarm tells where the members of a job stand.
type Swarm struct {
	Job     string   `json:"job"`
	Round   uint64   `json:"round"`
	Rounds  uint64   `json:"rounds,omitempty"`
	Phase   string   `json:"phase"`
	Members int      `json:"members"`
	Want    int      `json:"want,omitempty"` // members before the first round
	Heard   int      `json:"heard,omitempty"`
	Quorum  int      `json:"quorum,omitempty"`
	Loss    float64  `json:"loss,omitempty"` // of the last round, the median of its members
	Samples uint64   `json:"samples,omitempty"`
	Peers   []Member `json:"peers,omitempty"`
	// Privacy is what this member has spent to hide its samples; nil if nothing is counted.
	Privacy *job.Spent `json:"privacy,omitempty"`
}

// Member is one peer that trains a job.
type Member struct {
	Peer    wire.PeerID `json:"peer"`
	Name    string      `json:"name,omitempty"`
	Sent    bool        `json:"sent"` // its update of the round is told
	Samples uint64      `json:"samples,omitempty"`
	Rate    float64     `json:"rate,omitempty"` // samples per second
	Loss    float64     `json:"loss,omitempty"`
	Missed  bool        `json:"missed,omitempty"` // it is not reached from here: slices are lost
}

// tell adds to the record where the swarm stands, and announces the job.
func (t *Trainer) tell(ctx context.Context, r *Run, s *session) {
	look := time.NewTicker(tellEvery)
	defer look.Stop()
	var told round.Status
	var next time.Time
	every := tellEvery // at first often: peers come to know each other
	for {
		v := s.now()
		if v.last != nil && told.Round == 0 {
			next = time.Now().Add(s.patience(&v)) // it runs
		}
		if v.last != nil && (v.status.Round != told.Round || v.status.Phase != told.Phase) {
			told = v.status
			r.record.add(Event{Swarm: t.describe(s, &v)})
		}
		if now := time.Now(); !now.Before(next) {
			next, every = now.Add(every+s.patience(&v)), min(2*every, announceEvery)
			if s.me == s.job.Initiator || t.board.lately(s.id, s.me, announceEvery) < announcers {
				t.announce(ctx, s)
			}
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return
		}
	}
}

// patience is how long a member leaves it to those before it to announce the job: what each says goes
// to all, several times.
func (s *session) patience(v *view) time.Duration {
	if s.me == s.job.Initiator {
		return 0
	}
	i := train.Place(v.members, s.me)
	if i < 0 {
		i = len(v.members)
	}
	return time.Duration(1+i%maxAsked) * tellEvery
}

// describe says where a session stands.
func (t *Trainer) describe(s *session, v *view) *Swarm {
	o := &v.last.Outcome
	out := &Swarm{
		Job: s.id.String(), Round: v.status.Round, Rounds: roundsOf(&s.job.Settings), Phase: string(v.status.Phase), Members: v.status.Members,
		Heard: v.status.Heard, Quorum: v.status.Quorum, Loss: o.Loss, Samples: o.Samples,
		Privacy: s.spent.Load(),
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	d, before := s.data[v.status.Round], s.data[v.status.Round-1]
	for _, p := range v.members {
		m := Member{Peer: p, Name: t.cfg.Net.Name(p), Missed: s.missed[p] >= missedOften}
		h := (*train.Header)(nil)
		if d != nil && d.headers[p] != nil {
			h, m.Sent = d.headers[p], true
		} else if before != nil {
			h = before.headers[p]
		}
		if h != nil {
			m.Samples, m.Loss = h.Samples, h.Loss
			if h.Millis > 0 {
				m.Rate = 1000 * float64(h.Samples) / float64(h.Millis)
			}
		}
		out.Peers = append(out.Peers, m)
	}
	return out
}

// announce tells the swarm of a job.
func (t *Trainer) announce(ctx context.Context, s *session) {
	v := s.now()
	a := &train.Announce{
		Swarm: s.job.Swarm, Peer: s.me, Job: s.id, Initiator: s.job.Initiator, Name: s.job.Name, Issued: t.cfg.Now().UnixMilli(),
		Members: uint64(len(v.members)), Membership: s.net.host.Proof(),
	}
	if v.last != nil {
		a.Phase, a.Round = train.PhaseRunning, v.last.Outcome.Round
		if v.over {
			a.Phase = train.PhaseDone
		}
	}
	if s.me == s.job.Initiator && (s.stopped.Load() && v.last == nil || v.over && v.last.Outcome.End == train.EndStopped) {
		a.Phase = train.PhaseStopped
	}
	sealed, err := train.Seal(s.net.key, a)
	if err != nil {
		s.log.Debug("job not announced", "err", err)
		return
	}
	data, err := wire.Encode(sealed)
	if err == nil {
		t.board.put(a, sealed)
		err = t.jobs.Publish(ctx, data)
	}
	if err != nil {
		s.log.Debug("job not announced", "err", err)
	}
}

// hear takes announcements of others.
func (t *Trainer) hear(_ host.ID, data []byte) host.Verdict {
	sealed := new(train.Sealed)
	if wire.Decode(data, sealed) != nil {
		return host.Reject
	}
	return t.note(sealed)
}

// note keeps an announcement.
func (t *Trainer) note(sealed *train.Sealed) host.Verdict {
	b, err := sealed.Open()
	if err != nil {
		return host.Reject
	}
	a, ok := b.(*train.Announce)
	if !ok || a.Swarm != t.cfg.Net.Host.Swarm() {
		return host.Reject
	}
	now := t.cfg.Now()
	if holds(&a.Membership, a.Swarm, a.Peer, now) != nil {
		return host.Ignore
	}
	// By the clock of who has issued it, which may be wrong, or this one.
	if age := now.Add(t.net.host.Clock(a.Peer)).Sub(time.UnixMilli(a.Issued)); age > announced || age < -protocol.MaxClockSkew || !t.board.put(a, sealed) {
		return host.Ignore
	}
	return host.Accept
}

// holds says why a membership does not count. One that begins within a day does: this clock may be slow, and
// it is the owner's word.
func holds(m *wire.Membership, swarm wire.SwarmID, peer wire.PeerID, now time.Time) error {
	_, err := m.Verify(swarm, peer, now)
	if errors.Is(err, wire.ErrNotYet) {
		_, err = m.Verify(swarm, peer, now.Add(slowClock))
	}
	return err
}

// ask lets the board hear what other peers have heard, as gossip may have been missed, at most
// every askBoard. It takes no longer than a second or two.
func (t *Trainer) ask(ctx context.Context) {
	t.mu.Lock()
	due := t.net != nil && t.cfg.Now().Sub(t.asked) >= askBoard
	if due {
		t.asked = t.cfg.Now()
	}
	t.mu.Unlock()
	if !due {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	var wg sync.WaitGroup
	for i, p := range t.net.host.Peers() {
		if i == maxAsked {
			break
		}
		wg.Go(func() {
			list, err := t.net.client.Board(ctx, p.ID)
			if err != nil {
				t.cfg.Log.Debug("not told of jobs", "peer", p.ID, "err", err)
			}
			for _, s := range list {
				t.note(s)
			}
		})
	}
	wg.Wait()
}

// Board implements transfer.Source.
func (t *Trainer) Board(host.ID) []*train.Sealed { return t.board.all() }

// board is the jobs that peers announce. It is safe for concurrent use.
type board struct {
	now   func() time.Time
	began time.Time // when it began to hear; zero before

	mu   sync.Mutex
	list map[boardKey]*posted
}

type boardKey struct {
	job  train.Hash
	peer wire.PeerID
}

type posted struct {
	*train.Announce
	sealed *train.Sealed
	at     time.Time
}

// listen notes that announcements come from now on.
func (b *board) listen() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.began = b.now()
}

// since returns when the board began to hear; now if it has not yet.
func (b *board) since() time.Time {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.began.IsZero() {
		return b.now()
	}
	return b.began
}

func newBoard(now func() time.Time) board { return board{now: now, list: map[boardKey]*posted{}} }

// put keeps an announcement if it is newer than what is known, and there is room.
func (b *board) put(a *train.Announce, sealed *train.Sealed) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, of := b.now(), 0
	for k, p := range b.list {
		if now.Sub(p.at) > announced {
			delete(b.list, k)
		} else if k.peer == a.Peer {
			of++
		}
	}
	k := boardKey{a.Job, a.Peer}
	if old := b.list[k]; old != nil {
		if old.Issued >= a.Issued {
			return false
		}
	} else if len(b.list) >= maxBoard || of >= maxOfPeer {
		return false
	}
	b.list[k] = &posted{a, sealed, now}
	return true
}

// all returns the announcements that count.
func (b *board) all() (out []*train.Sealed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.list {
		if b.now().Sub(p.at) <= announced {
			out = append(out, p.sealed)
		}
	}
	return out
}

// peers returns who announces a job, its initiator first, and last if it does not.
func (b *board) peers(job train.Hash, initiator wire.PeerID) []wire.PeerID {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []wire.PeerID
	for k, p := range b.list {
		if k.job == job && k.peer != initiator && b.now().Sub(p.at) <= announced {
			out = append(out, k.peer)
		}
	}
	slices.Sort(out)
	if p := b.list[boardKey{job, initiator}]; p != nil && b.now().Sub(p.at) <= announced {
		return append([]wire.PeerID{initiator}, out...)
	}
	return append(out, initiator)
}

// lately returns how many peers but one have announced a job within a time.
func (b *board) lately(job train.Hash, but wire.PeerID, within time.Duration) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for k, p := range b.list {
		if k.job == job && k.peer != but && b.now().Sub(p.at) <= within {
			n++
		}
	}
	return n
}

// stopped reports whether a job's initiator tells that it has stopped it.
func (b *board) stopped(job train.Hash, initiator wire.PeerID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.list[boardKey{job, initiator}]
	return p != nil && p.Phase == train.PhaseStopped && b.now().Sub(p.at) <= announced
}

// means reports whether a name, or the beginning of a hash, is that of a job.
func means(text, name string, id train.Hash) bool {
	return text == name || len(text) >= 4 && strings.HasPrefix(id.String(), text)
}

// find returns the one job that a name, or the beginning of a hash, means, and who trains it.
func (b *board) find(name string) (train.Hash, []wire.PeerID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	found := map[train.Hash][]wire.PeerID{}
	for k, p := range b.list {
		if b.now().Sub(p.at) <= announced && means(name, p.Name, k.job) {
			found[k.job] = append(found[k.job], k.peer)
		}
	}
	switch len(found) {
	case 0:
		return train.Hash{}, nil, fmt.Errorf("%w: no peer that is heard of trains a job %q: covey train ls lists them", ErrNoRun, name)
	case 1:
		for id, peers := range found {
			slices.Sort(peers)
			return id, peers, nil
		}
	}
	return train.Hash{}, nil, fmt.Errorf("%w: %d jobs are called %q: give the beginning of the hash that covey train ls shows", ErrUsage, len(found), name)
}

// Posted is a job that peers of the swarm train.
type Posted struct {
	Job       string      `json:"job"`
	Name      string      `json:"name"`
	Initiator wire.PeerID `json:"initiator"`
	By        string      `json:"by,omitempty"` // the initiator's name
	Phase     string      `json:"phase"`        // waiting, running, done, stopped
	Round     uint64      `json:"round"`
	Members   int         `json:"members"`
}

// Jobs lists the jobs that peers announce, this one's among them.
func (t *Trainer) Jobs(ctx context.Context) []Posted {
	t.ask(ctx)
	t.board.mu.Lock()
	defer t.board.mu.Unlock()
	jobs := map[train.Hash]*posted{}
	for k, p := range t.board.list {
		if old := jobs[k.job]; t.cfg.Now().Sub(p.at) <= announced && (old == nil || p.Round > old.Round || p.Round == old.Round && p.Phase > old.Phase) {
			jobs[k.job] = p
		}
	}
	out := make([]Posted, 0, len(jobs))
	for id, p := range jobs {
		out = append(out, Posted{
			Job: id.String(), Name: p.Name, Initiator: p.Initiator, By: t.cfg.Net.Name(p.Initiator), Round: p.Round, Members: int(p.Members),
			Phase: [...]string{"waiting", "running", "done", "stopped"}[p.Phase],
		})
	}
	slices.SortFunc(out, func(a, b Posted) int { return strings.Compare(a.Name+a.Job, b.Name+b.Job) })
	return out
}
