package trainer

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"log/slog"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/train"
	"github.com/covey-network/covey/protocol/wire"
)

// carried returns what the streams of a host have carried out, by protocol.
func carried(t *testing.T, reg *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Error(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		if f.GetName() != "host_stream_bytes_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			labels := map[string]string{}
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			if labels["direction"] == "out" {
				out[labels["protocol"]] += m.GetCounter().GetValue()
			}
		}
	}
	return out
}

// average has peers average numbers together, and returns the numbers at the end. begun is called
// when all are members, each with what it has then.
func average(t *testing.T, peers []*testPeer, values, rounds int, begun func(i int), each func(i int, o *train.Outcome)) (ends [][]float32) {
	t.Helper()
	known := make(chan train.Hash, len(peers))
	ends = make([][]float32, len(peers))
	var all, members sync.WaitGroup
	members.Add(len(peers))
	for i, p := range peers {
		all.Go(func() {
			cfg := Averaging{
				Values: make([]float32, values), Peers: len(peers), Rounds: rounds, Codec: "int8", Rule: "mean", Dir: filepath.Join(p.dir, "average"), Threads: 1,
			}
			if i == 0 {
				cfg.Known = func(h train.Hash) {
					for range len(peers) - 1 {
						known <- h
					}
				}
			} else {
				cfg.Job, cfg.Initiator = <-known, peers[0].host.ID()
			}
			a, err := p.trainer.Average(t.Context(), cfg)
			begun(i)
			members.Done()
			members.Wait()
			if err != nil {
				t.Error(err)
				return
			}
			for r := range rounds {
				for k, v := range normal(values, uint64(i+r*len(peers))) {
					cfg.Values[k] += v
				}
				if _, err := a.Round(t.Context()); err != nil {
					t.Error(err)
				}
				each(i, &a.l.s.now().last.Outcome)
			}
			if ends[i] = slices.Clone(cfg.Values); a.Close() != nil {
				t.Error("a member does not end well")
			}
		})
	}
	all.Wait()
	for i := range ends {
		if !slices.Equal(ends[i], ends[0]) {
			t.Errorf("member %d has other bits", i)
		}
	}
	return ends
}

// TestAgreementIsSmall counts what eight members send beside their updates and results.
func TestAgreementIsSmall(t *testing.T) { // alone: many peers are work enough for a small machine
	const n, values, rounds, most = 8, 23738, 5, 10_000
	peers := testPeers(t, n)
	before := make([]map[string]float64, n)
	average(t, peers, values, rounds, func(i int) { before[i] = carried(t, peers[i].registry) }, func(int, *train.Outcome) {})
	sums := map[string]float64{}
	for i, p := range peers {
		for proto, b := range carried(t, p.registry) {
			sums[proto] += (b - before[i][proto]) / n / rounds
		}
	}
	updates := 2.0 * (n - 1) / n * (values + 4*values/256)
	agreement := sums[protocol.Train] - updates + sums[protocol.Agree]
	for proto, b := range sums {
		if bytes.HasPrefix([]byte(proto), []byte("/meshsub/")) {
			agreement += b
		}
	}
	t.Logf("a member and round: %.0f bytes beside %.0f of updates and results", agreement, updates)
	if agreement > most || agreement <= 0 {
		t.Errorf("a member sends %.0f bytes in a round beside updates and results, at most %d; by protocol: %v", agreement, most, sums)
	}
}

// TestLinesThroughOthers has two members that do not reach each other: what one signs comes to the
// other through a third one, and every round has all updates.
func TestLinesThroughOthers(t *testing.T) {
	peers := testPeers(t, 4)
	for _, pair := range [][2]int{{0, 1}, {1, 0}} {
		p, other := peers[pair[0]], peers[pair[1]].host.ID()
		p.host.Handle(protocol.Agree, func(ctx context.Context, s host.Stream) {
			if s.Peer() == other {
				_ = s.Reset()
				return
			}
			p.trainer.Talk(ctx, s)
		})
	}
	average(t, peers, 100, 3, func(int) {}, func(i int, o *train.Outcome) {
		if o.Senders != train.All(4) || slices.Contains(o.Slices, train.Hash{}) {
			t.Errorf("round %d at member %d: senders %b, slices %v", o.Round, i, o.Senders, o.Slices)
		}
	})
}

// TestLineRemembers says messages of some rounds again and again over a line, as a member does: all
// come, in the frame in which they were said, and what both ends remember is not said twice.
func TestLineRemembers(t *testing.T) {
	t.Parallel()
	var keys []ed25519.PrivateKey
	var members []wire.PeerID
	for i := range 3 {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, ed25519.SeedSize))
		keys, members = append(keys, k), append(members, wire.PeerIDOf(k.Public().(ed25519.PublicKey)))
	}
	signer := func(p wire.PeerID) ed25519.PrivateKey { return keys[slices.Index(members, p)] }
	sorted := slices.Sorted(slices.Values(members))
	rng := rand.New(rand.NewPCG(1, 2))
	var buf bytes.Buffer
	me := &session{me: sorted[0]}
	says := &tongue{s: me, w: frame.NewWriter(&buf), numbers: map[train.Hash]int{}}
	ear := &ear{s: &session{me: sorted[1], log: slog.New(slog.DiscardHandler)}, peer: sorted[0]}
	reader := frame.NewReader(&buf, train.LineLimits())
	for n := uint64(1); n <= 4; n++ {
		common := &train.Common{Job: train.HashOf(nil), Round: n, Base: train.HashOf([]byte{byte(n)}), Parent: train.HashOf([]byte{9}), Members: sorted}
		var list []said
		for view := range 30 {
			for _, by := range []wire.PeerID{sorted[0], sorted[0], sorted[2]} {
				var b train.Body = &train.Vote{Job: common.Job, Round: n, View: uint64(view), Step: train.Prevote, Outcome: train.HashOf([]byte{byte(view % 3)}), Peer: by}
				if view%7 == 3 {
					b = &train.Leave{Job: common.Job, Round: n, Peer: by}
				}
				sealed, err := train.Seal(signer(by), b)
				if err != nil {
					t.Fatal(err)
				}
				list = append(list, newSaid(sealed, by))
			}
		}
		for at := 0; at < len(list); at += 1 + rng.IntN(4) {
			from := max(0, at-rng.IntN(40))
			x := saying{common: common, list: list[from:min(len(list), at+1+rng.IntN(3))], pass: -1}
			pass := saying{common: common, list: x.list[len(x.list)-1:], pass: 2}
			if err := says.say([]saying{x, pass}); err != nil {
				t.Fatal(err)
			}
			_, b, err := reader.Next()
			f := new(train.Words)
			if err == nil {
				err = wire.Decode(b, f)
			}
			if err != nil {
				t.Fatal(err)
			}
			early := rng.IntN(5) == 0 && at == 0
			if early { // the round has not begun at the other end
				if got, err := ear.hear(f, func() *train.Common { return nil }); err != nil || len(got.msgs) > 0 {
					t.Fatalf("%d messages of a round to come: %v", len(got.msgs), err)
				}
				continue
			}
			got, err := ear.hear(f, func() *train.Common { return common })
			if err != nil {
				t.Fatal(err)
			}
			have := map[train.Hash]bool{}
			for _, m := range append(got.msgs, got.whole...) {
				have[newSaid(m.Sealed, m.Body.Signer()).name] = true
			}
			for _, s := range x.list {
				if !have[s.name] {
					t.Fatalf("round %d: a message of %d did not come", n, len(x.list))
				}
			}
			if len(x.list) < protocol.MaxTrainWords/2 && at > 40 && len(f.New) > 4 {
				t.Errorf("%d of %d words are said as if they were new", len(f.New), len(x.list))
			}
			if len(got.pass) != 1 || got.pass[0].to != sorted[2] || got.pass[0].list[0].name != pass.list[0].name {
				t.Fatalf("passed on: %v", got.pass)
			}
		}
	}
}

// TestLineIsDeafToNonsense hears what no honest member says: it costs the line.
func TestLineIsDeafToNonsense(t *testing.T) {
	t.Parallel()
	c := newTestChain(t, 2)
	s := c.session(t, t.TempDir())
	common, err := train.CommonOf(&c.all[1].Outcome)
	if err != nil {
		t.Fatal(err)
	}
	zeros := make([]byte, ed25519.SignatureSize)
	for name, f := range map[string]*train.Words{
		"a word that was not said": {Round: common.Round, Again: []uint64{0}},
		"an unsigned vote":         {Round: common.Round, New: []train.Word{{Kind: train.KindVote, Payload: []byte{0xa2, 4, 1, 5, 0x40}, Signature: zeros}}},
		"a vote of nobody":         {Round: common.Round, New: []train.Word{{Kind: train.KindVote, Payload: []byte{0xa2, 4, 1, 5, 0x40}, Signature: zeros, Author: 64}}},
		"an unsigned leave":        {Round: common.Round + 5, New: []train.Word{{Kind: train.KindLeave, Payload: []byte{0xa0}, Signature: zeros, Whole: true}}},
	} {
		e := &ear{s: s, peer: common.Members[0]}
		if got, err := e.hear(f, func() *train.Common { return common }); err == nil {
			t.Errorf("%s: %d messages and no error", name, len(got.msgs))
		}
	}
	e := &ear{s: s, peer: common.Members[0]}
	many := &train.Words{Round: common.Round + 1}
	for range protocol.MaxTrainBundle {
		many.New = append(many.New, train.Word{Kind: train.KindVote, Payload: []byte{0xa0}, Signature: zeros})
	}
	for range 10 {
		if _, err := e.hear(many, func() *train.Common { return common }); err != nil {
			t.Fatal(err)
		}
	}
	if len(e.unread) > protocol.MaxTrainBundle || len(e.words) > protocol.MaxTrainWords {
		t.Errorf("%d words wait, %d are remembered", len(e.unread), len(e.words))
	}
	large := &train.Words{Round: common.Round + 1, New: []train.Word{{Kind: train.KindProposal, Payload: make([]byte, 200<<10), Signature: zeros}}}
	for range 10 {
		if _, err := e.hear(large, func() *train.Common { return common }); err != nil {
			t.Fatal(err)
		}
	}
	wait := 0
	for _, x := range e.unread {
		wait += len(x.Payload)
	}
	if wait > protocol.MaxTrainMessage || wait < 2*200<<10 {
		t.Errorf("words of %d bytes wait for a round", wait)
	}
}

// closing is a stream that tells whether it was reset.
type closing struct {
	host.Stream
	reset bool
}

func (c *closing) Reset() error { c.reset = true; return nil }

// TestFewLinesOfStrangers has more peers that are no members than are listened to: members are, all the
// same, and each peer has one line.
func TestFewLinesOfStrangers(t *testing.T) {
	t.Parallel()
	s := &session{ctx: t.Context(), view: view{members: []wire.PeerID{"a", "b"}}}
	heard := 0
	for i := range 2 * maxStrange {
		if s.listen(&ear{s: s, peer: wire.PeerID([]byte{'x', byte(i)}), stream: new(closing)}) {
			heard++
		}
	}
	if heard != maxStrange {
		t.Errorf("%d strangers are listened to, want %d", heard, maxStrange)
	}
	first, second := &closing{}, &closing{}
	old := &ear{s: s, peer: "a", stream: first}
	if !s.listen(old) || !s.listen(&ear{s: s, peer: "a", stream: second}) || !first.reset || second.reset {
		t.Errorf("a member is not listened to, or its older line is: reset %t and %t", first.reset, second.reset)
	}
	if s.deafen(old); s.lines.in["a"] == nil || s.lines.in["a"].stream != host.Stream(second) {
		t.Error("the end of the older line ends the newer one")
	}
}
