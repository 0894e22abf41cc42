package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// The kinds of JSON values, in the words of the API's errors.
const (
	kindText   = "a text"
	kindNumber = "a number"
	kindBool   = "true or false"
	kindNull   = "null"
	kindList   = "a list"
	kindObject = "an object"
)

// kindOf returns the kind of a JSON value, "" for none. Decoding a value to see whether it
// fits is no way to find out: what fails has filled its target by then, and null fits all.
func kindOf(raw []byte) string {
	raw = bytes.TrimLeft(raw, " \t\r\n")
	if len(raw) == 0 {
		return ""
	}
	switch raw[0] {
	case '"':
		return kindText
	case '[':
		return kindList
	case '{':
		return kindObject
	case 't', 'f':
		return kindBool
	case 'n':
		return kindNull
	}
	return kindNumber
}

// elements calls each with the elements of a JSON list, which has been checked, until it
// returns an error. Nothing is copied.
func elements(list []byte, each func(i int, element []byte) error) error {
	at := skipBlanks(list, 0) + 1
	for i := 0; ; i++ {
		at = skipBlanks(list, at)
		if at >= len(list) || list[at] == ']' {
			return nil
		}
		end := skipValue(list, at)
		if err := each(i, list[at:end]); err != nil {
			return err
		}
		at = skipBlanks(list, end)
		if at < len(list) && list[at] == ',' {
			at++
		}
	}
}

// cutOut returns a JSON object, which has been checked, without the members of a name, and the
// value of the last of them, nil for none. The value, which may be large, is not copied.
func cutOut(object []byte, name string) (rest, value []byte) {
	at := skipBlanks(object, 0) + 1
	rest = append(rest, '{')
	for {
		at = skipBlanks(object, at)
		if at >= len(object) || object[at] == '}' {
			return append(rest, '}'), value
		}
		end := skipText(object, at)
		key, member := object[at:end], at
		at = skipBlanks(object, skipBlanks(object, end)+1) // after the colon
		end = skipValue(object, at)
		if text, err := readText(key); err == nil && strings.EqualFold(text, name) {
			value = object[at:end]
		} else {
			if len(rest) > 1 {
				rest = append(rest, ',')
			}
			rest = append(rest, object[member:end]...)
		}
		at = skipBlanks(object, end)
		if at < len(object) && object[at] == ',' {
			at++
		}
	}
}

func skipBlanks(data []byte, at int) int {
	for at < len(data) && (data[at] == ' ' || data[at] == '\t' || data[at] == '\r' || data[at] == '\n') {
		at++
	}
	return at
}

// skipValue returns where the value ends that begins at data[at]; data has been checked.
func skipValue(data []byte, at int) int {
	switch c := data[at]; c {
	case '"':
		return skipText(data, at)
	case '[', '{':
		for depth := 0; at < len(data); {
			switch data[at] {
			case '"':
				at = skipText(data, at)
				continue
			case '[', '{':
				depth++
			case ']', '}':
				if depth--; depth == 0 {
					return at + 1
				}
			}
			at++
		}
		return len(data)
	}
	for at++; at < len(data); at++ {
		switch data[at] {
		case ',', ']', '}', ':', ' ', '\t', '\r', '\n':
			return at
		}
	}
	return at
}

// skipText returns where the text ends whose opening quote is data[at].
func skipText(data []byte, at int) int {
	for at++; at < len(data); at++ {
		switch data[at] {
		case '\\':
			at++
		case '"':
			return at + 1
		}
	}
	return len(data)
}

// readText returns the text that a JSON value of that kind holds.
func readText(raw []byte) (s string, err error) {
	err = json.Unmarshal(raw, &s)
	return s, err
}

var errNotWhole = errors.New("not a whole number")

// readWhole returns the whole number that a JSON value holds. One that is too large for 64
// bits is the nearest that is not.
func readWhole(raw []byte) (int64, error) {
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if errors.Is(err, strconv.ErrSyntax) {
		return 0, errNotWhole
	}
	return n, nil
}
