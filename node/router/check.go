package router

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol/wire"
)

// maxChecks bounds the chains that are looked into at once, checkTimeout the time of each,
// and probeTimeout that of an end of one.
const (
	maxChecks    = 4
	checkTimeout = 15 * time.Second
	probeTimeout = 3 * time.Second
)

// trial is a chain that failed with a request.
type trial struct {
	chain  *Chain
	req    *Request
	opened uint64 // epoch
}

// verdict is what an error says of the peers of a chain.
type verdict struct {
	at       int // the link that is named; 0 is the first, which is the one that speaks
	fault    fault
	unproved bool // the first says it of a later one, or passed on what another may have done
	light    bool // the first may have meant well
	objects  bool // to the request, so that the fault may be ours, or the model's
	over     bool // the session's time
}

// examine finds out whom an error is about. at is the hop that the chain told to wait for
// last.
func (t *trial) examine(err error, at host.ID) verdict {
	var said *wire.Error
	if !errors.As(err, &said) {
		v := verdict{fault: faultOf(err)}
		if tooSlow(err) {
			v.at = t.later(at)
			v.unproved, v.light = v.at > 0, true
		}
		v.unproved = v.unproved || v.fault == faultWrong && len(t.chain.Links) > 1
		return v
	}
	v := verdict{fault: faultOf(said)}
	if said.Peer != "" && said.Peer != t.chain.Links[0].Peer {
		if v.at = t.later(said.Peer); v.at == 0 {
			return verdict{fault: faultWrong} // it blames a peer that is not behind it
		}
		v.unproved, v.light = true, v.fault == faultRefused
		if said.Code == wire.CodeUpstream && at != said.Peer { // what hangs was waited for
			v.fault = faultGone // as far as is known
		}
	}
	switch said.Code {
	case wire.CodeBadRequest, wire.CodeForbidden, wire.CodeUnsupported, wire.CodeModel:
		v.objects = true
	case wire.CodeDeadline:
		v.over = true
	}
	return v
}

// later returns the last place of a peer after the first of a chain, or 0.
func (t *trial) later(p host.ID) int {
	for i := len(t.chain.Links) - 1; i > 0; i-- {
		if t.chain.Links[i].Peer == p {
			return i
		}
	}
	return 0
}

// others returns the links that may be at fault instead of the one that is named: those that
// may have named it falsely or, if that is the first, those whose result it may have passed on.
func (t *trial) others(v verdict) []Link {
	if v.at == 0 {
		return t.chain.Links[1:]
	}
	return t.chain.Links[:v.at]
}

// suspicion is what speaks against the peers of a chain until it is known who is at fault.
// All the others together weigh less than the one that is named.
type suspicion map[host.ID]int

func (t *trial) suspicion(v verdict) suspicion {
	others := t.others(v)
	s := suspicion{t.chain.Links[v.at].Peer: len(others) + 1}
	for i := range others {
		s[others[i].Peer] = max(s[others[i].Peer], 1)
	}
	return s
}

// settle blames the peer at fault, once that is known. Until then it is left to the last
// resort to go over those who may be.
func (r *Router) settle(ctx context.Context, t trial, v verdict) {
	if !v.unproved {
		r.blameLink(t, 0, v.fault, v.objects)
		return
	}
	if v.at > 0 && r.blamedSince(t.chain.Links[v.at].Peer, t.opened) {
		return // known by now
	}
	name, seq := t.chain.String(), r.seqOf(t.chain.Links[v.at].Peer)
	r.mu.Lock()
	busy := r.checking[name] != nil || len(r.checking) >= maxChecks
	if !busy {
		r.checking[name] = t.suspicion(v)
	}
	r.mu.Unlock()
	if busy {
		return
	}
	done := func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.checking, name)
	}
	_, ok := r.task(ctx, func(ctx context.Context) {
		defer done()
		ctx, cancel := context.WithTimeout(ctx, checkTimeout)
		defer cancel()
		r.check(ctx, t, v, seq)
	})
	if !ok {
		done()
	}
}

// check finds out which peer of a chain is at fault, and blames it. It runs the ends of the
// chain, from the last hop on: the first that fails begins with the one at fault. If all
// work it is the first hop, unless the one that it named has restarted: then its advert has
// another sequence than seq.
func (r *Router) check(ctx context.Context, t trial, v verdict, seq uint64) {
	links := t.chain.Links
	for i := len(links) - 1; i > 0; i-- {
		err := r.probe(ctx, t, i)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			continue
		}
		var said *wire.Error
		f := faultOf(err)
		if errors.As(err, &said) && said.Peer != "" && said.Peer != links[i].Peer {
			f = faultAccuser // of one that was found to work
		}
		r.cfg.Log.Info("peer found at fault", "peer", links[i].Peer, "err", err)
		r.blameLink(t, i, f, v.objects || said != nil && said.Code == wire.CodeModel)
		return
	}
	if links[0].Peer == r.cfg.Self || v.at > 0 && r.seqOf(links[v.at].Peer) != seq {
		return
	}
	f := faultAccuser
	if v.light {
		f = faultRefused
	} else if v.at == 0 {
		f = v.fault
	}
	r.cfg.Log.Info("peer found at fault: those behind it work", "peer", links[0].Peer)
	r.blameLink(t, 0, f, v.objects)
}

// blameLink blames the peer of a link: of the model alone if that is what the fault is about.
func (r *Router) blameLink(t trial, i int, f fault, ofModel bool) {
	key := blameKey{peer: t.chain.Links[i].Peer, model: cid.Undef}
	if ofModel {
		key.model = t.chain.Model
	}
	r.blame(key, f, t.chain.Links[i].seq, t.opened)
}

// seqOf returns the sequence of a peer's advert, 0 if there is none.
func (r *Router) seqOf(p host.ID) uint64 {
	for _, a := range r.cfg.Adverts() {
		if a.Peer == p {
			return a.Seq
		}
	}
	return 0
}

// probe runs one token through the end of a chain that begins with link i, from a hidden
// state of zeros.
func (r *Router) probe(ctx context.Context, t trial, i int) error {
	end := &Chain{Model: t.chain.Model, Links: t.chain.Links[i:]}
	ctx, cancel := context.WithTimeoutCause(ctx, probeTimeout, errSlow)
	defer cancel()
	id := make([]byte, wire.SessionIDSize)
	rand.Read(id) // never errs since Go 1.24
	open := end.open(id, 1, checkTimeout, wire.Sampling{})
	gives := t.req.Shape.answer(false, 0)
	client, err := r.dial(ctx, end, open, infer.Options{MaxVector: gives.MaxVector(1)})
	if err != nil {
		return err
	}
	if t.req.Shape.Dim == 0 { // what it takes is not known
		return client.Close("checked")
	}
	st := &wire.InferStep{Tokens: []int32{0}, Want: wire.WantPooled, PromptLen: 1}
	if t.req.Answer > 0 {
		st.Want = wire.WantToken
	}
	res, vec, err := client.Step(ctx, st, make([]float32, t.req.Shape.Dim))
	if err != nil {
		return err
	}
	if err := gives.Check(st, res, vec); err != nil {
		_ = client.Close("error") // what it gave is what matters
		return err
	}
	_ = client.Close("checked") // it has shown that it works
	return nil
}
