package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
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

	v2 bool // in the shape of the Open Inference Protocol: the message alone
}

// Error returns the message.
func (e *apiError) Error() string { return e.Message }

// MarshalJSON writes null for what is not set, as the API does.
func (e *apiError) MarshalJSON() ([]byte, error) {
	orNull := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	return json.Marshal(map[string]any{"message": e.Message, "type": e.Type, "param": orNull(e.Param), "code": orNull(e.Code)})
}

func badRequest(param, format string, args ...any) *apiError {
	return &apiError{status: http.StatusBadRequest, Type: "invalid_request_error", Param: param, Message: fmt.Sprintf(format, args...)}
}

// asAPIError translates what went wrong behind the gateway.
func asAPIError(err error) *apiError {
	var api *apiError
	var refusal *wire.Error
	server := func(status int, code string) *apiError {
		return &apiError{status: status, Type: "server_error", Code: code, Message: err.Error()}
	}
	switch {
	case errors.As(err, &api):
		return api
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
	w.WriteHeader(e.status)
	var shape any = e
	if e.v2 {
		shape = e.Message
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"error": shape}) // the client is gone if this fails
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
