package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol"
	"github.com/covey-network/covey/protocol/frame"
	"github.com/covey-network/covey/protocol/wire"
)

// TestStopTellsCutAnswers ends a gateway while requests of all kinds wait for a peer that
// takes long: when the time to finish is over, or at once if it is to hurry, each is told
// so in the way of its kind, and none breaks off.
func TestStopTellsCutAnswers(t *testing.T) {
	t.Parallel()
	m := demoModel(t)
	m.ID = wire.CIDOf([]byte("model"))
	for name, hurried := range map[string]bool{"in its time": false, "hurried": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { stopAnswers(t, m, hurried) })
		})
	}
}

// TestStopWaitsForNoSilence ends a gateway to which a client has opened a connection, and said
// nothing yet.
func TestStopWaitsForNoSilence(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGateway(t, models{}, nil)
		p := closingPipes{&pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- g.RunOn(ctx, p) }()
		c := p.dial()
		defer c.Close()
		synctest.Wait()
		start := time.Now()
		stop()
		if err := <-ended; err != nil || time.Since(start) > time.Second {
			t.Errorf("ended after %s with %v", time.Since(start), err)
		}
	})
}

func stopAnswers(t *testing.T, m *gateway.Model, hurried bool) {
	peer := wire.PeerIDOf(ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)).Public().(ed25519.PublicKey))
	stage := wire.Served{Range: wire.Range{Last: uint32(m.Blocks), Embed: true, Head: true}, StepNs: 1000, FreeSessions: 4, FreeTokens: 4096}
	advert := &wire.Advert{Peer: peer, Models: []wire.ModelAdvert{{Model: m.ID, Served: []wire.Served{stage}}}}
	hurry := make(chan struct{})
	control := func(w http.ResponseWriter, r *http.Request) {
		<-r.Context().Done()
		gateway.WriteError(w, 503, context.Cause(r.Context()))
	}
	worker := &slowPeer{}
	g := newGatewayWith(t, gateway.Config{Models: models{"demo": m}, Control: http.HandlerFunc(control), Hurry: hurry}, router.Config{
		Adverts: func() []*wire.Advert { return []*wire.Advert{advert} },
		Dial:    func(_ context.Context, h wire.Hop) (host.Stream, error) { return worker.dial(h), nil },
	})
	p := closingPipes{&pipes{conns: make(chan net.Conn), done: make(chan struct{})}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- g.RunOn(ctx, p) }()
	send := func(path, body string, length int) net.Conn {
		c := p.dial()
		fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s", path, ownerKey, length, body)
		return c
	}
	const prompt, stream, chat = `{"model":"demo","prompt":"x"}`, `{"model":"demo","prompt":"x","stream":true}`, `{"model":"demo","messages":[{"role":"user","content":"hi"}]}`
	began := send("/v1/completions", stream, len(stream))
	defer began.Close()
	events, err := http.ReadResponse(bufio.NewReader(began), nil)
	if err != nil {
		t.Fatal(err)
	}
	plain := map[string]net.Conn{
		"a text": send("/v1/completions", prompt, len(prompt)), "a chat": send("/v1/chat/completions", chat, len(chat)),
		"half a request": send("/v1/completions", "{", 100), "a control route": send("/covey/v1/work", "{}", 2),
	}
	sessions := int32(3)
	if hurried { // else there are events before it is cut off
		plain["a stream without events"] = send("/v1/completions", stream, len(stream))
		sessions++
	}
	synctest.Wait()
	start, want := time.Now(), 10*time.Second
	stop()
	if hurried {
		close(hurry)
		want = 0
	}
	text, err := io.ReadAll(events.Body)
	if err == nil || !bytes.Contains(text, []byte(`"code":"stopping"`)) || bytes.Contains(text, []byte("[DONE]")) {
		t.Errorf("the stream ended with %v: %s", err, text)
	}
	for name, c := range plain {
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var doc struct {
			Error struct{ Code, Message string }
		}
		if err := json.NewDecoder(res.Body).Decode(&doc); err != nil || res.StatusCode != 503 || doc.Error.Code == "" || !strings.Contains(doc.Error.Message, "being stopped") {
			t.Errorf("%s is answered %d %+v, %v", name, res.StatusCode, doc, err)
		}
		c.Close()
	}
	if err := <-ended; err != nil {
		t.Errorf("the gateway ended with %v", err)
	}
	worker.sessions.Wait() // they all end
	if got := worker.opened.Load(); got != sessions {
		t.Errorf("%d sessions, want %d", got, sessions)
	}
	if took := time.Since(start); took < want || took > want+time.Second {
		t.Errorf("ended after %s, want %s", took, want)
	}
}

// slowPeer serves a whole model: a token every half second.
type slowPeer struct {
	opened   atomic.Int32
	sessions sync.WaitGroup
}

// memStream is a stream in memory.
type memStream struct {
	net.Conn
	peer host.ID
}

func (s *memStream) CloseWrite() error { return nil } // the protocol ends with a message
func (s *memStream) Reset() error      { return s.Close() }
func (s *memStream) Peer() host.ID     { return s.peer }
func (s *memStream) Relayed() bool     { return false }

func (p *slowPeer) dial(h wire.Hop) host.Stream {
	here, there := net.Pipe()
	p.sessions.Go(func() { p.serve(&memStream{there, "client"}) })
	return &memStream{here, h.Peer}
}

func (p *slowPeer) serve(s host.Stream) {
	defer s.Close()
	r, w := frame.NewReader(s, wire.InferServerLimits(protocol.MaxTensor)), frame.NewWriter(s)
	send := func(t frame.Type, m wire.Message) bool {
		b, err := wire.Encode(m)
		return err == nil && w.Write(t, b) == nil && w.Flush() == nil
	}
	length := uint32(0)
	for {
		t, b, err := r.Next()
		if err != nil {
			return
		}
		switch t {
		case wire.TypeInferOpen:
			var open wire.InferOpen
			if wire.Decode(b, &open) != nil || !send(wire.TypeInferOpened, &wire.InferOpened{MaxTokens: open.MaxTokens}) {
				return
			}
			p.opened.Add(1)
		case wire.TypeInferClose:
			return
		case wire.TypeInferStep:
			var st wire.InferStep
			if wire.Decode(b, &st) != nil {
				return
			}
			time.Sleep(time.Second / 2)
			length = st.Position + uint32(len(st.Tokens))
			res := &wire.InferResult{Seq: st.Seq, Length: length}
			if st.Want == wire.WantToken {
				res.Tokens = []wire.Sampled{{Token: 300}}
			}
			if !send(wire.TypeInferResult, res) {
				return
			}
		}
	}
}

// closingPipes ends when it is closed.
type closingPipes struct{ *pipes }

func (p closingPipes) Close() error {
	select {
	case <-p.done:
	default:
		close(p.done)
	}
	return nil
}
