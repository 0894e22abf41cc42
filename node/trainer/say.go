package trainer

import (
	"context"
	"slices"
	"time"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// askedLately is how long a peer that asks to be a member is told what is decided.
const askedLately = 10 * time.Second

// speak makes lines those of the running round. Only the loop calls it.
func (s *session) speak() error {
	if c := s.common.Load(); c != nil && c.Round == s.machine.Round() {
		return nil
	}
	c, err := train.CommonOf(&s.machine.Last().Outcome)
	if err != nil {
		return err
	}
	s.common.Store(c)
	s.follow(c.Members)
	s.lines.mu.Lock()
	defer s.lines.mu.Unlock()
	for _, e := range s.lines.in {
		s.task(func(context.Context) { e.catchUp(c) })
	}
	return nil
}

// send says messages to the other members, or to one. Those who are no members have them from gossip:
// who asks to be a member tells all, and a certificate is told while somebody asks.
func (s *session) send(m round.Send) {
	x := saying{common: s.common.Load()}
	b := &train.Bundle{}
	for _, sealed := range m.Messages {
		by, err := sealed.Author()
		if err != nil {
			s.log.Error("a message that cannot be read", "kind", sealed.Kind, "err", err)
			return
		}
		x.list, b.Messages = append(x.list, newSaid(sealed, by)), append(b.Messages, *sealed)
	}
	s.seq++
	b.Seq = s.seq
	if m.To != "" {
		s.tellOne(m.To, x, b)
		return
	}
	member := train.Place(x.common.Members, s.me) >= 0
	certificate := m.Messages[0].Kind == train.KindCertificate
	if member && (!certificate || ends(m.Messages[0])) {
		s.say(x, slices.DeleteFunc(slices.Clone(x.common.Members), func(p wire.PeerID) bool { return p == s.me })...)
	}
	if member && (!certificate || time.Since(time.Unix(0, s.asked.Load())) > askedLately) {
		return
	}
	data, err := wire.Encode(b)
	if err == nil {
		err = s.topic.Publish(s.ctx, data)
	}
	if err != nil {
		s.log.Debug("messages not gossiped", "err", err)
	}
}

// ends reports whether a certificate is the last one of its job.
func ends(sealed *train.Sealed) bool {
	c := new(train.Certificate)
	return wire.Decode(sealed.Payload, c) == nil && c.Outcome.End != train.EndNone
}

// tellOne says messages to one peer, over a line if it is a member.
func (s *session) tellOne(p wire.PeerID, x saying, b *train.Bundle) {
	if s.line(p) != nil {
		s.say(x, p)
		return
	}
	s.task(func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := s.net.client.Tell(ctx, p, b); err != nil {
			s.log.Debug("messages not delivered", "peer", p, "err", err)
		}
	})
}

// deliver gives messages to the machine, unless too much waits there.
func (s *session) deliver(msgs []round.Message) bool {
	for _, part := range apart(msgs) {
		ok := s.offer(func() {
			if err := s.machine.Step(part...); err != nil {
				s.log.Debug("bad message of training", "peer", part[0].Body.Signer(), "err", err)
			}
		})
		if !ok {
			return false
		}
	}
	return true
}
