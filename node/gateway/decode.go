package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"
)

// Limits of the JSON of a request. They are checked before anything is built from it: three
// bytes of it, such as "[],", may become hundreds.
const (
	maxDepth      = 32
	maxKeys       = 1 << 16 // of all objects
	maxContainers = 1 << 16 // lists and objects
)

// decode reads a request's JSON into v. Repeated keys, trailing data, deep nesting and more
// lists and objects than any request has are refused; keys it does not know are ignored, as
// clients send more than any server takes.
func decode(ctx context.Context, b *body, v any) error {
	return b.work(ctx, func() error {
		data := b.data
		b.data = nil
		if err := checkJSON(data, maxContainers); err != nil {
			return err
		}
		return unmarshal("", data, v)
	})
}

// unmarshal decodes checked JSON that stands at a place of a request, "" for the request.
func unmarshal(at string, data []byte, v any) error {
	err := json.Unmarshal(data, v)
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) {
		return typeError(at, kind)
	}
	if err != nil {
		return badRequest(at, "parse request: %v", err)
	}
	return nil
}

// given tells whether a field that is not supported asks for something. What it holds is not
// kept.
type given bool

// UnmarshalJSON looks whether there is anything.
func (g *given) UnmarshalJSON(raw []byte) error {
	*g = kindOf(raw) != kindNull
	if kind := kindOf(raw); kind == kindList || kind == kindObject {
		*g = skipBlanks(raw, 1) < len(raw)-1
	}
	return nil
}

// typeError tells in the words of the API that a field has another type than it should.
func typeError(at string, e *json.UnmarshalTypeError) *apiError {
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
	param := strings.TrimPrefix(e.Field, "sampling.") // the name of our embedded struct
	switch {
	case param == "" && at == "":
		return badRequest("", "request is %.60s, want %s", is, want)
	case param == "":
		param = at
	case at != "":
		param = at + "." + param
	}
	return badRequest(param, "%s is %.60s, want %s", param, is, want)
}

// readDepths has the fields of requests whose objects are read, and how deep they lie: there two keys that
// differ in their cases are one for encoding/json. The keys of other objects, such as the
// schemas of tools, are the client's.
var readDepths = map[string]int{"messages": 4, "stream_options": 1, "response_format": 1, "inputs": 2, "outputs": 2, "parameters": 1}

// checkJSON checks form: one value, no key twice in an object, at most maxDepth deep, not more
// than maxKeys keys and the given number of lists and objects. It builds nothing but the set
// of keys of an object.
func checkJSON(data []byte, containers int) error {
	if at := notUTF8(data); at >= 0 {
		return badRequest("", "request is not UTF-8: its byte %d is %#02x; text in another encoding, such as Windows-1252, must be converted", at+1, data[at])
	}
	if err := json.Unmarshal(data, new(ignored)); err != nil {
		return syntaxError(data)
	}
	c := &checker{data: data, containers: containers, keys: maxKeys, most: containers}
	_, err := c.value(skipBlanks(data, 0), 0, 0)
	return err
}

// notUTF8 returns where the first byte is that is no UTF-8, -1 if there is none.
func notUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for at := 0; at < len(data); {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}

// ignored is a value that is read over.
type ignored struct{}

// UnmarshalJSON does nothing.
func (*ignored) UnmarshalJSON([]byte) error { return nil }

// syntaxError tells what is wrong with data that is not one JSON value.
func syntaxError(data []byte) *apiError {
	if len(bytes.TrimSpace(data)) == 0 {
		return badRequest("", "request is empty, want a JSON object")
	}
	err := json.NewDecoder(bytes.NewReader(data)).Decode(new(ignored))
	var syntax *json.SyntaxError
	switch {
	case err == nil:
		return badRequest("", "request has more than one JSON value")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return badRequest("", "request is not valid JSON: it ends after %d bytes, in the middle of a value", len(data))
	case errors.As(err, &syntax):
		return badRequest("", "request is not valid JSON: at byte %d: %v", syntax.Offset, err)
	}
	return badRequest("", "request is not valid JSON: %v", err)
}

// checker goes through JSON whose syntax is right.
type checker struct {
	data             []byte
	containers, keys int // that may still come
	most             int // containers at first
}

// value checks the value at data[at] and returns where it ends. Objects that are not deeper than
// readDepth are read by encoding/json.
func (c *checker) value(at, depth, readDepth int) (int, error) {
	open := c.data[at]
	if open != '{' && open != '[' {
		return skipValue(c.data, at), nil
	}
	if depth == maxDepth {
		return 0, badRequest("", "request is nested more than %d deep", maxDepth)
	}
	if c.containers--; c.containers < 0 {
		return 0, badRequest("", "request has more than %d lists and objects", c.most)
	}
	var seen map[string]bool
	below := readDepth
	at = skipBlanks(c.data, at+1)
	for c.data[at] != '}' && c.data[at] != ']' {
		if open == '{' {
			end := skipText(c.data, at)
			name, err := c.key(&seen, c.data[at:end], depth <= readDepth)
			if err != nil {
				return 0, err
			}
			if depth == 0 {
				below = readDepths[fold(name)]
			}
			at = skipBlanks(c.data, skipBlanks(c.data, end)+1) // over the colon
		}
		end, err := c.value(at, depth+1, below)
		if err != nil {
			return 0, err
		}
		if at = skipBlanks(c.data, end); c.data[at] == ',' {
			at = skipBlanks(c.data, at+1)
		}
	}
	return at + 1, nil
}

// key checks a key of an object that has those in seen, and returns it. Where folded is true its
// case does not count.
func (c *checker) key(seen *map[string]bool, raw []byte, folded bool) (string, error) {
	if c.keys--; c.keys < 0 {
		return "", badRequest("", "request has more than %d keys", maxKeys)
	}
	name, err := readText(raw)
	if err != nil {
		return "", fmt.Errorf("read key: %w", err)
	}
	same := name
	if folded {
		same = fold(name)
	}
	if (*seen)[same] {
		return "", badRequest(name, "request has the key %.100q twice", name)
	}
	if *seen == nil {
		*seen = map[string]bool{}
	}
	(*seen)[same] = true
	return name, nil
}

// fold makes keys equal that encoding/json takes for the same field: it ignores case, and
// of letters beyond ASCII takes the Kelvin sign for k and the long s for s.
func fold(key string) string { return strings.ToLower(strings.ToUpper(key)) }
