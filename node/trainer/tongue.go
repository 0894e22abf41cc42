package trainer

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// tongue makes the frames of one stream of a line. One goroutine owns it.
type tongue struct {
	s       *session
	w       *frame.Writer
	short   *train.Shorthand
	numbers map[train.Hash]int // of the words that both ends remember, by the names of their messages
	names   [protocol.MaxTrainWords]train.Hash
	count   int           // of all words that both ends remembered
	told    train.Set     // the members that this one reaches, as the other end knows
	places  []wire.PeerID // those that told is of
}

// open says of which job the stream is, and waits until the other end takes it.
func (t *tongue) open(st host.Stream, r *frame.Reader) error {
	b, err := wire.Encode(&train.Line{Job: t.s.id})
	if err == nil {
		err = errors.Join(st.SetReadDeadline(time.Now().Add(lineTime)), t.w.Write(train.TypeLine, b), t.w.Flush())
	}
	if err == nil {
		_, _, err = r.Header()
	}
	return err
}

// say writes one frame, of what was made in one round.
func (t *tongue) say(list []saying) error {
	common := list[0].common
	if t.short == nil || t.short.Round != common.Round {
		t.short = &train.Shorthand{Common: common, Speaker: train.Place(common.Members, t.s.me)}
	}
	size := 0
	for _, x := range list {
		size += len(x.list)
	}
	f := &train.Words{Round: common.Round}
	var again []int
	pass := map[int][]int{}
	for _, x := range list {
		for i := range x.list {
			n, known := t.number(x.list[i].name, size)
			if !known {
				w := t.short.Short(x.list[i].sealed, x.list[i].by)
				f.New = append(f.New, w)
				n = t.remember(x.list[i].name, &w)
			}
			switch {
			case n < 0:
			case x.pass >= 0:
				pass[x.pass] = append(pass[x.pass], n)
			case known:
				again = append(again, n)
			}
		}
	}
	f.Again = t.back(again)
	for place, words := range pass {
		f.Pass = append(f.Pass, train.Pass{Place: uint64(place), Words: t.back(words)})
	}
	slices.SortFunc(f.Pass, func(a, b train.Pass) int { return int(a.Place) - int(b.Place) })
	if set := t.s.lineReach(common.Members); set != t.told || !slices.Equal(t.places, common.Members) {
		f.Reach, t.told, t.places = []train.Set{set}, set, common.Members
	}
	b, err := wire.Encode(f)
	if err != nil {
		return fmt.Errorf("words: %w", err)
	}
	return errors.Join(t.w.Write(train.TypeWords, b), t.w.Flush())
}

// number returns which of the words that both ends remember a message is, if it still is when size
// more have been said.
func (t *tongue) number(name train.Hash, size int) (n int, known bool) {
	n, known = t.numbers[name]
	return n, known && t.count-n+size < protocol.MaxTrainWords
}

// remember notes a word that both ends remember and returns its number, -1 for others.
func (t *tongue) remember(name train.Hash, w *train.Word) int {
	if !w.Remembered() {
		return -1
	}
	at := t.count % protocol.MaxTrainWords
	if old := t.names[at]; t.numbers[old] == t.count-protocol.MaxTrainWords {
		delete(t.numbers, old)
	}
	t.names[at], t.numbers[name] = name, t.count
	t.count++
	return t.count - 1
}

// back returns how many words ago some were said, each once.
func (t *tongue) back(words []int) (out []uint64) {
	slices.Sort(words)
	for _, n := range slices.Compact(words) {
		if ago := t.count - 1 - n; ago < protocol.MaxTrainWords {
			out = append(out, uint64(ago))
		}
	}
	return out
}
