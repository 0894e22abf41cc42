package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// preflightAge is how long, in seconds, a browser may remember the answer to a preflight.
const preflightAge = "600"

// AnyOrigin in a list of origins lets the pages of all sites ask models.
const AnyOrigin = "*"

// CheckOrigin tells what is wrong with an entry of a list of origins.
func CheckOrigin(origin string) error {
	if origin == AnyOrigin {
		return nil
	}
	u, err := url.Parse(origin)
	if err == nil && (u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" || u.User != nil) {
		err = errors.New("want scheme://host[:port], such as https://chat.example, without a path")
	}
	if err != nil {
		return fmt.Errorf("origin %.100q: %w", origin, err)
	}
	return nil
}

// isControl tells whether a path is one of the owner's routes.
func isControl(path string) bool { return path == "/covey" || strings.HasPrefix(path, "/covey/") }

// crossOrigin answers preflights, and lets pages that may ask models read what they are
// answered, errors too. It reports whether it has answered.
func (g *Gateway) crossOrigin(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" || isControl(r.URL.Path) || !g.knownHost(r) || !g.knownOrigin(origin) {
		return false
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", origin)
	h.Add("Vary", "Origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		h.Set("Access-Control-Expose-Headers", "Retry-After")
		return false
	}
	h.Set("Access-Control-Allow-Methods", "GET, POST")
	if want := r.Header.Values("Access-Control-Request-Headers"); len(want) > 0 { // clients send many of their own
		h.Set("Access-Control-Allow-Headers", strings.Join(want, ", "))
	}
	if r.Header.Get("Access-Control-Request-Private-Network") == "true" {
		h.Set("Access-Control-Allow-Private-Network", "true")
	}
	h.Set("Access-Control-Max-Age", preflightAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}

// admitSite refuses requests that a page of another site has its visitor's browser send.
// The owner's routes answer pages of this very node only.
func (g *Gateway) admitSite(r *http.Request) *apiError {
	refusal := &apiError{status: http.StatusForbidden, Type: "invalid_request_error", Code: "origin_not_allowed", Message: "requests from other sites' pages are refused; api.origins in config.toml lists the sites whose pages may ask models"}
	origin, site := r.Header.Get("Origin"), r.Header.Get("Sec-Fetch-Site")
	switch {
	case isControl(r.URL.Path):
		u, err := url.Parse(origin)
		if origin != "" && (err != nil || !strings.EqualFold(u.Host, r.Host)) || site == "cross-site" || site == "same-site" {
			refusal.Message = "requests of pages to routes under /covey/v1/ are refused"
			return refusal
		}
	case origin != "":
		if !g.knownOrigin(origin) {
			return refusal
		}
	case site == "cross-site" && !public(r) && !slices.Contains(g.cfg.Origins, AnyOrigin):
		return refusal
	}
	return nil
}

// knownOrigin tells whether pages of an origin may ask models: those of this machine, and
// those that the owner lists.
func (g *Gateway) knownOrigin(origin string) bool {
	for _, o := range g.cfg.Origins {
		if o == AnyOrigin || strings.EqualFold(o, origin) {
			return true
		}
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && g.isOurs(u.Host)
}
