package api

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// ErrCutOff means that a stream of events ended before it said so.
var ErrCutOff = errors.New("the answer broke off")

// ReadEvents reads server-sent events as the OpenAI API streams them, and calls each with
// the data of every one until [DONE].
func ReadEvents(r io.Reader, each func(data []byte) error) error {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		if string(data) == "[DONE]" {
			return nil
		}
		if err := each(data); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return lost(fmt.Errorf("read answer: %w", err))
	}
	return ErrCutOff
}
