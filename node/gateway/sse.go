package gateway

import (
	"encoding/json"
	"net/http"
	"sync"
	"time"
)

// events writes server-sent events. It sends comments while nothing else is sent, so that
// proxies keep a stream open during a long prompt. send and fail may be called by one
// goroutine at a time.
type events struct {
	w     http.ResponseWriter
	rc    *http.ResponseController
	mu    sync.Mutex // held while something is written
	began bool
	stop  chan struct{}
	done  sync.WaitGroup
}

func newEvents(w http.ResponseWriter) *events {
	e := &events{w: w, rc: http.NewResponseController(w), stop: make(chan struct{})}
	e.done.Add(1)
	go e.beat()
	return e
}

// close ends the comments. Nothing is sent after it.
func (e *events) close() {
	close(e.stop)
	e.done.Wait()
}

func (e *events) beat() {
	defer e.done.Done()
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-e.stop:
			return
		case <-t.C:
			_ = e.write([]byte(": waiting\n\n")) // the request's context ends if the client is gone
		}
	}
}

func (e *events) write(b []byte) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.began {
		e.began = true
		h := e.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no")
	}
	if err := e.rc.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	if _, err := e.w.Write(b); err != nil {
		return err
	}
	return e.rc.Flush()
}

func (e *events) send(v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.write(append(append([]byte("data: "), b...), '\n', '\n'))
}

// end tells that the answer is whole.
func (e *events) end() error { return e.write([]byte("data: [DONE]\n\n")) }

// fail answers err as long as nothing was sent; after that it sends an error event and
// breaks the connection, so that a cut answer is never taken for a whole one.
func (e *events) fail(err error) error {
	e.mu.Lock()
	began := e.began
	e.mu.Unlock()
	if !began {
		return err
	}
	api := asAPIError(err)
	_ = e.send(map[string]any{"error": api, "status": api.status}) // the connection breaks in any case
	panic(http.ErrAbortHandler)
}
