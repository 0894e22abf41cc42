package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// The names of encodings beside those of single bytes, such as windows-1252.
const (
	EncodingUTF8    = "utf-8"
	EncodingUTF16   = "utf-16" // the order of its bytes follows from its mark, or from the text
	EncodingUTF16LE = "utf-16le"
	EncodingUTF16BE = "utf-16be"
	EncodingLatin1  = "windows-1252" // what is called Latin-1 mostly, and more than it
	EncodingBytes   = "bytes"        // of a [Text] alone: whatever there is
)

// charset is an encoding of characters. Its decoder is nil for UTF-8 and for bytes.
type charset struct {
	name    string
	decoder encoding.Encoding
}

var (
	utf8Set = charset{name: EncodingUTF8}
	latin1  = charset{EncodingLatin1, charmap.Windows1252}
	utf16LE = charset{EncodingUTF16LE, unicode.UTF16(unicode.LittleEndian, unicode.UseBOM)}
	utf16BE = charset{EncodingUTF16BE, unicode.UTF16(unicode.BigEndian, unicode.UseBOM)}
)

// charsets are all that can be named, by their names.
var charsets = func() map[string]charset {
	out := map[string]charset{EncodingUTF8: utf8Set, EncodingUTF16LE: utf16LE, EncodingUTF16BE: utf16BE, EncodingBytes: {name: EncodingBytes}}
	for _, e := range charmap.All {
		m, ok := e.(*charmap.Charmap)
		if !ok || m == charmap.XUserDefined || m == charmap.ISO8859_1 { // windows-1252 stands for it
			continue
		}
		name := strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(m.String()), "ibm code page ", "cp"), " ", "-")
		out[strings.ReplaceAll(name, "windows-code-page-", "cp")] = charset{strings.ReplaceAll(name, "windows-code-page-", "cp"), m}
	}
	return out
}()

// plainName takes what people vary out of the name of an encoding.
func plainName(s string) string {
	s = strings.NewReplacer("-", "", "_", "", " ", "").Replace(strings.ToLower(s))
	switch s {
	case "latin1", "iso88591", "cp1252", "ansi":
		return "windows1252" // as browsers do: the difference is control characters
	case "utf8sig", "utf8bom":
		return "utf8"
	}
	if rest, ok := strings.CutPrefix(s, "cp125"); ok {
		return "windows125" + rest
	}
	return s
}

// ParseEncoding returns the name of an encoding as this package writes it: utf-8, utf-16,
// utf-16le, utf-16be, and those of single bytes such as windows-1252, iso-8859-15 or koi8-r.
func ParseEncoding(name string) (string, error) {
	plain := plainName(name)
	if plain == "utf16" {
		return EncodingUTF16, nil
	}
	var known []string
	for n := range charsets {
		if plainName(n) == plain {
			return n, nil
		}
		known = append(known, n)
	}
	slices.Sort(known)
	return "", fmt.Errorf("encoding %.40q: want %s or one of %s", name, EncodingUTF16, strings.Join(known, ", "))
}

// EncodingError is the error of bytes that are not in the encoding of a file.
type EncodingError struct {
	Line int    // of the file; 0 where it is told beside
	What string // is wrong with them
	Like string // an encoding that has all of the file's, where it was said to be in another; or empty
}

// Error implements error.
func (e *EncodingError) Error() string {
	what := e.What
	if e.Line > 0 {
		what = fmt.Sprintf("line %d: %s", e.Line, what)
	}
	if e.Like != "" {
		return fmt.Sprintf("%s: mend it, or set encoding = %q in [data.csv], which the file seems to be in", what, e.Like)
	}
	return what + ": mend it, or set encoding in [data.csv]"
}

// lineError is something wrong with bytes at a line of a file.
func lineError(line int, format string, args ...any) error {
	return &EncodingError{Line: line, What: fmt.Sprintf(format, args...)}
}

// archives begin as files do that are no text, and what they are.
var archives = []struct{ start, what string }{
	{"PK\x03\x04", "an Excel workbook or another zip archive: export it as CSV"},
	{"\xd0\xcf\x11\xe0", "an Excel workbook: export it as CSV"},
	{"PAR1", "a Parquet file: export it as CSV"},
	{"\x1f\x8b", "compressed by gzip: unpack it"},
	{"SQLite format 3", "an SQLite database: export a table as CSV"},
	{"%PDF-", "a PDF file"},
}

// sniffBytes is how much of a file tells UTF-16 without a mark.
const sniffBytes = 64 << 10

// detect finds out in which encoding a file is. assumed is the one of single bytes that is
// meant if it is not Unicode: empty stands for windows-1252. With lenient a file that is
// mostly UTF-8 is UTF-8: whoever reads it leaves out what is not.
func detect(r io.Reader, assumed string, lenient bool) (charset, error) {
	in := bufio.NewReaderSize(r, sniffBytes)
	head, err := in.Peek(sniffBytes)
	if err != nil && !errors.Is(err, io.EOF) {
		return charset{}, err
	}
	for _, a := range archives {
		if bytes.HasPrefix(head, []byte(a.start)) {
			return charset{}, fmt.Errorf("no text: it is %s", a.what)
		}
	}
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe\x00\x00")), bytes.HasPrefix(head, []byte("\x00\x00\xfe\xff")):
		return charset{}, errors.New("UTF-32, which is not read: save it as UTF-8")
	case bytes.HasPrefix(head, []byte("\xff\xfe")):
		return utf16LE, nil
	case bytes.HasPrefix(head, []byte("\xfe\xff")):
		return utf16BE, nil
	}
	if order := zeros(head); order != nil {
		return *order, nil
	}
	return detectBytes(in, assumed, lenient)
}

// zeros returns the UTF-16 whose every second byte is zero in most places, as Latin text has.
func zeros(head []byte) *charset {
	var count [2]int
	for i, b := range head {
		if b == 0 {
			count[i%2]++
		}
	}
	switch pairs := len(head) / 2; {
	case pairs == 0:
	case count[1]*10 >= pairs*4 && count[0]*10 < pairs:
		return &utf16LE
	case count[0]*10 >= pairs*4 && count[1]*10 < pairs:
		return &utf16BE
	}
	return nil
}

// detectBytes tells UTF-8 from single bytes, and refuses what is neither or both.
func detectBytes(in *bufio.Reader, assumed string, lenient bool) (charset, error) {
	other := latin1
	if c := charsets[assumed]; c.decoder != nil && c.decoder != utf16LE.decoder && c.decoder != utf16BE.decoder {
		other = c
	}
	single, _ := other.decoder.(*charmap.Charmap)
	line, wide, narrow, narrowLine, undefined, zero := 1, 0, 0, 0, 0, 0
	for {
		r, size, err := in.ReadRune()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return charset{}, err
		}
		switch {
		case r == '\n':
			line++
		case r == 0 && zero == 0:
			zero = line
		case r == utf8.RuneError && size == 1:
			_ = in.UnreadRune()
			b, _ := in.ReadByte() // it was just read
			if narrow++; narrow == 1 {
				narrowLine = line
			}
			if single == nil || control(single.DecodeByte(b)) {
				undefined = line
			}
		case size > 1:
			wide++
		}
	}
	switch {
	case zero > 0 && (narrow > wide || !lenient):
		return charset{}, lineError(zero, "a zero byte: this is no text, or in another encoding")
	case narrow == 0, wide >= narrow && lenient:
		return utf8Set, nil
	case wide >= narrow:
		return charset{}, lineError(narrowLine, "bytes that are not UTF-8, and others in the file are")
	case undefined > 0:
		return charset{}, lineError(undefined, "bytes that are neither UTF-8 nor %s", other.name)
	}
	return other, nil
}

// control reports whether a character of single bytes is none that text has.
func control(r rune) bool { return r == utf8.RuneError || r >= 0x80 && r < 0xa0 }

// charsetOf returns the encoding of a file: as set, else as it is found to be.
func charsetOf(r io.Reader, set, assumed string, lenient bool) (charset, error) {
	switch {
	case set == "":
		return detect(r, assumed, lenient)
	case set != EncodingUTF16:
		return charsets[set], nil
	}
	c, err := detect(r, "", lenient)
	if err == nil && c.decoder != utf16LE.decoder && c.decoder != utf16BE.decoder {
		err = errors.New("no UTF-16: it has no mark of it, and nothing looks like it")
	}
	return c, err
}

// reader decodes to UTF-8. What is UTF-8 stays as it is, its mark included.
func (c charset) reader(r io.Reader) io.Reader {
	if c.decoder == nil {
		return r
	}
	return transform.NewReader(r, c.decoder.NewDecoder())
}

// EncodingWriter returns a writer of text in an encoding, by its name, which is ended by Close. A
// character that the encoding does not have is an error.
func EncodingWriter(w io.Writer, name string) io.WriteCloser {
	c := charsets[name]
	if c.decoder == nil {
		return plainWriter{w}
	}
	return transform.NewWriter(w, c.decoder.NewEncoder())
}

// plainWriter writes what is UTF-8.
type plainWriter struct{ io.Writer }

func (plainWriter) Close() error { return nil }

// misread is the error of bytes at a line that are not in the encoding that was set, with the one
// that the file seems to be in.
func misread(raw []byte, line int, name string) error {
	e := &EncodingError{Line: line, What: "bytes that are not " + name}
	if found, err := detect(bytes.NewReader(raw), "", false); err == nil && !strings.EqualFold(found.name, name) {
		e.Like = found.name
	}
	return e
}

// decodeAll decodes a whole file, and refuses bytes that its encoding does not have.
func decodeAll(raw []byte, set, assumed string) (text []byte, name string, err error) {
	if bytes.HasPrefix(raw, []byte("\ufeff")) {
		set = EncodingUTF8 // its mark says so
	}
	c, err := charsetOf(bytes.NewReader(raw), set, assumed, false)
	if err != nil {
		return nil, "", err
	}
	if c.decoder == nil {
		text = bytes.TrimPrefix(raw, []byte("\ufeff"))
		if at := invalid(text); at >= 0 {
			return nil, "", misread(raw, 1+bytes.Count(text[:at], []byte{'\n'}), "UTF-8")
		}
	} else if text, err = io.ReadAll(c.reader(bytes.NewReader(raw))); err != nil {
		return nil, "", err
	}
	if at := bytes.IndexRune(text, utf8.RuneError); at >= 0 && c.decoder != nil {
		return nil, "", misread(raw, 1+bytes.Count(text[:at], []byte{'\n'}), c.name)
	}
	return text, c.name, nil
}

// invalid returns where the first byte is that is not UTF-8, -1 if all is.
func invalid(text []byte) int {
	for at := 0; at < len(text); {
		if text[at] < utf8.RuneSelf {
			at++
			continue
		}
		r, size := utf8.DecodeRune(text[at:])
		if r == utf8.RuneError && size == 1 {
			return at
		}
		at += size
	}
	return -1
}
