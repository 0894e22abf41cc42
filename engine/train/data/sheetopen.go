package data

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// maxTitles is how many lines above the names of the columns are looked for.
const maxTitles = 50

// macLines makes of the ends of lines as Macs wrote them long ago those of today.
type macLines struct{ r io.Reader }

func (m macLines) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	for i, b := range p[:n] {
		if b == '\r' {
			p[i] = '\n'
		}
	}
	return n, err
}

// open reads up to the rows, of text that is decoded.
func (s *Sheet) open(text io.Reader, cfg SheetConfig) error {
	s.most, s.limit = cfg.MaxBytes, &capped{text, cfg.MaxBytes, "a row"}
	in := bufio.NewReaderSize(s.limit, sniffedBytes)
	if mark, _ := in.Peek(len("\ufeff")); string(mark) == "\ufeff" {
		_, _ = in.Discard(len(mark)) // it was peeked at
		s.Mark = s.Format.Encoding == EncodingUTF8
	}
	head, _, err := peek(in)
	if err != nil {
		return err
	}
	s.CRLF = bytes.Contains(head, []byte("\r\n"))
	if !bytes.ContainsRune(head, '\n') && bytes.ContainsRune(head, '\r') {
		in = bufio.NewReaderSize(macLines{in}, sniffedBytes)
		if head, _, err = peek(in); err != nil {
			return err
		}
	}
	if sep, rest := declared(head); sep != "" {
		s.before = 1
		if s.Format.Separator == "" {
			s.Format.Separator = sep
		}
		_, _ = in.Discard(len(head) - len(rest))
	}
	if err := s.skip(in, cfg.Skip); err != nil {
		return err
	}
	head, whole, err := peek(in)
	if err != nil {
		return err
	}
	among := candidates(s.Format.Separator, cfg)
	titles := findHeader(head, among, cfg.Want)
	if titles > 0 && !cfg.Find {
		return s.looksLike(titles)
	}
	if titles > 0 {
		if err := s.skip(in, s.before+titles); err != nil {
			return err
		}
		if head, whole, err = peek(in); err != nil {
			return err
		}
	}
	if s.Format.Separator == "" {
		s.Format.Separator = sniffSeparator(head, whole, cfg)
	}
	if !cfg.Find {
		s.titles = titlesHint(head, among, cfg.Want, s.before)
	}
	return s.header(in, string(head[:min(len(head), 2)]), cfg.Want)
}

// peek returns the beginning of what comes, and whether it is all.
func peek(in *bufio.Reader) (head []byte, whole bool, err error) {
	head, err = in.Peek(sniffedBytes)
	if whole = errors.Is(err, io.EOF); whole {
		err = nil
	}
	return head, whole, err
}

// skip passes over the lines of the file up to a number.
func (s *Sheet) skip(in *bufio.Reader, lines int) error {
	begun := false // a line without its end
	for s.before < lines {
		part, err := in.ReadSlice('\n')
		begun = err != nil && (begun || len(part) > 0)
		switch {
		case err == nil:
			s.before++
		case errors.Is(err, io.EOF):
			n := s.before
			if begun {
				n++
			}
			return fmt.Errorf("the file has no more than %d lines: skip_rows = %d passes over all of them", n, lines)
		case !errors.Is(err, bufio.ErrBufferFull):
			return err
		}
	}
	return nil
}

// looksLike says that the header is below some lines.
func (s *Sheet) looksLike(titles int) error {
	return fmt.Errorf("line %d looks like the header, with the names of the columns, and not line %d: set skip_rows = %d in [data.csv]", s.before+titles+1, s.before+1, s.before+titles)
}

// header reads the names of the columns, which begin with start. Wanted ones are written as they
// are wanted, where the file has other code points for the same text.
func (s *Sheet) header(in *bufio.Reader, start string, want []string) error {
	s.in = newReader(in, s.Format.Separator)
	if s.raw {
		s.read = &recorder{r: in}
		s.in = newReader(s.read, s.Format.Separator)
	}
	header, err := s.in.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty: want a first line with the names of the columns")
	}
	if err != nil {
		return fmt.Errorf("first row: %w%s", err, jsonHint(start))
	}
	if len(header) > MaxColumns {
		return fmt.Errorf("%d columns, at most %d", len(header), MaxColumns)
	}
	exact, spelled := map[string]bool{}, map[string]string{}
	for _, w := range want {
		exact[w], spelled[norm.NFC.String(w)] = true, w
	}
	for i := range header {
		header[i] = clean(header[i])
		if w, ok := spelled[norm.NFC.String(header[i])]; ok && !exact[header[i]] {
			header[i] = w
		}
	}
	s.Header = header
	line, _ := s.in.FieldPos(0)
	if s.line = line + s.before; slices.ContainsFunc(header, s.undecoded) {
		return &EncodingError{Line: s.line, What: "bytes that are not " + s.Format.Encoding}
	}
	return nil
}

// undecoded reports whether a field has bytes that are none of the encoding.
func (s *Sheet) undecoded(field string) bool {
	return !utf8.ValidString(field) || charsets[s.Format.Encoding].decoder != nil && strings.ContainsRune(field, utf8.RuneError)
}

// Next returns the next row, which may have an error of its own; io.EOF after the last one.
func (s *Sheet) Next() (Row, error) {
	s.limit.left = s.most
	if s.read != nil {
		s.read.drop(s.in.InputOffset())
	}
	fields, err := s.in.Read()
	var syntax *csv.ParseError
	switch {
	case errors.As(err, &syntax) && syntax.Line > syntax.StartLine: // what it swallowed is lost
		return Row{}, fmt.Errorf("line %d: a quoted field goes on to line %d and does not end there: %w", syntax.StartLine+s.before, syntax.Line+s.before, syntax.Err)
	case errors.As(err, &syntax):
		row := Row{Line: syntax.StartLine + s.before, Err: syntax.Err}
		if s.read != nil {
			row.Text = s.read.line(s.in.InputOffset())
		}
		return row, nil
	case err != nil:
		return Row{}, err
	}
	line, _ := s.in.FieldPos(0)
	return s.row(line+s.before, fields), nil
}

// fieldsOf returns the fields of a line, none if it is malformed.
func fieldsOf(line []byte, sep string) []string {
	fields, err := newReader(bytes.NewReader(line), sep).Read()
	if err != nil {
		return nil
	}
	return fields
}

// filled counts the fields that are not empty.
func filled(fields []string) (n int) {
	for _, f := range fields {
		if clean(f) != "" {
			n++
		}
	}
	return n
}

// lacks returns the names that a header has not.
func lacks(header, want []string) (absent []string) {
	names := make(map[string]bool, len(header))
	for _, h := range header {
		names[norm.NFC.String(clean(h))] = true
	}
	for _, w := range want {
		if !names[norm.NFC.String(w)] {
			absent = append(absent, w)
		}
	}
	return absent
}

// findHeader returns how many lines with fewer fields are above one that has the wanted
// columns, 0 if none is.
func findHeader(head []byte, separators, want []string) int {
	if len(want) == 0 {
		return 0
	}
	for _, sep := range separators { // the first row may have lines in quotes, which are cut below
		if first := fieldsOf(head, sep); len(first) > 0 && len(lacks(first, want)) == 0 {
			return 0
		}
	}
	empty := true                        // all lines above, which no reader of rows sees
	most := make([]int, len(separators)) // fields above
	for n := 0; n <= maxTitles && len(head) > 0; n++ {
		line, rest, _ := bytes.Cut(head, []byte{'\n'})
		for i, sep := range separators {
			fields := fieldsOf(line, sep)
			if count := filled(fields); count > most[i] {
				if len(lacks(fields, want)) == 0 {
					if empty {
						return 0
					}
					return n
				}
				most[i] = count
			}
		}
		head, empty = rest, empty && emptyLine(line)
	}
	return 0
}

// emptyLine reports whether a line has nothing in it at all.
func emptyLine(line []byte) bool { return len(bytes.TrimSuffix(line, []byte{'\r'})) == 0 }

// named reports whether fields seem to be names of columns: most of the wanted ones, or words.
func named(fields, want []string) bool {
	if 2*len(lacks(fields, want)) < len(want) {
		return true
	}
	return !slices.ContainsFunc(fields, func(f string) bool {
		_, number := parseNumeral(clean(f))
		return number || noNumber(clean(f)) || dates.MatchString(clean(f))
	})
}

// titlesHint says which line looks like the header if the first one does not: one that has as
// many fields as most lines, all filled with names, below such that are half empty at most.
func titlesHint(head []byte, separators, want []string, before int) string {
	best, titles := 1, 0
	for _, sep := range separators {
		counts, filledAt, most := map[int]int{}, map[int]int{}, 0
		lines, above, sparse := 0, 0, 0 // above: empty lines at first; sparse: the most filled fields above a line
		for rest := head; lines < sniffedRows && len(rest) > 0; lines++ {
			var line []byte
			line, rest, _ = bytes.Cut(rest, []byte{'\n'})
			if sparse == 0 && emptyLine(line) {
				above++
				continue
			}
			fields := fieldsOf(line, sep)
			n, full := len(fields), filled(fields)
			if counts[n]++; counts[n] > counts[most] && n > 1 {
				most = n
			}
			if _, ok := filledAt[n]; !ok && full == n && 2*sparse <= n && named(fields, want) {
				filledAt[n] = lines
			}
			sparse = max(sparse, full)
		}
		if most <= best || 2*counts[most] <= lines {
			continue
		}
		best, titles = most, 0 // what separates more fields counts: a line of decimal commas is no header
		if at := filledAt[most]; at > above && at <= maxTitles {
			titles = at
		}
	}
	if titles == 0 {
		return ""
	}
	return fmt.Sprintf("; line %d looks like the header: set skip_rows = %d in [data.csv] if it is", before+titles+1, before+titles)
}
