package gateway

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"time"
)

// Serve answers on a listener of the test's.
func (g *Gateway) Serve(l net.Listener) error { return g.serve(l) }

// RunOn is Run on a listener of the test's.
func (g *Gateway) RunOn(ctx context.Context, l net.Listener) error { return g.run(ctx, l) }

// Handler answers one request.
func (g *Gateway) Handler() http.Handler { return g.server.Handler }

// Local is the address to ask at for one to listen on.
func Local(a net.Addr) net.Addr { return local(a) }

// ChatPrompt returns the tokens of a chat of one message.
func ChatPrompt(m *Model, role, text string) ([]int32, error) {
	content, err := json.Marshal(text)
	if err != nil {
		return nil, err
	}
	return chatPrompt(m, []message{{Role: role, Content: content}}, time.Now)
}
