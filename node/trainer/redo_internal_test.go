package trainer

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/codec"
	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/robust"
	"github.com/covey-network/covey/consensus/vec"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// remade is a job of two members, of whose rounds this peer has certificates, results and states.
type remade struct {
	keys    []ed25519.PrivateKey // in the order of the members
	job     *train.Job
	id      train.Hash
	certs   []*train.Certificate
	results [][][]byte // of each round, from 1 on
	states  [][][]float32
}

// newRemade makes rounds: each takes its result off the state, slice by slice.
func newRemade(t *testing.T, rounds int) *remade {
	t.Helper()
	r := &remade{id: train.HashOf([]byte("job"))}
	for i := range 2 {
		r.keys = append(r.keys, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize)))
	}
	peer := func(k ed25519.PrivateKey) wire.PeerID { return wire.PeerIDOf(k.Public().(ed25519.PublicKey)) }
	slices.SortFunc(r.keys, func(a, b ed25519.PrivateKey) int { return bytes.Compare([]byte(peer(a)), []byte(peer(b))) })
	members := []wire.PeerID{peer(r.keys[0]), peer(r.keys[1])}
	state := [][]float32{{1, 2, 3, 4, 5}, {}}
	root, _ := checkpoint.Hash(state, 1)
	r.job = &train.Job{
		Initiator: members[0], Genesis: root, Values: 5, Settings: train.Settings{Quorum: train.Majority, Mode: train.DiLoCo, Group: 2, Codec: "f32", OuterLR: 1},
	}
	r.states = append(r.states, state)
	r.certs = append(r.certs, &train.Certificate{Peer: members[0], Outcome: train.Outcome{Job: r.id, State: root, Members: members}})
	for n := 1; n <= rounds; n++ {
		next := [][]float32{slices.Clone(state[0]), {}}
		last := &r.certs[n-1].Outcome
		parent, err := last.ID()
		if err != nil {
			t.Fatal(err)
		}
		o := train.Outcome{Job: r.id, Round: uint64(n), Base: last.State, Parent: parent, Members: members, Senders: train.All(2)}
		var results [][]byte
		for i := range 2 {
			part := next[0][bound(i, 2, 5):bound(i+1, 2, 5)]
			way := make([]float32, len(part))
			for k := range way {
				way[k] = float32(10*n + k)
				part[k] -= way[k]
			}
			data := make([]byte, 1+4*len(way))
			data[0] = 1 // f32
			vec.F32(data[1:], way)
			results, o.Slices = append(results, data), append(o.Slices, digest.Root(data))
		}
		o.State, _ = checkpoint.Hash(next, 1)
		r.results, r.states, state = append(r.results, results), append(r.states, next), next
		r.certs = append(r.certs, r.certify(t, o))
	}
	return r
}

// certify has both members sign an outcome.
func (r *remade) certify(t *testing.T, o train.Outcome) *train.Certificate {
	t.Helper()
	c := &train.Certificate{Peer: o.Members[0], Outcome: o, Signers: train.All(2)}
	id, err := o.ID()
	if err != nil {
		t.Fatal(err)
	}
	for i, key := range r.keys {
		vote, err := train.Seal(key, &train.Vote{Job: r.id, Round: o.Round, Step: train.Precommit, Outcome: id, Peer: o.Members[i]})
		if err != nil {
			t.Fatal(err)
		}
		c.Signatures = append(c.Signatures, vote.Signature)
	}
	return c
}

// learner begins on a folder, as a process of the first member does.
func (r *remade) learner(t *testing.T, dir string) *learner {
	t.Helper()
	rule, err := robust.Parse("mean")
	if err != nil {
		t.Fatal(err)
	}
	s := &session{
		net: &network{key: r.keys[0]}, log: slog.New(slog.DiscardHandler), me: r.job.Initiator, job: r.job, id: r.id, files: files{dir}, rule: rule, threads: 1,
		layout: checkpoint.LayoutOf(r.states[0]),
	}
	if s.codecs, err = newCodecs("f32", codec.Flat(5)); err == nil {
		err = errors.Join(s.files.make(), s.load())
	}
	if err != nil {
		t.Fatal(err)
	}
	return &learner{s: s, settings: &r.job.Settings, mode: newDiLoCo(newNumbers(make([]float32, 5)), 1, 0), vector: make([]float32, 5)}
}

// TestStateIsMadeAgain kills a member that has written a state some rounds ago: the next process makes
// the last state of the results since, as far as they are here, and keeps them.
func TestStateIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		state, noted int // round of the state on disk, and of the last certificate
		spoil        func(r *remade, f files) error
		want         int
	}{
		"all there":           {0, 3, nil, 3},
		"a later state":       {2, 3, nil, 3},
		"nothing since":       {3, 3, nil, 3},
		"not certified":       {0, 2, nil, 2},
		"a result is missing": {0, 3, func(r *remade, f files) error { return os.Remove(f.result(r.certs[3].Outcome.Slices[1])) }, 2},
		"a result is damaged": {0, 3, func(r *remade, f files) error {
			return os.WriteFile(f.result(r.certs[2].Outcome.Slices[0]), r.results[0][0], 0o600)
		}, 1},
		"another state is certified": {0, 3, func(r *remade, _ files) error {
			r.certs[3].Outcome.State[0]++
			return nil
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRemade(t, 3)
			dir := t.TempDir()
			f := r.learner(t, dir).s.files
			for _, results := range r.results {
				for _, data := range results {
					if err := f.writeResult(digest.Root(data), data); err != nil {
						t.Fatal(err)
					}
				}
			}
			err := f.writeState(stateFile, r.states[tt.state])
			if tt.spoil != nil {
				err = errors.Join(err, tt.spoil(r, f))
			}
			if err != nil {
				t.Fatal(err)
			}
			if last := r.certs[3]; last.Outcome.State != r.root(3) { // by the members, too
				r.certs[3] = r.certify(t, last.Outcome)
			}
			s := r.learner(t, dir).s
			for _, c := range r.certs[:tt.noted+1] {
				if err := s.note(c); err != nil {
					t.Fatal(err)
				}
			}
			l := r.learner(t, dir)
			root, err := l.restore(r.job.Genesis)
			if err != nil || root != r.root(tt.want) || !same(l.mode.kept(), r.states[tt.want]) || !same(l.mode.vectors(), r.states[tt.want]) {
				t.Fatalf("state %v, %v; want %v", l.mode.kept(), err, r.states[tt.want])
			}
			if err := f.dropResults(l.s.neededLocked(), 0); err != nil { // as the next round does
				t.Fatal(err)
			}
			l = r.learner(t, dir)
			if root, err := l.restore(r.job.Genesis); err != nil || root != r.root(tt.want) {
				t.Errorf("state of %s, %v after another round; want %s", root.Short(), err, r.root(tt.want).Short())
			}
		})
	}
}

func (r *remade) root(round int) train.Hash {
	root, _ := checkpoint.Hash(r.states[round], 1)
	return root
}

// result is where a result is.
func (f files) result(hash train.Hash) string { return filepath.Join(f.results().dir, hash.String()) }

// TestStateIsWrittenInTime: results of few rounds are kept, and those that are not longer than a few
// states. What is written beside the run is the state of its round.
func TestStateIsWrittenInTime(t *testing.T) {
	t.Parallel()
	r := newRemade(t, 1)
	for name, tt := range map[string]struct{ bytes, want int }{"short": {1, redoRounds}, "as long as the state": {20, redoTimes}, "longer than all may be": {1000, 1}} {
		s := &session{layout: checkpoint.LayoutOf(r.states[0])}
		n := 1
		for !s.need(made{round: uint64(n), bytes: tt.bytes}) {
			n++
		}
		if n != tt.want {
			t.Errorf("%s: after %d rounds, want %d", name, n, tt.want)
		}
		s.settled(uint64(n) - 1)
		if len(s.since) != 1 {
			t.Errorf("%s: %d rounds since a state of the one before", name, len(s.since))
		}
	}
	l := r.learner(t, t.TempDir())
	if err := l.mode.take(r.states[1]); err != nil {
		t.Fatal(err)
	}
	l.s.since = []made{{round: 1}, {round: 2}}
	l.save(1)
	l.settle()
	got, err := l.s.files.readState(stateFile, l.s.layout)
	if err != nil || !same(got, r.states[1]) || len(l.s.since) != 1 || l.s.since[0].round != 2 {
		t.Errorf("state %v, %v, rounds since %v", got, err, l.s.since)
	}
}

// TestResultsPastTheCache writes results of lengths that fit sectors and do not, over longer and
// shorter ones.
func TestResultsPastTheCache(t *testing.T) {
	t.Parallel()
	f := files{t.TempDir()}
	if err := f.make(); err != nil {
		t.Fatal(err)
	}
	all := make([]byte, 3<<20)
	for i := range all {
		all[i] = byte(i * i >> 7)
	}
	for _, n := range []int{1 << 20, 1<<20 + 1, 3 << 20, 1<<21 - 4095, 10} {
		for _, from := range []int{0, 1} { // 1: memory that does not fit
			data := all[from:max(n, from)]
			hash := train.Hash(digest.Root(data))
			if err := f.writeResult(hash, data); err != nil {
				t.Fatal(err)
			}
			if got, err := f.readResult(hash); err != nil || !bytes.Equal(got, data) {
				t.Errorf("%d bytes from %d on: %d bytes are read, %v", n, from, len(got), err)
			}
			if err := f.dropResults(nil, 0); err != nil {
				t.Fatal(err)
			}
		}
	}
}
