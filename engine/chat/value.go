package chat

import (
	"math"
	"math/big"
	"strconv"
	"strings"
	"unicode"
)

// The values of templates are: nil (None), bool, int64, *big.Int (only carried and printed),
// float64, string, markup, []any (list), tuple, *dict, *view, span (range), *generator,
// *namespace, *loop, *macro, *builtin and undefined.
type (
	// undefined is the value of a name that does not exist; hint says which.
	undefined struct{ hint string }
	// markup is text that is not escaped again.
	markup string
	tuple  []any
	// span is Python's range: n integers from start in steps.
	span struct{ start, stop, step, n int64 }
	// generator gives its items once.
	generator struct {
		next func() (any, bool, error)
	}
	namespace struct{ attrs *dict }
	// builtin is a function or a method bound to its value.
	builtin struct {
		name string
		fn   func(r *run, a *args) (any, error)
	}
)

// dict is an ordered mapping with Python's idea of equal keys.
type dict struct {
	keys, values []any
	index        map[any]int // by hashKey
}

func newDict(size int) *dict { return &dict{index: make(map[any]int, size)} }

func (d *dict) getString(key string) (any, bool) {
	if i, ok := d.index[key]; ok {
		return d.values[i], true
	}
	return nil, false
}

func (d *dict) setString(key string, v any) { d.put(key, key, v) }

func (d *dict) put(hash, key, v any) {
	if i, ok := d.index[hash]; ok {
		d.values[i] = v
		return
	}
	d.index[hash] = len(d.keys)
	d.keys, d.values = append(d.keys, key), append(d.values, v)
}

// view is what items, keys and values give.
type view struct {
	kind string // "items", "keys", "values"
	of   *dict
}

func (v *view) item(i int) any {
	switch v.kind {
	case "keys":
		return v.of.keys[i]
	case "values":
		return v.of.values[i]
	}
	return tuple{v.of.keys[i], v.of.values[i]}
}

type tupleKey string

// hashKey maps a value to a comparable one, equal for what Python takes as equal.
func (r *run) hashKey(v any, depth int) (any, error) {
	switch x := v.(type) {
	case nil:
		return tupleKey("None"), nil
	case string:
		return x, nil
	case markup:
		return string(x), nil
	case bool:
		return asInt(x), nil
	case int64:
		return x, nil
	case float64:
		if i := int64(x); x == math.Trunc(x) && math.Abs(x) < 1<<62 {
			return i, nil
		}
		return x, nil
	case *big.Int:
		return tupleKey("i" + x.String()), nil
	case tuple:
		var b strings.Builder
		for _, item := range x {
			k, err := r.hashKey(item, depth+1)
			if err != nil {
				return nil, err
			}
			text, err := r.repr(k)
			if tk, ok := k.(tupleKey); ok {
				text, err = string(tk), r.use(len(tk))
			}
			if err != nil || depth > maxNested {
				return nil, limitOr(err, "tuples nested too deeply")
			}
			b.WriteString("(" + strconv.Itoa(len(text)) + ":" + text)
		}
		return tupleKey(b.String()), r.use(b.Len())
	case undefined:
		return tupleKey("undefined"), nil
	case *macro, *builtin, *namespace, *loop, *generator:
		return x, nil
	}
	return nil, errorf("unhashable type %q", typeName(v))
}

func limitOr(err error, text string) error {
	if err != nil {
		return err
	}
	return limitf("%s", text)
}

// typeName is Python's name of a value's type.
func typeName(v any) string {
	switch x := v.(type) {
	case nil:
		return "NoneType"
	case bool:
		return "bool"
	case int64, *big.Int:
		return "int"
	case float64:
		return "float"
	case string:
		return "str"
	case markup:
		return "Markup"
	case []any:
		return "list"
	case tuple:
		return "tuple"
	case *dict:
		return "dict"
	case *view:
		return "dict_" + x.kind
	case span:
		return "range"
	case *generator:
		return "generator"
	case *namespace:
		return "Namespace"
	case *loop:
		return "LoopContext"
	case *macro:
		return "Macro"
	case undefined:
		return "Undefined"
	}
	return "builtin_function_or_method"
}

// undefinedError is what most uses of an undefined value give.
func undefinedError(u undefined) error { return errorf("%s", u.hint) }

func truth(v any) bool {
	switch x := v.(type) {
	case nil, undefined:
		return false
	case bool:
		return x
	case int64:
		return x != 0
	case *big.Int:
		return x.Sign() != 0
	case float64:
		return x != 0
	case string:
		return x != ""
	case markup:
		return x != ""
	case []any:
		return len(x) > 0
	case tuple:
		return len(x) > 0
	case *dict:
		return len(x.keys) > 0
	case *view:
		return len(x.of.keys) > 0
	case span:
		return x.n > 0
	}
	return true
}

// text gives the characters of a string or markup.
func text(v any) (string, bool) {
	switch x := v.(type) {
	case string:
		return x, true
	case markup:
		return string(x), true
	}
	return "", false
}

func asInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// integer gives the value of an int or bool.
func integer(v any) (int64, bool) {
	switch x := v.(type) {
	case bool:
		return asInt(x), true
	case int64:
		return x, true
	}
	return 0, false
}

// float gives the value of any number.
func float(v any) (float64, bool) {
	switch x := v.(type) {
	case bool:
		return float64(asInt(x)), true
	case int64:
		return float64(x), true
	case *big.Int:
		f, _ := new(big.Float).SetInt(x).Float64()
		return f, true
	case float64:
		return x, true
	}
	return 0, false
}

// length gives len(v).
func (r *run) length(v any) (int, error) {
	switch x := v.(type) {
	case string:
		return runeCount(x), r.use(len(x))
	case markup:
		return runeCount(string(x)), r.use(len(x))
	case []any:
		return len(x), nil
	case tuple:
		return len(x), nil
	case *dict:
		return len(x.keys), nil
	case *view:
		return len(x.of.keys), nil
	case span:
		return int(x.n), nil
	case *loop:
		return len(x.items), nil
	case undefined:
		return 0, nil
	}
	return 0, errorf("object of type %q has no len()", typeName(v))
}

// iterate walks over a value as Python's iter does.
func (r *run) iterate(v any) (*generator, error) {
	i := 0
	each := func(n int, at func(i int) any) (*generator, error) {
		return &generator{next: func() (any, bool, error) {
			if i >= n {
				return nil, false, nil
			}
			i++
			return at(i - 1), true, r.use(0)
		}}, nil
	}
	switch x := v.(type) {
	case []any:
		return each(len(x), func(i int) any { return x[i] })
	case tuple:
		return each(len(x), func(i int) any { return x[i] })
	case *dict:
		return each(len(x.keys), func(i int) any { return x.keys[i] })
	case *view:
		return each(len(x.of.keys), x.item)
	case span:
		return each(int(x.n), func(i int) any { return x.start + int64(i)*x.step })
	case *generator:
		return x, nil
	case undefined:
		return each(0, nil)
	}
	if s, ok := text(v); ok {
		if err := r.use(len(s) * 8); err != nil {
			return nil, err
		}
		runes := []rune(s)
		return each(len(runes), func(i int) any { return string(runes[i]) })
	}
	return nil, errorf("%q object is not iterable", typeName(v))
}

// collect gives the items of a value as a list that the caller must not change.
func (r *run) collect(v any) ([]any, error) {
	switch x := v.(type) {
	case []any:
		return x, r.use(len(x) * 16)
	case tuple:
		return x, r.use(len(x) * 16)
	}
	g, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	var out []any
	for {
		item, ok, err := g.next()
		if err != nil || !ok {
			return out, err
		}
		if err := r.use(16); err != nil {
			return nil, err
		}
		out = append(out, item)
	}
}

// str is Python's str(v), what printing gives.
func (r *run) str(v any) (string, error) {
	switch x := v.(type) {
	case string:
		return x, nil
	case markup:
		return string(x), nil
	case undefined:
		return "", nil
	case int64:
		return strconv.FormatInt(x, 10), nil
	}
	return r.repr(v)
}

// repr is Python's repr(v).
func (r *run) repr(v any) (string, error) {
	var b strings.Builder
	err := r.reprTo(&b, v, 0)
	return b.String(), err
}

func (r *run) reprTo(b *strings.Builder, v any, depth int) error {
	if depth > maxNested {
		return limitf("values nested deeper than %d", maxNested)
	}
	if b.Len() > r.maxText {
		return limitf("a text longer than %d bytes", r.maxText)
	}
	before := b.Len()
	switch x := v.(type) {
	case nil:
		b.WriteString("None")
	case bool:
		b.WriteString(map[bool]string{false: "False", true: "True"}[x])
	case int64:
		b.WriteString(strconv.FormatInt(x, 10))
	case *big.Int:
		b.WriteString(x.String())
	case float64:
		b.WriteString(floatRepr(x))
	case string:
		reprString(b, x)
	case markup:
		b.WriteString("Markup(")
		reprString(b, string(x))
		b.WriteString(")")
	case undefined:
		b.WriteString("Undefined")
	default:
		return r.reprContainer(b, v, depth)
	}
	return r.use(b.Len() - before)
}

func (r *run) reprContainer(b *strings.Builder, v any, depth int) error {
	switch x := v.(type) {
	case []any:
		return r.reprItems(b, "[", "]", len(x), func(i int) any { return x[i] }, depth)
	case tuple:
		end := ")"
		if len(x) == 1 {
			end = ",)"
		}
		return r.reprItems(b, "(", end, len(x), func(i int) any { return x[i] }, depth)
	case *view:
		return r.reprItems(b, "dict_"+x.kind+"([", "])", len(x.of.keys), x.item, depth)
	case *dict:
		b.WriteByte('{')
		for i, k := range x.keys {
			if i > 0 {
				b.WriteString(", ")
			}
			if err := r.reprTo(b, k, depth+1); err != nil {
				return err
			}
			b.WriteString(": ")
			if err := r.reprTo(b, x.values[i], depth+1); err != nil {
				return err
			}
		}
		b.WriteByte('}')
		return r.use(2)
	case *namespace:
		b.WriteString("<Namespace ")
		err := r.reprTo(b, x.attrs, depth+1)
		b.WriteByte('>')
		return err
	case span:
		b.WriteString("range(" + strconv.FormatInt(x.start, 10) + ", " + strconv.FormatInt(x.stop, 10))
		if x.step != 1 {
			b.WriteString(", " + strconv.FormatInt(x.step, 10))
		}
		b.WriteByte(')')
		return r.use(16)
	case *loop:
		b.WriteString("<LoopContext " + strconv.Itoa(x.i+1) + "/" + strconv.Itoa(len(x.items)) + ">")
		return r.use(16)
	case *macro:
		b.WriteString("<Macro ")
		reprString(b, x.def.name)
		b.WriteByte('>')
		return r.use(16)
	}
	return errorf("a %s has no text of its own", typeName(v)) // Python prints its address
}

func (r *run) reprItems(b *strings.Builder, open, end string, n int, item func(int) any, depth int) error {
	b.WriteString(open)
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		if err := r.reprTo(b, item(i), depth+1); err != nil {
			return err
		}
	}
	b.WriteString(end)
	return r.use(2 * n)
}

// floatRepr writes a float as Python does: shortest text that reads back, exponent from 1e16 on.
func floatRepr(f float64) string {
	switch {
	case math.IsNaN(f):
		return "nan"
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	}
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// reprString writes a string literal as Python does: single quotes unless the text has
// those and no double ones.
func reprString(b *strings.Builder, s string) {
	quote := '\''
	if strings.ContainsRune(s, '\'') && !strings.ContainsRune(s, '"') {
		quote = '"'
	}
	b.WriteRune(quote)
	for _, c := range s {
		switch {
		case c == quote || c == '\\':
			b.WriteByte('\\')
			b.WriteRune(c)
		case c == '\n':
			b.WriteString(`\n`)
		case c == '\r':
			b.WriteString(`\r`)
		case c == '\t':
			b.WriteString(`\t`)
		case unicode.IsPrint(c):
			b.WriteRune(c)
		case c < 0x100:
			b.WriteString(`\x` + hex(c, 2))
		case c < 0x10000:
			b.WriteString(`\u` + hex(c, 4))
		default:
			b.WriteString(`\U` + hex(c, 8))
		}
	}
	b.WriteRune(quote)
}

func hex(c rune, width int) string {
	s := strconv.FormatInt(int64(c), 16)
	return strings.Repeat("0", max(width-len(s), 0)) + s
}
