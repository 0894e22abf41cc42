package infer_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// memStream is a stream in memory that notes its deadline.
type memStream struct {
	net.Conn
	mu       sync.Mutex
	deadline time.Time
}

func (s *memStream) CloseWrite() error { return nil }
func (s *memStream) Reset() error      { return s.Close() }
func (s *memStream) Peer() host.ID     { return "worker" }
func (s *memStream) Relayed() bool     { return false }

func (s *memStream) SetDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return taken(s.Conn.SetDeadline(t))
}

func (s *memStream) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	s.deadline = t
	s.mu.Unlock()
	return taken(s.Conn.SetReadDeadline(t))
}

// taken is what a network's stream says of a deadline: other than a pipe, it takes one after the
// other end has closed.
func taken(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// worker is the serving side of a test: what it reads and answers is up to the script.
type worker struct {
	t *testing.T
	net.Conn
	r *frame.Reader
	w *frame.Writer
}

// read reads a message of a type; false means that the stream has ended.
func (w *worker) read(typ frame.Type, m wire.Message) bool {
	t, b, err := w.r.Next()
	if err != nil {
		return false
	}
	if t != typ {
		w.t.Errorf("got frame type %d, want %d", t, typ)
		return false
	}
	if m != nil {
		if err := wire.Decode(b, m); err != nil {
			w.t.Error(err)
		}
	}
	return true
}

func (w *worker) send(typ frame.Type, m wire.Message) {
	b, err := wire.Encode(m)
	if err != nil {
		w.t.Error(err)
	}
	_ = errors.Join(w.w.Write(typ, b), w.w.Flush()) // the client may be gone
}

// serve runs a script against the client at the other end of the stream it returns.
func serve(t *testing.T, script func(w *worker)) *memStream {
	t.Helper()
	here, there := net.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer there.Close()
		script(&worker{t, there, frame.NewReader(there, wire.InferServerLimits(protocol.MaxTensor)), frame.NewWriter(there)})
	}()
	t.Cleanup(func() { here.Close(); <-done })
	return &memStream{Conn: here}
}

func open() *wire.InferOpen {
	return &wire.InferOpen{
		Session: make([]byte, wire.SessionIDSize), Model: wire.CIDOf([]byte("m")), Range: wire.Range{Last: 2, Embed: true, Head: true},
		MaxTokens: 100, TimeoutMs: 1000,
	}
}

// opened is a script that opens the session and goes on with next.
func opened(next func(w *worker)) func(w *worker) {
	return func(w *worker) {
		w.read(wire.TypeInferOpen, new(wire.InferOpen))
		w.send(wire.TypeInferOpened, &wire.InferOpened{MaxTokens: 100})
		next(w)
	}
}

func mustOpen(t *testing.T, s *memStream) *infer.Client {
	t.Helper()
	c, err := infer.Open(t.Context(), s, open())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestOpenRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		code       wire.Code
		script     func(w *worker)
	}{
		{"by the worker", "busy: full", wire.CodeBusy, func(w *worker) {
			w.read(wire.TypeInferOpen, nil)
			w.send(wire.TypeError, wire.Errorf(wire.CodeBusy, "full"))
		}},
		{"too few tokens", "reserved 99 of 100", 0, func(w *worker) {
			w.read(wire.TypeInferOpen, nil)
			w.send(wire.TypeInferOpened, &wire.InferOpened{MaxTokens: 99})
		}},
		{"another message", "frame type 35", 0, func(w *worker) {
			w.read(wire.TypeInferOpen, nil)
			w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1})
		}},
		{"not a message", "invalid message", 0, func(w *worker) {
			w.read(wire.TypeInferOpen, nil)
			_ = errors.Join(w.w.Write(wire.TypeInferOpened, []byte{0xff}), w.w.Flush())
		}},
		{"oversize", "over the limit", 0, func(w *worker) {
			w.read(wire.TypeInferOpen, nil)
			_ = errors.Join(w.w.Write(wire.TypeInferOpened, make([]byte, protocol.MaxControl+1)), w.w.Flush())
		}},
		{"the end", "EOF", 0, func(w *worker) { w.read(wire.TypeInferOpen, nil) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, tt.script)
			_, err := infer.Open(t.Context(), s, open())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want …%s…", err, tt.want)
			}
			var e *wire.Error
			if errors.As(err, &e) != (tt.code != 0) || e != nil && e.Code != tt.code {
				t.Errorf("got %v, want code %s", err, tt.code)
			}
			if _, err := s.Write([]byte{1}); err == nil {
				t.Error("the stream is still open")
			}
		})
	}
}

func TestStep(t *testing.T) {
	t.Parallel()
	hidden := []float32{1, 2, 3, 4, float32(math.Inf(-1)), math.Float32frombits(0x7fc00001)}
	got := make(chan wire.InferStep, 2)
	c := mustOpen(t, serve(t, opened(func(w *worker) {
		var st wire.InferStep
		w.read(wire.TypeInferStep, &st)
		got <- st
		w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Length: 1, Tokens: []wire.Sampled{{Token: 9}}})
		w.read(wire.TypeInferStep, &st)
		got <- st
		typ, b, err := w.r.Next()
		if err != nil || typ != wire.TypeTensor {
			w.t.Errorf("frame type %d, %v", typ, err)
			return
		}
		x, rows, err := infer.ReadVector(nil, b)
		if err != nil || rows != 2 {
			w.t.Errorf("%d rows, %v", rows, err)
			return
		}
		b, err = wire.Encode(&wire.InferResult{Seq: 2, Length: 3, Tensor: true})
		if err != nil {
			w.t.Error(err)
		}
		_ = w.w.Write(wire.TypeInferResult, b)
		if _, err := infer.WriteVector(w.w, nil, x, 1); err != nil {
			w.t.Error(err)
		}
		_ = w.w.Flush()
		var end wire.InferClose
		if w.read(wire.TypeInferClose, &end) && end.Reason != "enough" {
			w.t.Errorf("closed for %q", end.Reason)
		}
	})))
	res, vec, err := c.Step(t.Context(), &wire.InferStep{Tokens: []int32{5}, Want: wire.WantToken}, nil)
	if err != nil || len(res.Tokens) != 1 || res.Tokens[0].Token != 9 || vec != nil {
		t.Fatalf("got %+v, %v, %v", res, vec, err)
	}
	if st := <-got; st.Seq != 1 || st.Tensor {
		t.Errorf("sent %+v", st)
	}
	_, vec, err = c.Step(t.Context(), &wire.InferStep{Position: 1, Tokens: []int32{6, 7}}, hidden)
	if err != nil || len(vec) != len(hidden) {
		t.Fatalf("got %v, %v", vec, err)
	}
	for i := range vec { // the bits arrive, those of a NaN too
		if math.Float32bits(vec[i]) != math.Float32bits(hidden[i]) {
			t.Errorf("element %d: got %x, want %x", i, math.Float32bits(vec[i]), math.Float32bits(hidden[i]))
		}
	}
	if st := <-got; st.Seq != 2 || !st.Tensor || len(st.Tokens) != 2 {
		t.Errorf("sent %+v", st)
	}
	if c.Peer() != "worker" {
		t.Errorf("peer %q", c.Peer())
	}
	if err := c.Close("enough"); err != nil {
		t.Error(err)
	}
}

func TestStepFails(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		answer     func(w *worker)
	}{
		{"an error", "no_memory", func(w *worker) { w.send(wire.TypeError, &wire.Error{Code: wire.CodeNoMemory, Seq: 1}) }},
		{"the answer to another step", "of step 7, want 1", func(w *worker) { w.send(wire.TypeInferResult, &wire.InferResult{Seq: 7}) }},
		{"another message", "frame type 33", func(w *worker) { w.send(wire.TypeInferOpened, &wire.InferOpened{MaxTokens: 1}) }},
		{"no vector", "EOF", func(w *worker) { w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Tensor: true}) }},
		{"a result instead of the vector", "frame type 35", func(w *worker) {
			w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Tensor: true})
			w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1})
		}},
		{"a vector of bytes", "want rows of float32", func(w *worker) {
			w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Tensor: true})
			_ = errors.Join(w.w.Write(wire.TypeTensor, []byte{byte(frame.I8), 2, 1, 1, 0}), w.w.Flush())
		}},
		{"the end", "EOF", func(*worker) {}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := serve(t, opened(func(w *worker) {
				w.read(wire.TypeInferStep, nil)
				tt.answer(w)
			}))
			c := mustOpen(t, s)
			if _, _, err := c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1}}, nil); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want …%s…", err, tt.want)
			}
			if _, err := s.Write([]byte{1}); err == nil {
				t.Error("the stream is still open")
			}
			if err := c.Close("done"); err == nil {
				t.Error("a dead session closes in good order")
			}
		})
	}
}

// TestContextEndsACall has a worker that never answers, and contexts of calls that must
// not reach into the next one.
func TestContextEndsACall(t *testing.T) {
	t.Parallel()
	s := serve(t, opened(func(w *worker) {
		w.read(wire.TypeInferStep, nil)
		w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Length: 1})
		w.read(wire.TypeInferStep, nil)
		w.read(wire.TypeInferStep, nil) // until the stream ends
	}))
	c := mustOpen(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	if _, _, err := c.Step(ctx, &wire.InferStep{Tokens: []int32{1}}, nil); err != nil {
		t.Fatal(err)
	}
	cancel()
	if s.deadline.IsZero() {
		t.Error("the deadline of the call is not that of the stream")
	}
	why := errors.New("why")
	end, stop := context.WithCancelCause(t.Context())
	go stop(why)
	if _, _, err := c.Step(end, &wire.InferStep{Tokens: []int32{1}}, nil); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	if s.deadline.After(time.Now().Add(time.Minute)) {
		t.Error("the deadline of one call is left to the next")
	}
}

func TestVectors(t *testing.T) {
	t.Parallel()
	var buf bytes.Buffer
	w := frame.NewWriter(&buf)
	if _, err := infer.WriteVector(w, nil, []float32{1, 2, 3, 4, 5}, 2); err == nil {
		t.Error("five values pass as two rows")
	}
	for _, bad := range [][]byte{nil, {1, 1, 1, 0, 0, 0, 0}, {5, 2, 1, 1, 9}, {1, 2, 1, 2, 0, 0, 0, 0}} {
		if _, _, err := infer.ReadVector(nil, bad); err == nil {
			t.Errorf("%x passes", bad)
		}
	}
}
