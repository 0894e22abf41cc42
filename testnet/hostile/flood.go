package hostile

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

const (
	// floodAtOnce is how many streams a flood opens at a time.
	floodAtOnce = 64
	// openTimeout bounds one attempt of a flood or a hog: a victim may let it wait.
	openTimeout = 5 * time.Second
)

// minHog is the smallest session that a hog still takes.
const minHog = 256

// Hog opens sessions on a peer that serves a model, each with room for so many tokens, and
// keeps them for as long as it lives. When it gets no more it takes shorter ones, to the last
// crumb. It returns how many it got, and for how many tokens together.
func (p *Peer) Hog(ctx context.Context, on host.ID, model string, sessions, tokens int) (got, all int, err error) {
	id, whole, err := p.Find(ctx, model)
	if err != nil {
		return 0, 0, err
	}
	for got < sessions && tokens >= minHog {
		o := &wire.InferOpen{
			Session: make([]byte, wire.SessionIDSize), Model: id, Range: whole, MaxTokens: uint32(tokens),
			TimeoutMs: uint64(time.Hour / time.Millisecond),
		}
		rand.Read(o.Session) // never errs since Go 1.24
		if p.hog(ctx, on, o) != nil {
			tokens /= 2
			continue
		}
		got, all = got+1, all+tokens
		p.harm.Add(1)
	}
	return got, all, ctx.Err()
}

func (p *Peer) hog(ctx context.Context, on host.ID, o *wire.InferOpen) error {
	opening, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	s, err := p.host.Open(opening, on, protocol.Infer)
	if err == nil {
		_, err = infer.Open(opening, s, o)
	}
	return err // the session lives as long as its stream, and that as long as this peer
}

// Streams opens streams of every protocol to a peer, up to so many, and leaves them silent.
// It returns how many could be opened.
func (p *Peer) Streams(ctx context.Context, to host.ID, n int) int {
	var got atomic.Int64
	var g errgroup.Group
	g.SetLimit(floodAtOnce)
	protocols := []string{protocol.Infer, protocol.Blocks, protocol.Adverts}
	for i := range n {
		g.Go(func() error {
			opening, cancel := context.WithTimeout(ctx, openTimeout)
			defer cancel()
			if _, err := p.host.Open(opening, to, protocols[i%len(protocols)]); err == nil {
				got.Add(1)
			}
			return nil
		})
		if ctx.Err() != nil {
			break
		}
	}
	_ = g.Wait() // none returns an error
	p.harm.Add(got.Load())
	return int(got.Load())
}

// Frames sends a peer frames that no protocol has: on each, lengths over every limit, not
// in shortest form, of unknown types, and good heads with random bytes behind. It returns
// how many streams it has spoilt.
func (p *Peer) Frames(ctx context.Context, to host.ID, rounds int) (int, error) {
	spoilt := 0
	for range rounds {
		for _, proto := range []string{protocol.Hello, protocol.Infer, protocol.Blocks, protocol.Adverts} {
			for _, raw := range badFrames() {
				if err := p.spoil(ctx, to, proto, raw); err != nil {
					return spoilt, fmt.Errorf("send garbage over %s: %w", proto, err)
				}
				spoilt++
				p.harm.Add(1)
			}
		}
	}
	return spoilt, nil
}

func (p *Peer) spoil(ctx context.Context, to host.ID, proto string, raw []byte) error {
	s, err := p.host.Open(ctx, to, proto)
	if err != nil {
		return err
	}
	if _, err := s.Write(raw); err != nil {
		return nil //nolint:nilerr // the victim has reset the stream: that is its right
	}
	_ = errors.Join(s.CloseWrite(), s.SetDeadline(time.Now().Add(openTimeout)))
	discard(s)
	_ = s.Close() // the victim may have reset it
	return nil
}

func badFrames() [][]byte {
	random := make([]byte, 300)
	rand.Read(random) // never errs since Go 1.24
	out := [][]byte{
		binary.AppendUvarint(nil, 1<<34),     // over every limit
		{0x80, 0x80, 0x80, 0x80, 0x80, 0x80}, // a length without an end
		{0x81, 0x00, 0x01},                   // not the shortest form
		{0x00},                               // no room for a type
		{0x05, 0xee, 1, 2, 3, 4},             // a type of no protocol
		append(binary.AppendUvarint(nil, 1<<20), byte(wire.TypeInferOpen)), // longer than its type may be
	}
	for _, t := range []frame.Type{wire.TypeHello, wire.TypeError, wire.TypeBlocksRequest, wire.TypeInferOpen, wire.TypeAdvert, wire.TypeTensor} {
		raw := append(binary.AppendUvarint(nil, uint64(len(random)+1)), byte(t))
		out = append(out, slices.Concat(raw, random), raw) // and one that breaks off
	}
	return out
}
