package trainer

import (
	"context"
	"errors"
	"fmt"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/node/exchange"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/store"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// shelved is a state whose blocks are in the store because somebody asked for it.
type shelved struct {
	root   train.Hash
	leaves []train.Hash
	hold   *store.Draft
	until  time.Time
}

const (
	// maxStates bounds the states whose blocks are in the store for others at once.
	maxStates = 4
	// maxStateAsks bounds the peers that wait for a state at once. Each may ask for one.
	maxStateAsks = 8
)

// state puts the blocks of the certified state into the store, where the blocks protocol finds
// them for a while, and returns their hashes. One state is made ready at a time, for all who ask.
func (s *session) state(ctx context.Context, from host.ID, root train.Hash) ([]train.Hash, error) {
	if leaves := s.served(root); leaves != nil {
		return leaves, nil
	}
	if !s.waits(from) {
		busy := wire.Errorf(wire.CodeBusy, "others, or another request of the same peer, wait for a state")
		busy.RetryAfterMs = 500
		return nil, busy
	}
	defer s.waited(from)
	select {
	case s.making <- struct{}{}:
		defer func() { <-s.making }()
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	if leaves := s.served(root); leaves != nil { // by now
		return leaves, nil
	}
	if last := s.now().last; last == nil || last.Outcome.State != root {
		return nil, wire.Errorf(wire.CodeNotHosting, "state %s is not the one that is certified here", root.Short())
	}
	vectors, err := s.snapshot(root)
	if err != nil {
		return nil, err
	}
	return s.shelve(ctx, root, vectors)
}

// waits notes that a peer waits for a state, unless it does already or too many do.
func (s *session) waits(p host.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[p] || len(s.waiting) >= maxStateAsks {
		return false
	}
	s.waiting[p] = true
	return true
}

func (s *session) waited(p host.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, p)
}

// served returns the leaves of a state whose blocks are in the store, which stay there from now on
// for a while; nil if they are not.
func (s *session) served(root train.Hash) []train.Hash {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := s.serving[root]
	if v == nil {
		return nil
	}
	v.until = time.Now().Add(protocol.TrainStateLife)
	return v.leaves
}

// shelve puts the blocks of a state into the store.
func (s *session) shelve(ctx context.Context, root train.Hash, vectors [][]float32) (leaves []train.Hash, err error) {
	_, leaves = checkpoint.Hash(vectors, s.workers())
	draft, err := s.net.store.Draft()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, draft.Discard(context.WithoutCancel(ctx)))
		}
	}()
	for i := range leaves {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		b, err := store.NewBlock(checkpoint.Block(vectors, i))
		if err == nil {
			err = draft.Add(b.CID())
		}
		if err == nil {
			_, err = s.net.store.Put(ctx, b.Data())
		}
		if err != nil {
			return nil, err
		}
	}
	s.mu.Lock()
	var over *shelved
	if len(s.serving) >= maxStates {
		over = s.oldestLocked()
	}
	s.serving[root] = &shelved{root: root, leaves: leaves, hold: draft, until: time.Now().Add(protocol.TrainStateLife)}
	s.mu.Unlock()
	if over != nil {
		if err := over.hold.Discard(context.WithoutCancel(ctx)); err != nil {
			s.log.Debug("blocks of a state not removed", "err", err)
		}
	}
	return leaves, nil
}

// oldestLocked takes out the state that nobody has asked for the longest. s.mu is held.
func (s *session) oldestLocked() (over *shelved) {
	for _, v := range s.serving {
		if over == nil || v.until.Before(over.until) {
			over = v
		}
	}
	delete(s.serving, over.root)
	return over
}

// snapshot copies the state in place if it has a root.
func (s *session) snapshot(root train.Hash) ([][]float32, error) {
	s.stateMu.RLock()
	defer s.stateMu.RUnlock()
	if s.kept == nil {
		return nil, wire.Errorf(wire.CodeNotHosting, "no state here yet")
	}
	var out [][]float32
	for _, v := range s.kept() {
		out = append(out, append([]float32(nil), v...))
	}
	if got, _ := checkpoint.Hash(out, s.workers()); got != root {
		return nil, wire.Errorf(wire.CodeNotHosting, "state %s is no longer here", root.Short())
	}
	return out, nil
}

// unserve takes states out of the store that nobody has asked for lately, or all of them.
func (s *session) unserve(ctx context.Context, all bool) {
	s.mu.Lock()
	var over []*shelved
	for root, v := range s.serving {
		if all || time.Now().After(v.until) {
			over = append(over, v)
			delete(s.serving, root)
		}
	}
	s.mu.Unlock()
	for _, v := range over {
		if err := v.hold.Discard(ctx); err != nil {
			s.log.Debug("blocks of a state not removed", "err", err)
		}
	}
}

// fetchState gets a certified state from other members, its blocks from several at once, and
// lets the run take it.
func (s *session) fetchState(f round.FetchState) {
	s.stating = f.Root
	s.task(func(ctx context.Context) {
		for wait := 100 * time.Millisecond; s.wanted(f.Root); wait = min(2*wait, 2*time.Second) {
			vectors, err := s.download(ctx, f)
			if err == nil {
				s.ask(func(l *learner) error {
					if !s.wanted(f.Root) {
						return nil
					}
					if err := l.take(vectors, f.Root); err != nil {
						return err
					}
					return s.call(s.ctx, func() { s.machine.Stated(f.Root) })
				})
				return
			}
			s.log.Debug("state not fetched", "round", f.Round, "root", f.Root.Short(), "err", err)
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
			}
		}
	})
}

// wanted reports whether a state is still what this member lacks: a later one may have taken its
// place, or the results came after all.
func (s *session) wanted(root train.Hash) (yes bool) {
	err := s.call(s.ctx, func() {
		phase := s.machine.Status().Phase // a newcomer is outside until it has the state
		yes = s.stating == root && (phase == round.Catching || phase == round.Outside)
	})
	return err == nil && yes
}

// download fetches a state. It may be the candidate that this member has.
func (s *session) download(ctx context.Context, f round.FetchState) ([][]float32, error) {
	layout := s.layout
	if own, err := s.files.readState(candidateFile, layout); err == nil && own != nil {
		if root, _ := checkpoint.Hash(own, s.workers()); root == f.Root {
			return own, nil
		}
	}
	var leaves []train.Hash
	var from []host.ID
	var errs error
	for _, p := range f.Peers {
		short, cancel := context.WithTimeout(ctx, 30*time.Second)
		got, err := s.net.client.Leaves(short, p, train.State{Job: s.id, Root: f.Root}, layout.Blocks())
		cancel()
		if err == nil {
			err = layout.Check(f.Root, got)
		}
		if err != nil {
			errs = errors.Join(errs, fmt.Errorf("%s: %w", p, err))
			continue
		}
		leaves, from = got, append(from, p)
	}
	if len(from) == 0 {
		return nil, errors.Join(errors.New("no member gives the state"), errs)
	}
	want := make([]cid.Cid, len(leaves))
	for i, h := range leaves {
		c, err := blockID(h)
		if err != nil {
			return nil, err
		}
		want[i] = c
	}
	draft, err := s.net.store.Draft()
	if err != nil {
		return nil, err
	}
	defer func() {
		if err := draft.Discard(s.ctx); err != nil {
			s.log.Debug("blocks of a state not removed", "err", err)
		}
	}()
	if err := draft.Add(want...); err != nil {
		return nil, err
	}
	if _, err := s.net.exchange.Fetch(ctx, want, from, exchange.Options{Priority: wire.PriorityLoad}); err != nil {
		return nil, err
	}
	vectors := make([][]float32, len(layout))
	for i, n := range layout {
		vectors[i] = make([]float32, n)
	}
	for i, c := range want {
		b, err := s.net.store.Get(ctx, c)
		if err != nil {
			return nil, err
		}
		if err := layout.Decode(vectors, i, leaves[i], b); err != nil {
			return nil, err
		}
	}
	return vectors, nil
}

// blockID is the identifier of a block by its hash.
func blockID(h train.Hash) (cid.Cid, error) {
	m, err := multihash.Encode(h[:], multihash.SHA2_256)
	return cid.NewCidV1(cid.Raw, m), err
}
