package wire_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/google/go-cmp/cmp"
	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/wire"
)

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	for name, e := range examples(t) {
		b, err := wire.Encode(e.made)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if err := wire.Decode(b, e.empty); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(e.empty, e.made, cmp.Comparer(cid.Cid.Equals)); d != "" {
			t.Errorf("%s comes back different (-got +want):\n%s", name, d)
		}
		for n := range b { // every prefix is refused, and so is anything behind
			if wire.Decode(b[:n], e.empty) == nil {
				t.Errorf("%s: %d of %d bytes decode", name, n, len(b))
			}
		}
		if wire.Decode(append(b, 0), e.empty) == nil {
			t.Errorf("%s: a byte too many decodes", name)
		}
	}
}

func TestOnlyTheCanonicalFormDecodes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, hex string }{
		{"reason is a longer head than needed", "a101" + "780464" + "6f6e65"},
		{"map of indefinite length", "bf0164646f6e65ff"},
		{"key with a longer head than needed", "a1180164646f6e65"},
		{"keys out of order", "a2026161016162"},
		{"key twice", "a2016161016162"},
		{"tag", "c1a0"},
		{"undefined", "a101f7"},
		{"float too long", "a202fa3f80000001" + "6161"},
		{"bad UTF-8", "a10162c328"},
		{"string over the end", "a1017affffffff00"},
		{"array over the end", "9bffffffffffffffff"},
		{"map over the end", "bbffffffffffffffff"},
		{"nested", strings.Repeat("81", 100)},
		{"array", "80"},
		{"nothing", ""},
		{"wrong type", "a10105"},
	} {
		b, err := hex.DecodeString(c.hex)
		if err != nil {
			t.Fatal(err)
		}
		if err := wire.Decode(b, new(wire.InferClose)); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", c.name, err)
		}
	}
	newer, _ := hex.DecodeString("a20164646f6e65186301") // key 99 is of a later capability
	if err := wire.Decode(newer, new(wire.InferClose)); err != nil {
		t.Errorf("unknown key: %v", err)
	}
}

func TestFloatsAreCanonical(t *testing.T) {
	t.Parallel()
	mode, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		t.Fatal(err)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	values := []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 65504, 65505, 65536, 6e-8, 5.960464477539063e-08, 2.98e-8, math.Inf(1), math.Inf(-1), math.MaxFloat32, math.MaxFloat64, math.SmallestNonzeroFloat32, math.SmallestNonzeroFloat64}
	for range 20000 {
		values = append(values, float64(math.Float32frombits(rng.Uint32())), math.Ldexp(float64(rng.IntN(4096)), rng.IntN(60)-40))
	}
	for _, v := range values {
		b, err := mode.Marshal(map[int]float64{1: v})
		if err != nil {
			t.Fatal(err)
		}
		// A float is no text, but it must get past the check of the form.
		if err := wire.Decode(b, new(wire.InferClose)); err == nil || strings.Contains(err.Error(), "shortest") {
			t.Fatalf("%g as %x: %v", v, b, err)
		}
		if f := float32(v); float64(f) == v && len(b) < 7 { // the longer form must be refused
			long := append([]byte{0xa1, 1, 0xfa}, be32(math.Float32bits(f))...)
			if err := wire.Decode(long, new(wire.InferClose)); err == nil || !strings.Contains(err.Error(), "shortest") {
				t.Fatalf("%g in four bytes: %v", v, err)
			}
		}
	}
}

func be32(u uint32) []byte { return []byte{byte(u >> 24), byte(u >> 16), byte(u >> 8), byte(u)} }

func TestValidateRefuses(t *testing.T) {
	t.Parallel()
	nan := float32(math.NaN())
	open := func(edit func(*wire.InferOpen)) wire.Message {
		o := *examples(t)["infer open"].made.(*wire.InferOpen)
		o.Route = append([]wire.Hop(nil), o.Route...)
		edit(&o)
		return &o
	}
	adv := func(edit func(*wire.Advert)) wire.Message { a := advert(); edit(a); return a }
	step := func(edit func(*wire.InferStep)) wire.Message {
		s := &wire.InferStep{Seq: 1, Tokens: []int32{1}}
		edit(s)
		return s
	}
	v0 := cid.NewCidV0(wire.CIDOf(nil).Hash())
	for _, c := range []struct {
		name string
		m    wire.Message
	}{
		{"grant without scopes", grant(func(g *wire.Grant) { g.Scopes = nil })},
		{"grant with unsorted scopes", grant(func(g *wire.Grant) { g.Scopes = []string{"use", "serve"} })},
		{"grant with a scope in capitals", grant(func(g *wire.Grant) { g.Scopes = []string{"USE"} })},
		{"grant that ends before it begins", grant(func(g *wire.Grant) { g.Expires = g.NotBefore })},
		{"grant for ever", grant(func(g *wire.Grant) { g.Expires = math.MaxInt64 })},
		{"grant for nobody", grant(func(g *wire.Grant) { g.Holder = nil })},
		{"grant for two", grant(func(g *wire.Grant) { g.Peer = wire.PeerIDOf(public(peerA)) })},
		{"grant with a short id", grant(func(g *wire.Grant) { g.ID = g.ID[1:] })},
		{"hello without capability", &wire.Hello{}},
		{"hello with a foreign membership", &wire.Hello{Capability: 1, MinCapability: 1}},
		{"request of nothing", &wire.BlocksRequest{}},
		{"request of CIDv0", &wire.BlocksRequest{CIDs: []cid.Cid{v0}}},
		{"request of too many", &wire.BlocksRequest{CIDs: make([]cid.Cid, protocol.MaxBlockCIDs+1)}},
		{"request with an unknown priority", &wire.BlocksRequest{CIDs: []cid.Cid{wire.CIDOf(nil)}, Priority: 9}},
		{"missing without a reason", &wire.BlocksMissing{CIDs: []cid.Cid{wire.CIDOf(nil)}}},
		{"open with a gap", open(func(o *wire.InferOpen) { o.Route[0].Range.First = 5 })},
		{"open with an overlap", open(func(o *wire.InferOpen) { o.Route[0].Range.First = 3 })},
		{"open after the head", open(func(o *wire.InferOpen) { o.Range.Head = true })},
		{"draft of too many", step(func(s *wire.InferStep) {
			s.Want, s.Tokens = wire.WantAll, make([]int32, protocol.MaxDraftTokens+1)
		})},
		{"open of a huge session", open(func(o *wire.InferOpen) { o.MaxTokens = math.MaxUint32 })},
		{"open without time", open(func(o *wire.InferOpen) { o.TimeoutMs = 0 })},
		{"open with a NaN temperature", open(func(o *wire.InferOpen) { o.Sampling.Temperature = nan })},
		{"open with top_p above 1", open(func(o *wire.InferOpen) { o.Sampling.TopP = 1.5 })},
		{"open with an empty range", open(func(o *wire.InferOpen) { o.Range, o.Route = wire.Range{First: 2, Last: 2}, nil })},
		{"open with a reversed range", open(func(o *wire.InferOpen) { o.Range, o.Route = wire.Range{First: 3, Last: 2}, nil })},
		{"open to no peer", open(func(o *wire.InferOpen) { o.Route[0].Peer = "x" })},
		{"open with a bad address", open(func(o *wire.InferOpen) { o.Route[0].Addrs = []wire.Addr{"nowhere"} })},
		{"step without tokens", step(func(s *wire.InferStep) { s.Tokens = nil })},
		{"step with a negative token", step(func(s *wire.InferStep) { s.Tokens[0] = -1 })},
		{"step beyond the end", step(func(s *wire.InferStep) { s.Position = protocol.MaxSessionTokens })},
		{"step with an unknown want", step(func(s *wire.InferStep) { s.Want = 99 })},
		{"step zero", step(func(s *wire.InferStep) { s.Seq = 0 })},
		{"result with a NaN", &wire.InferResult{Seq: 1, Tokens: []wire.Sampled{{Logprob: nan}}}},
		{"result with a positive logprob", &wire.InferResult{Seq: 1, Tokens: []wire.Sampled{{Logprob: 1}}}},
		{"error without a code", &wire.Error{}},
		{"error that never ends", &wire.Error{Code: 1, Message: strings.Repeat("x", protocol.MaxTextMessage+1)}},
		{"advert zero", adv(func(a *wire.Advert) { a.Seq = 0 })},
		{"advert for ever", adv(func(a *wire.Advert) { a.TTLSec = math.MaxUint32 })},
		{"advert that lends more than it has", adv(func(a *wire.Advert) { a.Memory.Lent = a.Memory.Total + 1 })},
		{"advert of a model twice", adv(func(a *wire.Advert) { a.Models = append(a.Models, a.Models[0]) })},
		{"advert without a model's CID", adv(func(a *wire.Advert) { a.Models[0].Model = cid.Undef })},
		{"advert of a slow stage", adv(func(a *wire.Advert) { a.Models[0].Served[0].StepNs = uint64(time.Hour) + 1 })},
		{"advert of slow prefill", adv(func(a *wire.Advert) { a.Models[0].Served[0].PrefillNs = math.MaxInt64 })},
		{"advert of a long queue", adv(func(a *wire.Advert) { a.Models[0].Served[0].Queue = protocol.MaxQueue + 1 })},
		{"advert of nobody dialled in vain", adv(func(a *wire.Advert) { a.Unreached = []wire.PeerID{"x"} })},
		{"advert of many dialled in vain", adv(func(a *wire.Advert) {
			for range protocol.MaxAdvertUnreached + 1 {
				a.Unreached = append(a.Unreached, wire.PeerIDOf(public(peerB)))
			}
		})},
		{"advert that writes to terminals", adv(func(a *wire.Advert) { a.Models[0].Name = "\x1b[2Jdemo" })},
		{"advert of a machine on two lines", adv(func(a *wire.Advert) { a.Name = "a\nb" })},
		{"error that writes to terminals", &wire.Error{Code: 1, Message: "\u009b2J"}},
		{"close with a bell", &wire.InferClose{Reason: "\a"}},
		{"advert of an empty range", adv(func(a *wire.Advert) { a.Models[0].Held[0] = wire.Range{} })},
	} {
		if err := c.m.Validate(); !errors.Is(err, wire.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", c.name, err)
		}
		if _, err := wire.Encode(c.m); err == nil {
			t.Errorf("%s: encodes", c.name)
		}
	}
}

func TestErrorfMakesOneLine(t *testing.T) {
	t.Parallel()
	e := wire.Errorf(wire.CodeInternal, "%v", errors.Join(errors.New("one"), errors.New("two\x1b[2J")))
	if err := e.Validate(); err != nil || e.Message != "one two [2J" {
		t.Errorf("message %q, %v", e.Message, err)
	}
}

func TestInferOpenNext(t *testing.T) {
	t.Parallel()
	o := examples(t)["infer open"].made.(*wire.InferOpen)
	hop, next := o.Next(30 * time.Second)
	if hop.Peer != o.Route[0].Peer || next.Range != hop.Range || !next.Last() || o.Last() || next.Timeout() != 30*time.Second {
		t.Errorf("next hop %v gets %+v", hop, next)
	}
	if err := next.Validate(); err != nil {
		t.Error(err)
	}
}

func TestBlockHead(t *testing.T) {
	t.Parallel()
	c := wire.CIDOf([]byte("block"))
	got, err := wire.BlockCID(wire.BlockHead(c))
	if err != nil || !got.Equals(c) {
		t.Errorf("got %v %v, want %v", got, err, c)
	}
	if _, err := wire.BlockCID([]byte("short")); err == nil {
		t.Error("a short head passes")
	}
	if err := wire.ValidCID(cid.Undef); err == nil {
		t.Error("no identifier passes")
	}
}

func TestErrorText(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"short", strings.Repeat("ä", 2000), "broken \xff\xfe bytes", strings.Repeat("x", 1023) + "äöü"} {
		e := wire.Errorf(wire.CodeBusy, "%s", in)
		if err := e.Validate(); err != nil {
			t.Errorf("%.20q: %v", in, err)
		}
	}
	var target *wire.Error
	if err := error(wire.Errorf(wire.CodeBusy, "full")); !errors.As(err, &target) || err.Error() != "busy: full" {
		t.Errorf("got %q", err)
	}
}

func TestPeerIDText(t *testing.T) {
	t.Parallel()
	p := wire.PeerIDOf(public(peerA))
	got, err := wire.ParsePeerID(p.String())
	if err != nil || got != p || !strings.HasPrefix(p.String(), "12D3KooW") {
		t.Errorf("%s comes back as %s: %v", p, got, err)
	}
	if !bytes.Equal(p.PublicKey(), public(peerA)) {
		t.Error("the key is another")
	}
	for _, bad := range []string{"", "12D3KooW", "QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", strings.Repeat("1", 5000)} {
		if _, err := wire.ParsePeerID(bad); err == nil {
			t.Errorf("%.20q passes", bad)
		}
	}
	s := wire.SwarmIDOf(public(swarmKey))
	if got, err := wire.ParseSwarmID(s.String()); err != nil || got != s {
		t.Errorf("swarm %s comes back as %s: %v", s, got, err)
	}
}
