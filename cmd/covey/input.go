package main

import (
	"bufio"
	"context"
	"io"
)

// maxLine bounds a line of the input.
const maxLine = 1 << 20

// input gives the lines of a reader to somebody who may stop waiting for them.
type input struct {
	lines chan string // closed at the end; err is set before
	err   error
}

// readInput starts to read. A read of a terminal or pipe cannot be broken off, so the
// goroutine may live as long as the process.
func readInput(ctx context.Context, r io.Reader) *input {
	in := &input{lines: make(chan string)}
	go func() {
		defer close(in.lines)
		s := bufio.NewScanner(r)
		s.Buffer(nil, maxLine)
		for s.Scan() {
			select {
			case in.lines <- s.Text():
			case <-ctx.Done():
				in.err = ctx.Err()
				return
			}
		}
		in.err = s.Err()
	}()
	return in
}

// next returns the next line, io.EOF after the last one, or ctx's error.
func (in *input) next(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case line, ok := <-in.lines:
		if ok {
			return line, nil
		}
		if in.err != nil {
			return "", in.err
		}
		return "", io.EOF
	}
}
