package agree_test

import (
	"testing"

	"github.com/covey-network/covey/consensus/agree"
)

// FuzzStep feeds a machine messages made of any bytes, ticks, answers and restarts among
// them: it neither panics nor contradicts itself, nor decides without a quorum.
func FuzzStep(f *testing.F) {
	f.Add([]byte{0, 1, 1, 0, 1, 0, 2, 1, 0, 1, 0, 2, 2, 0, 1})
	f.Add([]byte{9, 0, 1, 0, 0, 1, 9, 9, 9, 0, 2, 3, 7, 2, 8, 0, 3, 3, 7, 2})
	f.Fuzz(func(t *testing.T, data []byte) {
		w := newWorld(4, agree.TwoThirds(4), nil)
		w.quiet, w.fail = true, t.Errorf
		w.nodes = w.nodes[:1] // what the others say is the input
		w.liars = map[int]bool{1: true, 2: true, 3: true}
		w.start(0)
		next := func() int {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int(b)
		}
		for len(data) > 0 {
			switch op := next(); op % 10 {
			case 9:
				w.tick()
			case 8:
				w.boot(0)
			case 7:
				c := agree.Certificate{View: next() % 4, ID: idOf(string(rune('a' + next()%3)))}
				for range next() % 6 {
					c.Precommits = append(c.Precommits, random(next))
				}
				_ = w.nodes[0].m.Learn(&c)
			default:
				msg := random(next)
				for range op / 64 {
					msg.Proof = append(msg.Proof, random(next))
				}
				_ = w.nodes[0].m.Step(msg)
			}
			w.pump(0)
		}
		if s := w.nodes[0].m.Status(); s.Heard > 4 || s.View > agree.MaxView {
			t.Errorf("status %+v", s)
		}
	})
}

func random(next func() int) agree.Msg {
	m := agree.Msg{Kind: agree.Kind(next() % 5), From: next()%6 - 1, View: next()%8 - 1, ValidView: next()%5 - 1}
	if m.View == 6 {
		m.View = agree.MaxView
	}
	if v := next() % 4; v > 0 {
		m.Value = []byte{byte('a' + v - 1)}
		m.ID = idOf(string(m.Value))
	}
	return m
}
