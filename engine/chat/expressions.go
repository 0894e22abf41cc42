package chat

import (
	"math/big"
	"strings"
)

func (n *constExpr) eval(*run, *scope) (any, error) { return n.value, nil }

func (n *heldExpr) eval(_ *run, s *scope) (any, error) {
	v, _ := s.get(held)
	return v, nil
}

func (n *nameExpr) eval(_ *run, s *scope) (any, error) {
	if v, ok := s.get(n.name); ok {
		return v, nil
	}
	return undefined{"'" + n.name + "' is undefined"}, nil
}

func (r *run) evalAll(items []expr, s *scope) ([]any, error) {
	if err := r.use(16 * len(items)); err != nil {
		return nil, err
	}
	out := make([]any, len(items))
	for i, e := range items {
		v, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

func (n *listExpr) eval(r *run, s *scope) (any, error) {
	items, err := r.evalAll(n.items, s)
	return items, err
}

func (n *tupleExpr) eval(r *run, s *scope) (any, error) {
	items, err := r.evalAll(n.items, s)
	return tuple(items), err
}

func (n *dictExpr) eval(r *run, s *scope) (any, error) {
	d := newDict(len(n.keys))
	for i := range n.keys {
		k, err := r.eval(n.keys[i], s)
		if err != nil {
			return nil, err
		}
		v, err := r.eval(n.values[i], s)
		if err != nil {
			return nil, err
		}
		if err := r.put(d, k, v); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// put sets a key of a dict that is being made.
func (r *run) put(d *dict, k, v any) error {
	h, err := r.hashKey(k, 0)
	if err != nil {
		return err
	}
	d.put(h, k, v)
	return r.use(64)
}

func (n *attrExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(n.of, s)
	if err != nil {
		return nil, err
	}
	return r.attr(of, n.name)
}

func (n *itemExpr) eval(r *run, s *scope) (any, error) {
	of, err := r.eval(n.of, s)
	if err != nil {
		return nil, err
	}
	if cut, ok := n.index.(*sliceExpr); ok {
		return cut.slice(r, s, of)
	}
	index, err := r.eval(n.index, s)
	if err != nil {
		return nil, err
	}
	return r.item(of, index)
}

func (n *sliceExpr) eval(*run, *scope) (any, error) {
	return nil, errorf("a slice among several indices is not supported")
}

func (n *callExpr) eval(r *run, s *scope) (any, error) {
	fn, err := r.eval(n.fn, s)
	if err != nil {
		return nil, err
	}
	a, err := n.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return r.call(fn, a)
}

// call applies a function, method or macro.
func (r *run) call(fn any, a *args) (any, error) {
	switch f := fn.(type) {
	case *builtin:
		a.fn = f.name
		return f.fn(r, a)
	case *macro:
		return f.call(r, a)
	case undefined:
		return nil, undefinedError(f)
	}
	return nil, errorf("%q object is not callable", typeName(fn))
}

func (n *filterExpr) eval(r *run, s *scope) (any, error) {
	v, err := r.eval(n.of, s)
	if err != nil {
		return nil, err
	}
	a, err := n.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return r.filter(n.name, v, a)
}

func (r *run) filter(name string, v any, a *args) (any, error) {
	f, ok := r.t.filters[name]
	if !ok {
		return nil, errorf("no filter named %q", name)
	}
	a.fn = name
	return f(r, v, a)
}

func (n *testExpr) eval(r *run, s *scope) (any, error) {
	v, err := r.eval(n.of, s)
	if err != nil {
		return nil, err
	}
	a, err := n.args.eval(r, s)
	if err != nil {
		return nil, err
	}
	return r.test(n.name, v, a)
}

func (r *run) test(name string, v any, a *args) (bool, error) {
	t, ok := r.t.tests[name]
	if !ok {
		return false, errorf("no test named %q", name)
	}
	a.fn = name
	return t(r, v, a)
}

func (n *unaryExpr) eval(r *run, s *scope) (any, error) {
	v, err := r.eval(n.of, s)
	if err != nil {
		return nil, err
	}
	if n.op == "not" {
		return !truth(v), nil
	}
	if i, ok := integer(v); ok {
		if n.op == "+" {
			return i, nil
		}
		return intArithmetic("-", 0, i)
	}
	if b, ok := v.(*big.Int); ok {
		if n.op == "-" {
			b = new(big.Int).Neg(b)
		}
		return b, nil
	}
	f, ok := v.(float64)
	if !ok {
		if u, ok := v.(undefined); ok {
			return nil, undefinedError(u)
		}
		return nil, errorf("bad operand type for unary %s: %q", n.op, typeName(v))
	}
	if n.op == "-" {
		f = -f
	}
	return f, nil
}

func (n *binaryExpr) eval(r *run, s *scope) (any, error) {
	left, err := r.eval(n.left, s)
	if err != nil {
		return nil, err
	}
	switch n.op {
	case "and":
		if !truth(left) {
			return left, nil
		}
		return r.eval(n.right, s)
	case "or":
		if truth(left) {
			return left, nil
		}
		return r.eval(n.right, s)
	}
	right, err := r.eval(n.right, s)
	if err != nil {
		return nil, err
	}
	return r.arithmetic(n.op, left, right)
}

func (n *concatExpr) eval(r *run, s *scope) (any, error) {
	var b strings.Builder
	for _, e := range n.items {
		v, err := r.eval(e, s)
		if err != nil {
			return nil, err
		}
		t, err := r.str(v)
		if err != nil {
			return nil, err
		}
		if err := r.text(b.Len() + len(t)); err != nil {
			return nil, err
		}
		b.WriteString(t)
	}
	return b.String(), nil
}

func (n *compareExpr) eval(r *run, s *scope) (any, error) {
	left, err := r.eval(n.first, s)
	if err != nil {
		return nil, err
	}
	for i, op := range n.ops {
		right, err := r.eval(n.rest[i], s)
		if err != nil {
			return nil, err
		}
		if ok, err := r.compare(op, left, right); err != nil || !ok {
			return ok, err
		}
		left = right
	}
	return true, nil
}

func (n *condExpr) eval(r *run, s *scope) (any, error) {
	v, err := r.eval(n.cond, s)
	if err != nil {
		return nil, err
	}
	if truth(v) {
		return r.eval(n.then, s)
	}
	if n.rest == nil {
		return undefined{"the inline if was false and has no else"}, nil
	}
	return r.eval(n.rest, s)
}

// eval evaluates the arguments of a call.
func (c *callArgs) eval(r *run, s *scope) (*args, error) {
	a := &args{}
	var err error
	if len(c.pos) > 0 {
		if a.pos, err = r.evalAll(c.pos, s); err != nil {
			return nil, err
		}
	}
	if len(c.named) > 0 {
		a.names = append([]string(nil), c.names...)
		if a.named, err = r.evalAll(c.named, s); err != nil {
			return nil, err
		}
	}
	if c.more != nil {
		v, err := r.eval(c.more, s)
		if err != nil {
			return nil, err
		}
		items, err := r.collect(v)
		if err != nil {
			return nil, err
		}
		a.pos = append(a.pos, items...)
	}
	if c.moreName != nil {
		return a, a.spread(r, c.moreName, s)
	}
	return a, nil
}

// spread adds the keys of a **mapping.
func (a *args) spread(r *run, e expr, s *scope) error {
	v, err := r.eval(e, s)
	if err != nil {
		return err
	}
	d, ok := v.(*dict)
	if !ok {
		return errorf("argument after ** must be a mapping, not %q", typeName(v))
	}
	for i, k := range d.keys {
		name, ok := text(k)
		if !ok || contains(a.names, name) {
			return errorf("bad argument name after **")
		}
		a.names, a.named = append(a.names, name), append(a.named, d.values[i])
	}
	return r.use(32 * len(d.keys))
}
