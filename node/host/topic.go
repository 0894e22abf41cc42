package host

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol"
)

const (
	// maxTopicName bounds the name of a topic, maxTopicsOfPeer the topics that are kept of one
	// peer beside those of every node.
	maxTopicName    = 160
	maxTopicsOfPeer = 32
	// topicWorkers bounds the messages of one topic that are looked at at once.
	topicWorkers = 32
)

// Verdict is what becomes of a message of a topic.
type Verdict int

// The verdicts.
const (
	Accept Verdict = iota // take it, and pass it on
	Ignore                // it is of no use now, as can happen to anyone
	Reject                // no honest peer passes it on: it costs the one that did
)

// TopicConfig is what Topic needs.
type TopicConfig struct {
	// MaxBytes bounds a message, at most protocol.MaxTrainMessage.
	MaxBytes int
	// Receive decides on a message that a peer has sent or passed on, and takes it in if it is
	// accepted. from is the neighbour, not the author. It is called by several goroutines, must
	// not block, and may keep data. Messages of this peer do not come.
	Receive func(from ID, data []byte) Verdict
}

// Topic is a gossip topic that this peer takes part in. It is safe for concurrent use.
type Topic struct {
	r     *running
	name  string
	limit int
	topic *pubsub.Topic
	relay pubsub.RelayCancelFunc
	once  sync.Once
}

// Topic joins a gossip topic of the swarm, whose name begins with protocol.TopicPrefix. Messages
// travel between the peers that have joined it and are connected. The caller closes it.
func (h *Host) Topic(name string, cfg TopicConfig) (*Topic, error) {
	r, err := h.running()
	if err != nil {
		return nil, err
	}
	if cfg.MaxBytes <= 0 || cfg.MaxBytes > protocol.MaxTrainMessage || cfg.Receive == nil {
		return nil, fmt.Errorf("topic %s: messages of at most %d bytes", name, cfg.MaxBytes)
	}
	validate := func(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		switch {
		case ID(from) == r.ID():
			return pubsub.ValidationAccept
		case len(m.GetData()) > cfg.MaxBytes:
			return pubsub.ValidationReject
		}
		switch cfg.Receive(ID(from), m.GetData()) {
		case Accept:
			return pubsub.ValidationAccept
		case Ignore:
			return pubsub.ValidationIgnore
		}
		r.log.Debug("bad message", "topic", name, "from", ID(from))
		return pubsub.ValidationReject
	}
	t := &Topic{r: r, name: name, limit: cfg.MaxBytes}
	if t.topic, t.relay, err = joinTopic(r.gossip, name, validate, topicWorkers); err != nil {
		return nil, fmt.Errorf("join topic %s: %w", name, err)
	}
	if err := t.topic.SetScoreParams(topicScore()); err != nil {
		return nil, errors.Join(fmt.Errorf("join topic %s: %w", name, err), t.Close())
	}
	return t, nil
}

// Publish gossips a message. It keeps data.
func (t *Topic) Publish(ctx context.Context, data []byte) error {
	if len(data) == 0 || len(data) > t.limit {
		return fmt.Errorf("publish on %s: message of %d bytes, at most %d", t.name, len(data), t.limit)
	}
	if err := t.topic.Publish(ctx, data); err != nil {
		return fmt.Errorf("publish on %s: %w", t.name, err)
	}
	return nil
}

// Peers returns the connected peers that have joined the topic.
func (t *Topic) Peers() []ID {
	list := t.topic.ListPeers()
	out := make([]ID, len(list))
	for i, p := range list {
		out[i] = ID(p)
	}
	return out
}

// Close leaves the topic. Receive may still be called for messages that came before.
func (t *Topic) Close() (err error) {
	t.once.Do(func() {
		t.relay()
		err = errors.Join(t.r.gossip.UnregisterTopicValidator(t.name), t.topic.Close())
		if t.r.ctx.Err() != nil {
			err = nil // gossip as a whole has ended
		}
	})
	return err
}

// topicFilter decides which topics of others are kept: those of every node, and some more of the
// same swarm for each peer, also before this peer joins them.
type topicFilter struct {
	all    []string // of every node
	prefix string   // of the others

	mu sync.Mutex
	of map[peer.ID]map[string]struct{} // the others, by peer
}

var _ pubsub.SubscriptionFilter = (*topicFilter)(nil)

func newTopicFilter(prefix string, all ...string) *topicFilter {
	return &topicFilter{all: all, prefix: prefix, of: map[peer.ID]map[string]struct{}{}}
}

func (f *topicFilter) everyones(topic string) bool {
	for _, t := range f.all {
		if t == topic {
			return true
		}
	}
	return false
}

// CanSubscribe implements pubsub.SubscriptionFilter.
func (f *topicFilter) CanSubscribe(topic string) bool {
	return f.everyones(topic) || len(topic) <= maxTopicName && strings.HasPrefix(topic, f.prefix)
}

// FilterIncomingSubscriptions implements pubsub.SubscriptionFilter.
func (f *topicFilter) FilterIncomingSubscriptions(from peer.ID, subs []*pubsubpb.RPC_SubOpts) ([]*pubsubpb.RPC_SubOpts, error) {
	if len(subs) > maxSubscriptions {
		return nil, pubsub.ErrTooManySubscriptions
	}
	subs = pubsub.FilterSubscriptions(subs, f.CanSubscribe) // a topic at most once, as the library will take it
	f.mu.Lock()
	defer f.mu.Unlock()
	return subs, f.count(from, subs)
}

// count notes the topics of a peer. That of a peer that has too many is an error, with which the
// library takes none of them, and nothing is noted.
func (f *topicFilter) count(from peer.ID, subs []*pubsubpb.RPC_SubOpts) error {
	now := maps.Clone(f.of[from])
	for _, s := range subs {
		switch topic := s.GetTopicid(); {
		case f.everyones(topic):
		case !s.GetSubscribe():
			delete(now, topic)
		default:
			if now == nil {
				now = map[string]struct{}{}
			}
			now[topic] = struct{}{}
		}
	}
	switch {
	case len(now) > maxTopicsOfPeer:
		return pubsub.ErrTooManySubscriptions
	case len(now) == 0:
		delete(f.of, from)
	default:
		f.of[from] = now
	}
	return nil
}

// forget forgets a peer that is no longer connected: the library does, too.
func (f *topicFilter) forget(id ID) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.of, native(id))
}
