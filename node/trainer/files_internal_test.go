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
	"time"

	"github.com/covey-network/covey/consensus/checkpoint"
	"github.com/covey-network/covey/consensus/digest"
	"github.com/covey-network/covey/consensus/round"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// TestKillWithinWrite finds what a kill leaves: files that are not whole are removed and never
// read.
func TestKillWithinWrite(t *testing.T) {
	t.Parallel()
	f := files{filepath.Join(t.TempDir(), "swarm")}
	if err := f.make(); err != nil {
		t.Fatal(err)
	}
	state := [][]float32{{1, 2, 3}, {}, {4}}
	if err := f.writeState(stateFile, state); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(f.dir, stateFile+".123"+tmpSuffix)
	if err := os.WriteFile(left, []byte(stateMagic), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := f.make(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a kill has left is still there: %v", err)
	}
	got, err := f.readState(stateFile, checkpoint.LayoutOf(state))
	if err != nil || !same(got, state) {
		t.Errorf("state %v, %v", got, err)
	}
	if _, err := f.readState(stateFile, checkpoint.LayoutOf(state[1:])); err == nil {
		t.Error("a state of another layout is read")
	}
	if got, err := f.readState(candidateFile, checkpoint.LayoutOf(state)); got != nil || err != nil {
		t.Errorf("no candidate is read as %v, %v", got, err)
	}
}

// TestUpdateIsWhatWasCommitted reads the slices of an update for the header that commits to
// them, and for no other.
func TestUpdateIsWhatWasCommitted(t *testing.T) {
	t.Parallel()
	f := files{t.TempDir()}
	parts := [][]byte{[]byte("one"), {}, []byte("three")}
	if err := f.writeUpdate(7, parts); err != nil {
		t.Fatal(err)
	}
	h := &train.Header{Round: 7}
	for _, p := range parts {
		h.Slices = append(h.Slices, digest.Root(p))
	}
	got, err := f.readUpdate(h)
	if err != nil || !slices.EqualFunc(got, parts, bytes.Equal) {
		t.Errorf("update %q, %v", got, err)
	}
	for name, other := range map[string]*train.Header{
		"another round":   {Round: 8, Slices: h.Slices},
		"another update":  {Round: 7, Slices: []train.Hash{h.Slices[2], h.Slices[1], h.Slices[0]}},
		"another number":  {Round: 7, Slices: h.Slices[:2]},
		"far more slices": {Round: 7, Slices: make([]train.Hash, 64)},
	} {
		if got, err := f.readUpdate(other); got != nil || err != nil {
			t.Errorf("%s: update %q, %v", name, got, err)
		}
	}
}

// TestResultsOutliveAKill: who has voted for an outcome finds its results again, until the round
// is over; one that is damaged is none.
func TestResultsOutliveAKill(t *testing.T) {
	t.Parallel()
	f := files{t.TempDir()}
	if err := f.make(); err != nil {
		t.Fatal(err)
	}
	s := &session{files: f}
	d := &roundData{results: map[train.Hash][]byte{}, written: map[train.Hash]*writing{}}
	data := []byte("a slice")
	hash := train.Hash(digest.Root(data))
	if err := s.hold(d, hash, data); err != nil || !bytes.Equal(d.results[hash], data) {
		t.Fatal(err)
	}
	if err := d.durable([]train.Hash{{}, hash}); err != nil { // as before a vote
		t.Fatal(err)
	}
	if err := f.make(); err != nil { // as the next process does
		t.Fatal(err)
	}
	if got, err := f.readResult(hash); err != nil || !bytes.Equal(got, data) {
		t.Errorf("result %q, %v", got, err)
	}
	if err := os.WriteFile(filepath.Join(f.dir, resultsDir, hash.String()), data[1:], 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := f.readResult(hash); got != nil || err != nil {
		t.Errorf("a damaged result is read as %q, %v", got, err)
	}
	if err := f.dropResults(nil, 0); err != nil {
		t.Fatal(err)
	}
	if got, err := f.readResult(hash); got != nil || err != nil {
		t.Errorf("a result of a round that is over is read as %q, %v", got, err)
	}
	for _, other := range []string{"longer than the one before", "c"} { // over its file
		hash := train.Hash(digest.Root([]byte(other)))
		if err := f.writeResult(hash, []byte(other)); err != nil {
			t.Fatal(err)
		}
		if got, err := f.readResult(hash); err != nil || string(got) != other {
			t.Errorf("result %q, %v, want %q", got, err, other)
		}
		if err := f.dropResults(nil, 0); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(f.results().dir); len(left) != 1 || err != nil {
			t.Errorf("%d files are left, %v", len(left), err)
		}
	}
}

// testChain is a job with one member, and certificates of its rounds.
type testChain struct {
	key ed25519.PrivateKey
	me  wire.PeerID
	job *train.Job
	id  train.Hash
	all []*train.Certificate
}

func newTestChain(t testing.TB, rounds int) *testChain {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	c := &testChain{key: key, me: wire.PeerIDOf(key.Public().(ed25519.PublicKey)), id: train.HashOf([]byte("job"))}
	c.job = &train.Job{Initiator: c.me, Genesis: train.HashOf([]byte("state 0")), Settings: train.Settings{Quorum: train.Majority}}
	o := train.Outcome{Job: c.id, State: c.job.Genesis, Members: []wire.PeerID{c.me}}
	c.all = append(c.all, &train.Certificate{Peer: c.me, Outcome: o})
	for i := range rounds {
		c.add(t, train.HashOf([]byte{byte(i)}), nil)
	}
	return c
}

// add certifies one more round, after which the state has a root.
func (c *testChain) add(t testing.TB, state train.Hash, change func(o *train.Outcome)) {
	t.Helper()
	last := &c.all[len(c.all)-1].Outcome
	parent, err := last.ID()
	if err != nil {
		t.Fatal(err)
	}
	o := train.Outcome{
		Job: c.id, Round: last.Round + 1, Base: last.State, Parent: parent, State: state, Members: last.Members,
		Slices: make([]train.Hash, 1), Senders: train.All(1),
	}
	if change != nil {
		change(&o)
	}
	id, err := o.ID()
	if err != nil {
		t.Fatal(err)
	}
	vote, err := train.Seal(c.key, &train.Vote{Job: c.id, Round: o.Round, Step: train.Precommit, Outcome: id, Peer: c.me})
	if err != nil {
		t.Fatal(err)
	}
	c.all = append(c.all, &train.Certificate{Peer: c.me, Outcome: o, Signers: train.All(1), Signatures: [][]byte{vote.Signature}})
}

// session makes one on a folder, as a process does when it begins.
func (c *testChain) session(t testing.TB, dir string) *session {
	t.Helper()
	s := &session{
		net: &network{key: c.key}, log: slog.New(slog.DiscardHandler), me: c.me, job: c.job, id: c.id, files: files{dir}, clock: time.Now,
	}
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	return s
}

// rounds returns the rounds of a chain on disk.
func rounds(t *testing.T, dir string) (out []uint64) {
	t.Helper()
	list, err := files{dir}.readChain()
	if err != nil {
		t.Fatal(err)
	}
	for _, sealed := range list {
		b, err := sealed.Open()
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, b.(*train.Certificate).Outcome.Round)
	}
	return out
}

// TestChainStaysWhole kills a member at each point where it writes certificates: the chain has
// each once, without a gap.
func TestChainStaysWhole(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 6)
	persist := func(t *testing.T, s *session, last, decided *train.Certificate) {
		t.Helper()
		saved := round.Begin(last)
		saved.Decided = decided
		if err := s.persisted(saved); err != nil {
			t.Fatal(err)
		}
	}
	for name, tt := range map[string]struct {
		do   func(t *testing.T, s *session, dir string)
		want []uint64
	}{
		"told twice, before and after the commit": {func(t *testing.T, s *session, dir string) {
			persist(t, s, c.all[0], c.all[1])
			persist(t, c.session(t, dir), c.all[0], c.all[1])
			persist(t, c.session(t, dir), c.all[1], nil)
		}, []uint64{0, 1}},
		"cut off": {func(t *testing.T, s *session, dir string) {
			persist(t, s, c.all[0], c.all[1])
			path := filepath.Join(dir, chainFile)
			b, err := os.ReadFile(path)
			if err == nil {
				err = os.WriteFile(path, b[:len(b)-5], 0o600)
			}
			if err != nil {
				t.Fatal(err)
			}
			s = c.session(t, dir) // the state of the rounds has the certificate, too
			persist(t, s, c.all[1], c.all[2])
		}, []uint64{0, 1, 2}},
		"certificate without the state of the rounds": {func(t *testing.T, s *session, dir string) {
			persist(t, s, c.all[0], c.all[1])
			if err := s.note(c.all[2]); err != nil {
				t.Fatal(err)
			}
			persist(t, c.session(t, dir), c.all[1], c.all[2])
		}, []uint64{0, 1, 2}},
		"state of the rounds beyond a gap": {func(t *testing.T, s *session, dir string) {
			persist(t, s, c.all[0], nil)
			if err := s.files.writeRound(round.Begin(c.all[4])); err != nil {
				t.Fatal(err)
			}
			persist(t, c.session(t, dir), c.all[4], c.all[5])
		}, []uint64{4, 5}},
		"one twice on disk": {func(t *testing.T, s *session, dir string) {
			persist(t, s, c.all[0], c.all[1])
			if err := s.files.appendCertificates([]*train.Sealed{s.passedOn(c.all[1])}); err != nil {
				t.Fatal(err)
			}
			persist(t, c.session(t, dir), c.all[1], c.all[2])
		}, []uint64{0, 1, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			tt.do(t, c.session(t, dir), dir)
			if got := rounds(t, dir); !slices.Equal(got, tt.want) {
				t.Errorf("rounds %v, want %v", got, tt.want)
			}
			s := c.session(t, dir)
			if want := tt.want[len(tt.want)-1]; s.tip.Outcome.Round != want || len(s.chain) != len(tt.want) {
				t.Errorf("%d certificates to round %d, want %d to %d", len(s.chain), s.tip.Outcome.Round, len(tt.want), want)
			}
		})
	}
}

// TestCandidateIsTakenUp kills a member between the certificate of a state that it has as the
// candidate, and putting that in place: wherever the certificate is, the next process has the state.
func TestCandidateIsTakenUp(t *testing.T) {
	t.Parallel()
	states := [][][]float32{{{1, 2}, {}}, {{3, 4}, {}}, {{5, 6}, {}}}
	layout := checkpoint.LayoutOf(states[0])
	var roots []train.Hash
	for _, s := range states {
		root, _ := checkpoint.Hash(s, 1)
		roots = append(roots, root)
	}
	c := newTestChain(t, 0)
	c.all[0].Outcome.State, c.job.Genesis = roots[0], roots[0]
	c.add(t, roots[1], nil)
	c.add(t, roots[2], nil)
	for name, tt := range map[string]struct {
		last, decided, noted    int // certificates: of the saved round, decided in it, the last one of the chain
		state, candidate, taken int
	}{
		"certificate in the chain only":  {0, -1, 1, 0, 1, 1},
		"in the saved round, too":        {0, 1, 1, 0, 1, 1},
		"the others are further":         {0, -1, 2, 0, 1, 1},
		"no certificate":                 {0, -1, 0, 0, 1, 0},
		"candidate of a round long over": {2, -1, 2, 2, 1, 2},
		"no saved round":                 {-1, -1, 1, 0, 1, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s := c.session(t, dir)
			for _, cert := range c.all[:tt.noted+1] {
				if err := s.note(cert); err != nil {
					t.Fatal(err)
				}
			}
			if tt.last >= 0 {
				saved := round.Begin(c.all[tt.last])
				if tt.decided >= 0 {
					saved.Decided = c.all[tt.decided]
				}
				if err := s.files.writeRound(saved); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(s.files.writeState(stateFile, states[tt.state]), s.files.writeState(candidateFile, states[tt.candidate])); err != nil {
				t.Fatal(err)
			}
			s = c.session(t, dir)
			s.layout = layout
			l := &learner{s: s, mode: newDiLoCo(newNumbers(make([]float32, 2)), 1, 0)}
			if root, err := l.restore(roots[0]); err != nil || root != roots[tt.taken] || !same(l.mode.kept(), states[tt.taken]) {
				t.Errorf("state %v, %v; want %v", l.mode.kept(), err, states[tt.taken])
			}
		})
	}
}

// TestOwnCandidateIsNotFetched needs a state that this member has as the candidate: nobody is asked.
func TestOwnCandidateIsNotFetched(t *testing.T) {
	t.Parallel()
	state := [][]float32{{1, 2}, {}}
	s := newTestChain(t, 0).session(t, t.TempDir())
	s.layout = checkpoint.LayoutOf(state)
	if err := s.files.writeState(candidateFile, state); err != nil {
		t.Fatal(err)
	}
	root, _ := checkpoint.Hash(state, 1)
	if got, err := s.download(t.Context(), round.FetchState{Root: root}); err != nil || !same(got, state) {
		t.Errorf("state %v, %v", got, err)
	}
	if _, err := s.download(t.Context(), round.FetchState{Root: train.HashOf(nil)}); err == nil {
		t.Error("another state is taken for it")
	}
}

// TestExpelledEnds has the members expel this peer: it says so, and does not ask again.
func TestExpelledEnds(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 1)
	saved := round.Begin(c.all[1])
	saved.Banned = []wire.PeerID{c.me}
	if err := c.session(t, t.TempDir()).persisted(saved); err == nil {
		t.Error("an expelled member goes on")
	}
}

// TestExpelledAreKnownFromTheChain begins with the chain alone, as a peer that comes does: it knows
// whom the members have expelled since the first round, and who has gone, as they do.
func TestExpelledAreKnownFromTheChain(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 1)
	peer := func(i byte) wire.PeerID {
		return wire.PeerIDOf(ed25519.NewKeyFromSeed(bytes.Repeat([]byte{i}, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	}
	leave, err := train.Seal(c.key, &train.Leave{Job: c.id, Peer: c.me, Round: 1})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range []byte{20, 21} {
		c.add(t, c.job.Genesis, func(o *train.Outcome) { o.Expelled = []train.Expelled{{Peer: peer(i), First: *leave, Second: *leave}} })
	}
	c.add(t, c.job.Genesis, nil)
	s := c.session(t, t.TempDir())
	for _, cert := range c.all {
		if err := s.note(cert); err != nil {
			t.Fatal(err)
		}
	}
	saved, err := c.session(t, s.files.dir).begins()
	if err != nil {
		t.Fatal(err)
	}
	want := []wire.PeerID{peer(20), peer(21)}
	slices.Sort(want)
	if !slices.Equal(saved.Banned, want) || saved.Seen[c.me] != 4 || saved.Last.Outcome.Round != 4 {
		t.Errorf("round %d, expelled %v, seen %v; want 4, %v", saved.Last.Outcome.Round, saved.Banned, saved.Seen, want)
	}
}

// TestFolderOfAnotherJob refuses a folder that has another job in it.
func TestFolderOfAnotherJob(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 0)
	c.job.Name, c.job.Values, c.job.Spec, c.job.Schema = "words", 1, []byte("x"), []byte("{}")
	c.job.Settings = settings(t)
	sealed, err := train.Seal(c.key, c.job)
	if err != nil {
		t.Fatal(err)
	}
	id, err := c.job.ID()
	if err != nil {
		t.Fatal(err)
	}
	f := files{t.TempDir()}
	for _, want := range []bool{true, false} {
		if got := f.isOf(train.HashOf([]byte("another"))) == nil; got != want {
			t.Errorf("another job is taken: %t, want %t", got, want)
		}
		if err := f.isOf(id); err != nil {
			t.Error(err)
		}
		if err := f.writeJob(sealed); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"words", id.String()[:6], id.String()} {
		if _, j, err := f.readOwn(name); err != nil || j == nil {
			t.Errorf("the folder's own job is not found by %q: %v", name, err)
		}
	}
	for _, name := range []string{"letters", id.String()[:3]} {
		if _, j, err := f.readOwn(name); err != nil || j != nil {
			t.Errorf("a job is found by %q: %v", name, err)
		}
	}
}
