package data

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"unicode/utf8"
)

// splitter reads files as documents in bounded memory.
type splitter struct {
	separator []byte // empty: the file is one document
	limit     int    // bytes of a part, at least 1
	encoding  string // of the file; found out if empty

	name  string
	buf   []byte
	start int64 // offset of buf in the text of the file, as UTF-8
	parts int   // of the current document that were sent
	send  func(*document) error
}

// file sends the documents of a file. The first error is that of the file, the second one
// that of send.
func (s *splitter) file(fsys fs.FS, name string, send func(*document) error) (fileErr, err error) {
	info, fileErr := fs.Stat(fsys, name)
	if fileErr != nil {
		return fileErr, nil
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("not a regular file: %v", info.Mode().Type()), nil
	}
	c, fileErr := s.charset(fsys, name)
	if fileErr != nil {
		return fileErr, nil
	}
	f, fileErr := fsys.Open(name)
	if fileErr != nil {
		return fileErr, nil
	}
	defer f.Close()
	s.name, s.send, s.encoding = name, send, c.name
	return s.run(c.reader(f))
}

// charset returns the encoding of a file, which is read for that if it is not set.
func (s *splitter) charset(fsys fs.FS, name string) (charset, error) {
	f, err := fsys.Open(name)
	if err != nil {
		return charset{}, err
	}
	defer f.Close()
	return charsetOf(f, s.encoding, "", true)
}

func (s *splitter) run(r io.Reader) (fileErr, err error) {
	chunk := make([]byte, 64<<10)
	for {
		n, readErr := r.Read(chunk)
		from := max(len(s.buf)-len(s.separator)+1, 0)
		s.buf = append(s.buf, chunk[:n]...)
		if err := s.cut(from); err != nil {
			return nil, err
		}
		if readErr == io.EOF {
			if len(s.buf) == 0 && s.parts == 0 {
				return nil, nil
			}
			return nil, s.part(s.buf, 0, true)
		}
		if readErr != nil {
			return readErr, nil
		}
	}
}

// cut sends what is complete: documents whose separator is at or after from, and parts of
// one that is too long.
func (s *splitter) cut(from int) error {
	done := 0 // bytes of buf sent
	defer func() {
		s.buf = append(s.buf[:0], s.buf[done:]...)
		s.start += int64(done)
	}()
	for {
		rest := s.buf[done:]
		end := -1
		if len(s.separator) > 0 {
			if i := bytes.Index(s.buf[max(from, done):], s.separator); i >= 0 {
				end = max(from, done) + i - done
			}
		}
		switch {
		case len(rest) > s.limit+len(s.separator) && (end < 0 || end > s.limit):
			n := cutLength(rest[:s.limit])
			if err := s.part(rest[:n], done, false); err != nil {
				return err
			}
			s.parts++
			done += n
		case end >= 0:
			if end > 0 || s.parts > 0 {
				if err := s.part(rest[:end], done, true); err != nil {
					return err
				}
			}
			s.parts = 0
			done += end + len(s.separator)
		default:
			return nil
		}
	}
}

// cutLength returns where a text may be cut: after its last line, else before the rune
// that is not whole, else at the end.
func cutLength(b []byte) int {
	if i := bytes.LastIndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	for n := len(b); n > 0 && n > len(b)-utf8.UTFMax; n-- {
		if r, size := utf8.DecodeLastRune(b[:n]); r != utf8.RuneError || size > 1 {
			return n
		}
	}
	return len(b)
}

func (s *splitter) part(b []byte, at int, end bool) error {
	name, text := s.name, string(b)
	if offset := s.start + int64(at); offset > 0 {
		name = fmt.Sprintf("%s at byte %d", s.name, offset)
		if charsets[s.encoding].decoder != nil {
			name += " of its text in UTF-8"
		}
	} else {
		text = trimBOM(text)
	}
	return s.send(&document{name: name, text: text, end: end})
}
