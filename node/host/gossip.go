package host

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pubsubpb "github.com/libp2p/go-libp2p-pubsub/pb"
	p2phost "github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// maxGossip bounds one gossip RPC: an update of training, or an advert, and the control
	// messages beside it.
	maxGossip = protocol.MaxTrainMessage + protocol.MaxAdvert
	// maxSubscriptions bounds the topics in one RPC; without a filter a single peer can
	// make us keep hundreds of megabytes of them.
	maxSubscriptions = 16
	// advertWorkers bounds the adverts that are looked at at once, and the words of lost peers: with
	// protocol.MaxAdvert they take 16 MiB. Bursts of a hundred newcomers or deaths fit in.
	advertWorkers = 256
	// swapTimeout bounds handing over the adverts of a whole table.
	swapTimeout = 30 * time.Second
	// swapAgain is when the second swap follows: gossip links are made once a second.
	swapAgain = 1500 * time.Millisecond
)

// The verdicts of the advert validator, in metrics.
const (
	verdictAccept = "accept"
	verdictIgnore = "ignore"
	verdictReject = "reject"
)

// startGossip joins the topic of the swarm's adverts.
func (r *running) startGossip(gated p2phost.Host) (stop func(), err error) {
	ctx, cancel := context.WithCancel(r.ctx)
	name, lost := protocol.AdvertTopic(r.Swarm().String()), protocol.LostTopic(r.Swarm().String())
	params, thresholds := scoring(name, lost)
	r.topics = newTopicFilter(protocol.TopicPrefix(r.Swarm().String()), name, lost)
	ps, err := pubsub.NewGossipSub(ctx, gated,
		// Adverts are signed by themselves; equal bytes are the same message.
		pubsub.WithMessageSignaturePolicy(pubsub.StrictNoSign),
		pubsub.WithMessageIdFn(func(m *pubsubpb.Message) string { sum := sha256.Sum256(m.Data); return string(sum[:]) }),
		// What a peer says of itself goes to all its neighbours, and from them along the mesh, which is
		// in pieces when many die at once. A newcomer that has no neighbours yet hands its own
		// advert in, see spread, and takes what went by it from the swap.
		pubsub.WithMaxMessageSize(maxGossip), pubsub.WithGossipSubParams(meshParams()), pubsub.WithFloodPublish(true),
		pubsub.WithSubscriptionFilter(r.topics),
		pubsub.WithPeerScore(params, thresholds),
		pubsub.WithLogger(libraryLog(r.log)), pubsub.WithRPCLogger(libraryLog(r.log)))
	if err != nil {
		cancel()
		return func() {}, fmt.Errorf("start gossip: %w", err)
	}
	r.gossip = ps
	if r.topic, _, err = joinTopic(ps, name, r.validate, advertWorkers); err == nil {
		r.lostTopic, _, err = joinTopic(ps, lost, r.validateLost, advertWorkers)
	}
	if err != nil {
		cancel()
		return func() {}, fmt.Errorf("start gossip: %w", err)
	}
	events, err := r.topic.EventHandler()
	if err != nil {
		cancel()
		return func() {}, fmt.Errorf("start gossip: %w", err)
	}
	r.tasks.start(func() { r.watchTopic(events) })
	return func() { events.Cancel(); cancel() }, nil
}

// joinTopic joins a topic. The validator is the receiver, of at most so many messages at once as there
// are workers: what comes beyond is dropped. The relay, until it is ended, makes us a full member of the
// mesh.
func joinTopic(ps *pubsub.PubSub, name string, validate pubsub.ValidatorEx, workers int) (*pubsub.Topic, pubsub.RelayCancelFunc, error) {
	if err := ps.RegisterTopicValidator(name, validate, pubsub.WithValidatorConcurrency(workers)); err != nil {
		return nil, nil, err
	}
	t, err := ps.Join(name)
	if err != nil {
		return nil, nil, errors.Join(err, ps.UnregisterTopicValidator(name))
	}
	end, err := t.Relay()
	if err != nil {
		return nil, nil, errors.Join(err, ps.UnregisterTopicValidator(name), t.Close())
	}
	return t, end, nil
}

// meshParams returns the library's parameters with a smaller mesh: adverts are few and may take
// a hop more, and each neighbour in the mesh is one more copy. What a peer missed it asks for
// when a neighbour tells of it, or gets at the next swap, see catchUp.
func meshParams() pubsub.GossipSubParams {
	p := pubsub.DefaultGossipSubParams()
	p.D, p.Dlo, p.Dhi, p.Dscore, p.Dout = 4, 2, 4, 2, 1
	p.Dlazy, p.GossipFactor, p.HistoryGossip = 1, 0.02, 2
	p.IDontWantMessageThreshold = protocol.MaxAdvert // telling it costs as much as an advert that it saves
	return p
}

// scoring returns what peers lose their place in the mesh for. All here are members, and
// honest ones never forward an invalid advert: three of those and we no longer publish to
// the peer, five and we do not listen to it. Deliveries are not scored: an advert per few
// minutes and peer is too rare to tell a lazy peer from a quiet one. The colocation
// threshold lets a household through.
func scoring(topics ...string) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	ofTopic := map[string]*pubsub.TopicScoreParams{}
	for _, t := range topics {
		ofTopic[t] = topicScore()
	}
	return &pubsub.PeerScoreParams{
			AppSpecificScore:  func(peer.ID) float64 { return 0 },
			AppSpecificWeight: 1, DecayInterval: time.Minute, DecayToZero: 0.01, RetainScore: 6 * time.Hour,
			IPColocationFactorWeight: -1, IPColocationFactorThreshold: 64,
			BehaviourPenaltyWeight: -10, BehaviourPenaltyThreshold: 6, BehaviourPenaltyDecay: 0.9,
			Topics: ofTopic,
		}, &pubsub.PeerScoreThresholds{
			GossipThreshold: -500, PublishThreshold: -800, GraylistThreshold: -2400,
			AcceptPXThreshold: 1000, OpportunisticGraftThreshold: 1,
		}
}

// topicScore returns what peers lose in one topic.
func topicScore() *pubsub.TopicScoreParams {
	return &pubsub.TopicScoreParams{
		SkipAtomicValidation: true, TopicWeight: 1, TimeInMeshQuantum: time.Second,
		InvalidMessageDeliveriesWeight: -100, InvalidMessageDeliveriesDecay: 0.99,
	}
}

// validate decides on an advert: reject is what no honest peer forwards, and costs the
// forwarder; ignore is what can happen to anyone.
func (r *running) validate(_ context.Context, from peer.ID, m *pubsub.Message) pubsub.ValidationResult {
	if ID(from) == r.ID() && r.table.has(m.GetData()) { // see spread
		return pubsub.ValidationAccept
	}
	verdict := r.receive(ID(from), m.GetData())
	r.metrics.adverts.WithLabelValues(verdict).Inc()
	switch verdict {
	case verdictAccept:
		return pubsub.ValidationAccept
	case verdictIgnore:
		return pubsub.ValidationIgnore
	}
	r.log.Debug("bad advert", "from", ID(from))
	return pubsub.ValidationReject
}

// receive takes an advert that a peer has sent or passed on into the table.
func (r *running) receive(from ID, data []byte) (verdict string) {
	// [IGNORE] the very bytes that count already, as each swap brings: their signatures need no
	// second look.
	if r.table.has(data) {
		return verdictIgnore
	}
	// [REJECT] more than protocol.MaxAdvert, not canonical, not valid, another swarm's,
	// not signed by its peer.
	sealed, err := wire.PeekAdvert(data, r.Swarm())
	if err != nil {
		return verdictReject
	}
	now, head := r.now(), sealed.Head
	// [IGNORE] issued in the future or run out, as clocks differ and messages linger.
	if head.IssuedAt().After(now.Add(protocol.MaxClockSkew)) || now.After(head.IssuedAt().Add(head.TTL()+protocol.MaxClockSkew)) {
		r.noteIssued(from, head, now)
		return verdictIgnore
	}
	g, err := head.Grant(now)
	switch {
	// [IGNORE] grants that are over or not valid yet, or revoked: others may not know yet.
	case errors.Is(err, wire.ErrExpired), errors.Is(err, wire.ErrNotYet):
		return verdictIgnore
	// [REJECT] no membership.
	case err != nil:
		return verdictReject
	case r.revoked(g, head.Peer):
		return verdictIgnore
	}
	// What peers without the right to serve say of models does not count, names included.
	serves := g.Allows(wire.ScopeServe)
	takes := size{1, len(data), sealed.Models}
	if !serves {
		takes.models = 0
	}
	// [IGNORE] not newer than what is known, or
	// [IGNORE] more than the peers of one invitation may tell. Such an advert is not read to
	// its end, which takes more memory than its bytes do.
	if !r.table.wants(head, string(g.Invitation()), takes, from == head.Peer) {
		return verdictIgnore
	}
	a, err := sealed.Open()
	if err != nil {
		return verdictReject
	}
	if !serves {
		a.Models = nil
	}
	back := r.table.seq(a.Peer) == a.Seq // it was dropped, and its peer hands it in again
	if !r.table.put(a, string(g.Invitation()), slices.Clone(data), from == a.Peer, now) {
		return verdictIgnore
	}
	if back { // others take it for lost, and only a newer one tells them better
		r.tasks.start(func() { r.repeatLost(a.Peer, a.Seq) })
	}
	if a.Peer != r.ID() {
		r.AddAddrs(a.Peer, a.Addrs)
		r.book.called(a.Peer, a.Name)
		if from != a.Peer {
			r.book.revive(a.Peer, now)
		}
		r.events.emit(EvtAdvertReceived{Peer: a.Peer})
	}
	return verdictAccept
}

// PublishAdvert gossips this peer's capacity. It fills in who, when and where; the caller
// gives capacity, speeds, models and a TTL, and publishes again well before it is over and
// whenever a peer joins or something changes. It does nothing while the membership is over.
func (h *Host) PublishAdvert(ctx context.Context, a wire.Advert) error {
	r, err := h.running()
	if err != nil {
		return err
	}
	now := h.now()
	if h.Membership().Over != nil {
		return nil // nobody would take it
	}
	h.mu.Lock()
	h.seq = max(h.seq+1, uint64(now.UnixMilli())) // grows over restarts, too
	given := a
	h.last = &given
	a.Seq, a.Membership = h.seq, h.own.membership
	h.mu.Unlock()
	c := h.cfg.Credentials
	a.Swarm, a.Peer, a.Issued = c.Swarm, c.ID, now.UnixMilli()
	a.Capability, a.Version = protocol.Capability, h.cfg.Version
	a.Addrs, a.RTTs, a.Unreached = nil, nil, nil
	if serves(&a) {
		a.RTTs, a.Unreached = h.roundTrips(), h.unreached()
	}
	for _, addr := range h.Addrs() {
		a.Addrs = append(a.Addrs, withoutPeer(addr))
	}
	data, err := wire.SignAdvert(c.Key, &a)
	if err != nil {
		return fmt.Errorf("publish advert: %w", err)
	}
	if err := r.topic.Publish(ctx, data); err != nil {
		return fmt.Errorf("publish advert: %w", err)
	}
	return nil
}

// handleAdverts takes the adverts that a peer tells and answers with those that it has not
// been told.
func (r *running) handleAdverts(_ context.Context, s Stream) {
	err := s.SetDeadline(time.Now().Add(swapTimeout))
	if err == nil {
		err = r.readAdverts(s, frame.NewReader(s, wire.AdvertsLimits()))
	}
	if err == nil {
		err = writeAdverts(s, r.table.tell(s.Peer(), r.now()))
	}
	if err != nil {
		r.table.untell(s.Peer())
		_ = s.Reset()
		return
	}
	_ = s.Close()
}

// swapAdverts tells a peer the adverts that it has not been told, and asks for the same: for
// peers that cannot say what they have, see swap.
func (r *running) swapAdverts(id ID) error {
	ctx, cancel := context.WithTimeout(r.ctx, protocol.StreamOpenTimeout)
	defer cancel()
	s, err := r.open(ctx, id, protocol.Adverts)
	if err != nil {
		return err
	}
	err = errors.Join(s.SetDeadline(time.Now().Add(swapTimeout)), writeAdverts(s, r.table.tell(id, r.now())), s.CloseWrite())
	if err == nil {
		err = r.readAdverts(s, frame.NewReader(s, wire.AdvertsLimits()))
	}
	if err != nil {
		r.table.untell(id)
		return errors.Join(err, s.Reset())
	}
	return s.Close()
}

func writeAdverts(s Stream, raws [][]byte) error {
	w := frame.NewWriter(s)
	for _, raw := range raws {
		if err := w.Write(wire.TypeAdvert, raw); err != nil {
			return err
		}
	}
	return w.Flush()
}

// readAdverts takes in adverts until the sender has no more. One that is not
// valid ends it: no honest peer has such.
func (r *running) readAdverts(s Stream, fr *frame.Reader) error {
	for n := 0; ; n++ {
		typ, data, err := fr.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if typ != wire.TypeAdvert || n == protocol.MaxAdverts {
			return fmt.Errorf("frame %d of type %d among adverts", n, typ)
		}
		verdict := r.receive(s.Peer(), data)
		r.metrics.adverts.WithLabelValues(verdict).Inc()
		switch verdict {
		case verdictReject:
			return errors.New("invalid advert")
		case verdictAccept:
			r.spread(s.Peer(), data)
		}
	}
}

// spread gossips an advert that a newcomer has handed in of itself: it may have published
// it before its gossip streams were up, when nobody heard. Those of others are left out,
// as they have been gossiped once.
func (r *running) spread(from ID, data []byte) {
	for _, raw := range r.table.own(from, r.now()) {
		if !bytes.Equal(raw, data) {
			continue
		}
		if err := r.topic.Publish(r.ctx, raw); err != nil { // keeps raw, but data is the reader's
			r.log.Debug("advert not passed on", "peer", from, "err", err)
		}
	}
}

// watchTopic swaps adverts with each peer that subscribes to the topic: once at once, and
// again when the gossip between the two must be up, for what passed in between.
func (r *running) watchTopic(events *pubsub.TopicEventHandler) {
	for {
		e, err := events.NextPeerEvent(r.ctx)
		if err != nil {
			return
		}
		if e.Type == pubsub.PeerJoin {
			r.tasks.start(func() { r.greet(ID(e.Peer)) })
		}
	}
}

func (r *running) greet(id ID) {
	for _, wait := range []time.Duration{0, swapAgain} {
		if !sleep(r.ctx, wait) || r.gate.get(id) == nil {
			return
		}
		if err := r.swap(id); err != nil {
			r.log.Debug("adverts not swapped", "peer", id, "err", err)
		}
	}
}
