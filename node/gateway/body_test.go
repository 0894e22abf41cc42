package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// post begins a request with a body of a length.
func post(c net.Conn, path string, length int) {
	fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", path, length)
}

// answered reads an answer of JSON and returns its status, and the code of its error.
func answered(t *testing.T, c net.Conn) (*http.Response, string) {
	t.Helper()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var doc struct{ Error struct{ Code string } }
	if err := json.NewDecoder(res.Body).Decode(&doc); err != nil {
		t.Errorf("status %d: %v", res.StatusCode, err)
	}
	return res, doc.Error.Code
}

// TestSlowBodiesTakeNoPlace has many clients that send a byte in a while: others are answered
// at once, and each of the slow ones when its time is up.
func TestSlowBodiesTakeNoPlace(t *testing.T) {
	t.Parallel()
	served(t, models{}, nil, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		var slow []net.Conn
		for range 200 {
			c := dial()
			post(c, "/v1/completions", 100_000)
			fmt.Fprint(c, "{")
			slow = append(slow, c)
		}
		start := time.Now()
		c := dial()
		post(c, "/v1/completions", 13)
		fmt.Fprint(c, `{"model":"x"}`)
		if res, code := answered(t, c); res.StatusCode != 404 || code != "model_not_found" || time.Since(start) != 0 {
			t.Errorf("others are answered %d %s after %s", res.StatusCode, code, time.Since(start))
		}
		c.Close()
		for _, c := range slow {
			if res, code := answered(t, c); res.StatusCode != 408 || code != "request_timeout" || !res.Close || time.Since(start) > 11*time.Second {
				t.Errorf("a slow one is answered %d %s after %s", res.StatusCode, code, time.Since(start))
			}
			c.Close()
		}
	})
}

// TestSteadyBodiesHaveTime sends slower than any network, but steadily enough.
func TestSteadyBodiesHaveTime(t *testing.T) {
	t.Parallel()
	served(t, models{}, nil, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		c := dial()
		defer c.Close()
		const pieces, piece = 100, 40 << 10
		body := `{"model":"x","prompt":"` + strings.Repeat("y", pieces*piece) + `"}`
		post(c, "/v1/completions", len(body))
		for at := 0; at < len(body); at += piece {
			time.Sleep(time.Second)
			fmt.Fprint(c, body[at:min(len(body), at+piece)])
		}
		if res, code := answered(t, c); res.StatusCode != 404 {
			t.Errorf("answered %d %s", res.StatusCode, code)
		}
	})
}

// TestLargeBodiesShareTheirMemory has clients that stop before the last byte of what may be
// sent: then large requests are refused with a time to try again, small ones are not, and
// after the clients' time all is as before.
func TestLargeBodiesShareTheirMemory(t *testing.T) {
	t.Parallel()
	served(t, models{}, nil, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		large := `{"model":"x","prompt":"` + strings.Repeat("y", 4<<20-100) + `"}`
		ask := func(body string) (*http.Response, string) {
			c := dial()
			defer c.Close()
			post(c, "/v1/completions", len(body))
			fmt.Fprint(c, body)
			return answered(t, c)
		}
		var slow []net.Conn
		for range 20 {
			c := dial()
			post(c, "/v1/completions", len(large))
			fmt.Fprint(c, large[:len(large)-1])
			slow = append(slow, c)
		}
		if res, code := ask(large); res.StatusCode != 503 || code != "overloaded" || res.Header.Get("Retry-After") == "" {
			t.Errorf("a large one: %d %s %v", res.StatusCode, code, res.Header)
		}
		if res, code := ask(`{"model":"x"}`); res.StatusCode != 404 {
			t.Errorf("a small one: %d %s", res.StatusCode, code)
		}
		time.Sleep(5 * time.Minute)
		if res, code := ask(large); res.StatusCode != 404 {
			t.Errorf("a large one later: %d %s", res.StatusCode, code)
		}
		for _, c := range slow {
			c.Close()
		}
	})
}

// TestAnnouncedBodiesHoldLittle has clients that announce large bodies, send a little of
// them and stop: a large request is answered.
func TestAnnouncedBodiesHoldLittle(t *testing.T) {
	t.Parallel()
	served(t, models{}, nil, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		for range 50 {
			c := dial()
			defer c.Close()
			post(c, "/v1/completions", 3<<20)
			fmt.Fprint(c, strings.Repeat(" ", 100<<10))
		}
		c := dial()
		defer c.Close()
		large := `{"model":"x","prompt":"` + strings.Repeat("y", 4<<20-100) + `"}`
		post(c, "/v1/completions", len(large))
		fmt.Fprint(c, large)
		if res, code := answered(t, c); res.StatusCode != 404 {
			t.Errorf("answered %d %s", res.StatusCode, code)
		}
	})
}

// TestSlowPhotosHoldLittle has clients that announce the largest body and begin with it: what
// they hold is what they sent, so that others send theirs.
func TestSlowPhotosHoldLittle(t *testing.T) {
	t.Parallel()
	served(t, models{}, nil, func(t *testing.T, dial func() net.Conn, _ *http.Client) {
		const path, largest = "/v2/models/none/infer", 33 << 20
		for range 3 {
			c := dial()
			defer c.Close()
			post(c, path, largest)
			fmt.Fprint(c, `{"id":"`+strings.Repeat("x", 100<<10))
			synctest.Wait()
		}
		photo := `{"inputs":[{"name":"image","datatype":"BYTES","shape":[1],"data":["` + strings.Repeat("A", 17<<20) + `"]}]}`
		c := dial()
		defer c.Close()
		post(c, path, len(photo))
		fmt.Fprint(c, photo)
		if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 404 {
			t.Errorf("a photo is answered %v, %v, want 404 for its model", res, err)
		}
	})
}

// TestUnreadBodiesDoNotReset sends whole bodies that nobody wants, as a client does that
// reads no answer before it has sent all: the answer is there, and not a reset.
func TestUnreadBodiesDoNotReset(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t, models{}, http.NotFoundHandler())
	ended := make(chan error, 1)
	go func() { ended <- g.Serve(l) }()
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	for _, tc := range []struct {
		path   string
		length int
		status int
		close  bool
	}{
		{"/v1/completions", 20 << 20, 413, true},
		{"/v1/chat/completions", 5 << 20, 413, true},
		{"/v2/models/x/infer", 40 << 20, 413, true},
		{"/covey/v1/host", 8 << 20, 401, false},
		{"/v1/nothing", 8 << 20, 404, false},
		{"/v1/models", 8 << 20, 405, false},
	} {
		c, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		post(c, tc.path, tc.length)
		if _, err := c.Write(make([]byte, tc.length)); err != nil {
			t.Errorf("%+v: %v", tc, err)
		}
		res, err := http.ReadResponse(bufio.NewReader(c), nil)
		if err != nil {
			t.Errorf("%+v: %v", tc, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != tc.status || res.Close != tc.close || !json.Valid(body) {
			t.Errorf("%+v: %d, close %t, %s, %v", tc, res.StatusCode, res.Close, body, err)
		}
		c.Close()
	}
	// A client that asks first need not send.
	c, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", 1<<40)
	if res, code := answered(t, c); res.StatusCode != 413 || code != "request_too_large" {
		t.Errorf("who asks first: %d %s", res.StatusCode, code)
	}
}

// TestManyValues has bodies of many small values: they are refused or answered, but nothing is
// built of them first.
func TestManyValues(t *testing.T) {
	t.Parallel()
	m := demoModel(t)
	embed := *m
	embed.Name, embed.Task = "embed", "embed"
	h := newGateway(t, models{"demo": m, "embed": &embed}, nil).Handler()
	fill := func(head, piece, tail string, size int) string {
		return head + strings.Repeat(piece, (size-len(head)-len(tail))/len(piece)) + tail
	}
	const hi = `"messages":[{"role":"user","content":"hi"}]`
	keys := new(strings.Builder)
	for i := range 70_000 {
		fmt.Fprintf(keys, `"%d":1,`, i)
	}
	for _, tc := range []struct{ name, path, body, want string }{
		{"tools", "/v1/chat/completions", fill(`{"model":"demo",`+hi+`,"tools":[`, "[],", "[]]}", 4<<20), "lists and objects"},
		{"some tools", "/v1/chat/completions", fill(`{"model":"demo",`+hi+`,"tools":[`, "[],", "[]]}", 1<<10), "tools are not supported"},
		{"no tools", "/v1/chat/completions", `{"model":"demo",` + hi + `,"tools":[ ],"functions":null,"logit_bias":{}}`, "no_chain"},
		{"messages", "/v1/chat/completions", fill(`{"model":"demo","messages":[`, "{},", "{}]}", 4<<20), "lists and objects"},
		{"messages that are numbers", "/v1/chat/completions", fill(`{"model":"demo","messages":[`, "0,", "0]}", 4<<20), "messages.[0] is a number, want an object"},
		{"too many messages", "/v1/chat/completions", fill(`{"model":"demo","messages":[`, `{"role":"user"},`, `{}]}`, 400<<10), "16384 messages"},
		{"keys", "/v1/completions", `{` + keys.String() + `"model":"demo"}`, "65536 keys"},
		{"bias", "/v1/completions", `{"model":"demo","prompt":"x","logit_bias":{"5":1}}`, "logit_bias"},
		{"stops", "/v1/completions", fill(`{"model":"demo","prompt":"x","stop":[`, `"a",`, `"a"]}`, 4<<20), "more than 8"},
		{"prompts", "/v1/completions", fill(`{"model":"demo","prompt":[`, `"",`, `""]}`, 4<<20), "more than 64"},
		{"ids", "/v1/completions", fill(`{"model":"demo","prompt":[`, `1,`, `1]}`, 4<<20), "context_length_exceeded"},
		{"inputs", "/v1/embeddings", fill(`{"model":"embed","input":[`, `"a",`, `"a"]}`, 4<<20), "more than 2048"},
		{"ignored numbers", "/v1/embeddings", fill(`{"model":"embed","input":"a","user":[`, `1e999,`, `1]}`, 4<<20), "no_chain"},
		{"input tensors", "/v2/models/demo/infer", fill(`{"inputs":[`, `{},`, `{}]}`, 12<<20), "lists and objects"},
		{"some input tensors", "/v2/models/demo/infer", fill(`{"inputs":[`, `{},`, `{}]}`, 1<<20), "more than 10000 inputs"},
		{"shape", "/v2/models/demo/infer", fill(`{"inputs":[{"shape":[`, `1,`, `1]}]}`, 12<<20), "more than 4 dimensions"},
		{"outputs", "/v2/models/demo/infer", fill(`{"inputs":[],"outputs":[`, `{},`, `{}]}`, 1<<20), "more than 16 outputs"},
		{"inputs are a text", "/v2/models/demo/infer", `{"inputs":"x"}`, "inputs is a text, want a list"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			res := ask(t, h, tc.path, tc.body)
			if want := 400; res.Code != want && tc.want != "no_chain" || !strings.Contains(res.Body.String(), tc.want) {
				t.Errorf("answered %d %.300s, want %q", res.Code, res.Body, tc.want)
			}
		})
	}
}
