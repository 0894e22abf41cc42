package infer_test

import (
	"context"
	"errors"
	"math"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/infer"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// TestSilentPeer has peers that stop at some point of a session, in virtual time. All but
// the last tell their progress, or should.
func TestSilentPeer(t *testing.T) {
	t.Parallel()
	later := wire.PeerIDOf(make([]byte, 32))
	beat := func(w *worker, d time.Duration) {
		for end := time.Now().Add(d); time.Now().Before(end); {
			time.Sleep(infer.Beat)
			w.send(wire.TypeProgress, &wire.InferProgress{Peer: later})
		}
	}
	until := func(w *worker) { w.read(wire.TypeInferStep, nil) } // until the stream ends
	for name, tc := range map[string]struct {
		script func(w *worker)
		hidden []float32
		after  time.Duration // of the step
		ok     bool
	}{
		"works for long": {script: func(w *worker) {
			w.read(wire.TypeInferStep, nil)
			beat(w, 20*time.Second)
			w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Length: 1})
		}, after: 20 * time.Second, ok: true},
		"hangs at a step": {script: func(w *worker) { w.read(wire.TypeInferStep, nil); until(w) }, after: infer.Silence},
		"hangs at work":   {script: func(w *worker) { w.read(wire.TypeInferStep, nil); beat(w, time.Second); until(w) }, after: time.Second + infer.Silence},
		"hangs in a vector": {script: func(w *worker) {
			w.read(wire.TypeInferStep, nil)
			w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Length: 1, Tensor: true})
			_, _ = w.Write([]byte{200, 1, byte(wire.TypeTensor), 1, 2, 3}) // the client may be gone
			until(w)
		}, after: infer.Stall},
		"does not take a tensor": {script: func(w *worker) {
			w.read(wire.TypeInferStep, nil)
			time.Sleep(10 * time.Second)
		}, hidden: make([]float32, 1<<20), after: infer.Stall},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := serve(t, opened(tc.script))
				c, err := infer.Options{Silence: infer.Silence}.Open(t.Context(), s, open())
				if err != nil {
					t.Fatal(err)
				}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				start := time.Now()
				_, _, err = c.Step(ctx, &wire.InferStep{Tokens: []int32{1}}, tc.hidden)
				if d := time.Since(start); d != tc.after {
					t.Errorf("took %v, want %v", d, tc.after)
				}
				if tc.ok != (err == nil) || !tc.ok && !errors.Is(err, infer.ErrSilent) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// TestSilentOpen never answers the open, tells whom it waits for first, and then the
// context ends before the silence is too long.
func TestSilentOpen(t *testing.T) {
	t.Parallel()
	later := wire.PeerIDOf(make([]byte, 32))
	synctest.Test(t, func(t *testing.T) {
		for _, limit := range []time.Duration{time.Minute, time.Second} {
			s := serve(t, func(w *worker) {
				w.read(wire.TypeInferOpen, nil)
				w.send(wire.TypeProgress, &wire.InferProgress{Peer: later})
				w.read(wire.TypeInferStep, nil)
			})
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			var at host.ID
			_, err := infer.Options{Silence: infer.Silence, Told: func(id host.ID) { at = id }}.Open(ctx, s, open())
			if got, want := errors.Is(err, infer.ErrSilent), limit == time.Minute; got != want || err == nil || at != later {
				t.Errorf("within %v: %v, at %q", limit, err, at)
			}
			cancel()
		}
	})
}

// TestVectorOverTheModels has a worker send more numbers than the model gives.
func TestVectorOverTheModels(t *testing.T) {
	t.Parallel()
	s := serve(t, opened(func(w *worker) {
		w.read(wire.TypeInferStep, nil)
		w.send(wire.TypeInferResult, &wire.InferResult{Seq: 1, Length: 1, Tensor: true})
		_, _ = infer.WriteVector(w.w, nil, make([]float32, 100), 1)
		_ = w.w.Flush()
	}))
	c, err := infer.Options{MaxVector: 3}.Open(t.Context(), s, open())
	if err != nil {
		t.Fatal(err)
	}
	var size *frame.SizeError
	if _, _, err := c.Step(t.Context(), &wire.InferStep{Tokens: []int32{1}, Want: wire.WantPooled}, nil); !errors.As(err, &size) {
		t.Errorf("got %v", err)
	}
}

// TestAnswers checks results of a step of two tokens at position 3.
func TestAnswers(t *testing.T) {
	t.Parallel()
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	token := func(id int32) []wire.Sampled { return []wire.Sampled{{Token: id, Logprob: -1}} }
	for name, tc := range map[string]struct {
		want   wire.Want
		tokens []wire.Sampled
		vec    []float32
		length uint32
		ok     bool
	}{
		"nothing":                     {want: wire.WantNone, ok: true},
		"nothing, at another length":  {want: wire.WantNone, length: 4},
		"a token for nothing":         {want: wire.WantNone, tokens: token(1)},
		"a vector for nothing":        {want: wire.WantNone, vec: []float32{1, 2}},
		"a token":                     {want: wire.WantToken, tokens: token(99), ok: true},
		"no token":                    {want: wire.WantToken},
		"ten tokens":                  {want: wire.WantToken, tokens: make([]wire.Sampled, 10)},
		"a token over the vocabulary": {want: wire.WantToken, tokens: token(100)},
		"the largest token":           {want: wire.WantToken, tokens: token(math.MaxInt32)},
		"a negative token":            {want: wire.WantToken, tokens: token(-1)},
		"NaN":                         {want: wire.WantToken, tokens: []wire.Sampled{{Logprob: nan}}},
		"-Inf":                        {want: wire.WantToken, tokens: []wire.Sampled{{Logprob: -inf}}},
		"an alternative":              {want: wire.WantToken, tokens: []wire.Sampled{{Top: []wire.TokenLogprob{{Token: 2}}}}, ok: true},
		"an impossible alternative":   {want: wire.WantToken, tokens: []wire.Sampled{{Top: []wire.TokenLogprob{{Token: 200}}}}},
		"an alternative of -Inf":      {want: wire.WantToken, tokens: []wire.Sampled{{Top: []wire.TokenLogprob{{Logprob: -inf}}}}},
		"too many alternatives":       {want: wire.WantToken, tokens: []wire.Sampled{{Top: make([]wire.TokenLogprob, 2)}}},
		"a vector beside the token":   {want: wire.WantToken, tokens: token(1), vec: []float32{1, 2}},
		"two tokens":                  {want: wire.WantAll, tokens: make([]wire.Sampled, 2), ok: true},
		"one of two":                  {want: wire.WantAll, tokens: token(1)},
		"a vector":                    {want: wire.WantPooled, vec: []float32{1, 2}, ok: true},
		"no vector":                   {want: wire.WantPooled},
		"a vector with a token":       {want: wire.WantPooled, vec: []float32{1, 2}, tokens: token(1)},
		"a short vector":              {want: wire.WantPooled, vec: []float32{1}},
		"a long vector":               {want: wire.WantPooled, vec: []float32{1, 2, 3}},
		"a vector with NaN":           {want: wire.WantPooled, vec: []float32{1, nan}},
		"a vector with Inf":           {want: wire.WantPooled, vec: []float32{inf, 1}},
	} {
		res := &wire.InferResult{Seq: 1, Length: max(tc.length, 5), Tokens: tc.tokens}
		if tc.length > 0 {
			res.Length = tc.length
		}
		a := infer.Answer{Vocab: 100, Width: 2, Logprobs: 1}
		err := a.Check(&wire.InferStep{Position: 3, Tokens: []int32{1, 2}, Want: tc.want}, res, tc.vec)
		if tc.ok != (err == nil) || !tc.ok && !errors.Is(err, infer.ErrAnswer) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	rows := infer.Answer{Width: 2, Rows: true}
	if err := rows.Check(&wire.InferStep{Tokens: make([]int32, 3), Want: wire.WantPooled}, &wire.InferResult{Length: 3}, make([]float32, 6)); err != nil {
		t.Errorf("two numbers for each of three rows: %v", err)
	}
}

// TestPacedRead reads what comes byte by byte, and gives up at the first rest.
func TestPacedRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		here, there := net.Pipe()
		defer here.Close()
		go func() {
			defer there.Close()
			for range 5 {
				time.Sleep(infer.Stall / 2)
				_, _ = there.Write([]byte{1}) // the reader waits
			}
			_, _ = there.Read(make([]byte, 1)) // until the other end is closed
		}()
		var s host.Stream = &memStream{Conn: here}
		p := infer.NewPaced(s)
		p.Bound(time.Time{}, infer.Stall)
		n, err := 0, error(nil)
		for err == nil {
			var k int
			k, err = p.Read(make([]byte, protocol.MaxControl))
			n += k
		}
		if n != 5 || !errors.Is(err, infer.ErrSilent) {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}
