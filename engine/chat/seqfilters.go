package chat

import (
	"sort"
	"strconv"
	"strings"
)

// lazy gives a generator of what f makes of the items of a value; f may leave items out.
func (r *run) lazy(v any, f func(item any) (any, bool, error)) (any, error) {
	if !truth(v) {
		return &generator{next: func() (any, bool, error) { return nil, false, nil }}, nil
	}
	from, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	return &generator{next: func() (any, bool, error) {
		r.depth++ // generators of generators recurse
		defer func() { r.depth-- }()
		if r.depth > maxDepth {
			return nil, false, limitf("generators nested deeper than %d", maxDepth)
		}
		for {
			item, ok, err := from.next()
			if err != nil || !ok {
				return nil, false, err
			}
			out, keep, err := f(item)
			if err != nil || keep {
				return out, keep, err
			}
		}
	}}, nil
}

// once gives a generator of a list's items.
func (r *run) once(items []any) *generator {
	g, _ := r.iterate(items) // a list can always be walked
	return g
}

// getter gives the function that looks up "a.b.0" in an item; nil means the item itself.
func (r *run) getter(attribute, def any, fold bool) func(item any) (any, error) {
	var parts []any
	if s, ok := text(attribute); ok {
		for _, p := range strings.Split(s, ".") {
			if n, err := strconv.ParseUint(p, 10, 31); err == nil {
				parts = append(parts, int64(n))
			} else {
				parts = append(parts, p)
			}
		}
	} else if attribute != nil {
		parts = []any{attribute}
	}
	return func(item any) (any, error) {
		for _, p := range parts {
			var err error
			if item, err = r.item(item, p); err != nil {
				return nil, err
			}
			if _, no := item.(undefined); no && def != nil {
				item = def
			}
		}
		if s, ok := text(item); ok && fold {
			return lower(s), r.use(len(s))
		}
		return item, nil
	}
}

func mapFilter(r *run, v any, a *args) (any, error) {
	if len(a.pos) == 0 {
		b, err := a.bind(0, "attribute", "default")
		if err != nil {
			return nil, err
		}
		if !b.has(0) {
			return nil, errorf("map requires a filter argument")
		}
		get := r.getter(b[0], b.or(1, nil), false)
		return r.lazy(v, func(item any) (any, bool, error) {
			out, err := get(item)
			return out, true, err
		})
	}
	name, ok := text(a.pos[0])
	if !ok {
		return nil, errorf("map requires the name of a filter")
	}
	return r.lazy(v, func(item any) (any, bool, error) {
		out, err := r.filter(name, item, &args{pos: a.pos[1:], names: a.names, named: a.named})
		return out, true, err
	})
}

// selectFilter makes select, reject, selectattr and rejectattr.
func selectFilter(byAttr, want bool) filterFunc {
	return func(r *run, v any, a *args) (any, error) {
		rest := a.pos
		get := r.getter(nil, nil, false)
		if byAttr {
			if len(rest) == 0 {
				return nil, errorf("%s needs the name of an attribute", a.fn)
			}
			get = r.getter(rest[0], nil, false)
			rest = rest[1:]
		}
		name := ""
		if len(rest) > 0 {
			var ok bool
			if name, ok = text(rest[0]); !ok {
				return nil, errorf("%s needs the name of a test", a.fn)
			}
			rest = rest[1:]
		}
		return r.lazy(v, func(item any) (any, bool, error) {
			x, err := get(item)
			if err != nil {
				return nil, false, err
			}
			holds := truth(x)
			if name != "" {
				holds, err = r.test(name, x, &args{pos: rest, names: a.names, named: a.named})
			}
			return item, holds == want, err
		})
	}
}

func lengthFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	n, err := r.length(v)
	return int64(n), err
}

func listFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if items == nil {
		items = []any{}
	}
	return items, err
}

func itemsFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	switch x := v.(type) {
	case undefined:
		return r.once(nil), nil
	case *dict:
		return r.lazy(&view{"items", x}, func(item any) (any, bool, error) { return item, true, nil })
	}
	return nil, errorf("can only get item pairs from a mapping")
}

func firstFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	g, err := r.iterate(v)
	if err != nil {
		return nil, err
	}
	item, ok, err := g.next()
	if err == nil && !ok {
		return undefined{"no first item, sequence was empty"}, nil
	}
	return item, err
}

func lastFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	if _, ok := v.(*generator); ok {
		return nil, errorf("'generator' object is not reversible")
	}
	items, err := r.collect(v)
	if err == nil && len(items) == 0 {
		return undefined{"no last item, sequence was empty"}, nil
	}
	if err != nil {
		return nil, err
	}
	return items[len(items)-1], nil
}

func reverseFilter(r *run, v any, a *args) (any, error) {
	if _, err := a.bind(0); err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if err := r.use(16 * len(items)); err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	for i, item := range items {
		out[len(items)-1-i] = item
	}
	if _, ok := text(v); ok {
		t, err := r.joinTexts("", out)
		return sameText(v, t), err
	}
	if _, ok := v.(*generator); ok {
		return out, nil
	}
	return r.once(out), nil
}

func joinFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "d", "attribute")
	if err != nil {
		return nil, err
	}
	sep, err := r.str(b.or(0, ""))
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if b.given(1) {
		if items, err = r.each(items, r.getter(b[1], nil, false)); err != nil {
			return nil, err
		}
	}
	return r.joinTexts(sep, items)
}

// each applies a function to the items.
func (r *run) each(items []any, f func(any) (any, error)) ([]any, error) {
	if err := r.use(16 * len(items)); err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	for i, item := range items {
		v, err := f(item)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func sumFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "attribute", "start")
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if items, err = r.each(items, r.getter(b.or(0, nil), nil, false)); err != nil {
		return nil, err
	}
	total := b.or(1, int64(0))
	if _, ok := text(total); ok {
		return nil, errorf("sum cannot add texts, use join")
	}
	for _, item := range items {
		if total, err = r.arithmetic("+", total, item); err != nil {
			return nil, err
		}
	}
	return total, nil
}

// extremeFilter makes min and max.
func extremeFilter(largest bool) filterFunc {
	return func(r *run, v any, a *args) (any, error) {
		b, err := a.bind(0, "case_sensitive", "attribute")
		if err != nil {
			return nil, err
		}
		items, err := r.collect(v)
		if err != nil {
			return nil, err
		}
		if len(items) == 0 {
			return undefined{"no aggregated item, sequence was empty"}, nil
		}
		keys, err := r.each(items, r.getter(b.or(1, nil), nil, !b.truth(0)))
		if err != nil {
			return nil, err
		}
		best := 0
		for i := range keys {
			x, y := keys[i], keys[best]
			if largest {
				x, y = y, x
			}
			below := false
			if i > 0 {
				below, err = r.less(x, y, "<", 0)
			}
			if err != nil {
				return nil, err
			}
			if below {
				best = i
			}
		}
		return items[best], nil
	}
}

// sorted sorts items by keys, keeping the order of equal ones.
func (r *run) sorted(items, keys []any, reverse bool) ([]any, []any, error) {
	if err := r.use(40 * len(items)); err != nil {
		return nil, nil, err
	}
	order := make([]int, len(items))
	for i := range order {
		order[i] = i
	}
	var failed error
	sort.SliceStable(order, func(i, j int) bool {
		if failed != nil {
			return false
		}
		x, y := keys[order[i]], keys[order[j]]
		if reverse {
			x, y = y, x
		}
		below, err := r.less(x, y, "<", 0)
		failed = err
		return below
	})
	outItems, outKeys := make([]any, len(items)), make([]any, len(items))
	for i, at := range order {
		outItems[i], outKeys[i] = items[at], keys[at]
	}
	return outItems, outKeys, failed
}

func sortFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "reverse", "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	attributes := []any{b.or(2, nil)}
	if s, ok := text(attributes[0]); ok {
		attributes = texts(strings.Split(s, ","))
	}
	keys, err := r.each(items, func(item any) (any, error) {
		key := make([]any, len(attributes))
		for i, attribute := range attributes {
			var err error
			if key[i], err = r.getter(attribute, nil, !b.truth(1))(item); err != nil {
				return nil, err
			}
		}
		return key, r.use(16 * len(key))
	})
	if err != nil {
		return nil, err
	}
	out, _, err := r.sorted(items, keys, b.truth(0))
	return out, err
}

func dictsortFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "case_sensitive", "by", "reverse")
	if err != nil {
		return nil, err
	}
	d, ok := v.(*dict)
	if !ok {
		return nil, errorf("dictsort needs a mapping, not %q", typeName(v))
	}
	by, err := b.text(1, "key")
	if err != nil || by != "key" && by != "value" {
		return nil, errorf("you can only sort by either \"key\" or \"value\"")
	}
	items, err := r.collect(&view{"items", d})
	if err != nil {
		return nil, err
	}
	keys, err := r.each(items, r.getter(asInt(by == "value"), nil, !b.truth(0)))
	if err != nil {
		return nil, err
	}
	out, _, err := r.sorted(items, keys, b.truth(2))
	return out, err
}

func uniqueFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(0, "case_sensitive", "attribute")
	if err != nil {
		return nil, err
	}
	get := r.getter(b.or(1, nil), nil, !b.truth(0))
	seen := map[any]bool{}
	return r.lazy(v, func(item any) (any, bool, error) {
		key, err := get(item)
		if err != nil {
			return nil, false, err
		}
		h, err := r.hashKey(key, 0)
		if err != nil || seen[h] {
			return nil, false, err
		}
		seen[h] = true
		return item, true, r.use(64)
	})
}

func groupbyFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(1, "attribute", "default", "case_sensitive")
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	keys, err := r.each(items, r.getter(b[0], b.or(1, nil), !b.truth(2)))
	if err != nil {
		return nil, err
	}
	if items, keys, err = r.sorted(items, keys, false); err != nil {
		return nil, err
	}
	original := r.getter(b[0], b.or(1, nil), false)
	var out []any
	for from := 0; from < len(items); {
		to := from + 1
		for ; to < len(items); to++ {
			same, err := r.equal(keys[from], keys[to], 0)
			if err != nil {
				return nil, err
			}
			if !same {
				break
			}
		}
		key, err := original(items[from])
		if err != nil {
			return nil, err
		}
		out = append(out, tuple{key, append([]any(nil), items[from:to]...)})
		from = to
	}
	return out, r.use(16 * len(items))
}

func batchFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(1, "linecount", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := b.integer(0, 1)
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, errorf("a batch has at least one item")
	}
	var out []any
	for len(items) > 0 {
		row := append([]any(nil), items[:min(n, len(items))]...)
		items = items[len(row):]
		if b.given(1) && len(row) < n {
			if err := r.use(product(16, int64(n))); err != nil {
				return nil, err
			}
			for len(row) < n {
				row = append(row, b[1])
			}
		}
		out = append(out, row)
	}
	return r.once(out), r.use(32 * len(out))
}

func sliceFilter(r *run, v any, a *args) (any, error) {
	b, err := a.bind(1, "slices", "fill_with")
	if err != nil {
		return nil, err
	}
	n, err := b.integer(0, 1)
	if err != nil {
		return nil, err
	}
	items, err := r.collect(v)
	if err != nil {
		return nil, err
	}
	if n < 1 {
		return nil, errorf("there must be at least one slice")
	}
	if err := r.use(product(32, int64(n))); err != nil {
		return nil, err
	}
	each, extra := len(items)/n, len(items)%n
	var out []any
	for i := range n {
		size := each
		if i < extra {
			size++
		}
		row := append(make([]any, 0, size+1), items[:size]...)
		items = items[size:]
		if b.given(1) && i >= extra {
			row = append(row, b[1])
		}
		out = append(out, row)
	}
	return r.once(out), nil
}
