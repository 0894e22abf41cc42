package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"
)

// maxLine bounds a line of the input.
const maxLine = 1 << 20

// errLongLine is a line over maxLine. The lines after it can be read.
var errLongLine = fmt.Errorf("this line is too long: %d bytes at most", maxLine)

// maxInput bounds a piped prompt; requests of a node end at 4 MiB.
const maxInput = 3 << 20

// inputNote is after what time it is told that the input is waited for.
const inputNote = 2 * time.Second

// pipedInput reads all of an input that is a pipe or a file, as it is in "echo hi | covey run
// demo". Of a terminal or /dev/null it reads nothing. The end of a line at its end does not
// count.
func pipedInput(ctx context.Context, f *os.File) (string, error) {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice != 0 {
		return "", nil // closed, or nobody's
	}
	note := time.AfterFunc(inputNote, func() {
		fmt.Fprintln(os.Stderr, "reading the prompt from the input until it ends (< /dev/null if there is none)")
	})
	defer note.Stop()
	var data []byte
	done := make(chan error, 1) // 1: nobody may be there to take it
	go func() {                 // a read cannot be broken off, so this may live as long as the process
		all, err := io.ReadAll(io.LimitReader(f, maxInput+1))
		data = all
		done <- err
	}()
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case err = <-done:
	}
	switch {
	case err != nil:
		return "", fmt.Errorf("read input: %w", err)
	case len(data) > maxInput:
		return "", usageError{fmt.Errorf("the input is too long for a prompt: %d MiB at most", maxInput>>20)}
	case !utf8.Valid(data):
		return "", usageError{errors.New("the input is no text in UTF-8")}
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r"), nil
}

// input gives the lines of a reader to somebody who may stop waiting for them.
type input struct {
	lines chan line // closed at the end; err is set before
	err   error
}

// line is a line of the input without its end, or why there is none.
type line struct {
	text string
	err  error
}

// readInput starts to read. A read of a terminal or pipe cannot be broken off, so the
// goroutine may live as long as the process.
func readInput(ctx context.Context, r io.Reader) *input {
	in := &input{lines: make(chan line)}
	go func() {
		defer close(in.lines)
		b := bufio.NewReader(r)
		for {
			l, err := readLine(b)
			if err == nil || l.text != "" || l.err != nil {
				select {
				case in.lines <- l:
				case <-ctx.Done():
					in.err = ctx.Err()
					return
				}
			}
			if err != nil {
				in.err = err
				return
			}
		}
	}()
	return in
}

// readLine reads a line. Of one that is too long it keeps nothing. err is that of the
// reader, which may come with a line.
func readLine(b *bufio.Reader) (l line, err error) {
	var text strings.Builder
	for {
		piece, err := b.ReadSlice('\n')
		if text.Len()+len(piece) > maxLine {
			l.err = errLongLine
		}
		if l.err == nil {
			text.Write(piece)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if l.err == nil {
			l.text = strings.TrimSuffix(strings.TrimSuffix(text.String(), "\n"), "\r")
		}
		return l, err
	}
}

// next returns the next line, errLongLine in its place, io.EOF after the last one, or ctx's
// error.
func (in *input) next(ctx context.Context) (string, error) {
	select {
	case <-ctx.Done():
		return "", ctx.Err()
	case l, ok := <-in.lines:
		if ok {
			return l.text, l.err
		}
		return "", in.err
	}
}
