package chat

import "math/big"

// testFunc is a test: what stands after "is".
type testFunc func(r *run, v any, a *args) (bool, error)

// allTests are the tests of Jinja.
func allTests() map[string]testFunc {
	m := map[string]testFunc{
		"divisibleby": remainder(0, true), "even": remainder(0, false), "odd": remainder(1, false),
		"filter": nameTest(func(t *Template, name string) bool { return t.filters[name] != nil }),
		"test":   nameTest(func(t *Template, name string) bool { return t.tests[name] != nil }),
		"lower":  caseTest("islower"), "upper": caseTest("isupper"), "in": inTest, "sameas": sameTest,
	}
	for name, f := range map[string]func(v any) bool{
		"defined":   func(v any) bool { _, no := v.(undefined); return !no },
		"undefined": func(v any) bool { _, no := v.(undefined); return no },
		"none":      func(v any) bool { return v == nil },
		"boolean":   func(v any) bool { _, ok := v.(bool); return ok },
		"true":      func(v any) bool { b, ok := v.(bool); return ok && b },
		"false":     func(v any) bool { b, ok := v.(bool); return ok && !b },
		"integer":   isInteger,
		"float":     func(v any) bool { _, ok := v.(float64); return ok },
		"number":    func(v any) bool { _, ok := float(v); return ok },
		"string":    func(v any) bool { _, ok := text(v); return ok },
		"mapping":   func(v any) bool { _, ok := v.(*dict); return ok },
		"sequence":  isSequence, "iterable": isIterable, "callable": isCallable,
		"escaped": func(v any) bool { _, ok := v.(markup); return ok },
	} {
		m[name] = func(_ *run, v any, a *args) (bool, error) {
			_, err := a.bind(0)
			return f(v), err
		}
	}
	for op, names := range map[string][]string{
		"==": {"==", "eq", "equalto"}, "!=": {"!=", "ne"}, ">": {">", "gt", "greaterthan"},
		">=": {">=", "ge"}, "<": {"<", "lt", "lessthan"}, "<=": {"<=", "le"},
	} {
		for _, name := range names {
			m[name] = func(r *run, v any, a *args) (bool, error) {
				b, err := a.bind(1, "other")
				if err != nil {
					return false, err
				}
				return r.compare(op, v, b[0])
			}
		}
	}
	return m
}

func isInteger(v any) bool {
	switch v.(type) {
	case int64, *big.Int:
		return true
	}
	return false
}

func isSequence(v any) bool {
	switch v.(type) {
	case string, markup, []any, tuple, *dict, span, undefined:
		return true
	}
	return false
}

func isIterable(v any) bool {
	switch v.(type) {
	case string, markup, []any, tuple, *dict, *view, span, *generator, *loop, undefined:
		return true
	}
	return false
}

func isCallable(v any) bool {
	switch v.(type) {
	case *builtin, *macro, undefined:
		return true
	}
	return false
}

// remainder makes odd, even and divisibleby.
func remainder(want int64, byArgument bool) testFunc {
	return func(r *run, v any, a *args) (bool, error) {
		by := any(int64(2))
		if byArgument {
			b, err := a.bind(1, "num")
			if err != nil {
				return false, err
			}
			by = b[0]
		} else if _, err := a.bind(0); err != nil {
			return false, err
		}
		m, err := r.arithmetic("%", v, by)
		if err != nil {
			return false, err
		}
		return r.equal(m, want, 0)
	}
}

func nameTest(has func(t *Template, name string) bool) testFunc {
	return func(r *run, v any, a *args) (bool, error) {
		_, err := a.bind(0)
		name, ok := text(v)
		return ok && has(r.t, name), err
	}
}

func caseTest(method string) testFunc {
	return func(r *run, v any, a *args) (bool, error) {
		if _, err := a.bind(0); err != nil {
			return false, err
		}
		s, err := r.str(v)
		if err != nil {
			return false, err
		}
		out, err := r.t.strings[method](r, s, &args{fn: method})
		return err == nil && truth(out), err
	}
}

func inTest(r *run, v any, a *args) (bool, error) {
	b, err := a.bind(1, "seq")
	if err != nil {
		return false, err
	}
	return r.contains(b[0], v)
}

// sameTest is identity; texts and numbers that are equal count as the same.
func sameTest(r *run, v any, a *args) (bool, error) {
	b, err := a.bind(1, "other")
	if err != nil || typeName(v) != typeName(b[0]) {
		return false, err
	}
	return r.equal(v, b[0], 0)
}
