package gateway

import (
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// guard stands before every route.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := g.admit(r); err != nil {
			writeError(w, err.in(r))
			return
		}
		w.Header().Set("X-Content-Type-Options", "nosniff")
		if r.ContentLength != 0 { // without a body the deadline would end the request
			r.Body = http.MaxBytesReader(w, r.Body, bodyLimit(r))
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // a connection without deadlines has the header's
		}
		next.ServeHTTP(w, r)
	})
}

func (g *Gateway) admit(r *http.Request) *apiError {
	// A page on another site that resolves its name to this machine sends its own name
	// (DNS rebinding), so only names that are ours are answered.
	if !g.knownHost(r.Host) {
		return &apiError{status: http.StatusMisdirectedRequest, Type: "invalid_request_error", Message: "this host name is not served here; use 127.0.0.1, or add the name to api.hosts"}
	}
	if origin := r.Header.Get("Origin"); origin != "" && !g.knownOrigin(origin) {
		return &apiError{status: http.StatusForbidden, Type: "invalid_request_error", Message: "requests from other sites' pages are refused"}
	}
	if r.URL.Path != "/healthz" && len(g.cfg.Keys) > 0 && !g.authorized(r) {
		return &apiError{status: http.StatusUnauthorized, Type: "authentication_error", Code: "invalid_api_key", Message: "missing or wrong API key: send Authorization: Bearer KEY"}
	}
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return &apiError{status: http.StatusUnsupportedMediaType, Type: "invalid_request_error", Message: "Content-Type must be application/json"}
		}
	}
	return nil
}

func (g *Gateway) knownHost(hostport string) bool {
	host := hostport
	if h, _, err := net.SplitHostPort(hostport); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if isLoopback(host) {
		return true
	}
	if bound, _, err := net.SplitHostPort(g.cfg.Addr); err == nil && strings.EqualFold(bound, host) {
		return true
	}
	for _, h := range g.cfg.Hosts {
		if strings.EqualFold(h, host) {
			return true
		}
	}
	return false
}

func (g *Gateway) knownOrigin(origin string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && g.knownHost(u.Host)
}

func (g *Gateway) authorized(r *http.Request) bool {
	key, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok {
		return false
	}
	sum := sha256.Sum256([]byte(key))
	found := 0
	for i := range g.cfg.Keys {
		found |= subtle.ConstantTimeCompare(sum[:], g.cfg.Keys[i][:])
	}
	return found == 1
}

// handler answers a request or returns what is wrong with it, before it has written.
type handler func(w http.ResponseWriter, r *http.Request) error

// limited lets maxConcurrent requests run, maxWaiting wait, and refuses the rest at once.
func (g *Gateway) limited(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case g.waiting <- struct{}{}:
			defer func() { <-g.waiting }()
		default:
			w.Header().Set("Retry-After", "2")
			busy := &apiError{status: http.StatusTooManyRequests, Type: "rate_limit_error", Message: "too many requests at once, try again"}
			writeError(w, busy.in(r))
			return
		}
		select {
		case g.slots <- struct{}{}:
			defer func() { <-g.slots }()
		case <-r.Context().Done():
			return
		}
		if err := h(w, r); err != nil {
			writeError(w, asAPIError(err).in(r))
		}
	})
}
