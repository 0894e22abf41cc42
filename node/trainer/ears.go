package trainer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// maxStrange bounds the lines of peers that are no members as far as is known here.
	maxStrange = 16
	// maxPassed bounds the words of a member that are passed on to others in a round.
	maxPassed = 8 * protocol.MaxTrainWords
)

// ear is what another member says to this one over one stream.
type ear struct {
	s      *session
	peer   wire.PeerID
	stream host.Stream

	mu     sync.Mutex
	words  []*word // remembered, the last one last
	unread []*word // of a round that has not begun here
	short  *train.Shorthand
	reach  train.Set // of the members of a round
	places []wire.PeerID
	at     uint64 // round that reach is of, while places are not known
	passed int    // words in the running round
}

// word is one that both ends of a line remember.
type word struct {
	train.Word
	round uint64
	msg   *round.Message // once it has been read
	sent  train.Set      // places of the members that it was passed on to
}

// Talk hears what a member of a job says, on a stream of protocol.Agree.
func (t *Trainer) Talk(ctx context.Context, st host.Stream) {
	if err := t.talk(ctx, st); err != nil {
		t.cfg.Log.Debug("line of a member ended", "peer", st.Peer(), "err", errors.Join(err, st.Reset()))
		return
	}
	_ = st.Close()
}

func (t *Trainer) talk(ctx context.Context, st host.Stream) error {
	stop := context.AfterFunc(ctx, func() { _ = st.Reset() })
	defer stop()
	r, w := frame.NewReader(st, train.LineLimits()), frame.NewWriter(st)
	next := func(want frame.Type, wait time.Duration, m wire.Message) error {
		if err := st.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return err
		}
		typ, b, err := r.Next()
		if err == nil && typ != want {
			err = fmt.Errorf("frame of type %d, want %d", typ, want)
		}
		if err == nil {
			err = wire.Decode(b, m)
		}
		return err
	}
	heard := func() error { return errors.Join(w.Write(train.TypeHeard), w.Flush()) }
	first := new(train.Line)
	if err := next(train.TypeLine, lineTime, first); err != nil {
		return err
	}
	s, err := t.session(first.Job)
	if err != nil {
		return err
	}
	e := &ear{s: s, peer: st.Peer(), stream: st}
	if !s.listen(e) {
		return errors.New("too many lines of peers that are no members")
	}
	defer s.deafen(e)
	end := context.AfterFunc(s.ctx, func() { _ = st.Reset() })
	defer end()
	for err = heard(); err == nil; err = heard() {
		f := new(train.Words)
		if err = next(train.TypeWords, 2*lineIdle, f); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			break
		}
		if err = e.take(f); err != nil {
			break
		}
	}
	return err
}

// listen takes a line in the place of an older one of the same peer.
func (s *session) listen(e *ear) bool {
	members := s.now().members
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	if s.ctx.Err() != nil {
		return false
	}
	strange := 0
	for p, old := range s.lines.in {
		if p == e.peer {
			_ = old.stream.Reset()
			delete(s.lines.in, p)
		} else if train.Place(members, p) < 0 {
			strange++
		}
	}
	if strange >= maxStrange && train.Place(members, e.peer) < 0 {
		return false
	}
	if s.lines.in == nil {
		s.lines.in = map[wire.PeerID]*ear{}
	}
	s.lines.in[e.peer] = e
	return true
}

// deafen forgets a line that has ended.
func (s *session) deafen(e *ear) {
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	if s.lines.in[e.peer] == e {
		delete(s.lines.in, e.peer)
	}
}

// reaches reports whether the member has told that its lines reach another one.
func (e *ear) reaches(p wire.PeerID) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	i := train.Place(e.places, p)
	return i >= 0 && e.reach.Has(i)
}

// take hears a frame. An error says that no honest member says that.
func (e *ear) take(f *train.Words) error {
	got, err := e.hear(f, e.s.common.Load)
	if err != nil {
		return err
	}
	if c := e.s.common.Load(); e.s.started() && (c == nil || c.Round != f.Round) {
		e.s.offer(func() { e.s.machine.Hear(e.peer, f.Round) })
	}
	e.s.deliver(got.msgs)
	for _, x := range got.pass {
		if l := e.s.line(x.to); l != nil {
			l.say(x.saying)
		}
	}
	for _, m := range got.whole {
		e.s.takeOpened(m)
	}
	return nil
}

// heard is what a frame brings.
type heard struct {
	msgs  []round.Message // of the running round, together
	whole []round.Message // each alone
	pass  []passing
}

// hear notes the words of a frame and reads those that can be read in the round that runs when it is
// the frame's turn.
func (e *ear) hear(f *train.Words, running func() *train.Common) (got heard, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	common := running()
	var said []*word
	for i := range f.New {
		x := &word{Word: f.New[i], round: f.Round}
		if x.Remembered() {
			e.words = append(e.words[max(0, len(e.words)+1-protocol.MaxTrainWords):], x)
		}
		if said = append(said, x); !x.Whole {
			e.unread = append(e.unread, x)
		}
	}
	e.unread = latest(e.unread)
	if len(f.Reach) > 0 {
		e.reach, e.places, e.at = f.Reach[0], nil, f.Round
	}
	again, err := e.back(f.Again)
	if err != nil {
		return got, err
	}
	if err := e.read(common); err != nil {
		return got, err
	}
	for _, x := range append(said, again...) {
		if err := x.open(); err != nil {
			return got, err
		}
		switch {
		case x.Whole:
			got.whole = append(got.whole, *x.msg)
		case x.msg != nil && x.round == common.Round:
			got.msgs = append(got.msgs, *x.msg)
		}
	}
	got.pass = e.pass(f.Pass, common, f.Round)
	return got, nil
}

// latest returns the last words, as many as one frame may bring: a peer may speak of rounds that
// never begin here.
func latest(words []*word) []*word {
	bytes := 0
	for i, x := range slices.Backward(words) {
		if bytes += len(x.Payload); bytes > protocol.MaxTrainMessage || len(words)-i > protocol.MaxTrainBundle {
			return slices.Clone(words[i+1:]) // what is left out is not kept in memory
		}
	}
	return words
}

// open reads a word that is whole, once.
func (x *word) open() error {
	if x.msg != nil || !x.Whole {
		return nil
	}
	m, err := round.Open(&train.Sealed{Kind: x.Kind, Payload: x.Payload, Signature: x.Signature})
	x.msg = &m
	return err
}

// back finds remembered words.
func (e *ear) back(numbers []uint64) (out []*word, err error) {
	for _, n := range numbers {
		if n >= uint64(len(e.words)) {
			return nil, fmt.Errorf("word %d of %d", n, len(e.words))
		}
		out = append(out, e.words[len(e.words)-1-int(n)])
	}
	return out, nil
}

// read reads the words of the running round that have not been read.
func (e *ear) read(common *train.Common) error {
	if common == nil {
		return nil
	}
	if e.at == common.Round {
		e.places, e.at = common.Members, 0
	}
	if e.short == nil || e.short.Common != common {
		e.short, e.passed = &train.Shorthand{Common: common, Speaker: train.Place(common.Members, e.peer)}, 0
	}
	rest := e.unread[:0]
	for _, x := range e.unread {
		switch {
		case x.round < common.Round:
		case x.round > common.Round:
			rest = append(rest, x)
		default:
			sealed, err := e.short.Whole(&x.Word)
			if err != nil {
				return err
			}
			m, err := round.Open(sealed)
			if err != nil {
				return err
			}
			x.msg = &m
		}
	}
	clear(e.unread[len(rest):])
	e.unread = rest
	return nil
}

// passing is words for another member.
type passing struct {
	to wire.PeerID
	saying
}

// pass finds the words that others are to hear.
func (e *ear) pass(list []train.Pass, common *train.Common, n uint64) (out []passing) {
	if common == nil || n != common.Round {
		return nil
	}
	for _, p := range list {
		i := int(p.Place)
		if i >= len(common.Members) {
			continue
		}
		x := passing{common.Members[i], saying{common: common, pass: -1}}
		words, err := e.back(p.Words)
		if err != nil {
			continue
		}
		for _, w := range words {
			if w.msg == nil || w.round != n && !w.Whole || !w.sent.Has(i) && e.passed >= maxPassed {
				continue
			}
			if !w.sent.Has(i) {
				w.sent = w.sent.With(i)
				e.passed++
			}
			x.list = append(x.list, newSaid(w.msg.Sealed, w.msg.Body.Signer()))
		}
		if len(x.list) > 0 {
			out = append(out, x)
		}
	}
	return out
}

// catchUp reads what was said of a round before it began here.
func (e *ear) catchUp(common *train.Common) {
	e.mu.Lock()
	early, err := slices.Clone(e.unread), error(nil)
	if e.short == nil || e.short.Round <= common.Round { // else it is over
		err = e.read(common)
	}
	e.mu.Unlock()
	if err != nil {
		e.s.log.Debug("line of a member ended", "peer", e.peer, "err", errors.Join(err, e.stream.Reset()))
		return
	}
	var msgs []round.Message
	for _, x := range early {
		if x.msg != nil {
			msgs = append(msgs, *x.msg)
		}
	}
	e.s.deliver(msgs)
}
