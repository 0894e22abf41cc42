package data

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Format says how the text of a table is written. What is empty is found out.
type Format struct {
	Encoding  string `json:"encoding,omitempty"`  // as ParseEncoding returns it
	Separator string `json:"separator,omitempty"` // of fields, one character
	Decimal   string `json:"decimal,omitempty"`   // before the decimals of a number: . or ,
	Thousands string `json:"thousands,omitempty"` // between groups of three digits: . , ' a blank, or none
}

// String describes a format.
func (f Format) String() string {
	text := f.Encoding + ", separated by " + separatorName(f.Separator)
	if f.Decimal == "," {
		text += ", decimal comma"
	}
	if f.Thousands != "" && f.Thousands != NoThousands {
		text += fmt.Sprintf(", %q between thousands", f.Thousands)
	}
	return text
}

// check reports a format that no file has.
func (f Format) check() error {
	if r, size := utf8.DecodeRuneInString(f.Separator); f.Separator != "" && (size != len(f.Separator) || !usable(r)) {
		return fmt.Errorf("separator %.40q: want one character", f.Separator)
	}
	if f.Encoding != "" && f.Encoding != EncodingUTF16 && charsets[f.Encoding].name == "" {
		return fmt.Errorf("encoding %.40q is not known", f.Encoding)
	}
	if len(f.Thousands) > len(NoThousands) || len(f.Decimal) > 1 {
		return fmt.Errorf("decimal %.40q or thousands %.40q: want one character", f.Decimal, f.Thousands)
	}
	return nil
}

func separatorName(s string) string {
	names := map[string]string{",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
	if n, ok := names[s]; ok {
		return n
	}
	return fmt.Sprintf("%q", s)
}

// separators are tried where none is set.
var separators = []string{",", ";", "\t", "|"}

// Row is a row of a sheet as it is in the file, without blanks around its fields.
type Row struct {
	Line   int // of the file, from 1, where the row begins
	Fields []string
	Err    error // why the row has no fields that could be used; else nil
}

// SheetConfig says how a file of separated values is read.
type SheetConfig struct {
	Format Format
	// Like is the format of a file that was read before: what the text leaves open is as
	// it was there.
	Like Format
	// Want are columns that the first row has, which tell the separator.
	Want []string
	// MaxBytes bounds the file; 0 stands for DefaultMaxTableBytes.
	MaxBytes int64
}

// Sheet is the text of a table. Columns without a name are left out.
type Sheet struct {
	Format Format // encoding and separator as they were found
	Header []string
	Rows   []Row    // in the order of the file
	Notes  []string // what somebody should know of how it was read
}

// capped is a reader that fails beyond a number of bytes.
type capped struct {
	r    io.Reader
	left int64
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, errors.New("file is larger than the limit")
	}
	return n, err
}

// ReadSheet reads a file of separated values whose first row has the names of the columns.
// Rows that are malformed are there with their error.
func ReadSheet(r io.Reader, cfg SheetConfig) (*Sheet, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxTableBytes
	}
	raw, err := io.ReadAll(&capped{r, cfg.MaxBytes})
	if err != nil {
		return nil, err
	}
	if err := errors.Join(cfg.Format.check(), cfg.Like.check()); err != nil {
		return nil, err
	}
	s := &Sheet{Format: cfg.Format}
	text, name, err := decodeAll(raw, cfg.Format.Encoding, cfg.Like.Encoding)
	if err != nil {
		return nil, err
	}
	s.Format.Encoding = name
	if !bytes.ContainsRune(text, '\n') {
		text = bytes.ReplaceAll(text, []byte{'\r'}, []byte{'\n'}) // as Macs wrote long ago
	}
	first := 1
	if sep, rest := declared(text); sep != "" {
		if text, first = rest, 2; s.Format.Separator == "" {
			s.Format.Separator = sep
		}
	}
	if s.Format.Separator == "" {
		s.Format.Separator = sniffSeparator(text, cfg)
	}
	if err := s.read(text, first); err != nil {
		return nil, err
	}
	s.dropUnnamed()
	return s, nil
}

// declared returns what a first line such as sep=; says, which Excel reads and writes.
func declared(text []byte) (sep string, rest []byte) {
	line, rest, _ := bytes.Cut(text, []byte{'\n'})
	value, ok := strings.CutPrefix(strings.ToLower(strings.Trim(string(line), "\r\"")), "sep=")
	if r, size := utf8.DecodeRuneInString(value); ok && size == len(value) && usable(r) {
		return value, rest
	}
	return "", nil
}

// usable reports whether a character can separate fields.
func usable(r rune) bool {
	return r != 0 && r != '"' && r != '\r' && r != '\n' && r != utf8.RuneError && utf8.ValidRune(r)
}

// How much of a file tells the separator.
const (
	sniffedBytes = 1 << 18
	sniffedRows  = 200
)

// sniffSeparator returns the separator by which the first rows are a table: one that gives
// the wanted columns, then the one by which most rows have as many fields as the first, then
// the one that gives most of them.
func sniffSeparator(text []byte, cfg SheetConfig) string {
	candidates := separators
	if like := cfg.Like.Separator; like != "" {
		candidates = append([]string{like}, candidates...)
	}
	best, most := "", [3]int{-1}
	for _, sep := range candidates {
		if score := tryComma(text, sep, cfg.Want); slices.Compare(score[:], most[:]) > 0 {
			best, most = sep, score
		}
	}
	return best
}

// tryComma returns how many wanted columns there are, the share of rows in a thousand that
// have as many fields as the first, and how many these are.
func tryComma(text []byte, sep string, want []string) (score [3]int) {
	whole := len(text) <= sniffedBytes
	in := newReader(bytes.NewReader(text[:min(len(text), sniffedBytes)]), sep)
	header, err := in.Read()
	if err != nil {
		return score
	}
	for i := range header {
		header[i] = clean(header[i])
	}
	for _, w := range want {
		if slices.Contains(header, w) {
			score[0]++
		}
	}
	rows, fit, last := 0, 0, 0
	for rows < sniffedRows {
		fields, err := in.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		last = 0
		if err == nil && fits(len(header), fields) {
			last = 1
		}
		rows, fit = rows+1, fit+last
	}
	if !whole && rows < sniffedRows && rows > 1 { // the last row may be cut
		rows, fit = rows-1, fit-last
	}
	score[1], score[2] = 1000*fit/max(rows, 1), len(header)
	return score
}

// fits reports whether a row has n fields, or one more that is empty.
func fits(n int, fields []string) bool {
	return len(fields) == n || len(fields) == n+1 && clean(fields[n]) == ""
}

func newReader(r io.Reader, sep string) *csv.Reader {
	in := csv.NewReader(r)
	in.Comma, _ = utf8.DecodeRuneInString(sep)
	in.FieldsPerRecord = -1 // counted by whoever reads, so that the line is known
	return in
}

// clean removes what does not count around a field: blanks, and marks of byte order, which
// files that were put together have in their middle.
func clean(s string) string {
	return strings.TrimFunc(s, func(r rune) bool { return unicode.IsSpace(r) || r == '\ufeff' })
}

// read reads the rows of text, whose first line is line first of the file.
func (s *Sheet) read(text []byte, first int) error {
	in := newReader(bytes.NewReader(text), s.Format.Separator)
	header, err := in.Read()
	if errors.Is(err, io.EOF) {
		return errors.New("the file is empty: want a first line with the names of the columns")
	}
	if err != nil {
		return fmt.Errorf("first row: %w%s", err, jsonHint(string(text[:min(len(text), 2)])))
	}
	if len(header) > maxColumns {
		return fmt.Errorf("%d columns, at most %d", len(header), maxColumns)
	}
	for i := range header {
		header[i] = clean(header[i])
	}
	s.Header = header
	for {
		fields, err := in.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &syntax) && syntax.Line > syntax.StartLine: // what it swallowed is lost
			return fmt.Errorf("line %d: a quoted field goes on to line %d and does not end there: %w", syntax.StartLine+first-1, syntax.Line+first-1, syntax.Err)
		case errors.As(err, &syntax):
			s.Rows = append(s.Rows, Row{Line: syntax.StartLine + first - 1, Err: syntax.Err})
			continue
		case err != nil:
			return err
		}
		line, _ := in.FieldPos(0)
		s.Rows = append(s.Rows, s.row(line+first-1, fields))
	}
}

// row checks the fields of a row.
func (s *Sheet) row(line int, fields []string) Row {
	for i := range fields {
		fields[i] = clean(fields[i])
	}
	switch {
	case !fits(len(s.Header), fields):
		return Row{Line: line, Err: fmt.Errorf("%d fields, want %d", len(fields), len(s.Header))}
	case slices.Equal(fields[:len(s.Header)], s.Header):
		return Row{Line: line, Err: errors.New("the names of the columns once more")}
	case !slices.ContainsFunc(fields, func(f string) bool { return f != "" }):
		return Row{Line: line, Err: errors.New("no value")}
	}
	return Row{Line: line, Fields: fields[:len(s.Header)]}
}

// dropUnnamed leaves out the columns that have no name: what follows a separator at the end
// of each line, or numbers of rows that another program put there.
func (s *Sheet) dropUnnamed() {
	var kept []int
	for i, name := range s.Header {
		if name != "" {
			kept = append(kept, i)
			continue
		}
		values, line := 0, 0
		for _, r := range s.Rows {
			if r.Err == nil && r.Fields[i] != "" {
				if values++; values == 1 {
					line = r.Line
				}
			}
		}
		if values > 0 {
			s.Notes = append(s.Notes, fmt.Sprintf("column %d has no name and %d values (the first in line %d): it is left out", i+1, values, line))
		}
	}
	if len(kept) == len(s.Header) {
		return
	}
	s.Header = pickFields(s.Header, kept)
	for i := range s.Rows {
		if s.Rows[i].Err == nil {
			s.Rows[i].Fields = pickFields(s.Rows[i].Fields, kept)
		}
	}
}

func pickFields(fields []string, at []int) []string {
	out := make([]string, len(at))
	for i, from := range at {
		out[i] = fields[from]
	}
	return out
}

// Columns returns where the wanted columns are in the header.
func (s *Sheet) Columns(want []string) ([]int, error) {
	at, places, twice := make([]int, len(want)), map[string]int{}, map[string]bool{}
	for i, name := range s.Header {
		if _, ok := places[name]; ok {
			twice[name] = true
		}
		places[name] = i
	}
	for i, name := range want {
		var ok bool
		if at[i], ok = places[name]; !ok {
			return nil, s.noColumn(name)
		}
		if twice[name] {
			return nil, fmt.Errorf("column %q twice in the first line", name)
		}
	}
	return at, nil
}

// noColumn says which columns there are instead.
func (s *Sheet) noColumn(name string) error {
	list := strings.Join(s.Header, ", ")
	return fmt.Errorf("no column %q: the first line, separated by %s, has %d: %.400s%s", name, separatorName(s.Format.Separator), len(s.Header), list, jsonHint(list))
}

// jsonHint says that a file is something else, if it begins like that.
func jsonHint(text string) string {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[{") || text == "[" {
		return "; the file seems to be JSON: export it as CSV"
	}
	return ""
}
