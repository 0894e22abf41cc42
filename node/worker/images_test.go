package worker_test

import (
	"context"
	"crypto/ed25519"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	cid "github.com/ipfs/go-cid"

	"github.com/covey-network/covey/engine/model"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/tiny"
)

// checkpoint is the only model of a worker.
type checkpoint struct{ *model.Checkpoint }

func (c checkpoint) Model(context.Context, cid.Cid) (model.Config, model.Weights, error) {
	return c.Config, c.Weights(), nil
}

type nobody struct{}

func (nobody) Dial(context.Context, wire.Hop) (host.Stream, error) { return nil, net.ErrClosed }

// imageStream is a stream in memory.
type imageStream struct{ net.Conn }

func (p imageStream) CloseWrite() error { return nil }
func (p imageStream) Reset() error      { return p.Close() }
func (p imageStream) Peer() host.ID     { return "peer" }
func (p imageStream) Relayed() bool     { return false }

var oneBlock = wire.Range{Last: 1, Embed: true, Head: true}

// imageWorker serves the tiny ResNet; sessions of it are opened by the function returned.
func imageWorker(t *testing.T, memory int64) func() (*infer.Client, error) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "tiny")
	if err := tiny.WriteResNet(dir); err != nil {
		t.Fatal(err)
	}
	ck, err := model.Import(dir, model.ImportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(worker.Config{
		Self: wire.PeerIDOf(make(ed25519.PublicKey, ed25519.PublicKeySize)), Models: checkpoint{ck}, Dialer: nobody{}, Threads: 1, MemoryBytes: memory, Draw: worker.SampleDraw,
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	id := wire.CIDOf([]byte("tiny"))
	if err := w.Load(t.Context(), id, oneBlock, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-ended, ck.Close()); err != nil {
			t.Error(err)
		}
		w.Close()
	})
	return func() (*infer.Client, error) {
		here, there := net.Pipe()
		served := make(chan struct{})
		go func() {
			defer close(served)
			w.Serve(ctx, imageStream{there})
		}()
		t.Cleanup(func() { here.Close(); <-served })
		return infer.Open(t.Context(), imageStream{here}, &wire.InferOpen{Session: make([]byte, wire.SessionIDSize), Model: id, Range: oneBlock, MaxTokens: 4, TimeoutMs: 60_000})
	}
}

// TestImageSteps gives an image stage steps that it must refuse, and one that it takes.
func TestImageSteps(t *testing.T) {
	t.Parallel()
	open := imageWorker(t, 64<<20)
	pixels := make([]float32, 3*32*32)
	for _, tc := range []struct {
		name, want string
		step       wire.InferStep
		pixels     []float32
	}{
		{"an image", "", wire.InferStep{Tokens: []int32{0}, Want: wire.WantPooled}, pixels},
		{"no image", "takes numbers", wire.InferStep{Tokens: []int32{0}, Want: wire.WantPooled}, nil},
		{"half an image", "values", wire.InferStep{Tokens: []int32{0}, Want: wire.WantPooled}, pixels[:7]},
		{"two tokens", "want at most 1 at 0", wire.InferStep{Tokens: []int32{0, 0}, Want: wire.WantPooled}, append(pixels, pixels...)},
		{"another position", "want at most 1 at 0", wire.InferStep{Tokens: []int32{0}, Position: 1, Want: wire.WantPooled}, pixels},
		{"a token", "tokens wanted", wire.InferStep{Tokens: []int32{0}, Want: wire.WantToken}, pixels},
		{"a draft", "tokens wanted", wire.InferStep{Tokens: []int32{0}, Want: wire.WantAll}, pixels},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c, err := open()
			if err != nil {
				t.Fatal(err)
			}
			res, vec, err := c.Step(t.Context(), &tc.step, tc.pixels)
			if tc.want == "" {
				if err != nil || len(vec) != len(tiny.Labels()) || res.Length != 1 {
					t.Errorf("scores %v, result %+v, %v", vec, res, err)
				}
				if _, again, err := c.Step(t.Context(), &tc.step, tc.pixels); err != nil || len(again) != len(vec) {
					t.Errorf("a second image of the session: %v, %v", again, err)
				}
				return
			}
			var refusal *wire.Error
			if !errors.As(err, &refusal) || refusal.Code != wire.CodeBadRequest || !strings.Contains(refusal.Message, tc.want) {
				t.Errorf("got %v, want a bad request with %q", err, tc.want)
			}
		})
	}
}
