package chat

// args are the evaluated arguments of a call.
type args struct {
	fn    string // the name of the function, for messages
	pos   []any
	names []string // of named
	named []any
}

// absent marks a parameter that was not given.
type absent struct{}

// bound are arguments in the order of a function's parameters.
type bound []any

// bind puts arguments in the order of the names, of which the first required must be given.
func (a *args) bind(required int, names ...string) (bound, error) {
	if len(a.pos) > len(names) {
		return nil, errorf("%s takes not more than %d arguments", a.fn, len(names))
	}
	out := make(bound, len(names))
	for i := range out {
		out[i] = absent{}
	}
	copy(out, a.pos)
	for i, name := range a.names {
		at := -1
		for j, n := range names {
			if n == name {
				at = j
			}
		}
		if at < 0 {
			return nil, errorf("%s takes no argument %q", a.fn, name)
		}
		if out.has(at) {
			return nil, errorf("%s got several values for %q", a.fn, name)
		}
		out[at] = a.named[i]
	}
	for i := range required {
		if !out.has(i) {
			return nil, errorf("%s needs the argument %q", a.fn, names[i])
		}
	}
	return out, nil
}

func (b bound) has(i int) bool {
	_, no := b[i].(absent)
	return !no
}

// or gives an argument or its default.
func (b bound) or(i int, def any) any {
	if b.has(i) {
		return b[i]
	}
	return def
}

// given tells whether an argument is there and not None.
func (b bound) given(i int) bool { return b.has(i) && b[i] != nil }

func (b bound) truth(i int) bool { return b.has(i) && truth(b[i]) }

func (b bound) integer(i int, def int) (int, error) {
	if !b.given(i) {
		return def, nil
	}
	n, ok := integer(b[i])
	if !ok {
		return 0, errorf("an integer is required, not %q", typeName(b[i]))
	}
	return int(n), nil
}

func (b bound) text(i int, def string) (string, error) {
	if !b.has(i) {
		return def, nil
	}
	s, ok := text(b[i])
	if !ok {
		if u, ok := b[i].(undefined); ok {
			return "", undefinedError(u)
		}
		return "", errorf("a string is required, not %q", typeName(b[i]))
	}
	return s, nil
}
