package gateway

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"mime"
	"net"
	"net/http"
	"strings"
	"time"
)

// guard stands before every route.
func (g *Gateway) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Content-Type-Options", "nosniff")
		up := receive(w, r)
		defer up.conn.quiet()
		defer context.AfterFunc(r.Context(), up.interrupt)()
		if g.crossOrigin(w, r) {
			return
		}
		if err := g.admit(r); err != nil {
			writeError(w, err.in(r))
		} else {
			next.ServeHTTP(w, r)
		}
		up.discard()
	})
}

// admit checks what every request needs.
func (g *Gateway) admit(r *http.Request) *apiError {
	// A page on another site that resolves its name to this machine sends its own name
	// (DNS rebinding), so only names that are ours are answered.
	if !g.knownHost(r) {
		return &apiError{status: http.StatusMisdirectedRequest, Type: "invalid_request_error", Message: "this host name is not served here; use 127.0.0.1, or add the name to api.hosts"}
	}
	if err := g.admitSite(r); err != nil {
		return err
	}
	if !public(r) && len(g.cfg.Keys) > 0 && g.caller(r) == stranger {
		return noKey("missing or wrong API key: send Authorization: Bearer KEY")
	}
	if r.Method == http.MethodPost {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			return &apiError{status: http.StatusUnsupportedMediaType, Type: "invalid_request_error", Message: "Content-Type must be application/json"}
		}
	}
	return nil
}

// public tells whether a route says nothing that a key should protect.
func public(r *http.Request) bool { return r.URL.Path == "/healthz" || r.URL.Path == "/" }

func noKey(message string) *apiError {
	return &apiError{status: http.StatusUnauthorized, Type: "authentication_error", Code: "invalid_api_key", Message: message}
}

// owned lets nobody but the owner of the node through: who may ask models may not invite
// peers, read files of this machine or remove models.
func (g *Gateway) owned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch g.caller(r) {
		case owner:
			next.ServeHTTP(w, r)
		case client:
			writeError(w, &apiError{status: http.StatusForbidden, Type: "permission_error", Code: "owner_only", Message: "an API key is for models; routes under /covey/v1/ take the owner's key, which is in api.json in the data directory of the node"})
		default:
			writeError(w, noKey("routes under /covey/v1/ take the owner's key, which is in api.json in the data directory of the node: send Authorization: Bearer KEY"))
		}
	})
}

// knownHost tells whether a request names this node. HTTP/1.0 has no names, and no browser
// speaks it.
func (g *Gateway) knownHost(r *http.Request) bool {
	return g.isOurs(r.Host) || r.Host == "" && !r.ProtoAtLeast(1, 1)
}

// isOurs tells whether a host, with or without a port, is a name of this node.
func (g *Gateway) isOurs(hostport string) bool {
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

// caller is who sends a request, as its key tells.
type caller int

const (
	stranger caller = iota // no key, or one that is not known here
	client                 // may ask models
	owner                  // may do all
)

func (g *Gateway) caller(r *http.Request) caller {
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return stranger
	}
	sum := sha256.Sum256([]byte(strings.TrimSpace(key)))
	if subtle.ConstantTimeCompare(sum[:], g.cfg.Owner[:]) == 1 {
		return owner
	}
	found := 0
	for i := range g.cfg.Keys {
		found |= subtle.ConstantTimeCompare(sum[:], g.cfg.Keys[i][:])
	}
	if found == 1 {
		return client
	}
	return stranger
}

// handler answers a request with a body, which has been read, or returns what is wrong with
// it, before it has written.
type handler func(w http.ResponseWriter, r *http.Request, b *body) error

// limited lets maxConcurrent requests run, maxWaiting wait, and refuses the rest at once. A
// request counts from when it is here whole: who sends slowly keeps nobody else waiting.
func (g *Gateway) limited(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := g.readBody(r)
		if err == nil {
			defer b.free()
			err = g.take(r, func() error { return h(w, r, b) })
		}
		if err != nil {
			writeError(w, asAPIError(r.Context(), err).in(r))
		}
	})
}

// take runs f when it is its turn.
func (g *Gateway) take(r *http.Request, f func() error) error {
	select {
	case g.waiting <- struct{}{}:
		defer func() { <-g.waiting }()
	default:
		return &apiError{status: http.StatusTooManyRequests, Type: "rate_limit_error", Message: "too many requests at once, try again", retry: 2 * time.Second}
	}
	select {
	case g.slots <- struct{}{}:
		defer func() { <-g.slots }()
	case <-r.Context().Done():
		return r.Context().Err()
	}
	return f()
}
