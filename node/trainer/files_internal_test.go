package trainer

import (
	"bytes"
	"crypto/ed25519"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/covey-network/covey/consensus/checkpoint"
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
		h.Slices = append(h.Slices, train.HashOf(p))
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
	d := &roundData{results: map[train.Hash][]byte{}}
	data := []byte("a slice")
	hash := train.HashOf(data)
	if err := s.hold(d, hash, data); err != nil || !bytes.Equal(d.results[hash], data) {
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
	if err := f.dropResults(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(f.results().dir); len(left) > 0 || err != nil {
		t.Errorf("%d results are left, %v", len(left), err)
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

func newTestChain(t *testing.T, rounds int) *testChain {
	t.Helper()
	key := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))
	c := &testChain{key: key, me: wire.PeerIDOf(key.Public().(ed25519.PublicKey)), id: train.HashOf([]byte("job"))}
	c.job = &train.Job{Initiator: c.me, Genesis: train.HashOf([]byte("state 0")), Settings: train.Settings{Quorum: train.Majority}}
	o := train.Outcome{Job: c.id, State: c.job.Genesis, Members: []wire.PeerID{c.me}}
	c.all = append(c.all, &train.Certificate{Peer: c.me, Outcome: o})
	for i := range rounds {
		parent, err := o.ID()
		if err != nil {
			t.Fatal(err)
		}
		o = train.Outcome{
			Job: c.id, Round: o.Round + 1, Base: o.State, Parent: parent, State: train.HashOf([]byte{byte(i)}), Members: o.Members,
			Slices: make([]train.Hash, 1), Senders: train.All(1),
		}
		id, err := o.ID()
		if err != nil {
			t.Fatal(err)
		}
		vote, err := train.Seal(key, &train.Vote{Job: c.id, Round: o.Round, Step: train.Precommit, Outcome: id, Peer: c.me})
		if err != nil {
			t.Fatal(err)
		}
		c.all = append(c.all, &train.Certificate{Peer: c.me, Outcome: o, Signers: train.All(1), Signatures: [][]byte{vote.Signature}})
	}
	return c
}

// session makes one on a folder, as a process does when it begins.
func (c *testChain) session(t *testing.T, dir string) *session {
	t.Helper()
	s := &session{
		net: &network{key: c.key}, log: slog.New(slog.DiscardHandler), me: c.me, job: c.job, id: c.id, files: files{dir},
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
			if err := s.files.appendCertificate(s.passedOn(c.all[1])); err != nil {
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
