package harm

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/covey-network/covey/node"
	"github.com/covey-network/covey/testnet/hostile"
	"github.com/covey-network/covey/testnet/runner"
)

const (
	bodySize   = 4<<20 - 1  // what a gateway takes
	bodySizeV2 = 33<<20 - 1 // and for a model's tensors
	bodiesOnce = 32
	bodiesMiB  = 300e6 / (1 << 20) // resident memory of the node: 300 MB
	// othersLimit is how long others may wait for an answer.
	othersLimit = 500 * time.Millisecond
	echoLimit   = 4 << 10 // bytes of an answer to a model name of 1 MB
	// clientKey is that of a client in the tests of what it opens.
	clientKey = "key-of-a-client"
)

// elsewhere dials from another address than others do: from a machine of its own.
var elsewhere = &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}

// hi is a conversation.
const hi = `"messages":[{"role":"user","content":"hi"}]`

// hostileBodies are bodies of many small values, as large as their route takes.
var hostileBodies = []struct {
	name, path       string
	head, value, end string
	size             int
}{
	{"tools of empty lists", "/v1/chat/completions", `{"model":"demo",` + hi + `,"tools":[`, `[],`, `[]]}`, bodySize},
	{"messages of nothing", "/v1/chat/completions", `{"model":"demo","messages":[`, `{},`, `{}]}`, bodySize},
	{"short messages", "/v1/chat/completions", `{"model":"demo","messages":[`, `{"role":"user","content":""},`, `{"role":"user","content":"a"}]}`, 900 << 10},
	{"empty stop texts", "/v1/chat/completions", `{"model":"demo",` + hi + `,"stop":[`, `"",`, `""]}`, bodySize},
	{"token ids", "/v1/completions", `{"model":"demo","prompt":[`, `1,`, `1]}`, bodySize},
	{"escapes", "/v1/completions", `{"model":"demo","prompt":"`, `a\n`, `"}`, bodySize},
	{"tensors of nothing", "/v2/models/demo/infer", `{"inputs":[`, `{},`, `{}]}`, bodySizeV2},
}

// refusals are how a gateway answers a body that is too much: it says what is wrong with it,
// or that there are too many at once.
var refusals = []string{"400 Bad Request", "503 Service Unavailable"}

// Bodies sends bodies of many JSON values at once, one kind after the other.
func Bodies(ctx context.Context, l *Lab) (out []Figure, err error) {
	s, err := l.start(ctx, &runner.Manifest{Nodes: nodes("one"), Model: []runner.Model{{Name: "demo", On: "one"}}})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := rested(ctx, s, "one"); err != nil {
		return nil, err
	}
	p := s.Node("one")
	for _, k := range hostileBodies {
		body := k.head + strings.Repeat(k.value, (k.size-len(k.head)-len(k.end))/len(k.value)) + k.end
		strange := 0
		most, err := peak(p, func() {
			for _, status := range send(ctx, p, bodiesOnce, k.path, body) {
				if !slices.Contains(refusals, status) {
					l.say("a body of %s: %s", k.name, status)
					strange++
				}
			}
		})
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("%d bodies of %s", bodiesOnce, k.name)
		out = append(out,
			Figure{name + ": resident memory", most, bodiesMiB, "MiB"},
			Figure{name + ": not refused in order", float64(strange), 0, "bodies"})
	}
	return out, nil
}

// send sends a body n times at once and returns what became of each: the status of its
// answer, or the error.
func send(ctx context.Context, p *runner.Process, n int, path, body string) []string {
	out := make([]string, n)
	var all sync.WaitGroup
	for i := range out {
		all.Go(func() {
			res, err := request(ctx, p, http.MethodPost, path, p.API().Key, strings.NewReader(body))
			if err != nil {
				out[i] = err.Error()
				return
			}
			out[i] = res.Status
			_, err = io.Copy(io.Discard, res.Body)
			if err = errors.Join(err, res.Body.Close()); err != nil {
				out[i] = err.Error()
			}
		})
	}
	all.Wait()
	return out
}

// Clients holds a gateway up with slow bodies, then with idle connections, from one address,
// while others ask from another one, and then with both from the address of those.
func Clients(ctx context.Context, l *Lab) (_ []Figure, err error) {
	s, err := l.start(ctx, &runner.Manifest{
		Nodes: nodes("one"), Model: []runner.Model{{Name: "demo", On: "one", Hosts: []runner.Host{{Node: "one", Blocks: "all"}}}},
	})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	p := s.Node("one")
	alone, err := slowest(ctx, p)
	if err != nil {
		return nil, err
	}
	l.say("an answer takes %v when nobody disturbs", alone)
	var out []Figure
	slow := crowd{128, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 4000\r\n\r\n{"}
	idle := crowd{3000, ""}
	after := crowd{idle.n, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"}
	for _, c := range []struct {
		name   string
		from   *net.Dialer
		crowds []crowd
	}{
		{fmt.Sprintf("%d slow bodies", slow.n), elsewhere, []crowd{slow}},
		{fmt.Sprintf("%d idle connections", idle.n), elsewhere, []crowd{idle}},
		{fmt.Sprintf("%d idle connections after an answer", after.n), elsewhere, []crowd{after}},
		{fmt.Sprintf("%d slow bodies and %d idle connections from the others' address", slow.n, idle.n), new(net.Dialer), []crowd{slow, idle}},
	} {
		end, err := connections(ctx, p, c.from, c.crowds...)
		if err != nil {
			return nil, err
		}
		took, err := slowest(ctx, p)
		end()
		failed := 0.0
		if err != nil {
			l.say("%s: others hear %v", c.name, err)
			failed = 1
		}
		out = append(out,
			Figure{c.name + ": slowest answer to others", took.Seconds(), othersLimit.Seconds(), "s"},
			Figure{c.name + ": others refused", failed, 0, "answers"})
	}
	return out, nil
}

// crowd are connections that send the same first; those with a body go on a byte a second.
type crowd struct {
	n     int
	first string
}

// connections opens connections. The gateway may close them, but one that cannot be opened
// is an error: with fewer the figures say nothing. end closes them.
func connections(ctx context.Context, p *runner.Process, from *net.Dialer, crowds ...crowd) (end func(), err error) {
	at, err := url.Parse(p.API().Base)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	var all []net.Conn
	var drips sync.WaitGroup
	end = func() {
		cancel()
		for _, c := range all {
			_ = c.Close() // the gateway may have been first
		}
		drips.Wait()
	}
	for _, cr := range crowds {
		for i := range cr.n {
			c, err := from.DialContext(ctx, "tcp", at.Host)
			if err != nil {
				end()
				return nil, fmt.Errorf("open connection %d of %d: %w", i+1, cr.n, err)
			}
			all = append(all, c)
			if _, err := io.WriteString(c, cr.first); err != nil {
				continue // it was refused already
			}
			if strings.HasPrefix(cr.first, "POST") {
				drips.Go(func() { drip(ctx, c) })
			}
		}
	}
	return end, nil
}

// drip sends a byte a second.
func drip(ctx context.Context, c net.Conn) {
	for hostile.Pause(ctx, time.Second) == nil {
		if _, err := c.Write([]byte(" ")); err != nil {
			return
		}
	}
}

// slowest asks a few times for a token over connections of their own.
func slowest(ctx context.Context, p *runner.Process) (most time.Duration, err error) {
	for range 5 {
		start := time.Now()
		res, err := request(ctx, p, http.MethodPost, "/v1/completions", p.API().Key, strings.NewReader(`{"model":"demo","prompt":"// Reader","max_tokens":1}`))
		if err != nil {
			return max(most, time.Since(start)), err
		}
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		most = max(most, time.Since(start))
		if err != nil || res.StatusCode != http.StatusOK {
			return most, errors.Join(err, fmt.Errorf("answer %s", res.Status))
		}
	}
	return most, nil
}

// request sends a request over a connection of its own.
func request(ctx context.Context, p *runner.Process, method, path, key string, body io.Reader) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	req, err := http.NewRequestWithContext(ctx, method, p.API().Base+path, body)
	if err != nil {
		cancel()
		return nil, err
	}
	req.Close = true
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if key != "" {
		req.Header.Set("Authorization", "Bearer "+key)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		cancel()
		return nil, err
	}
	res.Body = &canceledBody{res.Body, cancel}
	return res, nil
}

// canceledBody ends its request's time when it is closed.
type canceledBody struct {
	io.ReadCloser
	cancel context.CancelFunc
}

// Close implements io.Closer.
func (b *canceledBody) Close() error {
	defer b.cancel()
	return b.ReadCloser.Close()
}

// Keys tries every control route with the key of a client, and asks for a model with a name
// of 1 MB.
func Keys(ctx context.Context, l *Lab) (_ []Figure, err error) {
	dir, err := l.dir("keys")
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256([]byte(clientKey))
	config := fmt.Sprintf("[api]\nkeys = [%q]\n", hex.EncodeToString(sum[:]))
	data := filepath.Join(dir, "one")
	if err := errors.Join(os.MkdirAll(data, 0o700), os.WriteFile(filepath.Join(data, "config.toml"), []byte(config), 0o600)); err != nil {
		return nil, err
	}
	s, err := runner.Start(ctx, runner.Config{Binary: l.Binary, Dir: dir}, &runner.Manifest{Nodes: nodes("one")})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	p := s.Node("one")
	status := func(method, path, key, body string) (int, int64, error) {
		var in io.Reader
		if body != "" {
			in = strings.NewReader(body)
		}
		res, err := request(ctx, p, method, path, key, in)
		if err != nil {
			return 0, 0, err
		}
		n, err := io.Copy(io.Discard, res.Body)
		return res.StatusCode, n, errors.Join(err, res.Body.Close())
	}
	if code, _, err := status("GET", "/v1/models", clientKey, ""); err != nil || code != http.StatusOK {
		return nil, fmt.Errorf("the client's key opens nothing at all: status %d, %w", code, err)
	}
	open := 0
	for _, route := range append(node.ControlRoutes(), "GET /covey/v1/nothing") {
		method, path, _ := strings.Cut(strings.ReplaceAll(route, "{name}", "demo"), " ")
		body := ""
		if method == http.MethodPost {
			body = "{}"
		}
		code, _, err := status(method, path, clientKey, body)
		if err != nil {
			return nil, err
		}
		if code != http.StatusForbidden {
			l.say("a client's key gets %d from %s", code, route)
			open++
		}
	}
	if code, _, err := status("GET", "/covey/v1/status", p.API().Key, ""); err != nil || code != http.StatusOK {
		return nil, fmt.Errorf("the owner's key gets status %d, %w", code, err)
	}
	var echoed int64
	name := string(bytes.Repeat([]byte("m"), 1<<20))
	for path, body := range map[string]string{
		"/v1/completions":      `{"model":"` + name + `","prompt":"x"}`,
		"/v1/chat/completions": `{"model":"` + name + `","messages":[{"role":"user","content":"x"}]}`,
		"/v1/embeddings":       `{"model":"` + name + `","input":"x"}`,
	} {
		_, n, err := status("POST", path, clientKey, body)
		if err != nil {
			return nil, err
		}
		echoed = max(echoed, n)
	}
	return []Figure{
		{"a client's key: control routes that do not answer 403", float64(open), 0, "routes"},
		{"a model name of 1 MB: longest answer", float64(echoed), echoLimit, "bytes"},
	}, nil
}
