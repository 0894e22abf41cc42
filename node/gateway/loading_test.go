package gateway_test

import (
	"context"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/covey-network/covey/node/gateway"
)

// slow are models whose loading ends when the test says so.
type slow struct {
	models
	began, end chan struct{}
}

func (s slow) Serve(context.Context, *gateway.Model) error {
	close(s.began)
	<-s.end
	return nil
}

// TestLoading looks at what is loading before, during and after a request's wait for it.
func TestLoading(t *testing.T) {
	t.Parallel()
	m := slow{models{"demo": demoModel(t)}, make(chan struct{}), make(chan struct{})}
	g := newGateway(t, m, nil)
	if got := g.Loading(); len(got) != 0 {
		t.Errorf("at first %v", got)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		req := httptest.NewRequestWithContext(t.Context(), "POST", "/v1/completions", strings.NewReader(`{"model":"demo","prompt":"x"}`))
		req.Host = "127.0.0.1"
		req.Header.Set("Content-Type", "application/json")
		g.Handler().ServeHTTP(httptest.NewRecorder(), req)
	}()
	<-m.began
	if got := g.Loading(); !slices.Equal(got, []string{"demo"}) {
		t.Errorf("during the load %v", got)
	}
	close(m.end)
	<-done
	if got := g.Loading(); len(got) != 0 {
		t.Errorf("after it %v", got)
	}
}
