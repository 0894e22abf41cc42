package gateway

import (
	"context"
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
	stop  func() // ends the comments; may be called more than once
	done  sync.WaitGroup
}

func newEvents(w http.ResponseWriter) *events {
	stopped := make(chan struct{})
	e := &events{w: w, rc: http.NewResponseController(w), stop: sync.OnceFunc(func() { close(stopped) })}
	e.done.Go(func() { e.beat(stopped) })
	return e
}

// close ends the comments. No comment is sent after it.
func (e *events) close() {
	e.stop()
	e.done.Wait()
}

func (e *events) beat(stopped <-chan struct{}) {
	t := time.NewTicker(heartbeat)
	defer t.Stop()
	for {
		select {
		case <-stopped:
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
func (e *events) fail(ctx context.Context, err error) error {
	e.close() // else a comment could come before an answer that is no stream
	if !e.began {
		return err
	}
	api := asAPIError(ctx, err)
	_ = e.send(map[string]any{"error": api, "status": api.status}) // the connection breaks in any case
	panic(http.ErrAbortHandler)
}
