package train_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

var update = flag.Bool("update", false, "rewrite the vectors in the spec page")

// vectorLine is how many characters of a vector stand in one line of a page.
const vectorLine = 140

var (
	specPage    = filepath.Join("..", "spec", "train.md")
	specVector  = regexp.MustCompile("(?m)^([^\n]+):\n```\n((?:[0-9a-z]+\n)*)```$")
	specMembers = slices.Sorted(slices.Values([]wire.PeerID{id(3), id(4)})) // peers A and B of the page
)

// pageVector reads a vector of a page.
func pageVector(t *testing.T, page, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range specVector.FindAllStringSubmatch(string(data), -1) {
		if m[1] == name {
			b, err := hex.DecodeString(strings.ReplaceAll(m[2], "\n", ""))
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
	}
	t.Fatalf("%s: no vector %q", page, name)
	return nil
}

// cast is the messages of the page.
type cast struct {
	job        *train.Job
	jobID      train.Hash
	announce   *train.Announce
	join       *train.Join
	leave      *train.Leave
	first      *train.Certificate
	header     *train.Header
	reduced    *train.Reduced
	outcome    *train.Outcome
	outcomeID  train.Hash
	proposal   *train.Proposal
	precommit  *train.Vote
	prevote    *train.Vote
	second     *train.Certificate
	vector     *train.Vector
	membership wire.Membership
}

func newCast(t *testing.T) *cast {
	t.Helper()
	a, b := id(3), id(4)
	place := func(p wire.PeerID) int { return train.Place(specMembers, p) }
	var c cast
	if err := wire.Decode(pageVector(t, filepath.Join("..", "spec", "hello.md"), "Membership of peer A"), &c.membership); err != nil {
		t.Fatal(err)
	}
	ident := func(m wire.Message) train.Hash {
		raw, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return train.HashOf(raw)
	}
	swarm := wire.SwarmIDOf(key(1).Public().(ed25519.PublicKey))
	c.job = &train.Job{
		Swarm: swarm, Initiator: a, Name: "digits", Issued: 1_796_000_000_000, Spec: []byte("version = 1\n"), Schema: []byte("{}"),
		Settings: train.Settings{
			Mode: train.DiLoCo, Rounds: 20, InnerSteps: 12, Codec: "int8", Rule: "mean", Group: 16, Quorum: train.Majority, MinPeers: 2,
			OuterLR: 0.7, OuterMomentum: 0.5,
		},
		Values: 3, Genesis: hash(1), Seed: 1,
	}
	c.jobID = ident(c.job)
	c.announce = &train.Announce{
		Swarm: swarm, Peer: a, Job: c.jobID, Initiator: a, Name: "digits", Issued: 1_796_000_001_000, Phase: train.PhaseRunning, Round: 1, Members: 2,
		Membership: c.membership,
	}
	c.join = &train.Join{Job: c.jobID, Peer: a, State: hash(1), Samples: 722, Membership: c.membership}
	c.leave = &train.Leave{Job: c.jobID, Peer: b, Round: 2}
	first := train.Outcome{Job: c.jobID, State: hash(1), Members: specMembers}
	c.first = &train.Certificate{Peer: a, Outcome: first}
	c.header = &train.Header{
		Job: c.jobID, Round: 1, Peer: a, Base: hash(1), Samples: 723, Steps: 12, Millis: 250, Loss: 2.25, Slices: []train.Hash{hash(2), hash(3)},
		Measured: train.Measured{Loss: 2.5, Metric: 0.125, Samples: 176},
	}
	c.reduced = &train.Reduced{Job: c.jobID, Round: 1, Peer: specMembers[0], Slice: 0, Result: hash(4), Bytes: 5, From: 3}
	c.outcome = &train.Outcome{
		Job: c.jobID, Round: 1, Base: hash(1), Parent: ident(&first), State: hash(5), Members: specMembers, Slices: []train.Hash{hash(4), {}}, Senders: 3,
		Samples: 1445, Loss: 2.375, Measured: train.Measured{Loss: 2.5, Metric: 0.125, Samples: 352},
	}
	c.outcomeID = ident(c.outcome)
	c.proposal = &train.Proposal{Job: c.jobID, Round: 1, ValidView: -1, Peer: specMembers[1], Outcome: *c.outcome} // place (1 + 0) mod 2
	c.vector = &train.Vector{Job: c.jobID, Turn: 4, Peer: a, Base: hash(5), Samples: 723, Loss: 2.25, Data: []byte{1, 2, 3}}
	c.precommit = &train.Vote{Job: c.jobID, Round: 1, Step: train.Precommit, Outcome: c.outcomeID, Peer: a}
	c.prevote = &train.Vote{Job: c.jobID, Round: 1, View: 1, Step: train.Prevote, Peer: b}
	c.second = &train.Certificate{Peer: b, Outcome: *c.outcome, Signers: train.Set(0).With(place(a)).With(place(b))}
	for _, p := range specMembers {
		vote := *c.precommit
		vote.Peer = p
		c.second.Signatures = append(c.second.Signatures, seal(t, &vote).Signature)
	}
	return &c
}

// seal signs as peer A or B.
func seal(t *testing.T, b train.Body) *train.Sealed {
	t.Helper()
	n := byte(3)
	if b.Signer() == id(4) {
		n = 4
	}
	s, err := train.Seal(key(n), b)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// specVectors returns the vectors of the page by the line in front of them.
func specVectors(t *testing.T) map[string][]byte {
	t.Helper()
	c := newCast(t)
	encode := func(m wire.Message) []byte {
		b, err := wire.Encode(m)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	whole := func(typ frame.Type, payload []byte) []byte {
		var buf bytes.Buffer
		w := frame.NewWriter(&buf)
		if err := errors.Join(w.Write(typ, payload), w.Flush()); err != nil {
			t.Fatal(err)
		}
		return buf.Bytes()
	}
	return map[string][]byte{
		"Job, bytes that are signed":                                                       encode(c.job),
		"Job, signature":                                                                   seal(t, c.job).Signature,
		"Job, id":                                                                          c.jobID[:],
		"Announce of peer A, whole message":                                                encode(seal(t, c.announce)),
		"Join of peer A, bytes that are signed":                                            encode(c.join),
		"Leave of peer B in round 2, whole frame of a tell":                                whole(train.TypeTell, encode(&train.Bundle{Messages: []train.Sealed{*seal(t, c.leave)}, Seq: 1})),
		"Stop of the job by peer A, whole message":                                         encode(seal(t, &train.Stop{Job: c.jobID, Peer: c.job.Initiator})),
		"Certificate of round 0, bytes that are signed":                                    encode(c.first),
		"Header of peer A in round 1, bytes that are signed":                               encode(c.header),
		"Header of peer A in round 1, signature":                                           seal(t, c.header).Signature,
		"Reduced of the owner at place 0, bytes that are signed":                           encode(c.reduced),
		"Outcome of round 1, hash":                                                         c.outcomeID[:],
		"Proposal of round 1 and view 0, bytes that are signed":                            encode(c.proposal),
		"Precommit of peer A, bytes that are signed":                                       encode(c.precommit),
		"Prevote of peer B against all, bytes that are signed":                             encode(c.prevote),
		"Certificate of round 1, passed on by peer B, whole frame":                         whole(train.TypeSealed, encode(seal(t, c.second))),
		"Vector of peer A in turn 4, bytes that are signed":                                encode(c.vector),
		"Put of 3 bytes, two whole frames":                                                 append(whole(train.TypePut, encode(&train.Put{Job: c.jobID, Round: 1, Slice: 1, Bytes: 3})), whole(train.TypeData, []byte{1, 2, 3})...),
		"Get, whole frame":                                                                 whole(train.TypeGet, encode(&train.Get{Job: c.jobID, Round: 1, Slice: 0, Result: hash(4)})),
		"Chain from round 1 on, whole frame":                                               whole(train.TypeChain, encode(&train.Chain{Job: c.jobID, From: 1})),
		"State, whole frame":                                                               whole(train.TypeState, encode(&train.State{Job: c.jobID, Root: hash(5)})),
		"Line, whole frame":                                                                whole(train.TypeLine, encode(&train.Line{Job: c.jobID})),
		"Words of peer A in round 1, its header and two votes, one of peer B, whole frame": whole(train.TypeWords, encode(c.words(t))),
		"Words of peer A in round 1, one again and one to be passed on, whole frame": whole(train.TypeWords, encode(&train.Words{
			Round: 1, Again: []uint64{0}, Reach: []train.Set{1}, Pass: []train.Pass{{Place: 0, Words: []uint64{1, 2}}},
		})),
		"Root of the state of the vectors (1, -2.5), () and (0.5)": stateRoot([]float32{1, -2.5}, nil, []float32{0.5}),
		"Data hash of 65,538 bytes, each of them 7":                dataHash(bytes.Repeat([]byte{7}, 65538)),
	}
}

// words are what peer A says after the certificate of round 0.
func (c *cast) words(t *testing.T) *train.Words {
	says, _ := shorthands(t, &c.first.Outcome)
	w := &train.Words{Round: 1}
	for _, b := range []train.Body{c.header, c.precommit, c.prevote} {
		w.New = append(w.New, says.Short(seal(t, b), b.Signer()))
	}
	return w
}

// stateRoot follows the page's words: for vectors of one block at most.
func stateRoot(vectors ...[]float32) []byte {
	head := binary.LittleEndian.AppendUint64([]byte("covey/train/state/1\x00"), uint64(len(vectors)))
	var leaves []byte
	for _, v := range vectors {
		head = binary.LittleEndian.AppendUint64(head, uint64(len(v)))
		var block []byte
		for _, x := range v {
			block = binary.LittleEndian.AppendUint32(block, math.Float32bits(x))
		}
		if leaf := sha256.Sum256(block); len(v) > 0 {
			leaves = append(leaves, leaf[:]...)
		}
	}
	root := sha256.Sum256(append(head, leaves...))
	return root[:]
}

// dataHash follows the page's words.
func dataHash(data []byte) []byte {
	b := binary.LittleEndian.AppendUint64([]byte("covey/train/data/1\x00"), uint64(len(data)))
	for piece := range slices.Chunk(data, 65536) {
		hash := sha256.Sum256(piece)
		b = append(b, hash[:]...)
	}
	root := sha256.Sum256(b)
	return root[:]
}

// TestSpecVectors holds the vectors in the spec page to the code, in both directions.
func TestSpecVectors(t *testing.T) {
	t.Parallel()
	vectors, seen := specVectors(t), 0
	data, err := os.ReadFile(specPage)
	if err != nil {
		t.Fatal(err)
	}
	out := specVector.ReplaceAllStringFunc(string(data), func(found string) string {
		m := specVector.FindStringSubmatch(found)
		b, known := vectors[m[1]]
		if !known {
			t.Errorf("%q is not made by the code", m[1])
			return found
		}
		seen++
		want := hex.EncodeToString(b)
		if got := strings.ReplaceAll(m[2], "\n", ""); got != want && !*update {
			t.Errorf("%s:\ngot  %s\nwant %s", m[1], got, want)
		}
		var lines strings.Builder
		for len(want) > 0 {
			n := min(vectorLine, len(want))
			lines.WriteString(want[:n] + "\n")
			want = want[n:]
		}
		return m[1] + ":\n```\n" + lines.String() + "```"
	})
	if seen != len(vectors) {
		t.Errorf("%d vectors in the page, %d in the code", seen, len(vectors))
	}
	if *update {
		if err := os.WriteFile(specPage, []byte(out), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// TestSpecVectorsDecode reads the vectors of the page as a peer would.
func TestSpecVectorsDecode(t *testing.T) {
	t.Parallel()
	c := newCast(t)
	page := func(name string) []byte { return pageVector(t, specPage, name) }
	opens := func(name string, s *train.Sealed) train.Body {
		b, err := s.Open()
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return b
	}
	for kind, names := range map[train.Kind][2]string{
		train.KindJob:    {"Job, bytes that are signed", "Job, signature"},
		train.KindHeader: {"Header of peer A in round 1, bytes that are signed", "Header of peer A in round 1, signature"},
	} {
		opens(names[0], &train.Sealed{Kind: kind, Payload: page(names[0]), Signature: page(names[1])})
	}
	for name, m := range map[string]wire.Message{
		"Join of peer A, bytes that are signed":                  new(train.Join),
		"Certificate of round 0, bytes that are signed":          new(train.Certificate),
		"Reduced of the owner at place 0, bytes that are signed": new(train.Reduced),
		"Proposal of round 1 and view 0, bytes that are signed":  new(train.Proposal),
		"Precommit of peer A, bytes that are signed":             new(train.Vote),
		"Prevote of peer B against all, bytes that are signed":   new(train.Vote),
		"Vector of peer A in turn 4, bytes that are signed":      new(train.Vector),
	} {
		if err := wire.Decode(page(name), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	announce := new(train.Sealed)
	if err := wire.Decode(page("Announce of peer A, whole message"), announce); err != nil {
		t.Fatal(err)
	}
	opens("announce", announce)
	stop := new(train.Sealed)
	if err := wire.Decode(page("Stop of the job by peer A, whole message"), stop); err != nil {
		t.Fatal(err)
	}
	opens("stop", stop)
	payload := func(name string, limits frame.Limits) []byte {
		_, p, err := frame.NewReader(bytes.NewReader(page(name)), limits).Next()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return p
	}
	for name, m := range map[string]wire.Message{
		"Put of 3 bytes, two whole frames":   new(train.Put),
		"Get, whole frame":                   new(train.Get),
		"Chain from round 1 on, whole frame": new(train.Chain),
		"State, whole frame":                 new(train.State),
	} {
		if err := wire.Decode(payload(name, train.ServerLimits()), m); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	words := new(train.Words)
	if err := wire.Decode(payload("Words of peer A in round 1, its header and two votes, one of peer B, whole frame", train.LineLimits()), words); err != nil {
		t.Fatal(err)
	}
	_, hears := shorthands(t, &c.first.Outcome)
	for i, b := range []train.Body{c.header, c.precommit, c.prevote} {
		s, err := hears.Whole(&words.New[i])
		if err != nil {
			t.Fatal(err)
		}
		if opens("word", s); !bytes.Equal(s.Payload, seal(t, b).Payload) {
			t.Errorf("word %d says something else", i)
		}
	}
	told := new(train.Bundle)
	if err := wire.Decode(payload("Leave of peer B in round 2, whole frame of a tell", train.ServerLimits()), told); err != nil {
		t.Fatal(err)
	}
	opens("leave", &told.Messages[0])
	sealed := new(train.Sealed)
	if err := wire.Decode(payload("Certificate of round 1, passed on by peer B, whole frame", train.ClientLimits()), sealed); err != nil {
		t.Fatal(err)
	}
	cert, ok := opens("certificate", sealed).(*train.Certificate)
	if !ok {
		t.Fatal("the certificate is something else")
	}
	if err := cert.Verify(specMembers, train.TwoThirds); err != nil {
		t.Errorf("certificate of round 1: %v", err)
	}
	if oid, err := cert.Outcome.ID(); err != nil || oid != c.outcomeID || !bytes.Equal(oid[:], page("Outcome of round 1, hash")) {
		t.Errorf("outcome of the certificate has hash %s: %v", oid, err)
	}
}
