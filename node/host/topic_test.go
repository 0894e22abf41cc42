package host

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol"
)

// mailbox keeps what came on a topic.
type mailbox struct {
	mu  sync.Mutex
	got map[string]int
}

func (m *mailbox) receive(_ ID, data []byte) Verdict {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.got == nil {
		m.got = map[string]int{}
	}
	switch m.got[string(data)]++; {
	case bytes.HasPrefix(data, []byte("bad")):
		return Reject
	case bytes.HasPrefix(data, []byte("old")):
		return Ignore
	}
	return Accept
}

func (m *mailbox) has(text string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.got[text] > 0
}

func (m *mailbox) hasAny() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.got) > 0
}

func (m *mailbox) join(t *testing.T, p *peerOf, name string, limit int) *Topic {
	t.Helper()
	topic, err := p.Topic(name, TopicConfig{MaxBytes: limit, Receive: m.receive})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := topic.Close(); err != nil {
			t.Errorf("close topic: %v", err)
		}
	})
	return topic
}

// TestTopic has a chain of three peers. The last one joins the topic before the others do, so
// that they must have kept that it has.
func TestTopic(t *testing.T) {
	t.Parallel()
	few := func(c *Config) { c.PeersLow, c.PeersHigh = 1, 8 }
	chain := []*peerOf{startPeer(t, foundSwarm(t, t.TempDir()), few)}
	for i := range 2 {
		c := invited(t, chain[0], t.TempDir(), Invitation{})
		c.Bootstrap = chain[i].Addrs()
		chain = append(chain, startPeer(t, c, few))
		until(t, "joined", knows(chain[i], chain[i+1]))
		until(t, "joined", knows(chain[i+1], chain[i]))
	}
	name := protocol.JobTopic(chain[0].Swarm().String(), "x")
	var boxes [3]mailbox
	var topics [3]*Topic
	for i := 2; i >= 0; i-- {
		topics[i] = boxes[i].join(t, chain[i], name, protocol.MaxTrainMessage)
	}
	until(t, "seen in the topic", func() bool { return len(topics[0].Peers()) == 1 && len(topics[1].Peers()) == 2 })
	until(t, "two hops away", func() bool { // nothing depends on one message: links of gossip are made once a second
		if err := topics[0].Publish(t.Context(), fmt.Appendf(nil, "hello %d", time.Now().UnixNano())); err != nil {
			t.Fatal(err)
		}
		return boxes[2].hasAny()
	})
	large := string(make([]byte, protocol.MaxTrainInline))
	if err := topics[0].Publish(t.Context(), []byte(large)); err != nil {
		t.Fatal(err)
	}
	until(t, "two hops away", func() bool { return boxes[2].has(large) })
	for _, text := range []string{"bad news", "old news", "last"} {
		if err := topics[0].Publish(t.Context(), []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "two hops away", func() bool { return boxes[2].has("last") })
	for _, text := range []string{"bad news", "old news"} {
		if !boxes[1].has(text) || boxes[2].has(text) {
			t.Errorf("%q came to the neighbour %t, further %t; want it to end there", text, boxes[1].has(text), boxes[2].has(text))
		}
	}
	if boxes[0].hasAny() {
		t.Error("a peer's own message comes back to it")
	}
	if err := topics[2].Close(); err != nil {
		t.Fatal(err)
	}
	until(t, "left", func() bool { return len(topics[1].Peers()) == 1 })
	boxes[2].join(t, chain[2], name, 10)
	until(t, "back", func() bool { return len(topics[1].Peers()) == 2 })
	if err := topics[0].Publish(t.Context(), []byte("again")); err != nil {
		t.Fatal(err)
	}
	until(t, "heard again", func() bool { return boxes[1].has("again") })
}

// TestFewMessagesAtOnce has more messages come at once than may be looked at: the others are dropped, as
// is seen when a message of another topic comes after all of them.
func TestFewMessagesAtOnce(t *testing.T) {
	t.Parallel()
	const workers, sent = 3, 12 // the library sends 32 without a pause
	a := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	b := startPeer(t, invited(t, a, t.TempDir(), Invitation{}), nil)
	r, err := a.running()
	if err != nil {
		t.Fatal(err)
	}
	var looks atomic.Int64
	hold := make(chan struct{})
	busy, after := protocol.JobTopic(a.Swarm().String(), "busy"), protocol.JobTopic(a.Swarm().String(), "after")
	if _, _, err := joinTopic(r.gossip, busy, func(context.Context, peer.ID, *pubsub.Message) pubsub.ValidationResult {
		looks.Add(1)
		<-hold
		return pubsub.ValidationIgnore
	}, workers); err != nil {
		t.Fatal(err)
	}
	defer close(hold)
	var of, from mailbox
	of.join(t, a, after, 10)
	many, last := from.join(t, b, busy, 10), from.join(t, b, after, 10)
	until(t, "seen in the topics", func() bool { return len(many.Peers()) == 1 && len(last.Peers()) == 1 })
	for i := range sent {
		if err := many.Publish(t.Context(), []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := last.Publish(t.Context(), []byte("last")); err != nil {
		t.Fatal(err)
	}
	until(t, "all have come", func() bool { return of.has("last") && looks.Load() >= workers })
	if n := looks.Load(); n > workers {
		t.Errorf("%d messages are looked at at once, at most %d", n, workers)
	}
}

func TestTopicRefuses(t *testing.T) {
	t.Parallel()
	p := startPeer(t, foundSwarm(t, t.TempDir()), nil)
	var box mailbox
	name := protocol.JobsTopic(p.Swarm().String())
	topic := box.join(t, p, name, 10)
	for _, size := range []int{0, 11} {
		if err := topic.Publish(t.Context(), make([]byte, size)); err == nil {
			t.Errorf("a message of %d bytes is published", size)
		}
	}
	for name, cfg := range map[string]TopicConfig{
		name:                         {MaxBytes: 10, Receive: box.receive}, // joined already
		"/covey/other/train/x/1.0.0": {MaxBytes: 10, Receive: box.receive}, // another swarm's
		protocol.JobTopic(p.Swarm().String(), "a"): {MaxBytes: protocol.MaxTrainMessage + 1, Receive: box.receive},
		protocol.JobTopic(p.Swarm().String(), "b"): {MaxBytes: 10},
	} {
		if topic, err := p.Topic(name, cfg); err == nil {
			t.Errorf("topic %s with %d bytes is joined", name, cfg.MaxBytes)
			_ = topic.Close()
		}
	}
}

// TestTopicsOfPeerAreBounded checks that a peer cannot make others keep topics without end.
func TestTopicsOfPeerAreBounded(t *testing.T) {
	t.Parallel()
	f := newTopicFilter("/covey/s/train/", "/covey/s/advert/1.0.0")
	id := native(ID("someone"))
	// kept is what the library keeps: it takes what the filter returns, unless there is an error.
	kept := map[string]bool{}
	rpc := func(subs ...*pubsubpb.RPC_SubOpts) error {
		subs, err := f.FilterIncomingSubscriptions(id, subs)
		for _, s := range subs {
			if err == nil && s.GetSubscribe() {
				kept[s.GetTopicid()] = true
			} else if err == nil {
				delete(kept, s.GetTopicid())
			}
		}
		return err
	}
	sub := func(topic string, in bool) *pubsubpb.RPC_SubOpts {
		return &pubsubpb.RPC_SubOpts{Topicid: &topic, Subscribe: &in}
	}
	name := func(i int) string { return fmt.Sprintf("/covey/s/train/%d", i) }
	for i := range maxTopicsOfPeer {
		if err := rpc(sub(name(i), true)); err != nil {
			t.Fatal(err)
		}
	}
	if err := rpc(sub("/covey/s/train/more", true)); !errors.Is(err, pubsub.ErrTooManySubscriptions) {
		t.Errorf("one topic too many: %v", err)
	}
	for _, topic := range []string{"/covey/s/train/3", "/covey/s/advert/1.0.0", "/other"} {
		if err := rpc(sub(topic, true)); err != nil {
			t.Errorf("%s: %v", topic, err)
		}
	}
	if err := errors.Join(rpc(sub(name(3), false)), rpc(sub("/covey/s/train/more", true))); err != nil {
		t.Errorf("in the place of one that was left: %v", err)
	}
	if err := rpc(sub(name(5), false)); err != nil {
		t.Fatal(err)
	}
	for i := range 4 * maxTopicsOfPeer { // in, then in and out at once
		_ = rpc(sub(name(1000+i), true))
		_ = rpc(sub(name(1000+i), true), sub(name(1000+i), false))
	}
	for i := 0; i+1 < maxTopicsOfPeer; i++ { // out with one too many in, then out with as many in
		_ = rpc(sub(name(i), false), sub(name(2000+2*i), true), sub(name(2001+2*i), true))
		_ = rpc(sub(name(3000+i), true))
	}
	if delete(kept, "/covey/s/advert/1.0.0"); len(kept) > maxTopicsOfPeer {
		t.Errorf("the library keeps %d topics of a peer", len(kept))
	}
	f.forget(ID("someone"))
	if len(f.of) != 0 {
		t.Error("a peer that has gone is kept")
	}
}
