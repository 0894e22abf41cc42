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
	// Raw are the fields as they are, of a row that can be taken apart, if SheetConfig.Raw is set.
	// Text is the line of one that cannot, without its end.
	Raw  []string
	Text string

	all []string // fields of all columns, if Fields are some of them
}

// whole returns the fields of all columns of the file.
func (r *Row) whole() []string {
	if r.all != nil {
		return r.all
	}
	return r.Fields
}

// SheetConfig says how a file of separated values is read.
type SheetConfig struct {
	Format Format
	// Like is the format of a file that was read before: what the text leaves open is as
	// it was there.
	Like Format
	// Want are columns that the first row has, which tell the separator.
	Want []string
	// Skip is how many lines are above that with the names of the columns. With Find the
	// first line that has all of Want is that one, if those above have fewer fields.
	Skip int
	Find bool
	// Raw keeps the fields of rows as they are in the file, too, and the lines of malformed ones.
	Raw bool
	// MaxBytes bounds the file, of OpenSheet a row; 0 stands for DefaultMaxTableBytes.
	MaxBytes int64
}

// Sheet is the text of a table.
type Sheet struct {
	Format Format // encoding and separator as they were found
	Header []string
	Rows   []Row    // of ReadSheet, in the order of the file
	Notes  []string // what somebody should know of how it was read
	// Mark and CRLF tell that the file begins with a mark of byte order, of UTF-8, and that its
	// lines end as those of Windows.
	Mark, CRLF bool

	raw    bool
	in     *csv.Reader
	read   *recorder // below in; nil without raw
	limit  *capped   // below in, of a row
	most   int64     // bytes of a row
	before int       // lines of the file above what in reads
	line   int       // of the header
	titles string    // what to do about lines above the header, if it seems to be another line
	places []int     // of the columns in the file, if some were left out
	whole  []string  // names of all columns, if Header has some of them
}

// capped is a reader that fails beyond a number of bytes.
type capped struct {
	r    io.Reader
	left int64
	what string // has so many bytes
}

func (c *capped) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	if c.left -= int64(n); c.left < 0 {
		return 0, fmt.Errorf("%s is larger than the limit", c.what)
	}
	return n, err
}

// recorder keeps the text that was read since the row before.
type recorder struct {
	r     io.Reader
	text  []byte
	begin int64 // of text, in what was read
}

func (k *recorder) Read(p []byte) (int, error) {
	n, err := k.r.Read(p)
	k.text = append(k.text, p[:n]...)
	return n, err
}

// drop forgets what is before a place.
func (k *recorder) drop(to int64) {
	k.text = append(k.text[:0], k.text[to-k.begin:]...)
	k.begin = to
}

// line returns the last line before a place, without its end.
func (k *recorder) line(to int64) string {
	text := bytes.TrimSuffix(bytes.TrimSuffix(k.text[:to-k.begin], []byte{'\n'}), []byte{'\r'})
	return string(text[bytes.LastIndexByte(text, '\n')+1:])
}

// ReadSheet reads a file of separated values in which a row, the first one but for
// SheetConfig, has the names of the columns. Columns without a name are left out, rows that
// are malformed are there with their error.
func ReadSheet(r io.Reader, cfg SheetConfig) (*Sheet, error) {
	s, err := newSheet(&cfg)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(&capped{r, cfg.MaxBytes, "file"})
	if err != nil {
		return nil, err
	}
	text, name, err := decodeAll(raw, cfg.Format.Encoding, cfg.Like.Encoding)
	if err != nil {
		return nil, err
	}
	s.Format.Encoding, cfg.MaxBytes = name, max(cfg.MaxBytes, int64(len(text)))
	if err := s.open(bytes.NewReader(text), cfg); err != nil {
		return nil, err
	}
	for {
		row, err := s.Next()
		if errors.Is(err, io.EOF) {
			s.dropUnnamed()
			return s, nil
		}
		if err != nil {
			return nil, err
		}
		s.Rows = append(s.Rows, row)
	}
}

// OpenSheet begins to read a file as [ReadSheet] does, of any size: it is gone through once to
// find out its encoding, then [Sheet.Next] returns its rows. Columns without a name are there.
func OpenSheet(f io.ReadSeeker, cfg SheetConfig) (*Sheet, error) {
	s, err := newSheet(&cfg)
	if err != nil {
		return nil, err
	}
	set, mark := cfg.Format.Encoding, make([]byte, len("\ufeff"))
	if n, _ := io.ReadFull(f, mark); string(mark[:n]) == "\ufeff" {
		set = EncodingUTF8 // its mark says so
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	c, err := charsetOf(f, set, cfg.Like.Encoding, false)
	if err != nil {
		return nil, err
	}
	s.Format.Encoding = c.name
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	return s, s.open(c.reader(f), cfg)
}

func newSheet(cfg *SheetConfig) (*Sheet, error) {
	if cfg.MaxBytes <= 0 {
		cfg.MaxBytes = DefaultMaxTableBytes
	}
	return &Sheet{Format: cfg.Format, raw: cfg.Raw}, errors.Join(cfg.Format.check(), cfg.Like.check())
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
func sniffSeparator(head []byte, whole bool, cfg SheetConfig) string {
	best, most := "", [3]int{-1}
	for _, sep := range candidates("", cfg) {
		if score := tryComma(head, whole, sep, cfg.Want); slices.Compare(score[:], most[:]) > 0 {
			best, most = sep, score
		}
	}
	return best
}

// candidates are the separators that a file may have; set is one that is known.
func candidates(set string, cfg SheetConfig) []string {
	switch {
	case set != "":
		return []string{set}
	case cfg.Like.Separator != "":
		return append([]string{cfg.Like.Separator}, separators...)
	}
	return separators
}

// tryComma returns how many wanted columns there are, the share of rows in a thousand that
// have as many fields as the first, and how many these are.
func tryComma(head []byte, whole bool, sep string, want []string) (score [3]int) {
	in := newReader(bytes.NewReader(head), sep)
	header, err := in.Read()
	if err != nil {
		return score
	}
	score[0] = len(want) - len(lacks(header, want))
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

// row checks the fields of a row.
func (s *Sheet) row(line int, fields []string) (r Row) {
	if s.raw {
		all := slices.Clone(fields)
		defer func() { r.Raw = all }()
	}
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
	case slices.ContainsFunc(fields, s.undecoded):
		return Row{Line: line, Err: &EncodingError{What: "bytes that are not " + s.Format.Encoding}}
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
	s.Header, s.places = pickFields(s.Header, kept), kept
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
	line := "the first line"
	if s.line > 1 {
		line = fmt.Sprintf("line %d", s.line)
	}
	hint := s.titles
	if near := nearest(name, s.Header); near != "" {
		line, hint = fmt.Sprintf("did you mean %q? %s", near, line), ""
	}
	return fmt.Errorf("no column %q: %s, separated by %s, has %d: %.400s%s%s", name, line, separatorName(s.Format.Separator), len(s.Header), list, jsonHint(list), hint)
}

// place returns where a column is in the file, from 1.
func (s *Sheet) place(column int) int {
	if column < len(s.places) {
		column = s.places[column]
	}
	return column + 1
}

// jsonHint says that a file is something else, if it begins like that.
func jsonHint(text string) string {
	if strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[{") || text == "[" {
		return "; the file seems to be JSON: export it as CSV"
	}
	return ""
}
