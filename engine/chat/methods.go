package chat

import "slices"

// dictMethod gives a method of a mapping.
func dictMethod(d *dict, name string) (any, bool) {
	switch name {
	case "items", "keys", "values":
		return &builtin{name, func(_ *run, a *args) (any, error) {
			_, err := a.bind(0)
			return &view{name, d}, err
		}}, true
	case "get":
		return &builtin{name, func(r *run, a *args) (any, error) {
			b, err := a.bind(1, "key", "default")
			if err != nil {
				return nil, err
			}
			h, err := r.hashKey(b[0], 0)
			if err != nil {
				return nil, err
			}
			if i, ok := d.index[h]; ok {
				return d.values[i], nil
			}
			return b.or(1, nil), nil
		}}, true
	case "copy":
		return &builtin{name, func(_ *run, a *args) (any, error) {
			_, err := a.bind(0)
			return d, err // values never change, so the same one will do
		}}, true
	case "fromkeys":
		return &builtin{name, dictFromKeys}, true
	case "clear", "pop", "popitem", "setdefault", "update":
		return unsafeMethod(name), true
	}
	return nil, false
}

// listMethod gives a method of a list or tuple; unsafe are those that change it.
func listMethod(items []any, name string, unsafe ...string) (any, bool) {
	if slices.Contains(unsafe, name) {
		return unsafeMethod(name), true
	}
	switch {
	case name == "copy" && len(unsafe) > 0:
		return &builtin{name, func(_ *run, a *args) (any, error) {
			_, err := a.bind(0)
			return items, err
		}}, true
	case name == "count":
		return &builtin{name, func(r *run, a *args) (any, error) {
			b, err := a.bind(1, "value")
			if err != nil {
				return nil, err
			}
			n := int64(0)
			for _, item := range items {
				same, err := r.equal(item, b[0], 0)
				if err != nil {
					return nil, err
				}
				n += asInt(same)
			}
			return n, nil
		}}, true
	case name == "index":
		return &builtin{name, func(r *run, a *args) (any, error) {
			b, err := a.bind(1, "value")
			if err != nil {
				return nil, err
			}
			for i, item := range items {
				same, err := r.equal(item, b[0], 0)
				if err != nil {
					return nil, err
				}
				if same {
					return int64(i), nil
				}
			}
			return nil, errorf("value is not in list")
		}}, true
	}
	return nil, false
}
