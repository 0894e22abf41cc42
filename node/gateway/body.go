package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// Limits of the bodies of requests.
const (
	maxBody   = 4 << 20  // a prompt of 128k tokens and its JSON escapes
	maxBodyV2 = 33 << 20 // a photo of 24 MB in base64, or the values of several images
	// Of each body smallBody bytes are read whatever others send. What is larger shares
	// maxBodies, so that large bodies, many or slow, cannot take the memory of all.
	smallBody = 64 << 10
	maxBodies = 40 << 20
	growth    = 4 // times what has come is held at most
	maxWorked = 4 << 20
	// A body may take bodyGrace, and from then on must have come with bodyRate bytes per
	// second on the whole.
	bodyGrace = 10 * time.Second
	bodyRate  = 32 << 10
	// What no route wants is read and dropped up to these, so that its sender comes to read
	// the answer: to close a connection with unread data resets it.
	maxDiscard  = 64 << 20
	discardTime = 10 * time.Second
)

// ErrSlow means that a client sends a body too slowly.
var ErrSlow = fmt.Errorf("the request comes too slowly: after %s at least %d KiB per second are due", bodyGrace, bodyRate>>10)

// bodyLimit returns the largest body of a request.
func bodyLimit(r *http.Request) int64 {
	if isV2(r) {
		return maxBodyV2
	}
	return maxBody
}

func tooLong(r *http.Request) *apiError {
	e := &apiError{status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error", Message: fmt.Sprintf("request is longer than %d MiB", bodyLimit(r)>>20)}
	if isV2(r) {
		e.Message += ": send a smaller image, or fewer"
	}
	return e
}

// upload is the body of a request while it comes in: it fails with ErrSlow if it comes too
// slowly.
type upload struct {
	r     *http.Request
	body  io.ReadCloser
	rc    *http.ResponseController
	conn  *conn
	start time.Time
	n     int64
	ended bool
}

// receive puts what keeps the limits into the place of a request's body.
func receive(w http.ResponseWriter, r *http.Request) *upload {
	u := &upload{r: r, body: r.Body, rc: http.NewResponseController(w), conn: connOf(r), start: time.Now(), ended: r.ContentLength == 0}
	if u.ended {
		u.conn.busy()
	} else { // without a body a deadline would end the request
		r.Body = http.MaxBytesReader(w, u, bodyLimit(r))
	}
	return u
}

// Read reads from the body.
func (u *upload) Read(p []byte) (int, error) {
	if !u.ended {
		due := u.start.Add(bodyGrace + time.Duration(u.n)*time.Second/bodyRate)
		_ = u.rc.SetReadDeadline(due) // what has no deadlines has those of its connection
		if u.r.Context().Err() != nil {
			u.interrupt()
		}
	}
	n, err := u.body.Read(p)
	u.n += int64(n)
	if err != nil && !u.ended {
		u.ended = true
		u.conn.busy()
		_ = u.rc.SetReadDeadline(time.Time{}) // the work on it may take longer
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		err = ErrSlow
		if cause := context.Cause(u.r.Context()); errors.Is(cause, ErrStopping) {
			err = cause
		}
	}
	return n, err
}

// interrupt ends a Read that waits.
func (u *upload) interrupt() {
	_ = u.rc.SetReadDeadline(time.Unix(1, 0)) // long ago; what has no deadlines has those of its connection
}

// Close closes the body.
func (u *upload) Close() error { return u.body.Close() }

// discard drops what is left of the body after the answer has been written. A client that
// waits to be told to send it is not told.
func (u *upload) discard() {
	if u.ended || u.r.Context().Err() != nil || u.n == 0 && u.r.Header.Get("Expect") != "" {
		return
	}
	_ = u.rc.SetReadDeadline(time.Now().Add(discardTime))       // what has no deadlines has those of its connection
	_, _ = io.CopyN(io.Discard, u.body, max(0, maxDiscard-u.n)) // the connection is closed if there is more
}

// budget is a number of bytes that is shared.
type budget struct {
	mu   sync.Mutex
	free int64
}

func (b *budget) take(n int64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.free {
		return false
	}
	b.free -= n
	return true
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
}

// body is a body that was read whole, and its share of the budget.
type body struct {
	g     *Gateway
	data  []byte
	held  int64
	large bool
}

// readBody reads the body of a request. The caller frees it.
func (g *Gateway) readBody(r *http.Request) (*body, error) {
	b := &body{g: g}
	if err := b.read(r); err != nil {
		b.free()
		return nil, err
	}
	return b, nil
}

func (b *body) read(r *http.Request) error {
	limit := bodyLimit(r)
	if r.ContentLength > limit {
		return tooLong(r)
	}
	size := int64(4 << 10)
	if r.ContentLength >= 0 {
		size = min(smallBody, r.ContentLength+1) // one more to see the end
	}
	b.data = make([]byte, 0, size)
	for {
		n, err := r.Body.Read(b.data[len(b.data):cap(b.data)])
		b.data = b.data[:len(b.data)+n]
		var long *http.MaxBytesError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &long):
			return tooLong(r)
		case errors.Is(err, ErrStopping):
			return err
		case errors.Is(err, ErrSlow):
			return &apiError{status: http.StatusRequestTimeout, Type: "invalid_request_error", Message: ErrSlow.Error()}
		case err != nil:
			return badRequest("", "read request: %v", err)
		}
		if len(b.data) == cap(b.data) {
			size = min(growth*size, limit+1)
			if r.ContentLength >= 0 { // what is announced has not come, and takes nothing from others
				size = min(size, r.ContentLength+1)
			}
			if err := b.grow(size); err != nil {
				return err
			}
		}
	}
}

// grow makes room for size bytes in all.
func (b *body) grow(size int64) error {
	if size > smallBody {
		if !b.g.bodies.take(size - b.held) {
			return &apiError{
				status: http.StatusServiceUnavailable, Type: "server_error", Code: "overloaded", retry: time.Second,
				Message: fmt.Sprintf("the requests at work have more than %d MiB in all, try again", maxBodies>>20),
			}
		}
		b.held, b.large = size, true
	}
	b.data = append(make([]byte, 0, size), b.data...)
	return nil
}

// free gives the share of the budget back.
func (b *body) free() {
	b.g.bodies.give(b.held)
	b.data, b.held = nil, 0
}

// work runs f, which takes memory in proportion to the body, many times that for a text that
// becomes tokens. So of large bodies maxWorked bytes in all are worked on at once.
func (b *body) work(ctx context.Context, f func() error) error {
	if !b.large {
		return f()
	}
	n := min(b.held, maxWorked)
	if err := b.g.worked.Acquire(ctx, n); err != nil {
		return err
	}
	defer b.g.worked.Release(n)
	return f()
}
