package trainer

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/engine/train/job"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/node/trainer/transfer"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// tick is the unit in which the machine of rounds waits.
	tick = 50 * time.Millisecond
	// keptRounds is for how many rounds results stay where late readers find them.
	keptRounds = 1
	// roomUpdates is how many updates may wait to be written over: the own one, what comes of the
	// others', and the results of two rounds.
	roomUpdates = 4
	// keptChain is how many certificates are kept in memory.
	keptChain = 4096
	// maxCalls bounds what waits for the loop of a session.
	maxCalls = 1024
	// roundCap is how long a round waits for its members where nothing has been measured and the
	// job sets no limit.
	roundCap = 30 * time.Minute
	// sliceTime bounds one attempt to bring or to get a slice.
	sliceTime = 2 * time.Minute
)

// Network is what training together needs of the node. All fields are required.
type Network struct {
	Host     *host.Host
	Exchange *exchange.Exchange
	Store    *store.Store
	Key      ed25519.PrivateKey // of the peer
	Name     func(wire.PeerID) string
}

// network is Network and what the trainer has for all sessions.
type network struct {
	host     *host.Host
	client   *transfer.Client
	turn     transfer.Turn // the owner's limit of what slices and results send; nil: none
	exchange *exchange.Exchange
	store    *store.Store
	key      ed25519.PrivateKey
}

// session is a member's part in one job: it drives the machine of the rounds. The machine is
// owned by the goroutine of loop; streams, gossip and tasks hand functions to it. What changes
// the trainer's numbers is done by the goroutine of the run, which asks for it in serve.
type session struct {
	net     *network
	log     *slog.Logger
	job     *train.Job
	id      train.Hash
	sealed  *train.Sealed // the job
	me      wire.PeerID
	files   files
	rule    robust.Rule
	codecs  codecs
	encoder *codec.Encoder // owned by the goroutine of the run
	room    room
	// result is the last one that is certified, whole, for rules that start from it; nil: zeros. It
	// is replaced and never changed.
	result  atomic.Pointer[[]float32]
	topic   *host.Topic
	threads int
	clock   func() time.Time
	layout  checkpoint.Layout

	ctx   context.Context // of the session
	end   context.CancelCauseFunc
	tasks sync.WaitGroup
	calls chan func()

	columns []train.Moments      // of this member's table; see scales.go
	samples uint64               // of this member, for training
	others  func() []wire.PeerID // who is said to train the job
	saved   *round.Saved         // what the last process has left, or nil; until start
	past    *round.Saved         // what the chain says of the rounds; until start

	machine *round.Machine     // owned by loop
	tip     *train.Certificate // the last one of the chain; owned by loop once there is one
	asking  bool               // to be taken in; owned by loop
	leaving bool               // this member goes; owned by loop
	stating train.Hash         // root of the state that is fetched; owned by loop
	seq     uint64             // of bundles; owned by loop
	drafts  map[train.Hash]*train.Outcome
	mixer   atomic.Pointer[mixer] // in mode gossip, once the work has begun
	lines   lines
	common  atomic.Pointer[train.Common] // of the running round; the loop sets it
	asked   atomic.Int64                 // when a peer that is no member asked to be one, by its clock in Unix nanoseconds

	stateMu sync.RWMutex
	kept    func() [][]float32 // the state in place; read under stateMu, as it is written
	making  chan struct{}      // size 1: one state at a time is made ready for others

	mu      sync.Mutex
	view    view
	changed chan struct{} // closed and replaced when view or asks change
	asks    []func(*learner) error
	data    map[uint64]*roundData
	since   []made          // the rounds after the state on disk, ascending
	chain   []*train.Sealed // the last certificates, the oldest first
	first   uint64          // round of the first certificate in the file of the chain
	starts  []int64         // where each begins in it, and where the next one will
	serving map[train.Hash]*shelved
	waiting map[wire.PeerID]bool        // for a state
	wishes  map[wire.PeerID]*train.Join // who wants to be a first member
	retired time.Time                   // when the job was over; zero before
	stopped atomic.Bool                 // by its initiator, this peer, before the first round
	missed  map[wire.PeerID]int         // members that were not reached: how often in a row
	spent   atomic.Pointer[job.Spent]   // of privacy, by this member; nil if nothing is counted
}

// view is what others see of the machine.
type view struct {
	status  round.Status
	members []wire.PeerID
	last    *train.Certificate
	member  bool
	over    bool
	err     error // why the session ended
}

// codecs encode updates, and what owners make of them.
type codecs struct {
	update, result, lone *codec.Codec
}

func newCodecs(name string, layout codec.Layout) (c codecs, err error) {
	if c.update, err = codec.New(name, layout); err != nil {
		return c, err
	}
	back := name
	if n := c.update.Name(); n != "f32" && n != "f16" {
		back = "int8" // the sum of few values of many members is not sparse
	}
	if c.result, err = codec.New(back, layout); err != nil {
		return c, err
	}
	c.lone, err = codec.New("f32", layout)
	return c, err
}

// of returns the codecs of a round of n members. One alone loses nothing.
func (c *codecs) of(n int) (update, result *codec.Codec) {
	if n == 1 {
		return c.lone, c.lone
	}
	return c.update, c.result
}

// bound returns where slice i of n begins in a vector of a length. Slices of long vectors begin
// at multiples of 4096, the largest unit of a codec.
func bound(i, n, length int) int {
	at := int(int64(i) * int64(length) / int64(n))
	if i == n {
		return length
	}
	if unit := 4096; length >= 16*n*unit {
		at = at / unit * unit
	}
	return at
}

// now returns the view.
func (s *session) now() view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.view
}

// call hands f to the loop and waits until it was done there.
func (s *session) call(ctx context.Context, f func()) error {
	done := make(chan struct{})
	select {
	case s.calls <- func() { f(); close(done) }:
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	select {
	case <-done:
		return nil
	case <-s.ctx.Done():
		return context.Cause(s.ctx)
	}
}

// offer hands f to the loop unless too much waits there.
func (s *session) offer(f func()) bool {
	select {
	case s.calls <- f:
		return true
	default:
		return false
	}
}

// loop owns the machine until the session ends.
func (s *session) loop() {
	t := time.NewTicker(tick)
	defer t.Stop()
	for {
		if err := s.drain(); err != nil {
			s.fail(err)
			return
		}
		select {
		case f := <-s.calls:
			f()
		case <-t.C:
			s.machine.Tick()
		case <-s.ctx.Done():
			return
		}
	}
}

// drain carries out what the machine asks, in the order that it wants, and publishes the view.
func (s *session) drain() error {
	r := s.machine.Ready()
	if r.Persist != nil {
		if err := s.persisted(r.Persist); err != nil {
			return fmt.Errorf("training state: %w", err)
		}
	}
	if err := errors.Join(s.open(), s.speak()); err != nil {
		return err
	}
	for _, m := range r.Send {
		s.send(m)
	}
	if len(r.Reveal) > 0 {
		s.reveal(r.Reveal)
	}
	if r.Reduce != nil {
		s.reduce(*r.Reduce)
	}
	for _, f := range r.Fetch {
		s.fetch(f)
	}
	for _, a := range r.Apply {
		s.apply(a)
	}
	if r.Commit != nil {
		s.commit(*r.Commit)
	}
	if r.FetchState != nil {
		s.fetchState(*r.FetchState)
	}
	if r.Chain != nil {
		s.fetchChain(*r.Chain)
	}
	for _, e := range r.Evidence {
		s.log.Warn("a member contradicts itself", "peer", e.Peer)
	}
	s.publish()
	return s.belong()
}

// persisted keeps what the machine must not forget. Certificates come first: so the chain has all
// that the state of the rounds rests on, whenever this process is killed.
func (s *session) persisted(saved *round.Saved) error {
	if err := errors.Join(s.note(saved.Last), s.note(saved.Decided)); err != nil {
		return err
	}
	if _, banned := slices.BinarySearch(saved.Banned, s.me); banned {
		return errors.New("the members have expelled this peer: it has signed two messages that contradict each other")
	}
	return s.files.writeRound(saved)
}

// belong asks to be taken in where this peer is no member, unless it goes.
func (s *session) belong() error {
	switch inside := train.Place(s.machine.Members(), s.me) >= 0; {
	case inside:
		s.asking = false
	case !s.asking && !s.leaving && s.machine.Last().Outcome.End == train.EndNone:
		s.asking = true
		s.machine.Join(s.samples, s.net.host.Proof())
	}
	return nil
}

// open makes the data of the running round, with the headers known by now.
func (s *session) open() error {
	n := s.machine.Round()
	s.mu.Lock()
	defer s.mu.Unlock()
	d, over := s.data[n], false
	if d == nil {
		over = len(s.data) > 0 // else the last process may have left what is needed
		members := s.machine.Members()
		d = &roundData{
			round: n, members: members, me: train.Place(members, s.me), headers: map[wire.PeerID]*train.Header{},
			slices: map[wire.PeerID][]byte{}, results: map[train.Hash][]byte{}, written: map[train.Hash]*writing{},
		}
		d.deal(s.machine.Groups())
		s.data[n] = d
		for r, old := range s.data {
			if r < n {
				s.room.put(old.over(r+keptRounds < n)...)
			}
			if r+keptRounds < n {
				delete(s.data, r)
			}
		}
	}
	for _, p := range d.members {
		if h := s.machine.HeaderOf(p); h != nil && d.headers[p] == nil {
			d.headers[p] = h
		}
	}
	if over {
		return s.files.dropResults(s.neededLocked(), redoRounds*len(d.members))
	}
	return nil
}

// publish lets others see where the machine stands.
func (s *session) publish() {
	v := view{
		status: s.machine.Status(), members: s.machine.Members(), last: s.machine.Last(),
	}
	v.member = train.Place(v.members, s.me) >= 0
	v.over = v.last.Outcome.End != train.EndNone
	s.mu.Lock()
	defer s.mu.Unlock()
	if v.err = s.view.err; v.status == s.view.status && v.last == s.view.last {
		return
	}
	s.view = v
	s.wakeLocked()
}

func (s *session) wakeLocked() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// ask hands f to the goroutine of the run.
func (s *session) ask(f func(*learner) error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asks = append(s.asks, f)
	s.wakeLocked()
}

// task runs f beside the loop until the session ends.
func (s *session) task(f func(ctx context.Context)) {
	s.tasks.Go(func() { f(s.ctx) })
}

// receive takes gossip of the job.
func (s *session) receive(from host.ID, data []byte) host.Verdict {
	b := new(train.Bundle)
	if wire.Decode(data, b) != nil {
		return host.Reject
	}
	return s.take(b)
}

// take verifies messages and gives them to the machine.
func (s *session) take(b *train.Bundle) host.Verdict {
	head, err := round.Open(&b.Messages[0])
	if err != nil {
		return host.Reject
	}
	if s.ctx.Err() != nil || !s.heeds(head.Body, len(b.Messages), s.started()) {
		return host.Ignore
	}
	if v, ok := head.Body.(*train.Vector); ok {
		if x := s.mixer.Load(); x != nil {
			x.take(v)
		}
		return host.Ignore // it is for this member alone
	}
	msgs := []round.Message{head}
	for i := 1; i < len(b.Messages); i++ {
		m, err := round.Open(&b.Messages[i])
		if err != nil {
			return host.Reject
		}
		msgs = append(msgs, m)
	}
	return s.takeOpened(msgs...)
}

// takeOpened gives messages that have been verified to the machine.
func (s *session) takeOpened(msgs ...round.Message) host.Verdict {
	started := s.started()
	if s.ctx.Err() != nil || !s.heeds(msgs[0].Body, len(msgs), started) {
		return host.Ignore
	}
	if !started {
		return s.early(msgs)
	}
	for _, m := range msgs {
		if j, ok := m.Body.(*train.Join); ok {
			if s.admit(j) != nil {
				return host.Ignore
			}
			s.asked.Store(time.Now().UnixNano())
		}
	}
	if !s.deliver(msgs) {
		return host.Ignore
	}
	return host.Accept
}

// heeds reports whether a bundle of so many messages is worth more work, by its first one, whose
// signature has been checked: outsiders ask to be taken in, show a certificate or, the initiator,
// stop the job, one at a time.
func (s *session) heeds(first train.Body, messages int, started bool) bool {
	kind, v := first.Kind(), s.now()
	switch {
	case !started:
		return kind == train.KindJoin && messages == 1
	case !v.member || train.Place(v.members, first.Signer()) >= 0:
		return true
	}
	return messages == 1 && (kind == train.KindJoin || kind == train.KindCertificate || kind == train.KindStop)
}

// apart splits messages so that each certificate comes alone: the machine may go on to the next
// round with each, and what it goes over is noted in between.
func apart(msgs []round.Message) (out [][]round.Message) {
	var rest []round.Message
	for _, m := range msgs {
		if m.Body.Kind() == train.KindCertificate {
			out = append(out, []round.Message{m})
		} else {
			rest = append(rest, m)
		}
	}
	if len(rest) > 0 {
		out = append(out, rest)
	}
	return out
}

// reveal brings the slices of the own update to their owners.
func (s *session) reveal(owners []wire.PeerID) {
	d := s.running()
	for _, p := range owners {
		i := train.Place(d.members, p)
		d.mu.Lock()
		var data []byte
		if i >= 0 && d.lots[i].at < len(d.own) {
			data = d.own[d.lots[i].at]
		}
		d.mu.Unlock()
		if data == nil {
			continue
		}
		d.users.Add(1)
		s.task(func(ctx context.Context) {
			defer d.users.Add(-1)
			put := train.Put{Job: s.id, Round: d.round, Slice: uint64(i)}
			s.persist(ctx, d.round, func(ctx context.Context) error {
				ctx, cancel := context.WithTimeout(ctx, sliceTime)
				defer cancel()
				return s.net.client.Put(ctx, p, put, data)
			})
		})
	}
}

// persist tries until f succeeds or the round is over.
func (s *session) persist(ctx context.Context, n uint64, f func(ctx context.Context) error) {
	for wait := 50 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := f(ctx)
		if err == nil || ctx.Err() != nil || s.now().status.Round != n {
			return
		}
		s.log.Debug("training transfer failed", "round", n, "err", err)
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// reference returns what the job's rule starts from, nil if that is nothing or zeros.
func (s *session) reference() []float32 {
	if ref := s.result.Load(); ref != nil {
		return *ref
	}
	return nil
}

// refer keeps what changed of the last result as the rule's reference. Numbers that are not finite
// are never part of it: the rule would not get rid of them.
func (s *session) refer(result []float32, changed []span) {
	if !s.rule.Referenced() {
		return
	}
	next := make([]float32, len(result))
	copy(next, s.reference())
	for _, c := range changed {
		if part := result[c.lo:c.hi]; vec.Finite(part) {
			copy(next[c.lo:c.hi], part)
		}
	}
	s.result.Store(&next)
}

// running returns the data of the machine's round. Only the loop calls it.
func (s *session) running() *roundData {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data[s.machine.Round()]
}

// reduce makes the result of the own slice beside the loop.
func (s *session) reduce(r round.Reduce) {
	d := s.running()
	headers := make(map[wire.PeerID]*train.Header, len(d.headers))
	for p, h := range d.headers {
		headers[p] = h
	}
	d.users.Add(1)
	s.task(func(context.Context) {
		defer d.users.Add(-1)
		result, rejected, err := s.combine(d, r, headers)
		s.room.put(d.used()...)
		if err != nil {
			s.log.Warn("slice not reduced", "round", d.round, "err", err)
			return
		}
		hash := train.Hash(digest.Root(result))
		if s.hold(d, hash, result) != nil { // the round is over
			return
		}
		_ = s.call(s.ctx, func() {
			if err := s.machine.Reduced(d.round, hash, uint64(len(result)), r.From, rejected); err != nil && !errors.Is(err, round.ErrOver) {
				s.log.Warn("result not told", "round", d.round, "err", err)
			}
		})
	})
}

// fetch gets a result from its owner or any other member.
func (s *session) fetch(f round.Fetch) {
	s.mu.Lock()
	d := s.data[f.Round]
	s.mu.Unlock()
	if d == nil {
		return
	}
	n := len(d.members)
	_, back := s.codecs.of(n)
	lo, hi := d.span(f.Slice, int(s.job.Values))
	size := back.Size(lo, hi-lo)
	from := append([]wire.PeerID{f.Owner}, d.members...)
	s.task(func(ctx context.Context) {
		at := 0
		s.persist(ctx, f.Round, func(ctx context.Context) error {
			data, err := s.files.readResult(f.Result) // of the last process of this member
			if err != nil {
				return err
			}
			if data == nil {
				p := from[at%len(from)]
				if at++; p == s.me {
					return errors.New("it is not here")
				}
				ctx, cancel := context.WithTimeout(ctx, sliceTime)
				defer cancel()
				data = s.room.get(size)
				if err := s.net.client.Get(ctx, p, train.Get{Job: s.id, Round: f.Round, Slice: uint64(f.Slice), Result: f.Result}, data); err != nil {
					return err
				}
			}
			if err := s.hold(d, f.Result, data); err != nil {
				return err
			}
			return s.call(ctx, func() { s.machine.Fetched(f.Round, f.Result) })
		})
	})
}

// apply lets the run find out what an outcome makes of the state.
func (s *session) apply(a round.Apply) {
	s.drafts[a.Draft] = a.Outcome
	s.ask(func(l *learner) error {
		root, steps, err := l.try(a.Draft, a.Outcome)
		if errors.Is(err, errCannot) {
			s.log.Debug("outcome not applied", "round", a.Outcome.Round, "err", err)
			return nil
		}
		if err != nil {
			return err
		}
		end := s.endOf(a.Outcome, uint64(steps))
		return s.call(s.ctx, func() { s.machine.Applied(a.Draft, root, end) })
	})
}

// commit lets the run put a certified state in place.
func (s *session) commit(c round.Commit) {
	o := &c.Certificate.Outcome
	draft := s.drafts[c.Draft]
	s.drafts = map[train.Hash]*train.Outcome{}
	s.ask(func(l *learner) error {
		if err := l.commit(c.Draft, draft, o); err != nil {
			return err
		}
		l.show(o)
		return s.call(s.ctx, func() { s.machine.Committed(o.Round) })
	})
}

// endOf says whether the job's own rules end it with an outcome, after which the trainer has done
// so many steps.
func (s *session) endOf(o *train.Outcome, steps uint64) train.End {
	set := &s.job.Settings
	done := o.Round
	if set.Mode == train.AllReduce { // a round that came to nothing is no step
		done = steps
	}
	if set.Mode == train.Gossip {
		done *= snapshotTurns
	}
	switch m := o.Measured; {
	case set.Rounds > 0 && done >= set.Rounds:
		return train.EndRounds
	case set.Target > 0 && m.Samples > 0 && reached(m.Metric, set.Target, set.Higher):
		return train.EndTarget
	case set.Patience > 0 && o.Stale >= set.Patience:
		return train.EndPatience
	case set.Epsilon > 0 && o.Samples == 0: // of a quorum nobody had anything to give
		return train.EndSpent
	}
	return train.EndNone
}

func reached(value, target float64, higher bool) bool {
	if higher {
		return value >= target
	}
	return value <= target
}

// sign seals a message of this member.
func (s *session) sign(b train.Body) *train.Sealed {
	sealed, err := train.Seal(s.net.key, b)
	if err != nil { // of a message that breaks its own limits
		s.log.Error("message not signed", "kind", b.Kind(), "err", err)
		return &train.Sealed{Kind: b.Kind()}
	}
	return sealed
}

// workers is how many goroutines hash and encode.
func (s *session) workers() int {
	if s.threads > 0 {
		return s.threads
	}
	return runtime.GOMAXPROCS(0)
}

// times returns how long the machine waits, in its ticks.
func times(set *train.Settings) round.Times {
	limit := roundCap
	if set.RoundTimeout > 0 {
		limit = time.Duration(set.RoundTimeout) * time.Millisecond
	}
	var t round.Times
	// A message may be lost and is repeated after Resend: what comes then is in time. Where a round
	// without one member's part comes to nothing, it has more time. Over lines that lose much, repeats that
	// do not become rarer are more than the lines carry.
	t.Resend, t.ResendMax = 10, 40
	floor := 6 * t.Resend
	if set.Mode == train.AllReduce {
		floor *= 3
	}
	t.Headers = round.Span{Floor: floor, Cap: int(limit / tick)}
	t.Slices = round.Span{Floor: floor, Cap: int(min(limit, 2*time.Minute) / tick)}
	t.Results = t.Slices
	t.Votes.Propose, t.Votes.Prevote, t.Votes.Precommit, t.Votes.Grow, t.Votes.Max = 60, 20, 20, 10, 600
	return t
}

// members returns the peers beside this one.
func (v *view) others(me wire.PeerID) []wire.PeerID {
	return slices.DeleteFunc(slices.Clone(v.members), func(p wire.PeerID) bool { return p == me })
}
