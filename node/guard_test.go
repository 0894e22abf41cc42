package node_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/covey-network/covey/node"
)

// isControl tells whether one of routes is the owner's.
func isControl(route string) bool { return strings.Contains(route, " /covey/") }

// TestControlIsTheOwners asks every control route with the key of a client, with others and
// with none, on a node that has clients' keys and on one that takes models' requests without.
func TestControlIsTheOwners(t *testing.T) {
	t.Parallel()
	for name, keys := range map[string][]string{"keys": {sha256Hex("client")}, "loopback": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.API.Keys = keys })
			if c.Key == "" {
				t.Fatal("no key for the owner")
			}
			for _, route := range append([]string{"GET /covey/v1/nothing", "POST /covey/v1/status"}, routes...) {
				if !isControl(route) {
					continue
				}
				method, path, _ := strings.Cut(route, " ")
				ask := func(auth string) int {
					status, body := request(t, c, method, path, "{}", map[string]string{"Authorization": auth})
					if status/100 == 4 && (!strings.Contains(body, `"message"`) || strings.Contains(body, `"code":null`)) {
						t.Errorf("%s: %s", route, body)
					}
					return status
				}
				want := 401
				if keys != nil {
					want = 403
				}
				if got := ask("Bearer client"); got != want {
					t.Errorf("%s with a client's key: %d, want %d", route, got, want)
				}
				for _, auth := range []string{"", "Bearer", "Bearer ", "Basic " + c.Key, "Bearer " + c.Key + "x", c.Key} {
					if got := ask(auth); got != 401 {
						t.Errorf("%s with %q: %d", route, auth, got)
					}
				}
				for k, v := range map[string]string{"Origin": "http://localhost:3000", "Sec-Fetch-Site": "cross-site"} {
					if got, body := request(t, c, method, path, "{}", map[string]string{k: v}); got != 403 {
						t.Errorf("%s by a page, with the owner's key, %s %s: %d %s", route, k, v, got, body)
					}
				}
			}
			if got, body := request(t, c, "GET", "/covey/v1/status", "", nil); got != 200 {
				t.Errorf("the owner: %d %s", got, body)
			}
			if got, body := request(t, c, "GET", "/v1/models", "", nil); got != 200 {
				t.Errorf("the owner asks for models: %d %s", got, body)
			}
			if got, _ := request(t, c, "GET", "/v1/models", "", map[string]string{"Authorization": "Bearer client"}); got != 200 {
				t.Errorf("a client asks for models: %d", got)
			}
		})
	}
}

// TestOwnersKeyIsInTheDataDirectory looks at what a node on loopback leaves for commands.
func TestOwnersKeyIsInTheDataDirectory(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	c := start(t, dir, online(""))
	at, err := node.ReadEndpoint(dir)
	if err != nil || at.Key == "" || at.Key != c.Key {
		t.Fatalf("%+v, %v", at, err)
	}
	info, err := os.Stat(filepath.Join(dir, "api.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("api.json: %v, %v", info.Mode(), err)
	}
}

// TestPagesOfOtherSites is a browser: it asks before it sends, and reads what it may.
func TestPagesOfOtherSites(t *testing.T) {
	t.Parallel()
	const listed, other = "https://chat.example", "https://evil.example"
	c := start(t, t.TempDir(), func(cfg *node.Config) {
		cfg.API.Keys, cfg.API.Origins = []string{sha256Hex("client")}, []string{listed}
	})
	ask := func(method, path, origin string, headers map[string]string) *http.Response {
		req, err := http.NewRequestWithContext(t.Context(), method, c.Base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Origin", origin)
		for k, v := range headers {
			req.Header.Set(k, v)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res
	}
	preflight := map[string]string{"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"}
	for _, tc := range []struct {
		path, origin string
		allowed      bool
	}{
		{"/v1/chat/completions", listed, true},
		{"/v2/models/x/infer", listed, true},
		{"/v1/embeddings", "http://localhost:5173", true},
		{"/v1/chat/completions", other, false},
		{"/v1/chat/completions", listed + ".evil.example", false},
		{"/v1/chat/completions", "null", false},
		{"/covey/v1/host", listed, false},
		{"/covey/v1/host", "http://localhost:5173", false},
	} {
		res := ask("OPTIONS", tc.path, tc.origin, preflight)
		h := res.Header
		if !tc.allowed {
			if res.StatusCode != 403 || h.Get("Access-Control-Allow-Origin") != "" {
				t.Errorf("%+v: %d %v", tc, res.StatusCode, h)
			}
			continue
		}
		if res.StatusCode != 204 || h.Get("Access-Control-Allow-Origin") != tc.origin || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "POST") ||
			h.Get("Access-Control-Allow-Headers") != preflight["Access-Control-Request-Headers"] || h.Get("Vary") != "Origin" {
			t.Errorf("%+v: %d %v", tc, res.StatusCode, h)
		}
	}
	for auth, want := range map[string]int{"Bearer client": 200, "bearer client": 200, "Bearer wrong": 401} {
		res := ask("GET", "/v1/models", listed, map[string]string{"Authorization": auth})
		if res.StatusCode != want || res.Header.Get("Access-Control-Allow-Origin") != listed {
			t.Errorf("%s: %d %v", auth, res.StatusCode, res.Header)
		}
	}
	// What a page can send without asking first, such as an image's address.
	if status, _ := request(t, c, "GET", "/v2/models/demo/ready", "", map[string]string{"Sec-Fetch-Site": "cross-site"}); status != 403 {
		t.Errorf("an image of another site: %d", status)
	}
}

func TestOriginsOfTheSettings(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		"https://chat.example": "", "http://10.0.0.7:3000": "", "*": "", "chrome-extension://abcdef": "",
		"chat.example": "scheme://host", "https://chat.example/": "without a path", "": "scheme://host", "https://%zz": "api.origins[0]",
	} {
		dir := t.TempDir()
		writeFile(t, filepath.Join(dir, "config.toml"), fmt.Sprintf("[api]\norigins = [%q]\n", origin))
		cfg, err := node.ReadConfig(dir)
		if err != nil {
			t.Fatal(err)
		}
		if err := cfg.Validate(); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", origin, err)
		}
	}
}

// TestOldClients has one of HTTP/1.0, which names no host, and clients that write the scheme
// of their key as they like.
func TestOldClients(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.API.Keys = []string{sha256Hex("client")} })
	for head, want := range map[string]string{
		"GET /v1/models HTTP/1.0\r\nAuthorization: Bearer client\r\n":               "200",
		"GET /v1/models HTTP/1.0\r\nAuthorization: bearer client\r\n":               "200",
		"GET /v1/models HTTP/1.0\r\nAuthorization: BEARER   client\r\n":             "200",
		"GET /v1/models HTTP/1.0\r\n":                                               "401",
		"GET /v1/models HTTP/1.0\r\nHost: evil.example\r\n":                         "421",
		"GET /v1/models HTTP/1.1\r\nHost:\r\nAuthorization: Bearer client\r\n":      "421",
		"GET /covey/v1/status HTTP/1.0\r\nAuthorization: bearer " + c.Key + "\r\n":  "200",
		"GET /covey/v1/status HTTP/1.0\r\nAuthorization: Bearer client\r\n":         "403",
		"GET http://evil.example/v1/models HTTP/1.0\r\nAuthorization: Bearer x\r\n": "421",
	} {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(c.Base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprint(conn, head+"\r\n")
		line, err := bufio.NewReader(conn).ReadString('\n')
		conn.Close()
		if err != nil || !strings.Contains(line, " "+want+" ") {
			t.Errorf("%q: %q, %v", head, line, err)
		}
	}
}

// TestWhatThisIs asks for / as browsers, programs and people do.
func TestWhatThisIs(t *testing.T) {
	t.Parallel()
	c := start(t, t.TempDir(), func(cfg *node.Config) { cfg.API.Keys, cfg.Version = []string{sha256Hex("client")}, "v9.8.7" })
	for accept, want := range map[string]string{
		"": "text/plain", "*/*": "text/plain", "application/json": "application/json", "text/html,application/xhtml+xml,*/*;q=0.8": "text/html",
	} {
		for _, auth := range []string{"", "Bearer client"} {
			req, err := http.NewRequestWithContext(t.Context(), "GET", c.Base+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Accept", accept)
			req.Header.Set("Authorization", auth)
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			res.Body.Close()
			body := string(b)
			if err != nil || res.StatusCode != 200 || !strings.HasPrefix(res.Header.Get("Content-Type"), want) {
				t.Errorf("%q: %d %v, %v", accept, res.StatusCode, res.Header, err)
			}
			if !strings.Contains(body, "covey") || !strings.Contains(body, "POST /v1/chat/completions") || !strings.Contains(body, "https://") || strings.Contains(body, "v9.8.7") != (auth != "") {
				t.Errorf("%q with key %q: %s", accept, auth, body)
			}
			if want == "application/json" && !json.Valid(b) {
				t.Errorf("no JSON: %s", body)
			}
		}
	}
}

// TestErrorsEchoLittle sends what is long where it comes back in errors.
func TestErrorsEchoLittle(t *testing.T) {
	t.Parallel()
	c := withDemo(t)
	long := strings.Repeat("é<", 300_000)
	path := strings.Repeat("x", 9000)
	for _, tc := range []struct{ method, path, body string }{
		{"POST", "/v1/completions", `{"prompt":"x","model":"` + long + `"}`},
		{"POST", "/v1/embeddings", `{"input":"x","model":"` + long + `"}`},
		{"POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"` + long + `","content":"x"}]}`},
		{"POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":[{"type":"` + long + `"}]}]}`},
		{"POST", "/v1/completions", `{"` + long + `":1,"` + long + `":1}`},
		{"POST", "/v1/completions", `{"model":"demo","prompt":"x","max_tokens":1` + strings.Repeat("0", 100_000) + `}`},
		{"POST", "/v1/completions", `{"model":"demo","prompt":[1` + strings.Repeat("0", 100_000) + `]}`},
		{"POST", "/v1/completions", `{"model":"demo","prompt":"x","stop":"` + long + `"}`},
		{"POST", "/v1/embeddings", `{"model":"demo","input":"x","encoding_format":"` + long + `"}`},
		{"POST", "/v2/models/demo/infer", `{"parameters":{"top_k":"` + long + `"},"inputs":[]}`},
		{"POST", "/v2/models/demo/infer", `{"id":"` + long + `","inputs":[]}`},
		{"GET", "/v1/models/" + path, ""},
		{"GET", "/v2/models/" + path, ""},
		{"GET", "/v2/models/" + path + "/ready", ""},
		{"GET", "/" + path, ""},
		{"POST", "/covey/v1/models/pull", `{"model":"` + long + `"}`},
		{"POST", "/covey/v1/models/pin", `{"model":"` + long + `"}`},
		{"POST", "/covey/v1/host", `{"model":"demo","blocks":"` + long + `"}`},
		{"POST", "/covey/v1/host", `{"` + long + `":1}`},
		{"DELETE", "/covey/v1/host/" + path, ""},
		{"GET", "/covey/v1/route?model=" + path, ""},
	} {
		status, body := request(t, c, tc.method, tc.path, tc.body, nil)
		if (status/100 != 4 && status != 200) || len(body) > 4<<10 || strings.Contains(body, `"code":null`) || !json.Valid([]byte(strings.TrimSpace(body))) {
			t.Errorf("%s %.40s with %.60s: %d, %d bytes: %.200s", tc.method, tc.path, tc.body, status, len(body), body)
		}
	}
}
