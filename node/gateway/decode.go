package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
)

// maxDepth bounds how deep the JSON of a request is nested.
const maxDepth = 32

// decode reads a request's JSON into v. Repeated keys, trailing data and deep nesting are
// refused; keys it does not know are ignored, as clients send more than any server takes.
func decode(r *http.Request, v any) error {
	data, err := io.ReadAll(r.Body)
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return &apiError{status: http.StatusRequestEntityTooLarge, Type: "invalid_request_error", Message: "request is longer than 4 MiB"}
	}
	if err != nil {
		return badRequest("", "read request: %v", err)
	}
	if err := checkJSON(data); err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		var kind *json.UnmarshalTypeError
		if errors.As(err, &kind) && kind.Field != "" {
			return badRequest(kind.Field, "%s is a %s, want %s", kind.Field, kind.Value, kind.Type)
		}
		return badRequest("", "parse request: %v", err)
	}
	return nil
}

// checkJSON checks form: one value, no key twice in an object, at most maxDepth deep.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if err := checkValue(dec, 0); err != nil {
		var api *apiError
		if errors.As(err, &api) {
			return api
		}
		return badRequest("", "request is not valid JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return badRequest("", "request has more than one JSON value")
	}
	return nil
}

func checkValue(dec *json.Decoder, depth int) error {
	t, err := dec.Token()
	if err != nil {
		return err
	}
	open, ok := t.(json.Delim)
	if !ok {
		return nil
	}
	if depth == maxDepth {
		return badRequest("", "request is nested more than %d deep", maxDepth)
	}
	seen := map[string]bool{}
	for dec.More() {
		if open == '{' {
			key, err := dec.Token()
			if err != nil {
				return err
			}
			name, ok := key.(string)
			if !ok || seen[name] {
				return badRequest(name, "request has the key %.100q twice", name)
			}
			seen[name] = true
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}
