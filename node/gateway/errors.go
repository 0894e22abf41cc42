package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/covey-network/covey/node/router"
	"github.com/covey-network/covey/node/worker"
	"github.com/covey-network/covey/protocol/wire"
)

// apiError is an error as the OpenAI API shapes it.
type apiError struct {
	status  int
	Message string `json:"message"`
	Type    string `json:"type"`
	Param   string `json:"-"`
	Code    string `json:"-"`

	retry time.Duration // when to try again; 0: not told
	v2    bool          // in the shape of the Open Inference Protocol: the message alone
}

// Error returns the message.
func (e *apiError) Error() string { return e.Message }

// statusGone is for the counters: the client left before it was answered.
const statusGone = 499

// codes are the codes of errors that have none of their own: programs branch on a code, and
// some clients fail on null.
var codes = map[int]string{
	http.StatusBadRequest:            "invalid_request",
	http.StatusUnauthorized:          "invalid_api_key",
	http.StatusForbidden:             "forbidden",
	http.StatusNotFound:              "not_found",
	http.StatusMethodNotAllowed:      "method_not_allowed",
	http.StatusRequestTimeout:        "request_timeout",
	http.StatusConflict:              "conflict",
	http.StatusRequestEntityTooLarge: "request_too_large",
	http.StatusUnsupportedMediaType:  "unsupported_media_type",
	http.StatusMisdirectedRequest:    "unknown_host",
	http.StatusTooManyRequests:       "too_many_requests",
	http.StatusBadGateway:            "bad_answer",
	http.StatusServiceUnavailable:    "unavailable",
	http.StatusGatewayTimeout:        "deadline",
}

func (e *apiError) code() string {
	if e.Code != "" {
		return e.Code
	}
	if c := codes[e.status]; c != "" {
		return c
	}
	return "internal_error"
}

// maxMessage and maxParam bound what an error says: part of it may be what a client sent.
const (
	maxMessage = 1 << 10
	maxParam   = 128
)

// Clip shortens the text of an error to what is fit to be sent.
func Clip(text string) string { return clip(text, maxMessage) }

func clip(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// MarshalJSON writes null for a field that is not known, as the API does. The code is never
// null.
func (e *apiError) MarshalJSON() ([]byte, error) {
	var param *string
	if e.Param != "" {
		p := clip(e.Param, maxParam)
		param = &p
	}
	return json.Marshal(map[string]any{"message": Clip(e.Message), "type": e.Type, "param": param, "code": e.code()})
}

func badRequest(param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, Type: "invalid_request_error", Param: param, Message: fmt.Sprintf(format, args...)}
}

// asAPIError translates what went wrong behind the gateway, for a request with a context.
func asAPIError(ctx context.Context, err error) *apiError {
	var api *apiError
	var refusal *wire.Error
	server := func(status int, code string) *apiError {
		return &apiError{status: status, Type: "server_error", Code: code, Message: err.Error()}
	}
	stopping := errors.Is(err, ErrStopping) || errors.Is(context.Cause(ctx), ErrStopping)
	switch {
	case errors.As(err, &api) && (!stopping || api.status < http.StatusInternalServerError):
		return api
	case stopping:
		return &apiError{status: http.StatusServiceUnavailable, Type: "server_error", Code: "stopping", Message: ErrStopping.Error()}
	case errors.Is(err, context.Canceled):
		return server(statusGone, "canceled")
	case errors.Is(err, ErrNotFound):
		return &apiError{status: http.StatusNotFound, Type: "invalid_request_error", Param: "model", Code: "model_not_found", Message: err.Error()}
	case errors.Is(err, router.ErrNoChain):
		return server(http.StatusServiceUnavailable, "no_chain")
	case errors.Is(err, worker.ErrNoMemory):
		return server(http.StatusServiceUnavailable, wire.CodeNoMemory.String())
	case errors.Is(err, context.DeadlineExceeded):
		return server(http.StatusGatewayTimeout, "deadline")
	case errors.As(err, &refusal):
		switch refusal.Code {
		case wire.CodeBusy, wire.CodeNoMemory:
			return server(http.StatusServiceUnavailable, refusal.Code.String())
		case wire.CodeModel:
			return server(http.StatusInternalServerError, "model_error")
		case wire.CodeBadRequest:
			return server(http.StatusBadGateway, refusal.Code.String())
		}
	}
	return server(http.StatusBadGateway, "")
}

func writeError(w http.ResponseWriter, e *apiError) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // errors show at the write
	w.Header().Set("Content-Type", "application/json")
	if e.status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	if e.retry > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(e.retry.Seconds())))
	}
	if e.status == http.StatusRequestEntityTooLarge || e.status == http.StatusRequestTimeout { // there is more of the body
		w.Header().Set("Connection", "close")
	}
	w.WriteHeader(e.status)
	var shape any = e
	if e.v2 {
		shape = Clip(e.Message)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": shape}) // the client is gone if this fails
}

// WriteError answers an error of a route that is not the gateway's in the shape of the
// OpenAI API, as everywhere.
func WriteError(w http.ResponseWriter, status int, err error) {
	kind := "server_error"
	if status < http.StatusInternalServerError {
		kind = "invalid_request_error"
	}
	writeError(w, &apiError{status: status, Type: kind, Message: err.Error()})
}

func writeJSON(w http.ResponseWriter, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeTimeout)) // errors show at the write
	_, _ = w.Write(append(b, '\n'))                                                  // the client is gone if this fails
	return nil
}
