package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"syscall"
)

// maxLine bounds a line of a progress answer, and an error.
const maxLine = 1 << 20

// Client talks to a node. The zero value is not usable.
type Client struct {
	Base string       // http://127.0.0.1:8420
	Key  string       // API key, "" for none
	HTTP *http.Client // http.DefaultClient if nil
}

// Get reads the answer to GET path?query into v.
func (c *Client) Get(ctx context.Context, path string, query url.Values, v any) error {
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	return c.call(ctx, http.MethodGet, path, nil, v)
}

// Post sends body as JSON and reads the answer into v, which may be nil.
func (c *Client) Post(ctx context.Context, path string, body, v any) error {
	return c.call(ctx, http.MethodPost, path, body, v)
}

// Delete sends DELETE path and reads the answer into v, which may be nil.
func (c *Client) Delete(ctx context.Context, path string, v any) error {
	return c.call(ctx, http.MethodDelete, path, nil, v)
}

func (c *Client) call(ctx context.Context, method, path string, body, v any) error {
	res, err := c.Do(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if v == nil {
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := json.NewDecoder(res.Body).Decode(v); err != nil {
		return lost(fmt.Errorf("read answer of the node: %w", err))
	}
	return nil
}

// Do sends a request and returns the answer if its status is a success. The caller closes
// its body.
func (c *Client) Do(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var data io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		data = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, c.Base+path, data)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.Key != "" {
		req.Header.Set("Authorization", "Bearer "+c.Key)
	}
	client := c.HTTP
	if client == nil {
		client = http.DefaultClient
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, lost(fmt.Errorf("ask the node: %w", err))
	}
	if res.StatusCode/100 == 2 {
		return res, nil
	}
	defer res.Body.Close()
	return nil, readError(res)
}

// StatusError is an answer of the node that is no success.
type StatusError struct {
	Status  int
	Message string
	Code    string // of the OpenAI API, for programs; may be empty
}

// Error returns the node's message.
func (e *StatusError) Error() string { return e.Message }

// errorDoc is an error as the OpenAI API shapes it, or just its message, as the Open
// Inference Protocol does.
type errorDoc struct{ Message, Code string }

// UnmarshalJSON reads either shape.
func (e *errorDoc) UnmarshalJSON(data []byte) error {
	if json.Unmarshal(data, &e.Message) == nil {
		return nil
	}
	var object struct{ Message, Code string }
	err := json.Unmarshal(data, &object)
	e.Message, e.Code = object.Message, object.Code
	return err
}

func readError(res *http.Response) error {
	var doc struct {
		Error errorDoc
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, maxLine))
	if err == nil && json.Unmarshal(b, &doc) == nil && doc.Error.Message != "" {
		return &StatusError{Status: res.StatusCode, Message: doc.Error.Message, Code: doc.Error.Code}
	}
	return &StatusError{Status: res.StatusCode, Message: fmt.Sprintf("the node answered %s: %.200s", res.Status, strings.TrimSpace(string(b)))}
}

// Watch sends a request for long work and calls progress with each event until the work is
// done. It returns the last event.
func (c *Client) Watch(ctx context.Context, path string, body any, progress func(Event)) (*Event, error) {
	res, err := c.Do(ctx, http.MethodPost, path, body)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return nil, fmt.Errorf("read progress of the node: %w", err)
		}
		switch {
		case e.Error != "":
			return nil, &StatusError{Status: e.Status, Message: e.Error}
		case e.Done:
			return &e, nil
		}
		progress(e)
	}
	if err := lines.Err(); err != nil {
		return nil, lost(fmt.Errorf("read progress of the node: %w", err))
	}
	return nil, errEnded
}

// errEnded means that the node's process has ended.
var errEnded = &StatusError{Status: http.StatusServiceUnavailable, Message: "the node ended while it answered"}

// lost returns errEnded for an answer that broke off, else err.
func lost(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET) {
		return errEnded
	}
	return err
}
