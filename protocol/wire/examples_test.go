package wire_test

import (
	"bytes"
	"crypto/ed25519"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/protocol/wire"
)

// start is the time at which the examples live.
var start = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// key returns a fixed key pair: the seed is 32 times b.
func key(b byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{b}, ed25519.SeedSize))
}

func public(b byte) ed25519.PublicKey { return key(b).Public().(ed25519.PublicKey) }

// The cast: the swarm's key, the holder key of an invitation, two peers.
const (
	swarmKey, holderKey = 1, 2
	peerA, peerB        = 3, 4
)

func grant(edit func(*wire.Grant)) *wire.Grant {
	g := &wire.Grant{
		Swarm: wire.SwarmIDOf(public(swarmKey)), ID: bytes.Repeat([]byte{7}, wire.GrantIDSize),
		Scopes:    []string{wire.ScopeServe, wire.ScopeUse},
		NotBefore: start.Unix(), Expires: start.Add(24 * time.Hour).Unix(), Holder: public(holderKey),
	}
	if edit != nil {
		edit(g)
	}
	return g
}

func signed(tb testing.TB, g *wire.Grant) wire.Signed {
	tb.Helper()
	s, err := wire.SignGrant(key(swarmKey), g)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func token(tb testing.TB) *wire.Token {
	tb.Helper()
	return &wire.Token{
		Name:      "home",
		Bootstrap: []wire.Addr{wire.Addr("/ip4/192.168.1.2/tcp/4001/p2p/" + wire.PeerIDOf(public(peerA)).String())},
		Grant:     signed(tb, grant(nil)), Seed: key(holderKey).Seed(),
	}
}

// renewed is what the founder gives peer A for the membership of the token.
func renewed(edit func(*wire.Grant)) *wire.Grant {
	return grant(func(g *wire.Grant) {
		g.Origin, g.ID, g.Holder, g.Peer = g.ID, bytes.Repeat([]byte{8}, wire.GrantIDSize), nil, wire.PeerIDOf(public(peerA))
		g.Expires = start.Add(90 * 24 * time.Hour).Unix()
		if edit != nil {
			edit(g)
		}
	})
}

// deputy is the grant of peer A as a deputy, who gives shorter memberships than usual.
func deputy(edit func(*wire.Grant)) *wire.Grant {
	return renewed(func(g *wire.Grant) {
		g.Scopes, g.Life = append([]string{wire.ScopeAdmit}, g.Scopes...), 30*24*3600
		if edit != nil {
			edit(g)
		}
	})
}

// issued is what the deputy gives peer B.
func issued(edit func(*wire.Grant)) *wire.Grant {
	return renewed(func(g *wire.Grant) {
		g.ID, g.Peer, g.Life = bytes.Repeat([]byte{9}, wire.GrantIDSize), wire.PeerIDOf(public(peerB)), 30*24*3600
		g.Expires = start.Add(30 * 24 * time.Hour).Unix()
		if edit != nil {
			edit(g)
		}
	})
}

// byDeputy signs a grant with the key of peer A, whether it may or not.
func byDeputy(tb testing.TB, own, g *wire.Grant) wire.Membership {
	tb.Helper()
	payload, err := wire.Encode(g)
	if err != nil {
		tb.Fatal(err)
	}
	issuer := signed(tb, own)
	return wire.Membership{Grant: wire.Signed{Payload: payload, Signature: ed25519.Sign(key(peerA), append([]byte("covey/grant/1\x00"), payload...))}, Issuer: &issuer}
}

func lost() *wire.Lost {
	a := advert()
	return &wire.Lost{Swarm: a.Swarm, By: a.Peer, Peer: wire.PeerIDOf(public(peerB)), Seq: 7, Issued: start.UnixMilli(), Membership: a.Membership}
}

func advert() *wire.Advert {
	grant, err := wire.SignGrant(key(swarmKey), grant(nil))
	if err != nil {
		panic(err)
	}
	return &wire.Advert{
		Swarm: wire.SwarmIDOf(public(swarmKey)), Peer: wire.PeerIDOf(public(peerA)), Seq: 5,
		Issued: start.UnixMilli(), TTLSec: 90, Capability: 1, Version: "0.1.0", Cores: 4,
		Speeds: wire.Speeds{MemBytesPerSec: 20e9, DotOpsPerSec: 300e9, Engine: "1 avx2"},
		Memory: wire.Space{Total: 16 << 30, Lent: 8 << 30, Free: 6 << 30}, Disk: wire.Space{Total: 1 << 40, Lent: 1 << 38, Free: 1 << 37},
		Limits: wire.Limits{UploadBytesPerSec: 10 << 20, Sessions: 8},
		Models: []wire.ModelAdvert{{
			Model: wire.CIDOf([]byte("manifest")), Name: "demo", Held: []wire.Range{{First: 0, Last: 4, Embed: true}},
			Served: []wire.Served{{Range: wire.Range{First: 0, Last: 4, Embed: true}, StepNs: 250000, PrefillNs: 90000, FreeSessions: 7, FreeTokens: 30000, Queue: 1}},
		}},
		RTTs:  []wire.PeerRTT{{Peer: wire.PeerIDOf(public(peerB)), Micros: 1200}},
		Addrs: []wire.Addr{"/ip4/192.168.1.2/tcp/4001"}, Name: "attic",
		Membership: wire.Admit(grant, key(holderKey), wire.PeerIDOf(public(peerA))),
	}
}

// example is a message of the specs: made, and an empty one to decode into.
type example struct {
	made, empty wire.Message
}

func examples(tb testing.TB) map[string]example {
	tb.Helper()
	session, a, b := bytes.Repeat([]byte{9}, wire.SessionIDSize), wire.PeerIDOf(public(peerA)), wire.PeerIDOf(public(peerB))
	member := wire.Admit(signed(tb, grant(nil)), key(holderKey), a)
	again := wire.Membership{Grant: signed(tb, renewed(nil))}
	ofDeputy := byDeputy(tb, deputy(nil), issued(nil))
	return map[string]example{
		"grant":      {grant(nil), new(wire.Grant)},
		"membership": {&member, new(wire.Membership)},
		"renewed":    {&again, new(wire.Membership)},
		"of deputy":  {&ofDeputy, new(wire.Membership)},
		"hello": {&wire.Hello{
			Capability: 1, MinCapability: 1, Version: "0.1.0", Swarm: wire.SwarmIDOf(public(swarmKey)),
			Membership: member, Roles: []string{wire.RoleServe, wire.RoleStore},
		}, new(wire.Hello)},
		"token": {token(tb), new(wire.Token)},
		"revocation": {&wire.Revocation{
			Swarm: wire.SwarmIDOf(public(swarmKey)), Seq: 2, Grants: [][]byte{bytes.Repeat([]byte{7}, wire.GrantIDSize)}, Peers: []wire.PeerID{b},
		}, new(wire.Revocation)},
		"error":          {&wire.Error{Code: wire.CodeUpstream, Message: "hop 2 is gone", Seq: 3, Peer: b, RetryAfterMs: 500}, new(wire.Error)},
		"blocks request": {&wire.BlocksRequest{ID: 1, CIDs: []cid.Cid{wire.CIDOf([]byte("a")), wire.CIDOf([]byte("b"))}, Priority: wire.PriorityLoad}, new(wire.BlocksRequest)},
		"blocks missing": {&wire.BlocksMissing{ID: 1, CIDs: []cid.Cid{wire.CIDOf([]byte("b"))}, Code: wire.CodeNotHosting}, new(wire.BlocksMissing)},
		"infer open": {&wire.InferOpen{
			Session: session, Model: wire.CIDOf([]byte("manifest")), Range: wire.Range{First: 0, Last: 4, Embed: true}, MaxTokens: 512, TimeoutMs: 60000,
			Route:    []wire.Hop{{Peer: b, Range: wire.Range{First: 4, Last: 8, Head: true}, Addrs: []wire.Addr{"/ip4/192.168.1.3/tcp/4001"}}},
			Sampling: wire.Sampling{Temperature: 0.7, TopK: 40, TopP: 0.95, RepetitionPenalty: 1.1, Seed: 42, Logprobs: 2, WantLogprob: true},
		}, new(wire.InferOpen)},
		"infer opened": {&wire.InferOpened{MaxTokens: 512, Hidden: 64}, new(wire.InferOpened)},
		"infer step":   {&wire.InferStep{Seq: 1, Position: 0, Tokens: []int32{1, 300, 70000}, Want: wire.WantToken, PromptLen: 3, Tensor: true}, new(wire.InferStep)},
		"infer result": {&wire.InferResult{
			Seq: 1, Length: 3, Tokens: []wire.Sampled{{Token: 17, Logprob: -0.5, Top: []wire.TokenLogprob{{Token: 17, Logprob: -0.5}, {Token: 4, Logprob: -1.25}}}},
			Timings: []wire.Timing{{Peer: a, ComputeNs: 1500000, QueueNs: 20000}},
		}, new(wire.InferResult)},
		"infer progress": {&wire.InferProgress{Peer: b}, new(wire.InferProgress)},
		"infer close":    {&wire.InferClose{Reason: "done"}, new(wire.InferClose)},
		"advert":         {advert(), new(wire.Advert)},
		"lost":           {lost(), new(wire.Lost)},
	}
}
