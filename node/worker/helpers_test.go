package worker_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/engine/tensor"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

// whole is all of the demo model.
var whole = wire.Range{Last: 4, Embed: true, Head: true}

func peer(n byte) host.ID {
	var key [32]byte
	key[0] = n
	return wire.PeerIDOf(key[:])
}

// source gives the demo model under one identifier.
type source struct {
	id    cid.Cid
	c     *model.Checkpoint
	calls atomic.Int32
	gate  chan struct{} // nil, or Model waits for it
	nan   int           // the norm of this block has a NaN; 0: of none
}

func newSource(t *testing.T) *source {
	t.Helper()
	dir := t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	c, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	sum, err := multihash.Sum([]byte("demo"), multihash.SHA2_256, -1)
	if err != nil {
		t.Fatal(err)
	}
	return &source{id: cid.NewCidV1(cid.Raw, sum), c: c}
}

func (s *source) Model(ctx context.Context, id cid.Cid) (model.Config, model.Weights, error) {
	s.calls.Add(1)
	if s.gate != nil {
		select {
		case <-s.gate:
		case <-ctx.Done():
			return model.Config{}, nil, ctx.Err()
		}
	}
	if id != s.id {
		return model.Config{}, nil, errors.New("no such model")
	}
	return s.c.Config, weights{s.c.Weights(), s.c, s.nan}, nil
}

// weights tell sizes, as those of a catalog do.
type weights struct {
	model.Weights
	c   *model.Checkpoint
	nan int
}

func (w weights) Tensor(ctx context.Context, p model.Part, name string) (tensor.Tensor, error) {
	x, err := w.Weights.Tensor(ctx, p, name)
	if err == nil && w.nan > 0 && name == "attn_norm.weight" && p.String() == fmt.Sprintf("block %d", w.nan) {
		x.Data = binary.LittleEndian.AppendUint32(x.Data[4:len(x.Data):len(x.Data)], math.Float32bits(float32(math.NaN())))
	}
	return x, err
}

func (w weights) Bytes(_ context.Context, p model.Part) (n int64) {
	for _, t := range w.c.Tensors {
		if t.Part == p {
			n += t.Bytes
		}
	}
	return n
}

// pipe is a stream in memory, seen from the side of the worker.
type pipe struct {
	net.Conn
	peer host.ID
}

func (s *pipe) CloseWrite() error { return nil }
func (s *pipe) Reset() error      { return s.Close() }
func (s *pipe) Peer() host.ID     { return s.peer }
func (s *pipe) Relayed() bool     { return false }

// dialer connects to hops that a test makes up.
type dialer func(h wire.Hop) (host.Stream, error)

func (d dialer) Dial(_ context.Context, h wire.Hop) (host.Stream, error) {
	if d == nil {
		return nil, errors.New("no hop expected")
	}
	return d(h)
}

// bench is a worker at work.
type bench struct {
	*worker.Worker
	src   *source
	tasks sync.WaitGroup

	mu      sync.Mutex
	streams int       // being served
	ended   sync.Cond // of mu: one fewer
}

var discard = slog.New(slog.DiscardHandler)

// newBench runs a worker until the end of the test. It must be made in the bubble that it
// is used in.
func newBench(t *testing.T, change func(*worker.Config)) *bench {
	t.Helper()
	b := &bench{src: newSource(t)}
	b.ended.L = &b.mu
	cfg := worker.Config{
		Self: peer(1), Models: b.src, Dialer: dialer(nil), Draw: worker.SampleDraw, Log: discard, Now: time.Now, Threads: 1,
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if b.Worker, err = worker.New(cfg); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	b.tasks.Go(func() {
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		cancel()
		b.tasks.Wait()
		b.Close()
	})
	return b
}

// serve gives a new stream of a peer to the worker and returns the peer's end.
func (b *bench) serve(ctx context.Context, from host.ID) *pipe {
	here, there := net.Pipe()
	b.mu.Lock()
	b.streams++
	b.mu.Unlock()
	b.tasks.Go(func() {
		b.Serve(ctx, &pipe{there, from})
		b.mu.Lock()
		defer b.mu.Unlock()
		b.streams--
		b.ended.Broadcast()
	})
	return &pipe{here, peer(1)}
}

func (b *bench) request(r wire.Range, tokens uint32) *wire.InferOpen {
	return &wire.InferOpen{Session: make([]byte, wire.SessionIDSize), Model: b.src.id, Range: r, MaxTokens: tokens, TimeoutMs: uint64(time.Hour / time.Millisecond)}
}

// open opens a session of the whole model for a peer.
func (b *bench) open(t *testing.T, from host.ID, tokens uint32) (*infer.Client, error) {
	t.Helper()
	return infer.Open(t.Context(), b.serve(t.Context(), from), b.request(whole, tokens))
}

func (b *bench) load(t *testing.T, r wire.Range) {
	t.Helper()
	if err := b.Load(t.Context(), b.src.id, r, nil); err != nil {
		t.Fatal(err)
	}
}

// idle waits until the streams that have ended are served to their end.
func (b *bench) idle(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.streams > 0 {
		b.ended.Wait()
	}
}

func code(err error) wire.Code {
	var e *wire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}
