package round_test

import (
	"testing"

	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
)

// FuzzStep gives a member well-formed, signed messages of any content, with ticks, answers and
// restarts between them: it does not panic, contradict itself, certify anything alone, or keep
// more than a bounded number of them.
func FuzzStep(f *testing.F) {
	f.Add([]byte{9, 9, 0, 1, 1, 1, 0, 2, 1, 1, 1, 1, 1, 0, 9, 9, 9})
	f.Add([]byte{0, 1, 2, 0, 2, 1, 2, 1, 3, 2, 1, 2, 4, 1, 2, 1, 5, 0, 1, 0, 6, 2, 2, 2, 9, 10, 7, 1, 1, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		data = data[:min(len(data), 600)]
		w := newWorld(4, nil)
		w.fail = t.Errorf
		w.nodes = w.nodes[:1] // what the others say is the input
		for _, k := range keys[1:4] {
			w.liars[peerOf(k)] = true
		}
		next := func() int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b)
		}
		nd := w.nodes[0]
		for len(data) > 0 {
			switch op := next() % 12; op {
			case 9, 10:
				w.tick()
			case 11:
				w.boot(nd)
			default:
				var msgs []round.Message
				for range 1 + op/4 {
					if b, key := body(w, next); b.Validate() == nil {
						s, err := train.Seal(keys[key], b)
						if err != nil {
							t.Fatal(err)
						}
						msgs = append(msgs, round.Message{Sealed: s, Body: b})
					}
				}
				_ = nd.m.Step(msgs...)
				w.pump(nd)
			}
			// Of each of the 12 peers a wish to come; of each of 4 members what a round has.
			if kept := nd.m.Kept(); kept > 12+4*(1+2+5+2+1)+64+8 {
				t.Fatalf("%d messages are kept", kept)
			}
		}
		if r := nd.m.Round(); r != 1 {
			t.Errorf("round %d without a quorum", r)
		}
	})
}

// body makes a message of one of the first five peers, most often for a round near the first.
func body(w *world, next func() int) (train.Body, int) {
	kind, key, r := next()%8, 1+next()%5, uint64(next()%4)
	if r == 3 {
		r = 1 << 31
	}
	p, v := peerOf(keys[key]), next()
	h := train.HashOf([]byte{byte(v % 3)})
	switch kind {
	case 0:
		return &train.Header{Job: job, Round: r, Peer: p, Base: w.genesis.Outcome.State, Samples: uint64(v), Steps: 1, Slices: []train.Hash{h, h, h, h}[:4-v%2*(v%4/2)]}, key
	case 1:
		return &train.Reduced{Job: job, Round: r, Peer: p, Slice: uint64(key + v%7/6), Result: h, Bytes: 1, From: train.Set(v)}, key
	case 2:
		vote := &train.Vote{Job: job, Round: r, View: uint64(v % 4), Step: train.Step(1 + v/4%2), Peer: p}
		if v > 127 {
			vote.Outcome = h
		}
		return vote, key
	case 3:
		return &train.Leave{Job: job, Peer: p, Round: r}, key
	case 4:
		return &train.Join{Job: job, Peer: p, Round: r, Membership: membership}, key
	case 5:
		return &train.Certificate{Peer: p, Outcome: outcomeOf(w, r, v), View: uint64(v % 3), Signers: 7, Signatures: [][]byte{make([]byte, 64), make([]byte, 64), make([]byte, 64)}}, key
	default:
		prop := &train.Proposal{Job: job, Round: r, View: uint64(v % 5), ValidView: int64(v/5%3) - 1, Peer: p}
		prop.Outcome = outcomeOf(w, r, v)
		return prop, key
	}
}

func outcomeOf(w *world, r uint64, v int) train.Outcome {
	first := &w.genesis.Outcome
	parent, err := first.ID()
	if err != nil {
		panic(err)
	}
	o := train.Outcome{
		Job: job, Round: r, Base: first.State, Parent: parent, State: first.State, Members: first.Members, Slices: make([]train.Hash, 4), Senders: train.Set(v % 16),
	}
	if v > 100 {
		o.Slices[v%4] = train.HashOf([]byte{byte(v % 3)})
	}
	if v > 200 {
		o.Members = o.Members[:3]
	}
	return o
}
