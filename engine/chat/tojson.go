package chat

import (
	"fmt"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
	"unicode/utf16"
)

// jsonWriter writes values as Python's json.dumps does.
type jsonWriter struct {
	r           *run
	b           strings.Builder
	indent      string
	pretty      bool
	item, colon string
	ascii, sort bool
}

// toJSON is the filter: tojson(ensure_ascii=false, indent=None, separators=None, sort_keys=false).
func toJSON(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "ensure_ascii", "indent", "separators", "sort_keys")
	if err != nil {
		return nil, err
	}
	w := &jsonWriter{r: r, item: ", ", colon: ": ", ascii: b.truth(0), sort: b.truth(3)}
	if b.given(1) {
		w.pretty, w.item = true, ","
		if s, ok := text(b[1]); ok {
			w.indent = s
		} else {
			n, err := b.integer(1, 0)
			if err != nil {
				return nil, err
			}
			if n > 64 {
				return nil, limitf("an indent of more than 64 blanks")
			}
			w.indent = strings.Repeat(" ", max(n, 0))
		}
	}
	if b.given(2) {
		pair, err := r.collect(b[2])
		if err != nil {
			return nil, err
		}
		if len(pair) != 2 {
			return nil, errorf("separators are two texts")
		}
		var ok1, ok2 bool
		w.item, ok1 = text(pair[0])
		w.colon, ok2 = text(pair[1])
		if !ok1 || !ok2 {
			return nil, errorf("separators are two texts")
		}
	}
	if err := w.value(v, 0); err != nil {
		return nil, err
	}
	return w.b.String(), nil
}

// charge counts what was written since the text had the given length.
func (w *jsonWriter) charge(before int) error {
	if w.b.Len() > w.r.maxText {
		return limitf("a text longer than %d bytes", w.r.maxText)
	}
	return w.r.use(w.b.Len() - before)
}

func (w *jsonWriter) value(v any, depth int) error {
	if depth > maxNested {
		return limitf("values nested deeper than %d", maxNested)
	}
	before := w.b.Len()
	switch x := v.(type) {
	case nil:
		w.b.WriteString("null")
	case bool:
		w.b.WriteString(strconv.FormatBool(x))
	case int64:
		w.b.WriteString(strconv.FormatInt(x, 10))
	case *big.Int:
		w.b.WriteString(x.String())
	case float64:
		w.b.WriteString(jsonFloat(x))
	case string:
		w.str(x)
	case markup:
		w.str(string(x))
	case []any:
		return w.list(x, depth)
	case tuple:
		return w.list(x, depth)
	case *dict:
		return w.dict(x, depth)
	default:
		return errorf("object of type %s is not JSON serializable", typeName(v))
	}
	return w.charge(before)
}

func jsonFloat(f float64) string {
	switch {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	}
	return floatRepr(f)
}

// newline begins a line of the indented form.
func (w *jsonWriter) newline(depth int) {
	if !w.pretty {
		return
	}
	w.b.WriteByte('\n')
	for range depth {
		w.b.WriteString(w.indent)
	}
}

func (w *jsonWriter) list(items []any, depth int) error {
	if len(items) == 0 {
		w.b.WriteString("[]")
		return w.r.use(2)
	}
	w.b.WriteByte('[')
	for i, item := range items {
		before := w.b.Len()
		if i > 0 {
			w.b.WriteString(w.item)
		}
		w.newline(depth + 1)
		if err := w.charge(before); err != nil {
			return err
		}
		if err := w.value(item, depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.b.WriteByte(']')
	return nil
}

func (w *jsonWriter) dict(d *dict, depth int) error {
	if len(d.keys) == 0 {
		w.b.WriteString("{}")
		return w.r.use(2)
	}
	order, err := w.order(d)
	if err != nil {
		return err
	}
	w.b.WriteByte('{')
	for n, i := range order {
		before := w.b.Len()
		if n > 0 {
			w.b.WriteString(w.item)
		}
		w.newline(depth + 1)
		if err := w.key(d.keys[i]); err != nil {
			return err
		}
		w.b.WriteString(w.colon)
		if err := w.charge(before); err != nil {
			return err
		}
		if err := w.value(d.values[i], depth+1); err != nil {
			return err
		}
	}
	w.newline(depth)
	w.b.WriteByte('}')
	return nil
}

// order gives the positions of the keys as they are written.
func (w *jsonWriter) order(d *dict) ([]int, error) {
	order := make([]int, len(d.keys))
	for i := range order {
		order[i] = i
	}
	if err := w.r.use(8 * len(order)); err != nil || !w.sort {
		return order, err
	}
	var failed error
	sort.SliceStable(order, func(i, j int) bool {
		below, err := w.r.less(d.keys[order[i]], d.keys[order[j]], "<", 0)
		if err != nil && failed == nil {
			failed = err
		}
		return below
	})
	return order, failed
}

func (w *jsonWriter) key(k any) error {
	switch x := k.(type) {
	case string:
		w.str(x)
	case markup:
		w.str(string(x))
	case nil:
		w.str("null")
	case bool:
		w.str(strconv.FormatBool(x))
	case int64:
		w.str(strconv.FormatInt(x, 10))
	case *big.Int:
		w.str(x.String())
	case float64:
		w.str(jsonFloat(x))
	default:
		return errorf("keys of JSON objects must be text or numbers, not %s", typeName(k))
	}
	return nil
}

func (w *jsonWriter) str(s string) {
	w.b.WriteByte('"')
	start := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' && (c < 0x7f || !w.ascii) {
			continue
		}
		w.b.WriteString(s[start:i])
		w.escape(c)
		start = i + len(string(c))
	}
	w.b.WriteString(s[start:])
	w.b.WriteByte('"')
}

func (w *jsonWriter) escape(c rune) {
	if i := strings.IndexRune("\"\\\n\r\t\f\b", c); i >= 0 {
		w.b.WriteByte('\\')
		w.b.WriteByte(`"\nrtfb`[i])
		return
	}
	if c > 0xffff {
		high, low := utf16.EncodeRune(c)
		fmt.Fprintf(&w.b, `\u%04x\u%04x`, high, low)
		return
	}
	fmt.Fprintf(&w.b, `\u%04x`, c)
}
