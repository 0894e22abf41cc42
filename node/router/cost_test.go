package router_test

import (
	"testing"
	"time"

	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
)

// prefill sets the time of a prompt's token in a block.
func prefill(d time.Duration) func(*wire.Advert, *wire.Served) {
	return func(_ *wire.Advert, s *wire.Served) { s.PrefillNs = uint64(d) }
}

// TestPlanLooksAtTheWholeRequest has a peer that is fast at prompts, one that is fast at
// steps, and one that is slow at both but near.
func TestPlanLooksAtTheWholeRequest(t *testing.T) {
	t.Parallel()
	reader, writer, near := peer(1), peer(2), peer(3)
	const us, ms = time.Microsecond, time.Millisecond
	s := newSwarm(
		stage(reader, 0, 8, 10*ms, prefill(100*us)),
		stage(writer, 0, 8, ms, prefill(800*us)),
		stage(near, 0, 8, 12*ms, prefill(2*ms)),
	)
	s.rtts = map[host.ID]time.Duration{reader: 80 * ms, writer: 80 * ms, near: ms}
	for _, tt := range []struct {
		name           string
		prompt, answer int
		want           host.ID
		first, token   time.Duration
		total          time.Duration
	}{
		{"a long prompt, a short answer", 2000, 10, reader, 8*2000*100*us + 4*80*ms, 160 * ms, 1600*ms + 320*ms + 9*160*ms},
		{"a short prompt, a long answer", 20, 200, writer, 8*20*800*us + 80*ms, 88 * ms, 208*ms + 199*88*ms},
		{"no limit to the answer", 2000, 1 << 20, writer, 8*2000*800*us + 4*80*ms, 88 * ms, 12800*ms + 320*ms + 255*88*ms},
		{"a long text to embed, in one piece", 2000, 0, reader, 1600*ms + 80*ms, 160 * ms, 1680 * ms},
		{"an image", 1, 0, writer, 88 * ms, 88 * ms, 88 * ms},
		{"a chunk that takes no longer than a step", 3, 1, near, 97 * ms, 97 * ms, 97 * ms},
	} {
		for _, a := range s.adverts {
			a.Models[0].Served[0].FreeTokens = 1 << 30
		}
		choice, err := s.router(t).Plan(asking(tt.prompt, tt.answer))
		if err != nil {
			t.Fatal(err)
		}
		c := choice.Chain
		if c.Links[0].Peer != tt.want || c.First != tt.first || c.Token != tt.token || c.Total != tt.total {
			t.Errorf("%s: got %s, %v to the first token, then %v, %v in all; want %s, %v, %v, %v", tt.name, c, c.First, c.Token, c.Total, tt.want, tt.first, tt.token, tt.total)
		}
	}
}

// TestUnknownPrefillIsNoGain has a peer that does not tell its time for prompts.
func TestUnknownPrefillIsNoGain(t *testing.T) {
	t.Parallel()
	silent, open := peer(1), peer(2)
	s := newSwarm(stage(silent, 0, 8, time.Millisecond, nil), stage(open, 0, 8, 2*time.Millisecond, prefill(100*time.Microsecond)))
	choice, err := s.router(t).Plan(asking(500, 2))
	if err != nil || choice.Chain.Links[0].Peer != open {
		t.Errorf("got %v, %v", choice.Chain, err)
	}
}

// TestSessionPlansForWhatIsLeft loses its chain after a long answer: what counts then is how
// soon another one reads the history.
func TestSessionPlansForWhatIsLeft(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	first := &chainPeer{id: peer(1), fail: func(n int) (error, bool) { return wireErrorAt(n, 200, wire.CodeInternal) }}
	reader, writer := &chainPeer{id: peer(2)}, &chainPeer{id: peer(3)}
	s := newSwarm(
		stage(first.id, 0, 8, ms/10, prefill(ms/10)),
		stage(reader.id, 0, 8, 12*ms, prefill(ms)),
		stage(writer.id, 0, 8, 10*ms, prefill(10*ms)),
	)
	serveAll(t, s, first, reader, writer)
	r := s.router(t)
	req := request()
	req.Prompt, req.Answer = 3, 203
	if choice, err := r.Plan(router.Request{Model: model, Blocks: blocks, Prompt: 3, Answer: 203}); err != nil || choice.Chain.Links[0].Peer != first.id {
		t.Fatalf("first choice: %+v, %v", choice, err)
	}
	ses, err := r.Open(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	defer ses.Close()
	generate(t, ses, []int32{1, 2, 3}, 202)
	if got := ses.Chain().Links[0].Peer; got != reader.id {
		t.Errorf("goes on at %s, want %s, which is soonest through the history", got, reader.id)
	}
}
