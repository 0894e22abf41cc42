package trainer

import (
	"testing"

	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// TestRoom gives memory again that fits, and keeps no more than it may.
func TestRoom(t *testing.T) {
	t.Parallel()
	r := room{limit: 250}
	first := r.get(100)
	if r.put(first, make([]byte, 200), nil); r.size != 100 {
		t.Errorf("%d bytes are kept of 300, of which 250 may be", r.size)
	}
	for _, n := range []int{101, 49} {
		if b := r.get(n); len(b) != n || &b[0] == &first[0] {
			t.Errorf("%d bytes of memory of 100", n)
		}
	}
	if b := r.get(60); len(b) != 60 || &b[0] != &first[0] {
		t.Error("memory that fits is not taken")
	}
	if b := r.get(60); &b[0] == &first[0] {
		t.Error("memory is given twice")
	}
}

// TestRoomOfARound: the memory of a round that is over is free unless somebody reads it still, and
// that of a slice that was used is free at once.
func TestRoomOfARound(t *testing.T) {
	t.Parallel()
	newRound := func() *roundData {
		return &roundData{
			own: [][]byte{{1}, {2}}, slices: map[wire.PeerID][]byte{}, results: map[train.Hash][]byte{{1}: {3}, {2}: {4}}, written: map[train.Hash]*writing{},
		}
	}
	d := newRound()
	if news, kept := d.take("a", []byte{5}); !news || !kept {
		t.Error("a slice is not kept")
	}
	if news, kept := d.take("a", []byte{5}); news || kept {
		t.Error("a slice is taken twice")
	}
	if free := d.used(); len(free) != 1 || free[0][0] != 5 {
		t.Errorf("after its use there is %v", free)
	}
	if news, kept := d.take("b", []byte{6}); !news || kept {
		t.Error("a slice that comes after the result is no news, or is kept")
	}
	if free := d.over(false); len(free) != 2 || len(d.results) != 2 {
		t.Errorf("%d parts of memory are free and %d results left while those are kept", len(free), len(d.results))
	}
	if free := d.over(true); len(free) != 2 || d.results != nil {
		t.Errorf("%d parts of memory are free after all", len(free))
	}
	if news, kept := d.take("c", []byte{7}); news || kept {
		t.Error("a slice of a round that is over is taken")
	}
	read, sent := newRound(), newRound()
	read.readers, sent.readers = 1, 1
	sent.users.Add(1)
	if free := read.over(true); len(free) != 2 {
		t.Errorf("%d parts are free while a result is read, want those of the update", len(free))
	}
	if free := sent.over(true); len(free) != 0 {
		t.Errorf("%d parts are free while the update is sent", len(free))
	}
}
