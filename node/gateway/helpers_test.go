package gateway_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/covey-network/covey/engine/chat"
	"github.com/covey-network/covey/engine/token"
	"github.com/covey-network/covey/node/gateway"
	"github.com/covey-network/covey/node/host"
	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/protocol/wire"
	"github.com/covey-network/covey/testnet/demo"
)

// demoModel is the demo's tokenizer and template under a task.
func demoModel(t testing.TB) *gateway.Model {
	t.Helper()
	dir := t.TempDir()
	if err := demo.Write(dir); err != nil {
		t.Fatal(err)
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	tok, err := token.FromHF(read("tokenizer.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Template string `json:"chat_template"`
		BOS      string `json:"bos_token"`
		EOS      string `json:"eos_token"`
	}
	if err := json.Unmarshal(read("tokenizer_config.json"), &c); err != nil {
		t.Fatal(err)
	}
	tmpl, err := chat.Parse(c.Template)
	if err != nil {
		t.Fatal(err)
	}
	return &gateway.Model{Name: "demo", Task: "generate", Blocks: 4, Context: 512, BOS: c.BOS, EOS: c.EOS, Tokenizer: tok, Template: tmpl, Shape: router.Shape{Vocab: tok.Size()}}
}

// models are what a gateway knows. Nobody serves any of them.
type models map[string]*gateway.Model

func (m models) List(context.Context) (out []gateway.Entry, _ error) {
	for name := range m {
		out = append(out, gateway.Entry{Name: name, Owner: "covey"})
	}
	return out, nil
}

func (m models) Open(_ context.Context, name string) (*gateway.Model, error) {
	if found := m[name]; found != nil {
		return found, nil
	}
	return nil, fmt.Errorf("%w: %s", gateway.ErrNotFound, name)
}

func (models) Serve(context.Context, *gateway.Model) error { return nil }

// ownerKey is the key of the owner of the tests' gateways.
const ownerKey = "owner"

// newGateway makes a gateway in a swarm of nobody.
func newGateway(t testing.TB, m gateway.Models, control http.Handler) *gateway.Gateway {
	t.Helper()
	return newGatewayWith(t, gateway.Config{Models: m, Control: control}, router.Config{
		Adverts: func() []*wire.Advert { return nil },
		Dial:    func(context.Context, wire.Hop) (host.Stream, error) { return nil, net.ErrClosed },
	})
}

// newGatewayWith makes a gateway with a router of a swarm.
func newGatewayWith(t testing.TB, cfg gateway.Config, swarm router.Config) *gateway.Gateway {
	t.Helper()
	swarm.Path = func(host.ID) host.Path { return host.Path{} }
	swarm.Log, swarm.Now = slog.New(slog.DiscardHandler), time.Now
	r, err := router.New(swarm)
	if err != nil {
		t.Fatal(err)
	}
	cfg.Router, cfg.Owner, cfg.Log, cfg.Now = r, sha256.Sum256([]byte(ownerKey)), swarm.Log, time.Now
	g, err := gateway.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// ask sends a request to a handler.
func ask(t testing.TB, h http.Handler, path, body string) *httptest.ResponseRecorder {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), "POST", path, strings.NewReader(body))
	req.Host = "127.0.0.1"
	req.Header.Set("Content-Type", "application/json")
	res := httptest.NewRecorder()
	h.ServeHTTP(res, req)
	return res
}
