package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
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
		if errors.As(err, &kind) {
			return typeError(kind)
		}
		return badRequest("", "parse request: %v", err)
	}
	return nil
}

// typeError tells in the words of the API that a field has another type than it should.
func typeError(e *json.UnmarshalTypeError) *apiError {
	want := "an object"
	switch e.Type.Kind() {
	case reflect.String:
		want = "a text"
	case reflect.Bool:
		want = "true or false"
	case reflect.Int, reflect.Int64, reflect.Int32:
		want = "a whole number"
	case reflect.Uint, reflect.Uint64, reflect.Uint32:
		want = "a whole number, 0 or more"
	case reflect.Float32, reflect.Float64:
		want = "a number"
	case reflect.Slice:
		want = "a list"
	}
	is, number, _ := strings.Cut(e.Value, " ")
	switch is {
	case "string":
		is = "a text"
	case "array":
		is = "a list"
	case "object":
		is = "an object"
	case "bool":
		is = "true or false"
	case "number":
		is = "a number"
	}
	if number != "" {
		is = "the number " + number
	}
	if e.Field == "" {
		return badRequest("", "request is %s, want %s", is, want)
	}
	param := strings.TrimPrefix(e.Field, "sampling.") // the name of our embedded struct
	return badRequest(param, "%s is %.60s, want %s", param, is, want)
}

// checkJSON checks form: one value, no key twice in an object, at most maxDepth deep.
func checkJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber() // a number that is too large for its field is that field's fault
	if err := checkValue(dec, 0); err != nil {
		var api *apiError
		var syntax *json.SyntaxError
		switch {
		case errors.As(err, &api):
			return api
		case len(bytes.TrimSpace(data)) == 0:
			return badRequest("", "request is empty, want a JSON object")
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
			return badRequest("", "request is not valid JSON: it ends after %d bytes, in the middle of a value", len(data))
		case errors.As(err, &syntax):
			return badRequest("", "request is not valid JSON: at byte %d: %v", syntax.Offset, err)
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
			if folded := fold(name); !ok || seen[folded] {
				return badRequest(name, "request has the key %.100q twice", name)
			} else {
				seen[folded] = true
			}
		}
		if err := checkValue(dec, depth+1); err != nil {
			return err
		}
	}
	_, err = dec.Token()
	return err
}

// fold makes keys equal that encoding/json takes for the same field: it ignores case, and
// of letters beyond ASCII takes the Kelvin sign for k and the long s for s.
func fold(key string) string { return strings.ToLower(strings.ToUpper(key)) }
