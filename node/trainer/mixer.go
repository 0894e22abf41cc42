package trainer

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/gossip"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// mixDegree is to how many neighbours a member sends in a turn.
	mixDegree = 8
	// keptVectors is for how many turns a member gives its own vectors to those who fetch them.
	keptVectors = 3
)

// mixer moves the vectors of a member of gossip: it brings its own to its neighbours, and keeps what
// comes, as it came, until it is mixed. It is safe for concurrent use, but for send and mix, which
// the goroutine of the run calls.
type mixer struct {
	s     *session
	codec *codec.Codec
	size  int         // bytes of an encoded vector
	rows  [][]float32 // memory for decoded vectors

	mu       sync.Mutex
	machine  *gossip.Machine
	members  []wire.PeerID
	waiting  map[wire.PeerID]arrival
	fetching map[wire.PeerID]bool
	sending  map[wire.PeerID]bool
	kept     []arrival // own ones, the oldest first
}

// arrival is an encoded vector.
type arrival struct {
	turn uint64
	base train.Hash // root of the state from which it counts
	hash train.Hash // of data, where it does not go in a message
	data []byte
}

// newMixer makes the mixer of a session whose next turn is the one given.
func newMixer(s *session, turn uint64) (*mixer, error) {
	rule, err := robust.Parse(s.job.Settings.Rule)
	if err != nil {
		return nil, err
	}
	n := int(s.job.Values)
	m, err := gossip.New(gossip.Config{Job: s.id, Me: s.me, Values: n, Rule: rule, Degree: mixDegree}, turn)
	if err != nil {
		return nil, err
	}
	c := s.codecs.update
	return &mixer{
		s: s, codec: c, size: c.Size(0, n), machine: m,
		waiting: map[wire.PeerID]arrival{}, fetching: map[wire.PeerID]bool{}, sending: map[wire.PeerID]bool{},
	}, nil
}

// turn is the one that the next mix ends.
func (x *mixer) turn() uint64 {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.machine.Turn()
}

// follow takes the members of the job.
func (x *mixer) follow(members []wire.PeerID) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if slices.Equal(members, x.members) {
		return
	}
	x.members = members
	x.machine.Members(members)
	maps.DeleteFunc(x.waiting, func(p wire.PeerID, _ arrival) bool { return train.Place(members, p) < 0 })
}

// send brings a vector, encoded, to the neighbours of this turn. A neighbour that has not taken
// the last one yet is left out. An error says that there are numbers that are not finite.
func (x *mixer) send(v *train.Vector, values []float32) error {
	x.mu.Lock()
	v.Turn = x.machine.Turn()
	members := x.members
	var to []wire.PeerID
	for _, p := range x.machine.To() {
		if !x.sending[p] {
			to = append(to, p)
		}
	}
	x.mu.Unlock()
	data, err := x.codec.Encoder(false).Encode(nil, 0, values, seedOf(x.s.id, v.Turn, train.Place(members, x.s.me)))
	if err != nil || len(to) == 0 {
		return err
	}
	if v.Data = data; len(data) > protocol.MaxTrainInline {
		v.Data, v.Hash = nil, train.Hash(digest.Root(data))
		x.keep(arrival{turn: v.Turn, hash: v.Hash, data: data})
	}
	b := &train.Bundle{Messages: []train.Sealed{*x.s.sign(v)}, Seq: v.Turn}
	for _, p := range to {
		x.busy(x.sending, p, true)
		x.s.task(func(ctx context.Context) {
			defer x.busy(x.sending, p, false)
			ctx, cancel := context.WithTimeout(ctx, contactTime)
			defer cancel()
			if err := x.s.net.client.Tell(ctx, p, b); err != nil {
				x.s.log.Debug("vector not sent", "peer", p, "turn", v.Turn, "err", err)
			}
		})
	}
	return nil
}

// busy notes that there is work with a peer, or none any more.
func (x *mixer) busy(set map[wire.PeerID]bool, p wire.PeerID, yes bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if yes {
		set[p] = true
	} else {
		delete(set, p)
	}
}

// keep keeps an own vector for those who fetch it.
func (x *mixer) keep(a arrival) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.kept = append(x.kept, a)
	x.kept = x.kept[max(0, len(x.kept)-keptVectors):]
}

// find returns an own vector by its hash, nil if it is not here.
func (x *mixer) find(hash train.Hash) []byte {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, a := range x.kept {
		if a.hash == hash {
			return a.data
		}
	}
	return nil
}

// take keeps a neighbour's vector, or lets it be fetched. What this member would not mix, and what
// is of another size than the job's vectors, is passed over.
func (x *mixer) take(v *train.Vector) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if v.Job != x.s.id || x.wants(v.Peer, v.Turn) != nil {
		return
	}
	a := arrival{turn: v.Turn, base: v.Base, hash: v.Hash, data: v.Data}
	switch {
	case len(v.Data) == x.size:
		x.waiting[v.Peer] = a
	case len(v.Data) == 0 && x.size > protocol.MaxTrainInline && !x.fetching[v.Peer]:
		// Tasks are begun by the loop, which the end of the session waits for.
		x.fetching[v.Peer] = x.s.offer(func() { x.fetch(v.Peer, a) })
	}
}

// wants says why a vector would not be mixed; mu is held. What is fetched counts as if it waited.
func (x *mixer) wants(p wire.PeerID, turn uint64) error {
	old, known := x.waiting[p]
	switch {
	case known && turn <= old.turn:
		return gossip.ErrRepeated
	case !known && len(x.waiting)+len(x.fetching) >= 2*mixDegree:
		return gossip.ErrFull
	}
	return x.machine.Want(p, turn)
}

// fetch gets a vector from its sender.
func (x *mixer) fetch(p wire.PeerID, a arrival) {
	x.s.task(func(ctx context.Context) {
		defer x.busy(x.fetching, p, false)
		ctx, cancel := context.WithTimeout(ctx, sliceTime)
		defer cancel()
		a.data = make([]byte, x.size)
		if err := x.s.net.client.Get(ctx, p, train.Get{Job: x.s.id, Round: a.turn + 1, Result: a.hash}, a.data); err != nil {
			x.s.log.Debug("vector not fetched", "peer", p, "turn", a.turn, "err", err)
			return
		}
		x.mu.Lock()
		defer x.mu.Unlock()
		if old, known := x.waiting[p]; !known || old.turn < a.turn {
			x.waiting[p] = a
		}
	})
}

// mix ends the turn: it writes to dst what becomes of this member's numbers, and returns how many
// others had a part in it. base returns the certified state of a root, or nil.
func (x *mixer) mix(dst, own []float32, base func(train.Hash) []float32) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	n := 0
	for _, p := range slices.Sorted(maps.Keys(x.waiting)) {
		a := x.waiting[p]
		from := base(a.base)
		if from == nil { // of a state that is not here yet, or no more
			continue
		}
		if n == len(x.rows) {
			x.rows = append(x.rows, make([]float32, len(own)))
		}
		row := x.rows[n]
		err := x.codec.Decode(row, 0, a.data)
		if err == nil {
			vec.AddTo(row, from)
			err = x.machine.Step(gossip.Update{Peer: p, Turn: a.turn, Values: row})
		}
		if err != nil {
			x.s.log.Debug("vector not mixed", "peer", p, "turn", a.turn, "err", err)
			continue
		}
		n++
	}
	clear(x.waiting)
	used, err := x.machine.Mix(dst, own)
	if x.machine.Fresh() {
		x.rows = nil // the machine keeps them
	}
	return len(used), err
}
