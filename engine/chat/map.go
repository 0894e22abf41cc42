package chat

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// Map is a JSON object that keeps the order of its keys, which templates print. The zero
// value is not ready; use NewMap or FromJSON. It is not safe for concurrent writes.
type Map struct {
	keys   []string
	values map[string]any
}

// NewMap makes an empty Map.
func NewMap() *Map { return &Map{values: map[string]any{}} }

// Message makes a turn of a conversation with text as its content.
func Message(role, content string) *Map {
	m := NewMap()
	m.Set("role", role)
	m.Set("content", content)
	return m
}

// Len is the number of keys.
func (m *Map) Len() int { return len(m.keys) }

// Keys gives the keys in order; the slice is the Map's own.
func (m *Map) Keys() []string { return m.keys }

// Get looks a key up.
func (m *Map) Get(key string) (any, bool) {
	v, ok := m.values[key]
	return v, ok
}

// Set adds a key at the end, or changes its value in place.
func (m *Map) Set(key string, value any) {
	if _, ok := m.values[key]; !ok {
		m.keys = append(m.keys, key)
	}
	m.values[key] = value
}

// UnmarshalJSON reads an object, keeping the order of keys at every depth.
func (m *Map) UnmarshalJSON(data []byte) error {
	v, err := FromJSON(data)
	if err != nil {
		return err
	}
	o, ok := v.(*Map)
	if !ok {
		return fmt.Errorf("decode message: want an object")
	}
	*m = *o
	return nil
}

// MarshalJSON writes the object with its keys in order.
func (m *Map) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, k := range m.keys {
		if i > 0 {
			b.WriteByte(',')
		}
		name, err := json.Marshal(k)
		if err != nil {
			return nil, err
		}
		value, err := json.Marshal(m.values[k])
		if err != nil {
			return nil, err
		}
		b.Write(name)
		b.WriteByte(':')
		b.Write(value)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// FromJSON decodes one JSON value for use in an Input: objects become *Map, arrays []any,
// numbers json.Number. Values nested deeper than 200 are refused.
func FromJSON(data []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := decodeValue(d, 0)
	if err != nil {
		return nil, fmt.Errorf("decode JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF { //nolint:errorlint // Decoder returns io.EOF itself
		return nil, fmt.Errorf("decode JSON: more than one value")
	}
	return v, nil
}

func decodeValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxNested {
		return nil, fmt.Errorf("nested deeper than %d", maxNested)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	delim, ok := t.(json.Delim)
	if !ok {
		return t, nil
	}
	if delim == '[' {
		list := []any{}
		for d.More() {
			v, err := decodeValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err = d.Token()
		return list, err
	}
	m := NewMap()
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		v, err := decodeValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		m.Set(key.(string), v) // the decoder lets only strings be keys
	}
	_, err = d.Token()
	return m, err
}

// fromGo turns an input value into the evaluator's own kinds, copying what can be changed.
func fromGo(v any, depth int) (any, error) {
	if depth > maxNested {
		return nil, errorf("nested deeper than %d", maxNested)
	}
	switch x := v.(type) {
	case nil, bool:
		return x, nil
	case string:
		return strings.ToValidUTF8(x, "\uFFFD"), nil
	case json.Number:
		return parseNumber(string(x))
	case *Map:
		if x == nil {
			return nil, nil
		}
		return dictFrom(x.keys, func(k string) any { return x.values[k] }, depth)
	case map[string]any:
		keys := make([]string, 0, len(x))
		for k := range x {
			keys = append(keys, k)
		}
		sort.Strings(keys)
		return dictFrom(keys, func(k string) any { return x[k] }, depth)
	case []any:
		return listFrom(x, depth)
	case []string:
		return listFrom(x, depth)
	case []*Map:
		return listFrom(x, depth)
	case []map[string]any:
		return listFrom(x, depth)
	}
	return numberFromGo(v)
}

func listFrom[T any](items []T, depth int) (any, error) {
	out := make([]any, len(items))
	for i, item := range items {
		v, err := fromGo(item, depth+1)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func dictFrom(keys []string, get func(string) any, depth int) (any, error) {
	d := newDict(len(keys))
	for _, k := range keys {
		v, err := fromGo(get(k), depth+1)
		if err != nil {
			return nil, err
		}
		d.setString(strings.ToValidUTF8(k, "\uFFFD"), v)
	}
	return d, nil
}

func numberFromGo(v any) (any, error) {
	switch x := v.(type) {
	case int:
		return int64(x), nil
	case int32:
		return int64(x), nil
	case int64:
		return x, nil
	case uint32:
		return int64(x), nil
	case uint64:
		return parseNumber(strconv.FormatUint(x, 10))
	case float32:
		return float64(x), nil
	case float64:
		return x, nil
	}
	return nil, errorf("a %T cannot be given to a template", v)
}

// parseNumber reads a JSON or template number: an integer of any length, or a float.
func parseNumber(s string) (any, error) {
	if i, err := strconv.ParseInt(s, 10, 64); err == nil {
		return i, nil
	}
	if len(s) > 1000 {
		return nil, errorf("a number of %d digits", len(s))
	}
	if b, ok := new(big.Int).SetString(s, 10); ok {
		return b, nil
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil && !isRangeError(err) {
		return nil, errorf("%q is not a number", s)
	}
	return f, nil
}
