package chat

import (
	"errors"
	"fmt"
)

// Causes that a caller may tell apart with errors.Is.
var (
	// ErrSyntax marks a template that cannot be parsed.
	ErrSyntax = errors.New("template syntax")
	// ErrRaised marks a conversation that the template itself refuses (raise_exception).
	ErrRaised = errors.New("refused by the template")
	// ErrLimit marks a rendering that was stopped by one of the Limits.
	ErrLimit = errors.New("template limit")
)

// Error says what is wrong with a template or its rendering, and where.
type Error struct {
	Line int    // of the template, from 1
	Msg  string // for ErrRaised exactly what the template said
	Err  error  // ErrSyntax, ErrRaised, ErrLimit or nil
}

// Error gives line and message.
func (e *Error) Error() string {
	if e.Line == 0 {
		return "chat template: " + e.Msg
	}
	return fmt.Sprintf("chat template line %d: %s", e.Line, e.Msg)
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

func errorf(format string, args ...any) error {
	return &Error{Msg: fmt.Sprintf(format, args...)}
}

func limitf(format string, args ...any) error {
	return &Error{Msg: fmt.Sprintf(format, args...), Err: ErrLimit}
}

// located adds the line to an error that has none yet: the innermost node wins.
func located(line int, err error) error {
	if e, ok := err.(*Error); ok { //nolint:errorlint // ours are never wrapped inside the package
		if e.Line == 0 {
			return &Error{Line: line, Msg: e.Msg, Err: e.Err}
		}
		return err
	}
	return &Error{Line: line, Msg: err.Error(), Err: err}
}
