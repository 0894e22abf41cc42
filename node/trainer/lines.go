package trainer

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// maxSayings bounds what waits for a line: a few repetitions of all that a round has.
	maxSayings = 64
	// lineDoubt is how long a line may leave words without an answer before others are asked to pass
	// them on, lineTime how long before it is given up.
	lineDoubt = time.Second
	lineTime  = 10 * time.Second
	// lineIdle is how long a line may have nothing to say.
	lineIdle = 10 * time.Minute
	// lineWait is how long after a line has failed another one is tried; twice as long each time, up
	// to lineWaitMost.
	lineWait     = 100 * time.Millisecond
	lineWaitMost = 5 * time.Second
)

// saying is messages that go together.
type saying struct {
	common *train.Common // of the round in which they were made
	list   []said
	pass   int // place of the member to pass them on to; -1: none
}

// said is a message and who signed it.
type said struct {
	sealed *train.Sealed
	by     wire.PeerID
	name   train.Hash // tells messages apart
}

func newSaid(sealed *train.Sealed, by wire.PeerID) said {
	return said{sealed, by, train.HashOf(slices.Concat([]byte{byte(sealed.Kind)}, sealed.Payload, sealed.Signature))}
}

// lines are what this member says to the others, and what they say to it.
type lines struct {
	mu    sync.Mutex
	out   map[wire.PeerID]*line
	in    map[wire.PeerID]*ear
	turns int // of those that pass on
}

// line says this member's messages to another one, over one stream after the other. What comes
// while there is none waits; what is too much is dropped, as the machine repeats what counts.
type line struct {
	s    *session
	peer wire.PeerID
	end  context.CancelFunc

	mu      sync.Mutex
	waiting []saying
	wake    chan struct{} // size 1
	up      bool
	flight  []time.Time // when words were sent that have no answer yet
}

// follow keeps a line to each of the others, where this peer is a member. Only the loop calls it.
func (s *session) follow(members []wire.PeerID) {
	if train.Place(members, s.me) < 0 {
		members = nil
	}
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	for p, l := range s.lines.out {
		if !slices.Contains(members, p) {
			l.end()
			delete(s.lines.out, p)
		}
	}
	for _, p := range members {
		if s.lines.out[p] != nil || p == s.me {
			continue
		}
		if s.lines.out == nil {
			s.lines.out = map[wire.PeerID]*line{}
		}
		ctx, end := context.WithCancel(s.ctx)
		l := &line{s: s, peer: p, end: end, wake: make(chan struct{}, 1)}
		s.lines.out[p] = l
		s.tasks.Go(func() { l.run(ctx) })
	}
}

// line returns the line to a member, or nil.
func (s *session) line(p wire.PeerID) *line {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	return s.lines.out[p]
}

// say says messages to some members; those that no line reaches get them through others that reach
// them.
func (s *session) say(x saying, to ...wire.PeerID) {
	for _, p := range to {
		l := s.line(p)
		if l == nil {
			continue
		}
		x.pass = -1
		l.say(x)
		if l.reaches() {
			continue
		}
		if by := s.carrier(p, x.common.Members); by != nil {
			x.pass = train.Place(x.common.Members, p)
			by.say(x)
		}
	}
}

// carrier returns the line to a member that reaches p, each time another one; nil if there is none.
func (s *session) carrier(p wire.PeerID, members []wire.PeerID) *line {
	var list []*line
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	for _, c := range members {
		if l, e := s.lines.out[c], s.lines.in[c]; c != p && l != nil && e != nil && l.reaches() && e.reaches(p) {
			list = append(list, l)
		}
	}
	if len(list) == 0 {
		return nil
	}
	s.lines.turns++
	return list[s.lines.turns%len(list)]
}

// lineReach returns which members lines reach.
func (s *session) lineReach(members []wire.PeerID) (set train.Set) {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	for i, p := range members {
		if l := s.lines.out[p]; l != nil && l.reaches() {
			set = set.With(i)
		}
	}
	return set
}

// reaches reports whether the other end answers.
func (l *line) reaches() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up && (len(l.flight) == 0 || time.Since(l.flight[0]) < lineDoubt)
}

// say has messages said, unless they wait for that already.
func (l *line) say(x saying) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.waiting {
		if w := &l.waiting[i]; w.pass == x.pass && slices.EqualFunc(w.list, x.list, func(a, b said) bool { return a.name == b.name }) {
			return
		}
	}
	if len(l.waiting) < maxSayings {
		l.waiting = append(l.waiting, x)
	}
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run says what there is to say until ctx ends.
func (l *line) run(ctx context.Context) {
	for wait := lineWait; ; wait = min(2*wait, lineWaitMost) {
		began := time.Now()
		err := l.talk(ctx)
		if ctx.Err() != nil {
			return
		}
		l.s.log.Debug("line to a member ended", "peer", l.peer, "err", err)
		if time.Since(began) > lineWaitMost {
			wait = lineWait
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return
		}
	}
}

// talk opens a stream and says everything over it until it fails or ctx ends; then what waits is
// said, too.
func (l *line) talk(ctx context.Context) (err error) {
	short, cancel := context.WithTimeout(ctx, lineTime)
	defer cancel()
	st, err := l.s.net.host.Open(short, l.peer, protocol.Agree)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = st.SetWriteDeadline(time.Now().Add(lineDoubt)) })
	defer stop()
	var answers sync.WaitGroup
	defer answers.Wait()
	defer func() {
		l.mu.Lock()
		l.up, l.flight = false, nil
		l.mu.Unlock()
		if err != nil {
			_ = st.Reset()
			return
		}
		err = st.Close()
	}()
	t := tongue{s: l.s, w: frame.NewWriter(st), numbers: map[train.Hash]int{}}
	r := frame.NewReader(st, train.HeardLimits())
	if err := t.open(st, r); err != nil {
		return err
	}
	l.mu.Lock()
	l.up = true
	l.mu.Unlock()
	failed := make(chan error, 1) // 1: the only one
	answers.Go(func() { failed <- l.hear(st, r) })
	for {
		list, more := l.next(ctx, failed)
		for _, x := range list {
			l.mu.Lock()
			l.flight = append(l.flight, time.Now())
			l.mu.Unlock()
			if err := t.say(x); err != nil {
				return err
			}
		}
		if err := more; err != nil || len(list) == 0 {
			return err
		}
	}
}

// next waits for something to say and takes it; with nothing at the end of ctx. An error is that of
// the line.
func (l *line) next(ctx context.Context, failed <-chan error) ([][]saying, error) {
	for {
		list, late := l.take()
		if len(list) > 0 {
			return list, nil
		}
		if late <= 0 {
			return nil, errors.New("the other end does not answer")
		}
		t := time.NewTimer(late)
		select {
		case <-l.wake:
		case <-t.C:
		case err := <-failed:
			t.Stop()
			return nil, err
		case <-ctx.Done():
			t.Stop()
			list, _ := l.take()
			return list, nil
		}
		t.Stop()
	}
}

// take takes what is to be said, and tells how long the other end has to answer.
func (l *line) take() ([][]saying, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	list, late := l.waiting, lineIdle
	if l.waiting = nil; len(l.flight) > 0 {
		late = time.Until(l.flight[0].Add(lineTime))
	}
	return frames(list), late
}

// frames puts together what fits into a frame.
func frames(list []saying) (out [][]saying) {
	words := 0
	for _, x := range list {
		last := len(out) - 1
		if last >= 0 && out[last][0].common == x.common && words+len(x.list) <= protocol.MaxTrainWords/2 {
			out[last] = append(out[last], x)
			words += len(x.list)
			continue
		}
		out, words = append(out, []saying{x}), len(x.list)
	}
	return out
}

// hear takes the answers of the other end until the stream ends.
func (l *line) hear(st host.Stream, r *frame.Reader) error {
	for {
		if err := st.SetReadDeadline(time.Now().Add(2 * lineIdle)); err != nil {
			return err
		}
		if _, _, err := r.Header(); err != nil {
			return err
		}
		l.mu.Lock()
		if len(l.flight) > 0 {
			l.flight = l.flight[1:]
		}
		l.mu.Unlock()
	}
}
