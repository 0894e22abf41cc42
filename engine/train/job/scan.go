package job

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2/unstable"
)

// Problem is something wrong with a job.
type Problem struct {
	Key  string // in the file: train.batch
	Line int    // in the file, 0 if unknown
	Text string
}

// Error implements error.
func (p *Problem) Error() string {
	out := p.Text
	if p.Key != "" {
		out = p.Key + ": " + out
	}
	if p.Line > 0 {
		return fmt.Sprintf("line %d: %s", p.Line, out)
	}
	return out
}

// scanner compares a file with the type of a job. It is what makes all mistakes of names
// and types known at once, each with its line; the decoder stops at the first.
type scanner struct {
	parser   unstable.Parser
	data     []byte
	counted  int // bytes whose lines are counted
	newlines int
	lines    map[string]int
	tables   map[string]int // elements of arrays of tables
	problems []error
}

// scan returns the lines of all keys, or what is wrong with names and types.
func scan(data []byte) (map[string]int, error) {
	s := &scanner{data: data, lines: map[string]int{}, tables: map[string]int{}}
	s.parser.Reset(data)
	section, at, known := "", reflect.TypeFor[Job](), true
	for s.parser.NextExpression() {
		e := s.parser.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			section, at, known = s.header(e)
		case unstable.KeyValue:
			if known { // what is below an unknown section has been told
				s.keyValue(section, at, e)
			}
		}
	}
	if err := s.parser.Error(); err != nil {
		var p *unstable.ParserError
		if errors.As(err, &p) {
			line := s.line(s.parser.Range(p.Highlight))
			return nil, &Problem{Line: line, Text: p.Message + slip(s.data, line)}
		}
		return nil, err
	}
	return s.lines, errors.Join(s.problems...)
}

// What people write that is no TOML: a decimal comma, and text without quotes.
var (
	decimalComma = regexp.MustCompile(`=\s*([+-]?\d+),(\d+)\s*([,}#]|$)`)
	bareText     = regexp.MustCompile(`([\w-]+)\s*=\s*((?:[\pL_/~]|\.[./\\])[^,}\]#"']*)`)
	quoted       = regexp.MustCompile(`"[^"]*"|'[^']*'`)
)

// slip says what is meant to be written in a line that is no TOML, if that can be told.
func slip(data []byte, line int) string {
	lines := strings.Split(string(data), "\n")
	if line > len(lines) {
		return ""
	}
	text := quoted.ReplaceAllString(strings.TrimSpace(lines[line-1]), `""`)
	if m := decimalComma.FindStringSubmatch(text); m != nil {
		return fmt.Sprintf("; a number has a decimal point, not a comma: %s.%s", m[1], m[2])
	}
	for _, m := range bareText.FindAllStringSubmatch(text, -1) {
		switch value := strings.TrimSpace(m[2]); strings.ToLower(value) {
		case "true", "false", "inf", "nan":
			if low := strings.ToLower(value); low != value {
				return fmt.Sprintf("; write it in small letters: %s = %s", m[1], low)
			}
		default:
			return fmt.Sprintf("; put text in quotes: %s = %q", m[1], value)
		}
	}
	return ""
}

func (s *scanner) line(r unstable.Range) int {
	to := min(int(r.Offset), len(s.data))
	if to < s.counted { // arrays may be looked at again
		s.counted, s.newlines = 0, 0
	}
	for ; s.counted < to; s.counted++ {
		if s.data[s.counted] == '\n' {
			s.newlines++
		}
	}
	return s.newlines + 1
}

func (s *scanner) problem(key string, line int, format string, args ...any) {
	s.problems = append(s.problems, &Problem{Key: key, Line: line, Text: fmt.Sprintf(format, args...)})
}

// header enters a section.
func (s *scanner) header(e *unstable.Node) (string, reflect.Type, bool) {
	path, at := "", reflect.TypeFor[Job]()
	keys := e.Key()
	for keys.Next() {
		n := keys.Node()
		line := s.line(n.Raw)
		next, ok := s.descend(&path, at, string(n.Data), line)
		if !ok {
			return path, nil, false
		}
		at = next
		array := at.Kind() == reflect.Slice && at.Elem().Kind() == reflect.Struct
		switch {
		case array && keys.IsLast() && e.Kind == unstable.ArrayTable:
			n := s.tables[path]
			s.tables[path]++
			path, at = fmt.Sprintf("%s[%d]", path, n), at.Elem()
		case array && s.tables[path] > 0:
			path, at = fmt.Sprintf("%s[%d]", path, s.tables[path]-1), at.Elem()
		case array:
			s.problem(path, line, "is a list of sections, want [[%s]]", path)
			return path, nil, false
		case at.Kind() != reflect.Struct:
			s.problem(path, line, "is a section, want %s", wanted(at))
			return path, nil, false
		case keys.IsLast() && e.Kind == unstable.ArrayTable:
			s.problem(path, line, "is one section, want [%s]", path)
			return path, nil, false
		}
		if _, ok := s.lines[path]; !ok {
			s.lines[path] = line
		}
	}
	return path, at, true
}

// descend goes to a key of a struct.
func (s *scanner) descend(path *string, at reflect.Type, key string, line int) (reflect.Type, bool) {
	names := make([]string, 0, at.NumField())
	full := strings.TrimPrefix(*path+"."+key, ".")
	for i := range at.NumField() {
		name, _, _ := strings.Cut(at.Field(i).Tag.Get("toml"), ",")
		if name == "" || name == "-" {
			continue
		}
		if name == key {
			*path = full
			t := at.Field(i).Type
			if t.Kind() == reflect.Pointer {
				t = t.Elem()
			}
			return t, true
		}
		names = append(names, name)
	}
	s.problem(full, line, "unknown key, want one of %s", strings.Join(names, ", "))
	return nil, false
}

func (s *scanner) keyValue(path string, at reflect.Type, e *unstable.Node) {
	keys := e.Key()
	line := 0
	for keys.Next() {
		n := keys.Node()
		line = s.line(n.Raw)
		if at.Kind() != reflect.Struct {
			s.problem(path, line, "has keys, want %s", wanted(at))
			return
		}
		next, ok := s.descend(&path, at, string(n.Data), line)
		if !ok {
			return
		}
		at = next
		if _, ok := s.lines[path]; !ok {
			s.lines[path] = line
		}
	}
	s.value(path, at, e.Value(), line)
}

// kinds are the types of values that fit a kind.
var kinds = map[reflect.Kind][]unstable.Kind{
	reflect.String:  {unstable.String},
	reflect.Bool:    {unstable.Bool},
	reflect.Int:     {unstable.Integer},
	reflect.Uint64:  {unstable.Integer},
	reflect.Float64: {unstable.Float, unstable.Integer},
	reflect.Slice:   {unstable.Array},
	reflect.Struct:  {unstable.InlineTable},
}

func wanted(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "text in quotes"
	case reflect.Bool:
		return "true or false"
	case reflect.Int:
		return "a whole number"
	case reflect.Uint64:
		return "a whole number of 0 or more"
	case reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list in brackets, each " + wanted(t.Elem())
	}
	return "a section"
}

func (s *scanner) value(path string, at reflect.Type, v *unstable.Node, line int) {
	if at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	fits := false
	for _, k := range kinds[at.Kind()] {
		fits = fits || v.Kind == k
	}
	if !fits {
		s.problem(path, line, "is %s, want %s", given(v), wanted(at))
		return
	}
	children := v.Children()
	switch v.Kind {
	case unstable.Array:
		for i := 0; children.Next(); i++ {
			s.value(fmt.Sprintf("%s[%d]", path, i), at.Elem(), children.Node(), line)
		}
	case unstable.InlineTable:
		for children.Next() {
			s.keyValue(path, at, children.Node())
		}
	}
}

// given describes a value.
func given(v *unstable.Node) string {
	switch v.Kind {
	case unstable.String:
		return fmt.Sprintf("the text %.40q", v.Data)
	case unstable.Bool, unstable.Integer, unstable.Float:
		return fmt.Sprintf("%.40s", v.Data)
	case unstable.Array:
		return "a list"
	case unstable.InlineTable:
		return "a section"
	}
	return "a date or time"
}
