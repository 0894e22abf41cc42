package worker_test

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

var ( // constants in all but name
	front = wire.Range{Last: 2, Embed: true}
	back  = wire.Range{First: 2, Last: 4, Head: true}
	nan   = float32(math.NaN())
)

// TestHiddenStateIsChecked gives a stage behind another hidden states that are none: the hop
// that sent them is named.
func TestHiddenStateIsChecked(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.load(t, back)
	dim := b.src.c.Config.Dim()
	with := func(v float32) []float32 {
		x := make([]float32, dim)
		x[dim-1] = v
		return x
	}
	for name, tc := range map[string]struct {
		hidden []float32
		want   wire.Code
	}{
		"zeros":     {with(0), 0},
		"NaN":       {with(nan), wire.CodeBadInput},
		"+Inf":      {with(float32(math.Inf(1))), wire.CodeBadInput},
		"-Inf":      {with(float32(math.Inf(-1))), wire.CodeBadInput},
		"too short": {make([]float32, dim-1), wire.CodeBadInput},
		"too long":  {make([]float32, 2*dim), wire.CodeBadInput},
	} {
		c, err := infer.Open(t.Context(), b.serve(t.Context(), peer(2)), b.request(back, 8))
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1}, Want: wire.WantToken}, tc.hidden)
		if code(err) != tc.want || (err == nil) != (tc.want == 0) {
			t.Errorf("%s: got %v", name, err)
		}
		var e *wire.Error
		if errors.As(err, &e) && e.Peer != peer(2) {
			t.Errorf("%s: blames %s, want the sender", name, e.Peer)
		}
	}
}

// TestTensorThatStalls sends half a hidden state, in virtual time.
func TestTensorThatStalls(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.load(t, back)
		s := b.serve(t.Context(), peer(2))
		if _, err := infer.Open(t.Context(), s, b.request(back, 8)); err != nil {
			t.Fatal(err)
		}
		body, err := wire.Encode(&wire.InferStep{Seq: 1, Tokens: []int32{1}, Tensor: true})
		if err != nil {
			t.Fatal(err)
		}
		w := frame.NewWriter(s)
		if err := errors.Join(w.Write(wire.TypeInferStep, body), w.Flush()); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write(binary.AppendUvarint(nil, 1000)); err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		e, err := readError(s)
		if err != nil || e.Code != wire.CodeBadInput || e.Peer != peer(2) {
			t.Errorf("got %v, %v", e, err)
		}
		if d := time.Since(start); d != infer.Stall {
			t.Errorf("after %v, want %v", d, infer.Stall)
		}
	})
}

// TestTensorOverItsStep announces a tensor that is larger than what its step needs, and is
// reserved: it is refused before any of it has come.
func TestTensorOverItsStep(t *testing.T) {
	t.Parallel()
	b := newBench(t, nil)
	b.load(t, back)
	s := b.serve(t.Context(), peer(2))
	if _, err := infer.Open(t.Context(), s, b.request(back, 8)); err != nil {
		t.Fatal(err)
	}
	w := frame.NewWriter(s)
	send(w, wire.TypeInferStep, &wire.InferStep{Seq: 1, Tokens: []int32{1}, Tensor: true})
	if _, err := s.Write(append(binary.AppendUvarint(nil, protocol.MaxTensor), byte(wire.TypeTensor))); err != nil {
		t.Fatal(err)
	}
	e, err := readError(s)
	if err != nil || e.Code != wire.CodeBadInput || !strings.Contains(e.Message, "at most") {
		t.Errorf("got %v, %v", e, err)
	}
}

// TestProgressWhileATensorComes lets a hidden state come in over a slow link, in virtual time:
// who sends it hears from the start that the peer lives.
func TestProgressWhileATensorComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.load(t, back)
		s := b.serve(t.Context(), peer(2))
		open := b.request(back, 8)
		open.ProgressMs = uint32(infer.Beat.Milliseconds())
		if _, err := infer.Open(t.Context(), s, open); err != nil {
			t.Fatal(err)
		}
		r, w := frame.NewReader(s, wire.InferClientLimits(protocol.MaxTensor)), frame.NewWriter(s)
		send(w, wire.TypeInferStep, &wire.InferStep{Seq: 1, Tokens: []int32{1}, Want: wire.WantToken, Tensor: true})
		start := time.Now()
		for i := range 3 {
			if typ, _, err := r.Next(); err != nil || typ != wire.TypeProgress {
				t.Fatalf("frame %d: type %d, %v, want progress", i, typ, err)
			}
		}
		if d := time.Since(start); d != 3*infer.Beat {
			t.Errorf("three beats took %v", d)
		}
		if _, err := infer.WriteVector(w, nil, make([]float32, b.src.c.Config.Dim()), 1); err != nil {
			t.Fatal(err)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if typ, _, err := r.Next(); err != nil || typ != wire.TypeInferResult {
			t.Errorf("got frame type %d, %v, want the result", typ, err)
		}
		_ = s.Close() // the session ends with it
	})
}

// TestModelWithNaN serves a model with a NaN in a norm: that is the model's fault, whichever
// part of it is asked.
func TestModelWithNaN(t *testing.T) {
	t.Parallel()
	for name, rng := range map[string]wire.Range{"whole": whole, "front": front, "back": back} {
		var hops sync.WaitGroup
		t.Cleanup(hops.Wait)
		b := newBench(t, func(c *worker.Config) {
			c.Dialer = dialer(func(h wire.Hop) (host.Stream, error) {
				here, there := net.Pipe()
				hops.Go(func() { hang(there, true) })
				return &pipe{here, h.Peer}, nil
			})
		})
		b.src.nan = 1
		if rng == back {
			b.src.nan = 3
		}
		b.load(t, rng)
		open := b.request(rng, 8)
		var hidden []float32
		switch rng {
		case front:
			open.Route = []wire.Hop{{Peer: peer(9), Range: back}}
		case back:
			hidden = make([]float32, b.src.c.Config.Dim())
		}
		c, err := infer.Open(t.Context(), b.serve(t.Context(), peer(2)), open)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1}, Want: wire.WantToken}, hidden)
		var e *wire.Error
		if !errors.As(err, &e) || e.Code != wire.CodeModel || e.Peer != "" || !strings.Contains(e.Message, b.src.id.String()) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// second is the hop behind a worker: it opens, and answers steps as a test says.
func second(s net.Conn, answer func(w *frame.Writer, st *wire.InferStep)) {
	defer s.Close()
	r, w := frame.NewReader(s, wire.InferServerLimits(protocol.MaxTensor)), frame.NewWriter(s)
	for {
		typ, body, err := r.Next()
		if err != nil {
			return
		}
		switch typ {
		case wire.TypeInferOpen:
			body, err := wire.Encode(&wire.InferOpened{MaxTokens: protocol.MaxSessionTokens})
			if errors.Join(err, w.Write(wire.TypeInferOpened, body), w.Flush()) != nil {
				return
			}
		case wire.TypeInferStep:
			var st wire.InferStep
			if wire.Decode(body, &st) != nil {
				return
			}
			if _, _, err := r.Next(); err != nil {
				return
			}
			answer(w, &st)
		}
	}
}

func send(w *frame.Writer, typ frame.Type, m wire.Message) {
	body, err := wire.Encode(m)
	_ = errors.Join(err, w.Write(typ, body), w.Flush()) // the worker may be gone
}

// TestErrorsOfLaterHops has a second hop fail in all ways: the first one names it, or the
// third if it is that one's.
func TestErrorsOfLaterHops(t *testing.T) {
	t.Parallel()
	next, last, stranger := peer(9), peer(10), peer(11)
	says := func(c wire.Code, of host.ID) func(*frame.Writer, *wire.InferStep) {
		return func(w *frame.Writer, _ *wire.InferStep) {
			send(w, wire.TypeError, &wire.Error{Code: c, Message: "no", Peer: of, RetryAfterMs: 7})
		}
	}
	gives := func(tokens ...wire.Sampled) func(*frame.Writer, *wire.InferStep) {
		return func(w *frame.Writer, st *wire.InferStep) {
			send(w, wire.TypeInferResult, &wire.InferResult{Seq: st.Seq, Length: st.Position + uint32(len(st.Tokens)), Tokens: tokens})
		}
	}
	for name, tc := range map[string]struct {
		answer func(*frame.Writer, *wire.InferStep)
		code   wire.Code
		peer   host.ID
		text   string
	}{
		"an answer":            {gives(wire.Sampled{Token: 5}), 0, "", ""},
		"internal":             {says(wire.CodeInternal, ""), wire.CodeUpstream, next, "no"},
		"busy":                 {says(wire.CodeBusy, ""), wire.CodeBusy, next, "no"},
		"the model":            {says(wire.CodeModel, ""), wire.CodeModel, next, "no"},
		"the third hop":        {says(wire.CodeUpstream, last), wire.CodeUpstream, last, "no"},
		"the model, third hop": {says(wire.CodeModel, last), wire.CodeModel, last, "no"},
		"the first hop":        {says(wire.CodeUpstream, peer(1)), wire.CodeUpstream, next, "which is not behind it"},
		"a stranger":           {says(wire.CodeUpstream, stranger), wire.CodeUpstream, next, "which is not behind it"},
		"its input":            {says(wire.CodeBadInput, peer(1)), wire.CodeUpstream, next, "bad_input"},
		"no token":             {gives(), wire.CodeUpstream, next, "0 tokens"},
		"ten tokens":           {gives(make([]wire.Sampled, 10)...), wire.CodeUpstream, next, "10 tokens"},
		"an impossible token":  {gives(wire.Sampled{Token: math.MaxInt32}), wire.CodeUpstream, next, "vocabulary"},
		"a bad probability":    {gives(wire.Sampled{Logprob: float32(math.Inf(-1))}), wire.CodeUpstream, next, "log-probability"},
		"another length": {func(w *frame.Writer, st *wire.InferStep) {
			send(w, wire.TypeInferResult, &wire.InferResult{Seq: st.Seq, Length: 7, Tokens: make([]wire.Sampled, 1)})
		}, wire.CodeUpstream, next, "length 7"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var hops sync.WaitGroup
			t.Cleanup(hops.Wait)
			b := newBench(t, func(c *worker.Config) {
				c.Dialer = dialer(func(h wire.Hop) (host.Stream, error) {
					here, there := net.Pipe()
					hops.Go(func() { second(there, tc.answer) })
					return &pipe{here, h.Peer}, nil
				})
			})
			b.load(t, front)
			open := b.request(front, 8)
			open.Route = []wire.Hop{{Peer: next, Range: wire.Range{First: 2, Last: 3}}, {Peer: last, Range: wire.Range{First: 3, Last: 4, Head: true}}}
			c, err := infer.Open(t.Context(), b.serve(t.Context(), peer(2)), open)
			if err != nil {
				t.Fatal(err)
			}
			res, _, err := c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1}, Want: wire.WantToken}, nil)
			if tc.code == 0 {
				if err != nil || res.Tokens[0].Token != 5 {
					t.Errorf("got %+v, %v", res, err)
				}
				_ = c.Close("done")
				return
			}
			var e *wire.Error
			if !errors.As(err, &e) || e.Code != tc.code || e.Peer != tc.peer || !strings.Contains(e.Message, tc.text) || e.Seq != 1 {
				t.Errorf("got %+v, want %s of %s with %q", err, tc.code, tc.peer, tc.text)
			}
		})
	}
}

// TestProgress has a second hop that is slow, and tells so or not, or stops: the initiator
// hears every beat whom the first hop waits for.
func TestProgress(t *testing.T) {
	t.Parallel()
	next, last := peer(9), peer(10)
	for name, tc := range map[string]struct {
		tells  bool // in its advert
		work   func(w *frame.Writer)
		at     host.ID
		silent time.Duration // until it is given up; 0: it answers after 10 s
		takes  time.Duration // instead of 10 s
	}{
		"old and slow": {work: func(*frame.Writer) { time.Sleep(10 * time.Second) }, at: next},
		"slow": {tells: true, at: next, work: func(w *frame.Writer) {
			for range 40 {
				time.Sleep(infer.Beat)
				send(w, wire.TypeProgress, &wire.InferProgress{})
			}
		}},
		"slower than a session may be idle": {tells: true, at: next, takes: protocol.InferIdleTimeout + 5*time.Second, work: func(w *frame.Writer) {
			for range int((protocol.InferIdleTimeout + 5*time.Second) / infer.Beat) {
				time.Sleep(infer.Beat)
				send(w, wire.TypeProgress, &wire.InferProgress{})
			}
		}},
		"waits for the third": {tells: true, at: last, work: func(w *frame.Writer) {
			for range 40 {
				time.Sleep(infer.Beat)
				send(w, wire.TypeProgress, &wire.InferProgress{Peer: last})
			}
		}},
		"hangs": {tells: true, at: next, work: func(*frame.Writer) { time.Sleep(10 * time.Second) }, silent: infer.Silence},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				var hops sync.WaitGroup
				t.Cleanup(hops.Wait)
				b := newBench(t, func(c *worker.Config) {
					c.Dialer = dialer(func(h wire.Hop) (host.Stream, error) {
						here, there := net.Pipe()
						hops.Go(func() {
							second(there, func(w *frame.Writer, st *wire.InferStep) {
								tc.work(w)
								send(w, wire.TypeInferResult, &wire.InferResult{Seq: st.Seq, Length: uint32(len(st.Tokens)), Tokens: make([]wire.Sampled, 1)})
							})
						})
						return &pipe{here, h.Peer}, nil
					})
				})
				b.load(t, front)
				tokens := make([]int32, 1)
				if tc.takes > 0 { // what is allowed for as many tokens as the model takes, and hops
					tokens = make([]int32, b.src.c.Config.ContextLen())
				}
				open := b.request(front, uint32(len(tokens)))
				open.ProgressMs = uint32(infer.Beat.Milliseconds())
				open.Route = []wire.Hop{
					{Peer: next, Range: wire.Range{First: 2, Last: 3}, Progress: tc.tells},
					{Peer: last, Range: wire.Range{First: 3, Last: 4, Head: true}, Progress: tc.tells},
				}
				for first := uint32(4); tc.takes > 0 && first < protocol.MaxHops; first++ {
					open.Route[len(open.Route)-1].Range.Head = false
					open.Route = append(open.Route, wire.Hop{Peer: last, Range: wire.Range{First: first, Last: first + 1, Head: true}})
				}
				heard := map[host.ID]int{}
				opts := infer.Options{Silence: infer.Silence, Told: func(at host.ID) { heard[at]++ }}
				c, err := opts.Open(t.Context(), b.serve(t.Context(), peer(2)), open)
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
				defer cancel()
				start := time.Now()
				_, _, err = c.Step(ctx, &wire.InferStep{Tokens: tokens, Want: wire.WantToken}, nil)
				took, want := time.Since(start), cmp.Or(tc.takes, 10*time.Second)
				if tc.silent > 0 {
					want = tc.silent
					var e *wire.Error
					if !errors.As(err, &e) || e.Code != wire.CodeUpstream || e.Peer != next {
						t.Errorf("got %v, want the second hop blamed", err)
					}
				} else if err != nil {
					t.Error(err)
				}
				if least := int(want/infer.Beat) - 2; took != want || heard[tc.at] < least {
					t.Errorf("took %v, heard %v; want %v and %d of %s", took, heard, want, least, tc.at)
				}
				_ = c.Close("done") // dead where the second hop hung
			})
		})
	}
}
