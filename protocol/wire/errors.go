package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/covey-network/covey/protocol"
)

// Code says what kind of failure an Error reports. No number is reused; an unknown code
// is treated as CodeInternal.
type Code uint8

// The codes, and what the receiver may do about them.
const (
	CodeInternal    Code = 1  // the peer's fault; try another
	CodeBusy        Code = 2  // queue full; try another, or again after RetryAfter
	CodeNotHosting  Code = 3  // this model or range is not served here; forget the advert
	CodeNoMemory    Code = 4  // no room for the session; try another or a shorter one
	CodeBadRequest  Code = 5  // the sender's fault; do not repeat
	CodeDeadline    Code = 6  // the session's time is over
	CodeUpstream    Code = 7  // a later hop failed: Peer names it
	CodeUnsupported Code = 8  // unknown message type or value
	CodeForbidden   Code = 9  // the grant lacks the scope
	CodeForeign     Code = 10 // hello: another swarm
	CodeExpired     Code = 11 // hello: the grant is over or not valid yet
	CodeRefused     Code = 12 // hello: bad signature, another's grant, or revoked
	CodeVersion     Code = 13 // hello: no common capability
	CodeClosed      Code = 14 // no such session, or it was closed
	CodeModel       Code = 15 // the model gives values that are not finite here
	CodeBadInput    Code = 16 // infer: the hidden state that came is not one; Peer names its sender
)

// String returns the code's name in specs, logs and metrics.
func (c Code) String() string {
	switch c {
	case CodeInternal:
		return "internal"
	case CodeBusy:
		return "busy"
	case CodeNotHosting:
		return "not_hosting"
	case CodeNoMemory:
		return "no_memory"
	case CodeBadRequest:
		return "bad_request"
	case CodeDeadline:
		return "deadline"
	case CodeUpstream:
		return "upstream"
	case CodeUnsupported:
		return "unsupported"
	case CodeForbidden:
		return "forbidden"
	case CodeForeign:
		return "foreign"
	case CodeExpired:
		return "expired"
	case CodeRefused:
		return "refused"
	case CodeVersion:
		return "version"
	case CodeClosed:
		return "closed"
	case CodeModel:
		return "model"
	case CodeBadInput:
		return "bad_input"
	}
	return "code_" + strconv.Itoa(int(c))
}

// Error is the message that ends an exchange, and a Go error on either side.
type Error struct {
	Code         Code   `cbor:"1,keyasint"`
	Message      string `cbor:"2,keyasint,omitempty"` // for people; at most protocol.MaxTextMessage bytes
	Seq          uint64 `cbor:"3,keyasint,omitempty"` // infer: the step that failed
	Peer         PeerID `cbor:"4,keyasint,omitempty"` // the hop that failed, where it is not the sender
	RetryAfterMs uint32 `cbor:"5,keyasint,omitempty"`
}

// Errorf returns an Error with a message cut to the limit, on one line.
func Errorf(code Code, format string, args ...any) *Error {
	m := Line(fmt.Sprintf(format, args...))
	for len(m) > protocol.MaxTextMessage || !utf8.ValidString(m) {
		m = cutText(m)
	}
	return &Error{Code: code, Message: m}
}

func cutText(m string) string {
	m = m[:min(len(m), protocol.MaxTextMessage)]
	out := make([]rune, 0, len(m))
	for i, r := range m {
		if r != utf8.RuneError || i+3 <= len(m) && m[i:i+3] == "\uFFFD" {
			out = append(out, r)
		}
	}
	return string(out)
}

// Error returns code and message.
func (e *Error) Error() string {
	s := e.Code.String()
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Peer != "" {
		s += " (at " + e.Peer.String() + ")"
	}
	return s
}

// Unwrap returns ErrPeerRevoked or ErrRevoked if the message of a refusal says so.
func (e *Error) Unwrap() error {
	switch {
	case e.Code != CodeRefused:
	case e.Message == ErrPeerRevoked.Error():
		return ErrPeerRevoked
	case e.Message == ErrRevoked.Error():
		return ErrRevoked
	}
	return nil
}

// RetryAfter returns how long to wait before asking the same peer again.
func (e *Error) RetryAfter() time.Duration { return time.Duration(e.RetryAfterMs) * time.Millisecond }

// Validate checks form.
func (e *Error) Validate() error {
	if e.Code == 0 {
		return invalid("error without a code")
	}
	if err := validLine("message", e.Message, protocol.MaxTextMessage); err != nil {
		return err
	}
	if e.Peer != "" {
		return e.Peer.Validate()
	}
	return nil
}

// Line returns a text with its control characters replaced by spaces, as messages and names
// must not have any: they are shown in terminals.
func Line(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, s)
}

// validLine checks a text that is shown to people.
func validLine(what, s string, most int) error {
	if err := validText(what, s, most); err != nil {
		return err
	}
	if strings.ContainsFunc(s, unicode.IsControl) {
		return invalid("%s %.40q has control characters", what, s)
	}
	return nil
}

func validText(what, s string, most int) error {
	if len(s) > most {
		return invalid("%s of %d bytes, at most %d", what, len(s), most)
	}
	if !utf8.ValidString(s) {
		return invalid("%s is not UTF-8", what)
	}
	return nil
}
