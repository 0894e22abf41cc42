package chat

import "strings"

// attr is obj.name: methods first, then keys, as the sandbox of Jinja does it.
func (r *run) attr(of any, name string) (any, error) {
	if u, ok := of.(undefined); ok {
		return nil, undefinedError(u)
	}
	if v, ok := r.attribute(of, name); ok {
		return v, nil
	}
	if d, ok := of.(*dict); ok {
		if v, ok := d.getString(name); ok {
			return v, nil
		}
	}
	return undefined{"'" + typeName(of) + " object' has no attribute '" + name + "'"}, nil
}

// attribute gives a method or field. What Python keeps for itself (names with a leading
// underscore) and what would change a value does exist but is undefined.
func (r *run) attribute(of any, name string) (any, bool) {
	if strings.HasPrefix(name, "__") && strings.HasSuffix(name, "__") {
		return undefined{"access to attribute '" + name + "' is unsafe"}, true
	}
	switch x := of.(type) {
	case *namespace:
		return x.attrs.getString(name)
	case *loop:
		return x.attribute(r, name)
	case *macro:
		if name == "name" {
			return x.def.name, true
		}
		return nil, false
	case *dict:
		return dictMethod(x, name)
	case []any:
		return listMethod(x, name, "append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort")
	case tuple:
		if len(x) == 2 && (name == "grouper" || name == "list") { // of groupby
			return x[asInt(name == "list")], true
		}
		return listMethod(x, name)
	case float64:
		if name == "is_integer" {
			return &builtin{name, func(*run, *args) (any, error) { return x == float64(int64(x)), nil }}, true
		}
	}
	if s, ok := text(of); ok {
		if f, ok := r.t.strings[name]; ok {
			return &builtin{name, func(r *run, a *args) (any, error) {
				v, err := f(r, s, a)
				if t, ok := v.(string); ok && err == nil {
					v = sameText(of, t)
				}
				return v, err
			}}, true
		}
	}
	return nil, false
}

// unsafeMethod is what a method that changes its value looks like.
func unsafeMethod(name string) any {
	return undefined{"access to attribute '" + name + "' is unsafe: values cannot be changed"}
}

// item is obj[index]: keys and positions first, then attributes.
func (r *run) item(of, index any) (any, error) {
	if u, ok := of.(undefined); ok {
		return nil, undefinedError(u)
	}
	switch x := of.(type) {
	case *dict:
		h, err := r.hashKey(index, 0)
		if err != nil {
			break // unhashable: no such key
		}
		if i, ok := x.index[h]; ok {
			return x.values[i], nil
		}
	case []any:
		if v, ok := itemAt(x, index); ok {
			return v, nil
		}
	case tuple:
		if v, ok := itemAt(x, index); ok {
			return v, nil
		}
	case span:
		if i, ok := position(index, int(x.n)); ok {
			return x.start + int64(i)*x.step, nil
		}
	}
	if s, ok := text(of); ok {
		if v, ok, err := r.char(s, index); ok || err != nil {
			return v, err
		}
	}
	name, ok := text(index)
	if !ok {
		return undefined{"'" + typeName(of) + " object' has no such element"}, nil
	}
	if v, ok := r.attribute(of, name); ok {
		return v, nil
	}
	return undefined{"'" + typeName(of) + " object' has no attribute '" + name + "'"}, nil
}

// position resolves an index into n items, counting from the end when negative.
func position(index any, n int) (int, bool) {
	i, ok := integer(index)
	if !ok {
		return 0, false
	}
	if i < 0 {
		i += int64(n)
	}
	return int(i), i >= 0 && i < int64(n)
}

func itemAt(items []any, index any) (any, bool) {
	i, ok := position(index, len(items))
	if !ok {
		return nil, false
	}
	return items[i], true
}

func (r *run) char(s string, index any) (any, bool, error) {
	if err := r.use(len(s)); err != nil {
		return nil, false, err
	}
	i, ok := position(index, runeCount(s))
	if !ok {
		return nil, false, nil
	}
	for _, c := range s {
		if i == 0 {
			return string(c), true, nil
		}
		i--
	}
	return nil, false, nil
}

// slice is of[from:to:step].
func (n *sliceExpr) slice(r *run, s *scope, of any) (any, error) {
	var bounds [3]any
	for i, e := range []expr{n.from, n.to, n.step} {
		if e == nil {
			continue
		}
		v, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		if _, ok := integer(v); v != nil && !ok {
			if u, ok := v.(undefined); ok {
				return nil, undefinedError(u)
			}
			return undefined{"slice indices must be integers"}, nil
		}
		bounds[i] = v
	}
	if step, ok := integer(bounds[2]); ok && step == 0 {
		return nil, errorf("slice step cannot be zero")
	}
	switch x := of.(type) {
	case undefined:
		return nil, undefinedError(x)
	case []any:
		out, err := sliced(r, x, bounds)
		return out, err
	case tuple:
		out, err := sliced(r, x, bounds)
		return tuple(out), err
	case span:
		items, err := r.collect(x)
		if err != nil {
			return nil, err
		}
		out, err := sliced(r, items, bounds)
		return out, err
	}
	t, ok := text(of)
	if !ok {
		return undefined{"'" + typeName(of) + " object' cannot be sliced"}, nil
	}
	if err := r.use(4 * len(t)); err != nil {
		return nil, err
	}
	out, err := sliced(r, []rune(t), bounds)
	return sameText(of, string(out)), err
}

// sliced copies the items that Python's slice selects.
func sliced[T any](r *run, items []T, bounds [3]any) ([]T, error) {
	n := int64(len(items))
	step := int64(1)
	if v, ok := integer(bounds[2]); ok {
		step = max(min(v, n+1), -n-1)
	}
	low, high := int64(0), n
	if step < 0 {
		low, high = -1, n-1
	}
	clamp := func(v any, def int64) int64 {
		i, ok := integer(v)
		if !ok {
			return def
		}
		if i < 0 {
			return max(i+n, low)
		}
		return min(i, high)
	}
	from, to := clamp(bounds[0], low), clamp(bounds[1], high)
	if step < 0 {
		from, to = clamp(bounds[0], high), clamp(bounds[1], low)
	}
	count := int64(0)
	if step > 0 && to > from {
		count = (to - from + step - 1) / step
	} else if step < 0 && from > to {
		count = (from - to - step - 1) / -step
	}
	if err := r.use(16 * int(count)); err != nil {
		return nil, err
	}
	out := make([]T, count)
	for i := range out {
		out[i] = items[from+int64(i)*step]
	}
	return out, nil
}
